"""Runs the web server."""

from __future__ import annotations

import socket
from collections.abc import Callable

from lomit.apps.study.definition import Folder
from lomit.apps.study.server import create_app, require
from lomit.apps.study.store import Store
from lomit.errors import LomitError

CONNECTIONS = 2_000
"""Open at once; the next one is told to come again."""
BACKLOG = 2_048
"""Connections that may wait to be accepted."""


def serve_study(
    folder: Folder,
    host: str,
    port: int,
    proxy: bool,
    rate: float,
    joins: float,
    ready: Callable[[int], None],
) -> None:
    """Serves until it is interrupted.

    Args:
        folder: the study.
        host, port: where to listen; port 0 takes a free one.
        proxy: believe the X-Forwarded-For of a reverse proxy on this machine.
        rate, joins: see `create_app`.
        ready: is called with the port when connections are accepted.

    Raises:
        LomitError: where the extra is missing or the address is not to be had.
    """
    require()
    import uvicorn

    bound = _listening(host, port)
    store = Store(folder)
    config = uvicorn.Config(
        create_app(folder, store, rate, joins),
        # Addresses and links of participants are in no log.
        access_log=False, log_level="warning", server_header=False,
        proxy_headers=proxy, forwarded_allow_ips="127.0.0.1",
        limit_concurrency=CONNECTIONS, timeout_keep_alive=15, backlog=BACKLOG,
    )  # fmt: skip
    try:
        ready(bound.getsockname()[1])
        uvicorn.Server(config).run(sockets=[bound])
    finally:
        bound.close()
        store.close()


def _listening(host: str, port: int) -> socket.socket:
    """A bound socket."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        raise LomitError(f"can't listen on {host}, port {port}: {error}; choose another --port or --host") from error
    bound.set_inheritable(True)
    return bound
