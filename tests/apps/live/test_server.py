"""The page of `lomit live` over HTTP: who is let in, what is answered, what is refused."""

from __future__ import annotations

import http.client
import sys
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from PIL import Image

from lomit.apps.live.server import GONE, running
from lomit.apps.live.session import EXEMPLAR_BYTES, LiveSession
from lomit.cli import main
from lomit.errors import LomitError
from lomit.inference.choice import BY_NAME
from lomit.photo.live import AGAIN
from support.photos import smooth
from support.scenes import EXEMPLAR, SIZE, jpeg, opened, rendered, scene


def ask(url: str, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
    """A request below the page's address, or, where the path begins with a slash, anywhere on its server."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    try:
        connection.request(method, path if path.startswith("/") else parts.path + path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()
    finally:
        connection.close()


def test_the_page_and_its_files(url: str) -> None:
    assert urlsplit(url).hostname == "127.0.0.1"
    status, headers, page = ask(url, "GET", "")
    assert status == 200
    assert b"nowhere else" in page
    assert headers["permissions-policy"].startswith("camera=(self)")
    assert "connect-src 'self'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    for name, kind in (("live.js", "text/javascript"), ("live.css", "text/css")):
        status, headers, content = ask(url, "GET", f"static/{name}")
        assert (status, headers.get_content_type()) == (200, kind)
        assert content
        assert name.encode() in page
    status, headers, content = ask(url, "GET", "exemplar")
    assert (status, headers.get_content_type(), opened(content).size) == (200, "image/png", (256, 256))


def test_frames_come_back_translated(url: str) -> None:
    ask(url, "GET", "")
    status, headers, data = ask(url, "POST", "frame?page=1", jpeg(scene()))
    assert (status, headers.get_content_type(), headers["x-face"]) == (200, "image/jpeg", "1")
    assert opened(data).size == SIZE
    assert {"find", "translate", "paste", "decode", "encode"} == {
        part.partition(";")[0] for part in headers["server-timing"].split(", ")
    }
    masked = ask(url, "POST", "frame?page=1&mask=1", jpeg(scene()))[2]
    assert masked != data
    sleep(AGAIN)  # till then a face is followed by landmarks, which fit anything
    status, headers, data = ask(url, "POST", "frame?page=1&strength=0.5", jpeg(smooth(*SIZE)))
    assert (status, headers["x-face"]) == (200, "0")
    assert ask(url, "GET", "")[0] == 200  # a second page
    status, _, why = ask(url, "POST", "frame?page=1", jpeg(scene()))
    assert (status, why.decode()) == (409, GONE)
    assert ask(url, "POST", "frame?page=2", jpeg(scene()))[0] == 200


def test_another_exemplar_is_taken_or_refused_in_a_line(url: str) -> None:
    before = ask(url, "GET", "exemplar")[2]
    status, _, why = ask(url, "POST", f"exemplar?name={quote('a b.png')}", jpeg(smooth(200, 200)))
    assert status == 422
    assert why.decode().startswith("no face found in a b.png")
    assert ask(url, "GET", "exemplar")[2] == before
    assert ask(url, "POST", "exemplar", jpeg(rendered(3, 11)))[0] == 204
    assert ask(url, "GET", "exemplar")[2] != before


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", None, 404),  # without the secret
        ("GET", "/static/live.js", None, 404),
        ("POST", "/frame?page=1", b"x", 404),
        ("GET", "/" + "a" * 43 + "/", None, 404),
        ("GET", "static/../server.py", None, 404),
        ("GET", "static/%2e%2e/server.py", None, 404),
        ("GET", "video", None, 404),
        ("GET", "frame", None, 405),
        ("POST", "frame", b"x", 422),
        ("POST", "frame?page=one", b"x", 422),
        ("POST", "frame?page=1&strength=x", b"x", 422),
        ("POST", "frame?page=1&strength=3", jpeg(Image.new("RGB", (8, 8))), 422),
        ("POST", "frame?page=1&only=Smiling", jpeg(Image.new("RGB", (8, 8))), 422),
        ("POST", "frame?page=1", b"no image", 422),
        ("POST", "frame?page=1", b"", 422),
        ("POST", "exemplar", b"no image", 422),
        ("PUT", "exemplar", b"x", 405),
    ],
)
def test_what_is_refused(url: str, method: str, path: str, body: bytes | None, status: int) -> None:
    assert ask(url, method, path, body)[0] == status


def test_other_hosts_and_large_bodies_are_refused(url: str) -> None:
    assert ask(url, "GET", "", host="attacker.example")[0] == 400
    assert ask(url, "POST", "exemplar", **{"content-length": str(EXEMPLAR_BYTES + 2)})[0] == 413
    assert ask(url, "GET", "", host="localhost")[0] == 200


def test_a_video_is_served_in_parts(session: LiveSession, tmp_path: Path) -> None:
    film = tmp_path / "a.webm"
    film.write_bytes(bytes(range(256)) * 40)
    with running(session, port=0, video=film) as url:
        assert b'data-video="video"' in ask(url, "GET", "")[2]
        status, headers, data = ask(url, "GET", "video", range="bytes=10-19")
        assert (status, headers.get_content_type(), data) == (206, "video/webm", bytes(range(10, 20)))
        film.unlink()
        assert ask(url, "GET", "video")[0] == 404
    with pytest.raises(LomitError, match=r"no such file: .*a\.webm"), running(session, port=0, video=film):
        pass


def test_each_server_has_an_address_of_its_own(session: LiveSession) -> None:
    with running(session, port=0) as one, running(session, port=0) as two:
        secrets = {urlsplit(url).path for url in (one, two)}
        assert len(secrets) == 2
        assert all(len(secret) == 45 for secret in secrets)
        assert ask(one, "GET", urlsplit(two).path)[0] == 404
        port = urlsplit(one).port
        assert port is not None
        with pytest.raises(LomitError, match="can't listen at 127.0.0.1"), running(session, port=port):
            pass


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rendered(*EXEMPLAR).save(tmp_path / "face.png")
    smooth(300, 200).save(tmp_path / "wall.png")
    opened_pages: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened_pages.append)
    monkeypatch.setattr("lomit.apps.web.until_interrupted", lambda: print("waited"))
    words = ["--model", "avatars", "--device", "cpu", "--port", "0"]
    assert main(["live", str(tmp_path / "face.png"), *words]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("the page is at http://127.0.0.1:")
    assert printed.endswith("\nwaited\n")
    assert opened_pages[0] in printed
    assert main(["live", str(tmp_path / "face.png"), *words, "--no-browser"]) == 0
    assert len(opened_pages) == 1
    capsys.readouterr()
    # The exemplar is a rendered face, and who sits before the camera is not.
    assert main(["live", str(tmp_path / "face.png"), *words[2:], "--only", "hair"]) == 0
    assert f"what a camera shows is a photograph: the model is '{BY_NAME[0]}'" in capsys.readouterr().out
    for wrong, says in [
        ([str(tmp_path / "none.png")], "none.png"),
        ([str(tmp_path / "wall.png")], "no face found in"),
        ([str(tmp_path / "face.png"), "--exemplar-box", "0", "0", "5", "6"], "must be a square"),
        ([str(tmp_path / "face.png"), "--video", "none.mp4"], "no such file: none.mp4"),
        ([str(tmp_path / "face.png"), "--port", "70000"], "--port must lie in 0 to 65535"),
        ([str(tmp_path / "face.png"), "--only", "hair"], "don't go by names"),
        ([], "give EXEMPLAR"),
    ]:
        assert main(["live", *words, *wrong]) == 2, wrong
        assert says in capsys.readouterr().err


def test_what_it_needs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    rendered(*EXEMPLAR).save(tmp_path / "face.png")
    monkeypatch.setitem(sys.modules, "dlib", None)
    assert main(["live", str(tmp_path / "face.png")]) == 2
    assert "pip install 'lomit[faces]'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["live", str(tmp_path / "face.png")]) == 2
    assert "pip install 'lomit[apps]'" in capsys.readouterr().err
