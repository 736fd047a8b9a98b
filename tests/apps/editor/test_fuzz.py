"""Random requests to the editor: each is answered, never with 5xx or a traceback, and soon."""

from __future__ import annotations

import copy
import json
import time
from random import Random
from typing import Any

import pytest
from PIL import Image

from apps.editor.conftest import JOIN, SLIDERS, Visitor
from support import fuzz

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
            figures.statuses += more.statuses
            figures.wrong += more.wrong
            figures.slowest = max(figures.slowest, more.slowest)
            end = time.monotonic() + 60
            while len(visitor.page.blocks._queue):
                assert time.monotonic() < end, "an event is never done"
                time.sleep(0.05)
        bench, *_ = visitor.send(visitor.page.bench, "act", {"action": "sample", "pane": 0, "sample": 0}, *SLIDERS)
        assert bench["alert"] == ""  # it still works
    printed = capfd.readouterr()
    return figures, (log.getvalue() + printed.err + printed.out).count("Traceback")


def test_odd_requests_and_events_are_answered(visitor: Visitor, capfd: pytest.CaptureFixture[str]) -> None:
    figures, tracebacks = requests(visitor, 150, 0, capfd)
    assert figures.wrong == []
    assert tracebacks == 0
    assert {200, 404, 422} <= set(figures.statuses)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_odd_requests_and_events(visitor: Visitor, capfd: pytest.CaptureFixture[str]) -> None:
    figures, tracebacks = requests(visitor, 5_000, 1, capfd)
    with capfd.disabled():
        print(
            f"\n{figures.statuses.total()} requests to the editor: {len(figures.wrong)} answered with 5xx or late, "
            f"{tracebacks} tracebacks, slowest {figures.slowest:.2f} s, statuses {dict(figures.statuses)}"
        )
    assert figures.wrong == []
    assert tracebacks == 0
