"""Serves the page, on this machine alone unless told otherwise."""

from __future__ import annotations

import hmac
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from lomit.apps.editor.gate import Gate
from lomit.apps.editor.limits import Limits
from lomit.apps.editor.models import Models
from lomit.apps.editor.page import Page
from lomit.apps.editor.samples import draw_samples
from lomit.errors import LomitError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ENVIRONMENT = "LOMIT_EDIT_PASSWORD"
SHORTEST = 8
"""Characters of a password."""
FONTS = ["system-ui", "sans-serif"]


def find_password(host: str, file: str | None) -> str | None:
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
    if password is None and host not in LOOPBACK:
        raise LomitError(
            f"--host {host} lets other machines in: give a password with --password-file FILE or in {ENVIRONMENT}"
        )
    if password is not None and len(password) < SHORTEST:
        raise LomitError(f"the password must have at least {SHORTEST} characters")
    return password


@contextmanager
def running(
    model: str,
    host: str = "127.0.0.1",
    port: int = 7860,
    password: str | None = None,
    device: str | None = None,
    limits: Limits | None = None,
) -> Iterator[tuple[Page, str]]:
    """The editor, served until the block ends.

    Args:
        model: name or path of the first model.
        host: address to listen at.
        port: to listen at; 0 takes a free one.
        password: asked for before anything is shown; None: nobody is asked.
        device: as for `Predictor`.
        limits: None takes the usual ones.

    Yields:
        The page, and its address.

    Raises:
        LomitError: where Gradio is missing, the model can't be used or the address is taken.
    """
    limits = limits or Limits()
    # Read when Gradio is imported and when it serves: no telemetry, and no table of times after every request.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000000"
    try:
        import gradio as gr
    except ImportError:
        raise LomitError("the editor needs gradio: pip install 'lomit[editor]'") from None
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    port = _free_port(host, port)
    middleware = [Middleware(Gate, body_bytes=limits.body_bytes)]
    if host in LOOPBACK:
        # A page from elsewhere can't have its own name lead to this machine.
        middleware.insert(0, Middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "[::1]"]))
    page = Page(Models(model, device), draw_samples(), limits)
    page.blocks.queue(max_size=limits.queue, default_concurrency_limit=1)
    with _private_folder():
        try:
            _, url, _ = page.blocks.launch(
                server_name=host,
                server_port=port,
                share=False,
                auth=None if password is None else _checker(password),
                auth_message="Type any user name; the password is the one that the editor was started with.",
                prevent_thread_lock=True,
                quiet=True,
                footer_links=[],
                run_history=False,
                enable_monitoring=False,
                allowed_paths=[],
                max_file_size=1,
                state_session_capacity=4 * limits.sessions,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                app_kwargs={"middleware": middleware, "docs_url": None, "redoc_url": None, "openapi_url": None},
                theme=gr.themes.Default(font=FONTS, font_mono=["ui-monospace", "monospace"]),
                css=(files("lomit.apps.editor") / "static" / "page.css").read_text("utf-8"),
            )
            yield page, url.rstrip("/")
        finally:
            page.blocks.close(verbose=False)


def _checker(password: str) -> Any:
    def check(user: str, given: str) -> bool:
        return hmac.compare_digest(given.encode(), password.encode())

    return check


def _free_port(host: str, port: int) -> int:
    """The port, or a free one for 0.

    Raises:
        LomitError: where it is taken, or there is no such address here.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise LomitError(f"can't listen at {host}, port {port}: {reason}; choose another with --port") from None
        return int(probe.getsockname()[1])


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder of this process alone for whatever Gradio would write; removed at the end."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    folder = Path(tempfile.mkdtemp(prefix="lomit-edit-"))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            os.environ.pop("GRADIO_TEMP_DIR", None)
        else:
            os.environ["GRADIO_TEMP_DIR"] = before
        shutil.rmtree(folder, ignore_errors=True)
