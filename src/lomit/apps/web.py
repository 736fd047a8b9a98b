"""What stands before both servers: a guard for every request, limits by address, the login, the socket."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import signal
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from lomit.errors import LomitError, within

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from uvicorn import Server

LOOPBACK = ("127.0.0.1", "localhost", "::1")
CONNECTIONS = 2_000
"""Open at once; the next one is told to come again."""
BACKLOG = 2_048
"""Connections that may wait to be accepted."""
FORM = 4_096
"""Bytes of a login form."""
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # The address of a study's page is a participant's key: no other page is told it.
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "x-robots-tag": "noindex, nofollow",
    "cache-control": "no-store",
}
"""Headers of every response that does not set them itself."""


@lru_cache(maxsize=1)
def _templates() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(loader=PackageLoader("lomit.apps"), autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def render(template: str, **values: Any) -> str:
    """A page of study or editor; what it shows is escaped."""
    return str(_templates().get_template(template).render(**values))


def token() -> str:
    """256 random bits for a link or a cookie: nobody guesses one."""
    return secrets.token_urlsafe(32)


def hashed(secret: str) -> str:
    """What is kept of a token.  It is as long as the hash is wide, so it needs neither salt nor a slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


@dataclass(eq=False)
class Limiter:
    """Token buckets: each name may do `burst` things at once and `rate` a second in the long run.

    `clock` tells seconds; of more names than `most`, the one seen longest ago is forgotten.
    """

    rate: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    most: int = 20_000
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, name: str) -> float:
        """Takes one from the name's bucket: 0.0, or the seconds until there is one, and then nothing is taken."""
        with self._lock:
            now = self.clock()
            left, then = self._left.pop(name, (self.burst, now))
            left = min(self.burst, left + (now - then) * self.rate)
            short = max(0.0, 1.0 - left)
            self._left[name] = (left if short else left - 1.0, now)
            if len(self._left) > self.most:
                self._left.popitem(last=False)
        return short / self.rate


def address_of(scope: Scope) -> str:
    """Whose request it is: an IPv4 address, or of IPv6 the network of 2^64 addresses that one subscriber has.

    An IPv4 address that is written as an IPv6 one (`::ffff:192.0.2.1`, as a socket for both has it) counts as itself.
    Whatever is no address, as a proxy may pass it on, counts as one and the same.
    """
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return str(ip_network((address, 64), strict=False))
        address = address.ipv4_mapped
    return str(address)


@dataclass(eq=False)
class Guard:
    """ASGI middleware: refuses what the application need not see, and sets the headers of every response.

    A body is read whole before the application sees any of it, so that a refused request changes nothing.

    Attributes:
        app: what lies behind.
        policy: the content security policy.
        most_body: largest body of a request in bytes, whether it says its length or not.
        paths: what is answered; None: everything.
        fixed: beginnings of the paths whose responses may be kept by the browser.
        takes: whether a body may come through to a path; None: any.
        hosts: names by which the server may be called; None: any.
        login: who is asked first; None: nobody.
    """

    app: ASGIApp
    policy: str
    most_body: int
    paths: re.Pattern[str] | None = None
    fixed: tuple[str, ...] = ()
    takes: Callable[[Scope, bytes], bool] | None = None
    hosts: frozenset[str] | None = None
    login: Login | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, ours = False, {"content-security-policy": self.policy} | HEADERS
        if scope["path"].startswith(self.fixed):
            del ours["cache-control"]

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = list(message.get("headers", []))
                there = {name.lower() for name, _ in headers}
                headers += [(k.encode(), v.encode()) for k, v in ours.items() if k.encode() not in there]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._answer(scope, receive, answer)
        except Exception as error:
            from starlette.exceptions import HTTPException

            if not started:
                await respond(answer, 500, b"this did not work")
            elif isinstance(error.__cause__, HTTPException):
                return  # the application meant to refuse, but an answer that has begun can only end
            raise

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = header(scope, b"host").lower()
        name = re.fullmatch(r"(\[[0-9a-f:.]+\]|[\w.-]*)(:\d*)?", host, re.ASCII)
        if name is None or (self.hosts is not None and name[1].strip("[]") not in self.hosts):
            return await respond(send, 400, b"this server has another name")
        scope = {**scope, "headers": [pair for pair in scope["headers"] if _expected(*pair)]}
        if self.paths is not None and not self.paths.fullmatch(scope["path"]):
            return await respond(send, 404, b"not found")
        if self.login is not None and not await self.login.admits(scope, receive, send):
            return
        body = await read_body(scope, receive, self.most_body)
        if body is None:
            return await respond(send, 413, b"too large")
        if self.takes is not None and not self.takes(scope, body):
            return await respond(send, 422, b"not understood")
        given = False

        async def once() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, once, send)


async def respond(send: Send, status: int, body: bytes, **headers: str) -> None:
    """A response of the guard itself."""
    given = {"content-type": "text/plain; charset=utf-8", "connection": "close"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes | None:
    """The body of a request; None where it is larger than `most` bytes, or says so, or breaks off."""
    length = header(scope, b"content-length") or "0"
    if not re.fullmatch("[0-9]{1,18}", length) or int(length) > most:
        return None
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > most:
            return None
    return bytes(body)


class Login:
    """Asks for one password, and knows by a cookie who has given it until the server ends.

    Args:
        password: what is asked for.
        url: address under which browsers reach the server, where a proxy stands before it: the cookie is for its path
            alone, and `https` makes it Secure.  Without it a proxy on this machine says so by X-Forwarded-Proto.
        title: of the page that asks.
    """

    def __init__(self, password: str, url: str | None, title: str) -> None:
        parts = urlsplit(url or "")
        self._secure, self._path, self._title = parts.scheme == "https", parts.path.rstrip("/"), title
        self._password, self._token = hashed(password), token()
        # Browsers share cookies between the ports of a machine: two servers must not overwrite each other's.
        self._name = f"lomit-{hashed(self._token)[:12]}"
        self._attempts = Limiter(rate=0.2, burst=20)

    async def admits(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether a request may pass; else it has been answered."""
        at_door = scope["path"].rstrip("/") == "/login"
        if self._has_cookie(scope) and not at_door:
            return True
        if at_door and scope["method"] == "POST":
            await self._check(scope, receive, send)
        elif at_door or scope["path"] == "/":
            await self._ask(send, 401)
        else:
            await respond(send, 401, b"log in first")
        return False

    async def _check(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Read even where it is refused: a connection that is closed on unread bytes is reset, and the answer lost.
        body = await read_body(scope, receive, FORM)
        # A right password counts as an attempt, too: else guesses would cost nothing where they succeed.
        seconds = self._attempts.wait(address_of(scope))
        if seconds:
            return await self._ask(send, 429, "Too many attempts. Wait a minute.", retry_after=str(int(seconds) + 1))
        fields = parse_qs((body or b"").decode("utf-8", "replace"), keep_blank_values=True)
        if not hmac.compare_digest(hashed(fields.get("password", [""])[-1]), self._password):
            return await self._ask(send, 401, "This is not the password.")
        cookie = f"{self._name}={self._token}; Path={self._path}/; HttpOnly; SameSite=Lax"
        secure = self._secure or behind_https(scope)
        await respond(send, 303, b"", location=f"{self._path}/", set_cookie=cookie + ("; Secure" if secure else ""))

    async def _ask(self, send: Send, status: int, wrong: str = "", **headers: str) -> None:
        page = render("login.html", title=self._title, action=f"{self._path}/login", wrong=wrong)
        await respond(send, status, page.encode(), content_type="text/html; charset=utf-8", **headers)

    def _has_cookie(self, scope: Scope) -> bool:
        wanted = f"{self._name}={self._token}".encode()
        given = header(scope, b"cookie").split(";")
        return any(hmac.compare_digest(part.strip().encode(), wanted) for part in given)


def behind_https(scope: Scope) -> bool:
    """Whether the browser speaks HTTPS: to this server, or to a proxy on this machine that says so."""
    if scope.get("scheme") == "https":
        return True
    local = bool(scope.get("client")) and scope["client"][0] in LOOPBACK
    return local and header(scope, b"x-forwarded-proto").partition(",")[0].strip().lower() == "https"


def check_url(url: str | None) -> None:
    """Raises `LomitError` where this can't be an address under which browsers reach a server."""
    if url is None:
        return
    with suppress(ValueError):
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment
        if right and url.isascii() and url.isprintable() and parts.port != 0:
            return
    raise LomitError(f"--url must be an address such as https://lab.example/faces; it is '{url}'")


def listening(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one.  Raises LomitError where port or address can't be had."""
    within(0, 65_535, port=port)  # others would be taken modulo 65,536
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            # On Windows SO_REUSEADDR would let another program take the port, too.
            alone = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
            bound.setsockopt(socket.SOL_SOCKET, alone, 1)
            bound.bind(address)
            bound.listen(BACKLOG)
        except BaseException:
            bound.close()
            raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LomitError(f"can't listen at {host}, port {port}: {reason}; choose another --port or --host") from error
    return bound


def base_url(bound: socket.socket, host: str) -> str:
    """Where a bound socket is reached, without a trailing slash."""
    return f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"


def serve(app: ASGIApp, bound: socket.socket, proxy: bool) -> None:
    """Serves until it is interrupted; `proxy`: believe the X-Forwarded-For of a reverse proxy on this machine."""
    with bound:
        _server(app, proxy).run(sockets=[bound])


@contextmanager
def serving(app: ASGIApp, bound: socket.socket, proxy: bool) -> Iterator[None]:
    """Serves in a thread until the block ends; arguments as for `serve`."""
    server = _server(app, proxy)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, name="lomit-web", daemon=True)
    with bound:
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise LomitError("the server did not start; what it printed above says why")
                time.sleep(0.01)
            yield
        finally:
            server.should_exit = True
            thread.join()


def until_interrupted() -> None:
    """Waits for Ctrl-C.  In the main thread SIGTERM counts as one, so that whatever surrounds this is closed, too."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            time.sleep(1)  # which Ctrl-C ends on Windows, too; it does not end waiting for an Event there
    except KeyboardInterrupt:
        print("\nended; nothing was kept")


def _server(app: ASGIApp, proxy: bool) -> Server:
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            # Addresses and links of participants are in no log.
            access_log=False, log_level="error", server_header=False, ws="none",
            proxy_headers=proxy, forwarded_allow_ips=["127.0.0.1", "::1"],
            limit_concurrency=CONNECTIONS, timeout_keep_alive=15, backlog=BACKLOG, timeout_graceful_shutdown=2,
        )
    )  # fmt: skip


def header(scope: Scope, name: bytes) -> str:
    """The first header of this name (in small letters); empty where there is none."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _expected(name: bytes, value: bytes) -> bool:
    """Whether a header may come through.  Gradio builds addresses of what a proxy, or anybody, says in these."""
    if name == b"x-forwarded-proto":
        return value.partition(b",")[0].strip() in (b"http", b"https")
    return name not in (b"x-forwarded-host", b"x-gradio-server")
