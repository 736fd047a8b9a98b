"""Serves the page, on this machine alone unless told otherwise."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lomit.apps.editor.models import Models
from lomit.apps.editor.page import TITLE, Page
from lomit.apps.editor.samples import draw_samples
from lomit.apps.editor.state import Limits
from lomit.apps.web import LOOPBACK, Guard, Login, base_url, check_url, header, listening, serving
from lomit.errors import LomitError, require
from lomit.inference.choice import RENDERED

if TYPE_CHECKING:
    from starlette.types import Scope

ENVIRONMENT = "LOMIT_EDIT_PASSWORD"
SHORTEST = 8
"""Characters of a password."""
PATHS = re.compile(
    r"/|/(config|login|theme\.css|favicon\.ico|manifest\.json|robots\.txt)/?|/(assets|static|svelte)/.*"
    r"|/gradio_api/(queue/(join|data)|heartbeat/\w+|startup-events|app_id|user|login_check|cancel|reset|theme\.css)/?"
)
"""Paths that are answered.  Gradio would serve files by their path, fetch addresses, take uploads onto the disk, and
run functions by name; nothing of that is needed, because pictures travel inside the messages."""
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""The page may talk to this server alone.  Gradio's templates are compiled in the browser, hence unsafe-eval."""
SENT: dict[str, type | tuple[type, ...]] = {
    "data": list, "event_data": (dict, type(None)), "fn_index": int, "trigger_id": (int, type(None)),
    "session_hash": str, "event_id": (str, type(None)),
}  # fmt: skip
"""What the script tells Gradio, and its types."""


def find_password(host: str, file: str | None, url: str | None, proxy: bool) -> str | None:
    """The password out of a file or the environment; None where none is given and none is needed.

    Raises:
        LomitError: where the editor would be open to other machines without one, or it is too short.
    """
    password = os.environ.get(ENVIRONMENT)
    if file is not None:
        try:
            password = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise LomitError(f"{file} can't be read: {getattr(error, 'strerror', None) or error}") from None
    if password is None:
        opened = [f"--host {host}"] if host not in LOOPBACK else []
        opened += [f"--url {url}"] if url is not None and urlsplit(url).hostname not in LOOPBACK else []
        opened += ["--proxy"] if proxy else []
        if opened:
            raise LomitError(
                f"{opened[0]} lets other machines in: give a password with --password-file FILE or in {ENVIRONMENT}"
            )
    elif len(password) < SHORTEST:
        raise LomitError(f"the password must have at least {SHORTEST} characters")
    return password


@contextmanager
def running(
    model: str | None,
    host: str = "127.0.0.1",
    port: int = 7860,
    password: str | None = None,
    device: str | None = None,
    limits: Limits | None = None,
    url: str | None = None,
    proxy: bool = False,
) -> Iterator[tuple[Page, str]]:
    """The editor, served until the block ends.

    Args:
        model: name or path of the first model; None: what the first input calls for.
        host, port: where to listen; port 0 takes a free one.
        password: asked for before anything is shown; None: nobody is asked.
        device: as for `Predictor`.
        limits: what strangers may do.
        url: address under which browsers reach it through a proxy, with its path; None: `host` and `port`.
        proxy: believe the X-Forwarded-For of a reverse proxy on this machine.

    Yields:
        The page, and its address.

    Raises:
        LomitError: where Gradio is missing, the model can't be used or the address is taken.
    """
    check_url(url)
    limits = limits or Limits()
    # Read when Gradio is imported and when it serves: no telemetry, and no table of times after every request.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000000"
    require("the editor", "editor", "gradio")
    # Gradio takes the folder's name over while the page is made.
    with listening(host, port) as bound, _private_folder():
        models = Models(model or RENDERED, device)
        page = Page(models, [] if models.photographs else draw_samples(), limits, choosing=model is None)
        guard = Guard(
            _application(page, limits, url), POLICY, limits.body_bytes, PATHS, fixed=("/assets/", "/static/"),
            takes=partial(_takes, {number: len(event.inputs) for number, event in page.blocks.fns.items()}),
            # A page from elsewhere can't have its own name lead to this machine.
            hosts=frozenset({*LOOPBACK, urlsplit(url or "").hostname or "localhost"}) if host in LOOPBACK else None,
            login=None if password is None else Login(password, url, TITLE),
        )  # fmt: skip
        with serving(guard, bound, proxy):
            try:
                yield page, (url or base_url(bound, host)).rstrip("/")
            finally:
                page.blocks.close(verbose=False)


def _takes(events: dict[int, int], scope: Scope, body: bytes) -> bool:
    """Whether a body is what Gradio's script sends; Gradio itself breaks at some others.

    `events`: number of an event -> how many values come with it.
    """
    if scope["method"] in ("GET", "HEAD"):
        return not body
    if header(scope, b"content-type").partition(";")[0].strip().lower() != "application/json":
        return False
    try:
        told = json.loads(body.decode())
    except (ValueError, RecursionError):
        return False
    if not isinstance(told, dict) or not SENT.keys() >= told.keys():
        return False
    if not all(isinstance(value, SENT[name]) and not isinstance(value, bool) for name, value in told.items()):
        return False
    if "data" in told and len(told["data"]) != events.get(told.get("fn_index", -1)):
        return False
    return bool(re.fullmatch(r"\w{1,64}", told.get("session_hash", "none")))


def _application(page: Page, limits: Limits, url: str | None) -> Any:
    """Gradio's application around the page, without what the page doesn't need."""
    import gradio as gr
    from fastapi import FastAPI

    quiet: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}
    page.blocks.queue(max_size=limits.queue, default_concurrency_limit=1)
    page.blocks.state_session_capacity = 4 * limits.sessions
    return gr.mount_gradio_app(
        FastAPI(**quiet),
        page.blocks, path="/", root_path=url, app_kwargs=quiet, footer_links=[], run_history=False,
        enable_monitoring=False, allowed_paths=[], max_file_size=1, ssr_mode=False, pwa=False, mcp_server=False,
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=(files("lomit.apps.editor") / "static" / "page.css").read_text("utf-8"),
    )  # fmt: skip


@contextmanager
def _private_folder() -> Iterator[None]:
    """A folder of this process alone for whatever Gradio would write; removed at the end."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="lomit-edit-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["GRADIO_TEMP_DIR"]
            if before is not None:
                os.environ["GRADIO_TEMP_DIR"] = before
