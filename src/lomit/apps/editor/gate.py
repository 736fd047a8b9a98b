"""What stands between the network and Gradio: only what the page needs comes through."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = re.compile(
    r"/|/(config|login|logout|theme\.css|favicon\.ico|manifest\.json|robots\.txt)/?|/(assets|static|svelte)/.*"
    r"|/gradio_api/(queue/(join|data)|heartbeat/\w+|startup-events|app_id|user|login_check|cancel|reset|theme\.css)/?"
)
"""Paths that are answered.  Gradio would serve files by their path, fetch addresses, take uploads onto the disk, and
run functions by name; nothing of that is needed, because pictures travel inside the messages."""
HEADERS = {
    # The page may talk to this server alone.  Gradio's templates are compiled in the browser, hence unsafe-eval.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""Added to every answer but the program's own files."""


class Gate:
    """ASGI middleware: refuses paths that the page doesn't need, and bodies that are too large.

    Args:
        app: what lies behind.
        body_bytes: largest body of a request.
    """

    def __init__(self, app: App, body_bytes: int) -> None:
        self._app, self._most = app, body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http" or not OPEN.fullmatch(scope["path"]):
            return await _refuse(send, 404, b"not found")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most:
            return await _refuse(send, 413, b"too large")
        fixed = scope["path"].startswith(("/assets/", "/static/"))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [
                    *message["headers"],
                    *((n, v) for n, v in added if n not in own and not (fixed and n == b"cache-control")),
                ]
            await send(message)

        await self._app(scope, _Counted(receive, self._most), answer)


class _Counted:
    """Bodies without a length are counted; one that is too large looks as if its sender had gone."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._left = receive, most

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        return message if self._left >= 0 else {"type": "http.disconnect"}


async def _refuse(send: Send, status: int, text: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
