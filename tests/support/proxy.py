"""A small reverse proxy: what is below a path goes to a server on this machine (docs/study-serving.md: nginx)."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextlib.contextmanager
def proxied(backend: int, path: str, port: int = 0, certificate: Path | None = None) -> Iterator[int]:
    """The port of a proxy that strips a path before it passes requests on; with a certificate it speaks HTTPS."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            if not self.path.startswith(f"{path}/"):
                return self.send_error(404)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            dropped = ("host", "connection", "x-forwarded-for", "x-forwarded-proto")
            headers = {k: v for k, v in self.headers.items() if k.lower() not in dropped}
            headers |= {"X-Forwarded-For": self.headers.get("x-test-from", self.client_address[0])}
            headers |= {"X-Forwarded-Proto": "https" if certificate else "http", "Connection": "close"}
            onward = http.client.HTTPConnection("127.0.0.1", backend, timeout=120)
            onward.request(self.command, self.path.removeprefix(path), body or None, headers)
            reply = onward.getresponse()
            self.send_response(reply.status)
            for name, value in reply.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                    self.send_header(name, value)
            self.end_headers()
            while part := reply.read1():  # a stream of events is passed on as it comes
                self.wfile.write(part)
            onward.close()

        do_GET = do_POST = do_HEAD = handle_one

        def handle(self) -> None:
            with contextlib.suppress(OSError):
                super().handle()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(folder: Path) -> Path | None:
    """A certificate for localhost that nobody has signed, with its key; None where openssl is missing."""
    if shutil.which("openssl") is None:
        return None
    made, key = folder / "certificate.pem", folder / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(made)], check=True, capture_output=True)
    made.write_text(made.read_text() + key.read_text())
    return made
