"""Random requests to the editor: each is answered, never with 5xx or a traceback, and soon.

A visitor works beside them, and gets what was asked for.
"""

from __future__ import annotations

import contextlib
import copy
import json
import threading
import time
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from PIL import Image

from apps.editor.conftest import JOIN, SLIDERS, Visitor
from support import fuzz

SECONDS = 120
PAGES = [
    "/", "/config", "/login", "/theme.css", "/assets/x.js", "/static/x", "/svelte/x", "/robots.txt", "/favicon.ico",
    "/manifest.json", *[f"/gradio_api/{name}" for name in ("startup-events", "app_id", "user", "login_check", "cancel",
    "reset", "queue/data", "info", "upload", "run/predict")],
]  # fmt: skip


def bodies(visitor: Visitor) -> list[Any]:
    """What the page sends, whole."""
    page, drawn = visitor.page, visitor.drawn(0, Image.new("L", (256, 256), 99))
    actions: list[dict[str, Any]] = [
        {"action": "keep"}, {"action": "sample", "pane": 0, "sample": 1}, {"action": "face", "pane": 0, "face": 0},
        {"action": "open", "pane": 0, "name": "x.png", "data": "aGFsbG8="}, {"action": "restore", "id": 1},
        {"action": "swap", "masks": [drawn], "settings": 1}, {"action": "close", "on": 1},
        {"action": "operate", "pane": 0, "step": {"do": "grow", "radius": 3}},
        {"action": "operate", "pane": 1, "step": {"do": "select", "at": [0.5, 0.5], "alike": 0.4, "erase": True}},
        {"action": "load_mask", "pane": 0, "name": "m.png", "data": "aGFsbG8="},
        {"action": "compose", "on": 1}, {"action": "give", "pane": 2, "name": "hair", "on": 1},
        {"action": "remove", "pane": 2}, {"action": "sample", "pane": 3, "sample": 2},
    ]  # fmt: skip
    made = [visitor.request(page.bench, "act", told, *SLIDERS) for told in actions]
    made += [
        visitor.request(page.bench, "stroke", {"masks": [drawn]}),
        visitor.request(page.viewer, "save", {"what": "recipe"}, *SLIDERS),
        visitor.request(page.model, "input", None, "avatars"),
        visitor.request(page.controls[0], "input", None, *SLIDERS),
        visitor.request(None, "load"),
    ]
    return [json.loads(body) for body in made]


def event(rng: Random, body: Any) -> bytes:
    """A request that comes through, whose event or values are odd."""
    body = copy.deepcopy(body)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if body["event_data"] and rng.random() < 0.6:
            body["event_data"] = fuzz.mutated(rng, body["event_data"])
        elif body["data"]:
            at = rng.randrange(len(body["data"]))
            body["data"][at] = fuzz.mutated(rng, body["data"][at])
    content = json.dumps(body).encode()
    head = (
        f"POST {JOIN} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(content)}"
    )
    return head.encode() + b"\r\n\r\n" + content


@dataclass
class Work:
    """What a visitor got: seconds of each answer, how often the queue was full, and what was wrong."""

    seconds: list[float] = field(default_factory=list)
    turned_away: int = 0
    lost: list[str] = field(default_factory=list)


@contextlib.contextmanager
def working(visitor: Visitor) -> Iterator[Work]:
    """Another visitor than this, who chooses one sample after the other until the block ends."""
    one, work, over = Visitor(visitor.page, visitor.url), Work(), threading.Event()
    names = [sample.source().name for sample in visitor.page.samples[:2]]

    def choose() -> None:
        while not over.is_set():
            number, began = len(work.seconds) % 2, time.monotonic()
            try:
                bench, viewer = one.act("sample", pane=0, sample=number)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != 503:
                        work.lost.append(str(error))
                work.turned_away += 1
                time.sleep(0.05)
            except Exception as error:
                work.lost.append(repr(error))
                return
            else:
                work.seconds.append(time.monotonic() - began)
                if bench["alert"] or bench["panes"][0]["name"] != names[number] or not viewer["after"]:
                    work.lost.append(f"{names[number]}: {bench['alert']}")

    one.load()
    thread = threading.Thread(target=choose)
    thread.start()
    try:
        yield work
    finally:
        over.set()
        thread.join(120)
        one.close()
        assert not thread.is_alive()


def requests(visitor: Visitor, count: int, seed: int, capfd: pytest.CaptureFixture[str]) -> tuple[fuzz.Figures, int]:
    """What came of `count` odd requests and as many odd events, and how many tracebacks were printed."""
    rng, port = Random(seed), int(visitor.url.rpartition(":")[2])
    visitor.load()
    whole = bodies(visitor)
    pages = [*PAGES, *[JOIN] * len(PAGES), f"/gradio_api/queue/data?session_hash={visitor.hash}"]
    capfd.readouterr()
    with fuzz.server_errors() as log:
        figures = fuzz.send_many(port, [fuzz.request(rng, pages, whole, []) for _ in range(count)])
        for start in range(0, count, 20):
            more = fuzz.send_many(port, [event(rng, rng.choice(whole)) for _ in range(min(20, count - start))])
            figures.add(more)
            end = time.monotonic() + 60
            while len(visitor.page.blocks._queue):
                assert time.monotonic() < end, "an event is never done"
                time.sleep(0.05)
        bench, *_ = visitor.send(visitor.page.bench, "act", {"action": "sample", "pane": 0, "sample": 0}, *SLIDERS)
        assert bench["alert"] == ""  # it still works
    printed = capfd.readouterr()
    return figures, (log.getvalue() + printed.err + printed.out).count("Traceback")


def test_odd_requests_and_events_are_answered(visitor: Visitor, capfd: pytest.CaptureFixture[str]) -> None:
    with working(visitor) as work:
        figures, tracebacks = requests(visitor, 150, 0, capfd)
    assert figures.wrong == []
    assert tracebacks == 0
    assert work.lost == []
    assert len(work.seconds) > 5
    assert {200, 404, 422} <= set(figures.statuses)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_odd_requests_and_events(visitor: Visitor, capfd: pytest.CaptureFixture[str]) -> None:
    figures, tracebacks, seed = fuzz.Figures(), 0, 0
    with working(visitor) as work:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            seed += 1
            more, printed = requests(visitor, 150, seed, capfd)
            figures.add(more)
            tracebacks += printed
    half, most = (sorted(work.seconds)[round(share * (len(work.seconds) - 1))] for share in (0.5, 0.95))
    with capfd.disabled():
        print(
            f"\neditor, {SECONDS} s: {figures}; {tracebacks} tracebacks; a visitor beside them: {len(work.seconds)} "
            f"answers, {len(work.lost)} lost or wrong, turned away {work.turned_away} times, median {half:.2f} s, "
            f"95 % within {most:.2f} s"
        )
    assert figures.statuses.total() >= 600
    assert len(work.seconds) > 20
    assert {200, 404, 422} <= set(figures.statuses)
    assert figures.wrong == []
    assert tracebacks == 0
    assert work.lost == []
