"""The editor with a password, behind a small reverse proxy that strips a path: by requests, and in a browser."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lomit.apps.editor.page import Page
from lomit.apps.editor.server import running
from support.proxy import certificate, proxied
from support.studies import free_port

pytest.importorskip("gradio", reason="needs the editor extra")
PASSWORD, PATH = "correct horse", "/lab/faces"
DONE = ".viewer img.after:not([hidden])"


class Door:
    """An editor with a password: its own port, and the port of the proxy before it."""

    def __init__(self, page: Page, own: int, proxy: int, certificate: Path | None) -> None:
        self.page, self.own, self.proxy, self.certificate = page, own, proxy, certificate

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, bytes]:
        """Straight to the editor, as the proxy does it."""
        return ask(self.own, method, path, body, **headers)


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        form = {"content-type": "application/x-www-form-urlencoded"}
        content = body if body is None or isinstance(body, bytes) else urllib.parse.urlencode(body).encode()
        connection.request(method, path, content, form | {k.replace("_", "-"): v for k, v in headers.items()})
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    own, front = free_port(), free_port()
    made = certificate(tmp_path_factory.mktemp("certificate"))
    url = f"{'https' if made else 'http'}://localhost:{front}{PATH}"
    with (
        running("avatars", port=own, password=PASSWORD, device="cpu", url=url, proxy=True) as (page, address),
        proxied(own, PATH, front, made) as port,
    ):
        assert address == url
        yield Door(page, own, port, made)


def test_nothing_but_the_question_is_shown_without_the_password(door: Door) -> None:
    status, headers, page = door.ask("GET", "/")
    assert status == 401
    assert f'action="{PATH}/login"'.encode() in page
    assert headers["x-frame-options"] == "DENY"
    for path in ("/config", "/gradio_api/queue/data?session_hash=a", "/assets/index.js", "/theme.css"):
        assert door.ask("GET", path)[0] == 401
    assert door.ask("POST", "/gradio_api/queue/join", b"{}")[0] == 401
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    assert folder.stat().st_mode & 0o077 == 0


def test_300_wrong_passwords_are_limited(door: Door) -> None:
    began = time.monotonic()
    codes = Counter(
        door.ask("POST", "/login", {"password": f"guess {k}"}, X_Forwarded_For="203.0.113.9")[0] for k in range(300)
    )
    # 20 at once, then one in five seconds.
    assert codes[401] <= 21 + (time.monotonic() - began) / 5
    assert codes[401] + codes[429] == 300
    assert door.ask("POST", "/login", {"password": PASSWORD}, X_Forwarded_For="203.0.113.9")[0] == 429
    assert door.ask("POST", "/login", {"password": PASSWORD}, X_Forwarded_For="203.0.113.10")[0] == 303


def test_the_page_knows_where_it_stands(door: Door) -> None:
    status, headers, _ = door.ask("POST", "/login", {"password": PASSWORD})
    assert (status, headers["location"]) == (303, f"{PATH}/")
    cookie = headers["set-cookie"]
    assert ("; Secure" in cookie) == (door.certificate is not None)
    status, _, config = door.ask("GET", "/config", cookie=cookie.partition(";")[0])
    assert status == 200
    assert json.loads(config)["root"].endswith(f":{door.proxy}{PATH}")
    assert door.ask("GET", "/", host="localhost")[0] == 401
    assert door.ask("GET", "/", host="attacker.example")[0] == 400


@pytest.mark.browser
def test_logged_in_and_edited_in_a_browser_below_a_path(door: Door, browser: Any) -> None:
    """As docs/editor.md has it, over HTTPS where there is openssl."""
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(240_000)
    asked: list[str] = []
    tab = context.new_page()
    tab.on("request", lambda request: asked.append(request.url))
    base = f"{'https' if door.certificate else 'http'}://localhost:{door.proxy}{PATH}/"
    tab.goto(base)
    tab.fill("input[type=password]", "wrong one")
    tab.click("text=Log in")
    tab.wait_for_selector("text=This is not the password.")
    tab.fill("input[type=password]", PASSWORD)
    tab.click("text=Log in")
    tab.wait_for_selector(DONE)
    assert tab.url == base
    before = tab.get_attribute(DONE, "src")
    tab.get_by_role("button", name="Sample as input").nth(3).click()
    tab.wait_for_function(f"(b) => document.querySelector('{DONE}').src !== b", arg=before)
    tab.reload()
    tab.wait_for_selector(DONE)  # the cookie is kept
    assert [url for url in asked if not url.startswith((base, "data:", "blob:"))] == []
    context.close()
