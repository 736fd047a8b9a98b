"""Serves the page of `lomit live` to this machine alone, under an address that nobody guesses."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lomit.apps.live.session import EXEMPLAR_BYTES, LiveSession, TakenOver
from lomit.apps.web import LOOPBACK, Guard, base_url, listening, render, serving, token
from lomit.errors import LomitError, require

if TYPE_CHECKING:
    from starlette.requests import Request

HOST = LOOPBACK[0]
"""Nothing else is listened at: a camera's frames stay on this machine."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page may talk to this server alone; a video file that is chosen in it is a blob."""
CAMERA = {"permissions-policy": "camera=(self), microphone=(), geolocation=()"}
STATIC = {"live.js": "text/javascript", "live.css": "text/css"}
"""File -> its type."""
GONE = "this page was opened once more, and the newer one has the camera; reload this one to take it back"


@contextmanager
def running(session: LiveSession, port: int = 7861, video: Path | None = None) -> Iterator[str]:
    """The page, served until the block ends.

    Args:
        session: the model and its exemplar.
        port: where to listen; 0 takes a free one.
        video: a video file to begin with in place of the camera.

    Yields:
        The page's address.

    Raises:
        LomitError: where the `apps` extra is missing, the port is taken or there is no such video.
    """
    require_server()
    if video is not None and not video.is_file():
        raise LomitError(f"no such file: {video}")
    secret = token()
    guard = Guard(
        _application(session, video, secret), POLICY, EXEMPLAR_BYTES + 1, re.compile(f"/{secret}/.*"),
        # A page from elsewhere can't have its own name lead to this machine.
        hosts=frozenset(LOOPBACK),
    )  # fmt: skip
    with listening(HOST, port) as bound, serving(guard, bound, proxy=False):
        yield f"{base_url(bound, HOST)}/{secret}/"


def require_server() -> None:
    """Raises `LomitError` where the extra is missing."""
    require("lomit live", "apps", "starlette", "uvicorn")


def _application(session: LiveSession, video: Path | None, secret: str) -> Any:
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
    from starlette.routing import Mount, Route

    static_files = {name: files("lomit.apps.live").joinpath("static", name).read_bytes() for name in STATIC}

    def page(request: Request) -> Response:
        options = {"names": session.names, "ticked": session.predictor.moved, "number": session.open()}
        return HTMLResponse(render("live.html", has_video=video is not None, **options), headers=CAMERA)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            raise HTTPException(404)
        return Response(static_files[name], media_type=STATIC[name])

    def film(request: Request) -> Response:
        if video is None or not video.is_file():
            raise HTTPException(404)
        return FileResponse(video, media_type=mimetypes.guess_type(video.name)[0])

    def exemplar(request: Request) -> Response:
        return Response(session.exemplar_png, media_type="image/png")

    async def choose(request: Request) -> Response:
        name = request.query_params.get("name", "the exemplar")
        await run_in_threadpool(session.choose, await request.body(), name)
        return Response(status_code=204)

    async def frame(request: Request) -> Response:
        asked = request.query_params
        try:
            number, strength = int(asked["page"]), float(asked.get("strength", 1))
        except (KeyError, ValueError):
            raise HTTPException(422, "not understood") from None
        data, done = await run_in_threadpool(
            session.frame,
            number,
            await request.body(),
            strength=strength,
            only=asked.getlist("only"),
            show_mask="mask" in asked,
        )
        timing = ", ".join(f"{name};dur={1000 * seconds:.1f}" for name, seconds in done.seconds.items())
        told = {"server-timing": timing, "x-face": str(int(done.found))}
        return Response(data, media_type="image/jpeg", headers=told)

    def refused(request: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), 422)

    def taken_over(request: Request, error: Exception) -> Response:
        return PlainTextResponse(GONE, 409)

    routes = [
        Route("/", page),
        Route("/static/{name}", static),
        Route("/video", film),
        Route("/exemplar", exemplar, methods=["GET"]),
        Route("/exemplar", choose, methods=["POST"]),
        Route("/frame", frame, methods=["POST"]),
    ]
    return Starlette(
        routes=[Mount(f"/{secret}", routes=routes)], exception_handlers={LomitError: refused, TakenOver: taken_over}
    )
