"""Time from a stroke of the editor's brush to its result: in the session alone, and in headless Chromium.

    OMP_NUM_THREADS=1 python benchmarks/editor.py [--photo FILE]

Prints medians of 10 strokes in ms; on a busy machine the processor's time tells more than the clock.  Chromium is left
out where it is not installed.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image

from lomit.apps.editor import views
from lomit.apps.editor.page import Page
from lomit.apps.editor.server import running

DONE = ".viewer img.after:not([hidden])"
STROKES = 10


def in_session(page: Page, photo: Path | None) -> tuple[float, float]:
    """Mask in, JSON for the viewer out."""
    session = page.sessions.begin("benchmark")
    session.sample(0, 0)
    session.sample(1, 1)
    if photo is not None:
        session.open(0, photo.name, photo.read_bytes())
    views.viewer(session)

    def stroke(number: int) -> None:
        session.stroke(0, Image.new("L", (256, 256), 20 * number))
        views.viewer(session)

    took = _median(stroke)
    page.sessions.end("benchmark")
    return took


def in_browser(url: str) -> tuple[float, float]:
    """From letting the mouse go to the result's picture."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        tab: Any = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(url)
        tab.wait_for_selector(DONE)
        box = tab.locator(".stage").first.bounding_box()

        def stroke(number: int) -> None:
            before = tab.get_attribute(DONE, "src")
            y = box["y"] + box["height"] * (0.1 + 0.08 * number)
            tab.mouse.move(box["x"] + 0.2 * box["width"], y)
            tab.mouse.down()
            tab.mouse.move(box["x"] + 0.8 * box["width"], y)
            began.append(time.perf_counter())
            tab.mouse.up()
            tab.wait_for_function(f"(b) => document.querySelector('{DONE}').src !== b", arg=before, polling=5)

        began: list[float] = []
        took = _median(stroke, began)
        browser.close()
    return took


def _median(stroke: Callable[[int], None], began: list[float] | None = None) -> tuple[float, float]:
    times, cpu = list[float](), list[float]()
    for number in range(STROKES):
        start, used = time.perf_counter(), time.process_time()
        stroke(number)
        times.append(time.perf_counter() - (began[-1] if began else start))
        cpu.append(time.process_time() - used)
    return 1e3 * median(times), 1e3 * median(cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="avatars")
    parser.add_argument("--photo", type=Path)
    words = parser.parse_args()
    torch.set_num_threads(1)
    with running(words.model, port=0, device="cpu") as (page, url):
        clock, processor = in_session(page, words.photo)
        print(f"session  {clock:6.0f} ms, {processor:.0f} ms of the processor")
        if shutil.which("chromium"):
            clock, processor = in_browser(url)
            print(f"browser  {clock:6.0f} ms, {processor:.0f} ms of the server's processor")


if __name__ == "__main__":
    main()
