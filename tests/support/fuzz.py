"""Random values and requests, drawn by a seed: what nobody sends on purpose."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 2**31, -(2**63), 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", " ", "x",
    "real", "0", "\0", "é", "\ud800", "\u202e", "../../etc/passwd", "<script>", "{{7*7}}", "%s%n", "x" * 5000, [], {},
    [[]], [None], {"": None}, {"a": {"b": [1]}}, [1, "2", 3.0],
)  # fmt: skip
"""Values of every type, most of them wrong wherever they stand."""
METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW", "get")
TYPES = ("application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
         "multipart/form-data", "application/json; charset=utf-16", "", "\xff")  # fmt: skip
NAMES = ("host", "cookie", "accept-encoding", "range", "if-none-match", "if-modified-since", "authorization", "expect",
         "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-gradio-server", "forwarded", "origin",
         "referer", "upgrade", "content-encoding", "connection", "te", "accept", "sec-fetch-site",
         "x" * 300)  # fmt: skip


def mutated(rng: Random, value: Any, changes: int = 1) -> Any:
    """A copy of a JSON value in which something is odd: replaced, taken away, doubled, or wrapped."""
    value = copy.deepcopy(value)
    for _ in range(changes):
        value = _mutate(rng, value)
    return value


def _mutate(rng: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            del value[key]
        elif rng.random() < 0.1:
            value[rng.choice(("", "extra", key + "x", "__class__"))] = rng.choice(ODD)
        else:
            value[key] = _mutate(rng, value[key])
    elif isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        if rng.random() < 0.15:
            del value[at]
        elif rng.random() < 0.1:
            value.insert(at, copy.deepcopy(value[at]))
        else:
            value[at] = _mutate(rng, value[at])
    elif rng.random() < 0.1:
        return [value] if rng.random() < 0.5 else {"value": value}
    else:
        return copy.deepcopy(rng.choice(ODD))
    return value


def as_text(rng: Random, value: Any) -> bytes:
    """A JSON value as bytes, sometimes cut or with a byte changed."""
    content = json.dumps(value, ensure_ascii=True).encode()
    if content and rng.random() < 0.1:
        content = content[: rng.randrange(len(content))]
    if content and rng.random() < 0.1:
        at = rng.randrange(len(content))
        content = content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    return content


@dataclass
class Figures:
    """What came of the requests.

    Attributes:
        statuses: how often each was answered; 0: the connection was closed without one.
        slowest: seconds until the answer began.
        wrong: requests that were answered with 5xx, or too late.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        """Takes other requests in."""
        self.statuses += other.statuses
        self.slowest = max(self.slowest, other.slowest)
        self.wrong += other.wrong

    def __str__(self) -> str:
        return (
            f"{self.statuses.total()} odd requests, {len(self.wrong)} of them answered with 5xx or late, slowest "
            f"{self.slowest:.2f} s, statuses {dict(self.statuses)}"
        )


def request(rng: Random, paths: Sequence[str], bodies: Sequence[Any], headers: Sequence[tuple[str, str]]) -> bytes:
    """One request: half right, half odd."""
    method = rng.choice(("GET", "POST", "POST", rng.choice(METHODS)))
    path = rng.choice(paths)
    if rng.random() < 0.2:
        at = rng.randrange(len(path) + 1)
        path = path[:at] + rng.choice(("%00", "%ff", "..", "/", "%2e%2e%2f", "é", "x" * 3000, "-1", "%")) + path[at:]
    if rng.random() < 0.2:
        odd = rng.choice(("link", "PANEL_ID", "session_hash", "x", "")), str(rng.choice(ODD))
        path += ("&" if "?" in path else "?") + urlencode([odd], errors="replace")
    lines = [rng.choice(headers)] if headers and rng.random() < 0.6 else []
    lines += [(rng.choice(NAMES), _header_value(rng)) for _ in range(rng.choice((0, 0, 1, 2, 5)))]
    kind = rng.random()
    if kind < 0.6:
        body = as_text(rng, mutated(rng, rng.choice(bodies), rng.choice((0, 1, 1, 2, 4))))
        lines.append(("content-type", "application/json" if rng.random() < 0.8 else rng.choice(TYPES)))
    else:
        body = rng.choice(
            (b"", b"{", b"\0" * 100, rng.randbytes(200), b"[" * 20_000, b"a=1&b=2&password=x", b"9" * 5000)
        )
        lines.append(("content-type", rng.choice(TYPES)))
    if rng.random() < 0.1:
        lines.append(("transfer-encoding", "chunked"))
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    else:
        lines.append(("content-length", str(len(body))))
    if not any(name == "host" for name, _ in lines):
        lines.insert(0, ("host", "localhost"))
    safe = quote(path, safe="/?&=%.-_~:")
    head = f"{method} {safe} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines) + "\r\n"
    return head.encode("latin-1", "replace") + body


def _header_value(rng: Random) -> str:
    """No line breaks: they would make another request of the rest."""
    value = str(rng.choice(ODD)) if rng.random() < 0.7 else "".join(map(chr, rng.sample(range(33, 256), 40)))
    return value.encode("latin-1", "replace").decode("latin-1").replace("\r", "").replace("\n", "")


def send(port: int, content: bytes, seconds: float) -> tuple[int, float]:
    """Status and seconds until the answer began; status 0 where the server closed without one, -1 where it was late."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with contextlib.suppress(OSError):  # closed before it was read to the end; there may be an answer
            connection.sendall(content)
        try:
            line = connection.makefile("rb").readline(200)
        except TimeoutError:
            return -1, time.monotonic() - began
        except OSError:
            line = b""
    took = time.monotonic() - began
    return (int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else 0), took


def send_many(port: int, requests: Sequence[bytes], seconds: float = 1.0) -> Figures:
    """Sends them one after the other.  What is late once is sent again: the machine may have been busy."""
    figures = Figures()
    for content in requests:
        status, took = send(port, content, seconds)
        if status == -1:
            status, took = send(port, content, seconds)
        figures.statuses[status] += 1
        figures.slowest = max(figures.slowest, took)
        if status == -1 or status in (500, 501, 502, 504):
            figures.wrong.append(f"{status}: {content[:1500]!r}")
    return figures


@contextlib.contextmanager
def server_errors() -> Iterator[io.StringIO]:
    """What the web server logs as errors in the block: tracebacks."""
    text = io.StringIO()
    handler, logger = logging.StreamHandler(text), logging.getLogger("uvicorn.error")
    logger.addHandler(handler)
    try:
        yield text
    finally:
        logger.removeHandler(handler)
