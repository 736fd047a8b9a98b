"""What every request has to pass: a limit on its size, a limit on its rate; and the headers of every response."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY = 64 * 1024
"""Bytes; the answers to a whole study are a tenth of it."""
MOST_BUCKETS = 20_000
"""Who is remembered by the limiter; the one seen longest ago is forgotten."""

HEADERS = {
    # Scripts, styles and pictures from here alone, none within the page; nobody frames it, no form leads elsewhere.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # The address of a page is a participant's key: no other page is told it.
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "x-robots-tag": "noindex, nofollow",
    "cache-control": "no-store",
}
"""Headers of every response that does not set them itself."""


class Buckets:
    """Token buckets: each name may do `burst` things at once and `rate` a second in the long run."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, name: str, cost: float = 1.0) -> float:
        """Takes `cost` from the name's bucket.

        Returns:
            0.0 where it was there, else the seconds until it will be; then nothing is taken.
        """
        with self._lock:
            now = self._clock()
            left, then = self._left.pop(name, (self.burst, now))
            left = min(self.burst, left + (now - then) * self.rate)
            short = max(0.0, cost - left)
            self._left[name] = (left if short else left - cost, now)
            if len(self._left) > MOST_BUCKETS:
                self._left.popitem(last=False)
        return short / self.rate


class Guard:
    """ASGI middleware: sets the headers, also of failures, and refuses bodies that are too large, declared or not."""

    def __init__(self, app: App, most_body: int = MOST_BODY) -> None:
        self.app, self.most_body = app, most_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        started = False

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = list(message.get("headers", []))
                there = {name.lower() for name, _ in headers}
                headers += [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in there]
                message = {**message, "headers": headers}
            await send(message)

        # Read whole before the application sees any of it: a refused request changes nothing.
        body, more = b"", scope["method"] in ("POST", "PUT", "PATCH")
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self.most_body:
                await _refuse(with_headers, 413, b"too large")
                return
        given = False

        async def once() -> MutableMapping[str, Any]:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        try:
            await self.app(scope, once, with_headers)
        except Exception:
            if not started:
                await _refuse(with_headers, 500, b"this did not work")
            raise


async def _refuse(send: Send, status: int, body: bytes) -> None:
    start = {"type": "http.response.start", "status": status, "headers": [(b"connection", b"close")]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
