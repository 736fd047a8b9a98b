"""What both servers share: guard, limits by address, login, socket."""

from __future__ import annotations

import asyncio
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lomit.apps.web import HEADERS, Guard, Limiter, Login, address_of, base_url, check_url, listening
from lomit.errors import LomitError

pytest.importorskip("jinja2")
testclient = pytest.importorskip("starlette.testclient")

PASSWORD = "correct horse ü"
MOST = 10_000


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the number of bytes that it was sent; fails at /broken."""
    if scope["path"] == "/broken":
        raise RuntimeError("/secret/place")
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame-options", b"SAMEORIGIN")]})
    await send({"type": "http.response.body", "body": str(size).encode()})


def guarded(**options: Any) -> Guard:
    return Guard(echo, "default-src 'none'", MOST, **options)


def visitor(guard: Guard, address: str = "192.0.2.1", base: str = "http://testserver") -> Any:
    return testclient.TestClient(guard, base_url=base, client=(address, 50_000), raise_server_exceptions=False)


def asked(url: str | None = None) -> Guard:
    return guarded(login=Login(PASSWORD, url, "lomit edit"))


def log_in(client: Any, password: str = PASSWORD, **headers: str) -> Any:
    return client.post("/login", data={"password": password}, headers=headers, follow_redirects=False)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:0201", "192.0.2.1"),
        ("::ffff:192.0.2.2", "192.0.2.2"),
        ("2001:db8:0:1::5", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", ""),
        ("192.0.2.1, 192.0.2.2", ""),
        ("", ""),
    ],
)
def test_whose_request_it_is(host: str, name: str) -> None:
    assert address_of({"client": (host, 1)}) == name


def test_a_request_from_nowhere_has_no_address() -> None:
    assert address_of({}) == address_of({"client": None}) == ""


def test_buckets_refill_and_forget() -> None:
    now = [0.0]
    limiter = Limiter(2.0, 3.0, clock=lambda: now[0], most=2)
    assert [limiter.wait("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limiter.wait("b") == 0
    now[0] = 0.5
    assert limiter.wait("a") == 0
    assert limiter.wait("a") == 0.5
    now[0] = 100
    assert [limiter.wait("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limiter.wait("c") == 0  # `b` was seen longest ago, and is forgotten
    assert limiter.wait("a") == 0.5


def test_headers_are_added_where_the_application_sets_none() -> None:
    reply = visitor(guarded()).get("/")
    assert reply.headers["x-frame-options"] == "SAMEORIGIN"
    assert reply.headers["content-security-policy"] == "default-src 'none'"
    assert {name: reply.headers[name] for name in HEADERS if name != "x-frame-options"} == {
        name: value for name, value in HEADERS.items() if name != "x-frame-options"
    }
    assert "cache-control" not in visitor(guarded(fixed=("/assets/",))).get("/assets/a.js").headers
    assert visitor(guarded(fixed=("/assets/",))).get("/").headers["cache-control"] == "no-store"


def test_what_fails_says_nothing_of_itself_and_has_the_headers() -> None:
    reply = visitor(guarded()).get("/broken")
    assert (reply.status_code, reply.text) == (500, "this did not work")
    assert reply.headers["referrer-policy"] == "no-referrer"


def test_bodies_are_bounded_declared_or_not() -> None:
    client = visitor(guarded())
    for method in ("POST", "PUT", "PATCH", "DELETE", "GET"):
        assert client.request(method, "/", content=b"x" * MOST).text == str(MOST)
        assert client.request(method, "/", content=b"x" * (MOST + 1)).status_code == 413
    pieces = [b"x" * 1000] * 11
    assert client.post("/", content=iter(pieces[:10])).text == str(MOST)
    assert client.post("/", content=iter(pieces)).status_code == 413
    for length in ("-1", "1e3", "x", "\u00b2", "9" * 5_000, str(MOST + 1)):
        headers = {"content-length": length.encode("latin-1")}
        assert client.post("/", content=b"", headers=headers).status_code == 413, length


def test_a_body_that_breaks_off_is_not_passed_on() -> None:
    seen: list[int] = []
    messages = iter([{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        seen.append(message.get("status", 0))

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    # A thread of its own: playwright keeps a loop in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, guarded()(scope, receive, send)).result()
    assert seen == [413, 0]


def test_only_known_paths_and_names_are_answered() -> None:
    guard = guarded(paths=re.compile("/|/a"), hosts=frozenset({"localhost", "::1"}))
    client = visitor(guard, base="http://localhost:1234")
    assert [client.get(path).status_code for path in ("/", "/a", "/ab", "/a/b")] == [200, 200, 404, 404]
    for host, status in (("LOCALHOST", 200), ("[::1]:80", 200), ("attacker.example", 400), ("", 400), ("[::1", 400)):
        assert client.get("/", headers={"host": host}).status_code == status, host


def test_names_that_are_none_and_what_a_proxy_is_said_to_say_do_not_come_through() -> None:
    """Gradio builds addresses of them."""
    seen: list[dict[bytes, bytes]] = []

    async def look(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]))
        await echo(scope, receive, send)

    client = visitor(Guard(look, "default-src 'none'", MOST))
    odd = {"x-forwarded-proto": "<script>", "x-other": "1"}
    odd |= dict.fromkeys(("x-forwarded-host", "x-gradio-server"), "attacker.example")
    assert client.get("/", headers=odd).status_code == 200
    assert client.get("/", headers={"x-forwarded-proto": "https"}).status_code == 200
    assert b"x-other" in seen[0]
    assert not {b"x-forwarded-host", b"x-forwarded-proto", b"x-gradio-server"} & seen[0].keys()
    assert seen[1][b"x-forwarded-proto"] == b"https"
    for host in ("a b", "a/b", "<x>", "a@b", "[::1]x", "a:b"):
        assert client.get("/", headers={"host": host}).status_code == 400, host


def test_a_refusal_that_comes_too_late_is_no_fault() -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        from starlette.exceptions import HTTPException

        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        raise RuntimeError("response already started") from HTTPException(404)

    assert testclient.TestClient(Guard(late, "default-src 'none'", MOST)).get("/").text == "begun"


def test_nothing_is_shown_before_the_password() -> None:
    client = visitor(asked())
    page = client.get("/")
    assert page.status_code == 401
    assert 'type="password"' in page.text
    for path in ("/config", "/assets/a.js", "/gradio_api/queue/join"):
        assert client.get(path).status_code == client.post(path, content=b"x").status_code == 401
    wrong = log_in(client, "wrong")
    assert wrong.status_code == 401
    assert "This is not the password." in wrong.text
    assert "set-cookie" not in wrong.headers
    right = log_in(client)
    assert (right.status_code, right.headers["location"]) == (303, "/")
    assert client.get("/").text == "0"
    assert client.get("/login").status_code == 401  # asked again, by who wants to
    stranger = visitor(asked())
    stranger.cookies = client.cookies
    assert stranger.get("/").status_code == 401  # another server's


@pytest.mark.parametrize(
    "form", [b"", b"\xff\xfe=\x00", b"password", b"password=", b"x" * 5000, b"&&==&password=%ff%fe", b'{"password": 1}']
)
def test_broken_login_forms_are_wrong_passwords(form: bytes) -> None:
    reply = visitor(asked()).post("/login", content=form)
    assert reply.status_code == 401
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_wrong_passwords_are_limited_by_address() -> None:
    guard = asked()
    codes = [log_in(visitor(guard), f"guess {k}").status_code for k in range(300)]
    assert codes[:20] == [401] * 20
    assert codes.count(429) > 250  # one is let through every five seconds
    # The right one does not help: else guesses would be free where they succeed.
    refused = log_in(visitor(guard))
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert log_in(visitor(guard, "::ffff:192.0.2.1")).status_code == 429
    assert log_in(visitor(guard, "::ffff:192.0.2.2")).status_code == 303
    assert log_in(visitor(guard, "2001:db8::1")).status_code == 303


def test_who_is_in_stays_in_while_others_guess() -> None:
    guard = asked()
    inside, outside = visitor(guard), visitor(guard)
    log_in(inside)
    for _ in range(30):
        log_in(outside, "wrong")
    assert inside.get("/").status_code == 200


@pytest.mark.parametrize(
    ("url", "address", "headers", "secure"),
    [
        (None, "127.0.0.1", {}, False),
        (None, "127.0.0.1", {"x-forwarded-proto": "https"}, True),
        (None, "127.0.0.1", {"x-forwarded-proto": "http"}, False),
        (None, "127.0.0.1", {"x-forwarded-proto": "https, http"}, True),
        (None, "192.0.2.1", {"x-forwarded-proto": "https"}, False),  # no proxy on this machine
        ("https://lab.example", "127.0.0.1", {}, True),
        ("http://lab.example", "127.0.0.1", {}, False),
    ],
)
def test_the_cookie_is_secure_behind_https(
    url: str | None, address: str, headers: dict[str, str], secure: bool
) -> None:
    cookie = log_in(visitor(asked(url), address), **headers).headers["set-cookie"]
    assert ("; Secure" in cookie) == secure
    assert "; HttpOnly; SameSite=Lax" in cookie
    assert "; Path=/;" in cookie


@pytest.mark.parametrize("url", ["https://lab.example/faces", "https://lab.example/faces/"])
def test_below_a_path_form_cookie_and_way_back_are_below_it(url: str) -> None:
    """The proxy strips the path before it passes a request on."""
    client = visitor(asked(url))
    assert 'action="/faces/login"' in client.get("/").text
    reply = log_in(client)
    assert reply.headers["location"] == "/faces/"
    assert "; Path=/faces/;" in reply.headers["set-cookie"]


@pytest.mark.parametrize("cookie", ["", ";", "=", "lomit", "a=b; c", 'lomit-x="; ;;=', "\xff=\xfe"])
def test_strange_cookies_let_nobody_in(cookie: str) -> None:
    assert visitor(asked()).get("/config", headers={"cookie": cookie.encode("latin-1")}).status_code == 401


@pytest.mark.parametrize(
    "url", ["lab.example", "ftp://lab.example", "https://", "https://[::1", "https://a:x/", "https://a/?b", "https://a/ü",
            "https://a/\n", ""]
)  # fmt: skip
def test_addresses_that_can_not_be(url: str) -> None:
    with pytest.raises(LomitError, match="--url must be an address such as"):
        check_url(url)


def test_a_socket_is_bound_or_a_line_says_why() -> None:
    check_url(None)
    check_url("http://127.0.0.1:8765/study/")
    with listening("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        assert base_url(bound, "127.0.0.1") == f"http://127.0.0.1:{port}"
        for host, wrong in (("127.0.0.1", port), ("192.0.2.1", 0)):
            with pytest.raises(LomitError, match=f"can't listen at {host}, port {wrong}: .*; choose another --port"):
                listening(host, wrong)
        for wrong in (-1, 65_536, 99_999):
            with pytest.raises(LomitError, match=f"--port must lie in 0 to 65535; it is {wrong}"):
                listening("127.0.0.1", wrong)
        for host in ("no.such.host.invalid", "..", "a" * 70, "a\0b"):
            with pytest.raises(LomitError, match="can't listen at"):
                listening(host, 0)
    with socket.socket(socket.AF_INET6) as six:
        try:
            six.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
    with listening("::1", 0) as bound:
        assert re.fullmatch(r"http://\[::1\]:\d+", base_url(bound, "::1"))
