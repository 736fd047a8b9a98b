"""What comes through from the network, and what many visitors at once get."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from PIL import Image

from apps.editor.conftest import JOIN, LIMITS, SLIDERS, Visitor
from lomit.apps.editor.models import Models
from lomit.apps.editor.page import Page
from lomit.apps.editor.server import running
from lomit.apps.editor.session import Session
from lomit.cli import main
from lomit.errors import LomitError
from lomit.inference.weights import save_pretrained
from lomit.recipe.file import encode_mask
from support.tiny import tiny_translator

Editor = tuple[Page, str]
JSON = {"content-type": "application/json"}


def status(url: str, body: bytes | Iterator[bytes] | None = None, **headers: str) -> int:
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../../../etc/passwd", "/gradio_api/file=%2Fetc%2Fpasswd",
        "/gradio_api/file=http://127.0.0.1/", "/file=/etc/passwd", "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1/", "/static/../../../../etc/passwd", "/assets/..%2f..%2f..%2fetc/passwd",
        "/gradio_api/info", "/gradio_api/openapi.json", "/docs", "/monitoring", "/gradio_api/runs", "/gradio_api/token",
        "/gradio_api/custom_component/1/client/component/index.js", "/gradio_api/deep_link",
    ],
)  # fmt: skip
def test_no_file_and_no_address_is_fetched(editor: Editor, path: str) -> None:
    assert status(editor[1] + path) in (403, 404)


@pytest.mark.parametrize("path", ["upload", "run/predict", "call/predict", "component_server", "process_recording"])
def test_no_other_way_in(editor: Editor, path: str) -> None:
    assert status(f"{editor[1]}/gradio_api/{path}", b"{}", **JSON) == 404


def test_large_bodies_and_other_hosts_are_refused(editor: Editor) -> None:
    url = editor[1]
    # Refused by what it says of its length, before it is sent.
    length = {"content-length": str(LIMITS.body_bytes + 1)}
    assert status(f"{url}/gradio_api/queue/join", b"", **length) == 413
    assert status(url, host="attacker.example") == 400
    assert status(url) == 200


def test_bodies_without_a_length_are_counted(visitor: Visitor) -> None:
    asked = visitor.request(visitor.page.bench, "act", {}, *SLIDERS)
    padding = LIMITS.body_bytes - len(asked)
    pieces = [asked, *[b" " * 2**16] * (padding // 2**16), b" " * (padding % 2**16)]
    # An iterator is sent chunked.
    assert status(visitor.url + JOIN, iter(pieces), **JSON) == 200
    assert status(visitor.url + JOIN, iter([*pieces, b" "]), **JSON) == 413


def test_the_page_may_talk_to_this_server_alone(editor: Editor) -> None:
    with urllib.request.urlopen(editor[1], timeout=60) as answer:
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "connect-src 'self'" in answer.headers["content-security-policy"]


def test_files_named_in_messages_are_not_read(visitor: Visitor) -> None:
    visitor.load()
    stolen = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    opened = {"action": "open", "pane": 0, "name": "x", "data": stolen}
    for told in (stolen, opened, {"action": "sample", "pane": stolen}):
        with pytest.raises(RuntimeError, match="can ?not be accessed"):
            visitor.send(visitor.page.bench, "act", told, *SLIDERS)


@pytest.mark.parametrize(
    "told",
    [
        {}, {"action": "open", "pane": 9, "name": "x", "data": ""},
        {"action": "open", "pane": 0, "name": "x", "data": "?"},
        {"action": "sample", "pane": 0, "sample": -1}, {"action": "sample", "pane": True, "sample": 0},
        {"action": "face", "pane": 2, "face": 0}, {"action": "restore", "id": 77}, {"action": "__class__"},
        {"action": "keep", "masks": 7}, {"action": "keep", "masks": [None]}, {"action": "keep", "masks": [{}]},
        {"action": "keep", "masks": [{"pane": 0, "revision": 0}] * 7},
        {"action": "operate", "pane": 0}, {"action": "operate", "pane": 0, "step": {"do": "load"}},
        {"action": "operate", "pane": 0, "step": {"do": "lasso", "points": "abc"}},
        {"action": "operate", "pane": 0, "step": {"do": "grow", "radius": "9"}},
        {"action": "load_mask", "pane": 0, "name": "x", "data": "?"},
    ],
)  # fmt: skip
def test_nonsense_is_answered_with_a_line(visitor: Visitor, told: dict[str, Any]) -> None:
    visitor.load()
    bench, *_ = visitor.send(visitor.page.bench, "act", told, *SLIDERS)
    assert bench["alert"]
    again, *_ = visitor.send(visitor.page.bench, "act", told, *SLIDERS)
    assert again != bench  # else the page would take no notice


def test_masks_of_another_size_are_refused(visitor: Visitor) -> None:
    visitor.load()
    for mask in ("?", encode_mask(Image.new("L", (3, 3)))):
        with pytest.raises(RuntimeError, match="mask must be"):
            visitor.send(
                visitor.page.bench, "stroke", {"masks": [visitor.drawn(0, Image.new("L", (1, 1))) | {"mask": mask}]}
            )


def test_what_is_clicked_brings_masks_and_sliders_along(visitor: Visitor) -> None:
    """Strokes and sliders that wait in the page for an answer would else be missing in what is saved."""
    bench, *_ = visitor.load()
    session = visitor.page.sessions.get(visitor.hash)
    black = visitor.drawn(0, Image.new("L", (256, 256)))
    first = visitor.save("recipe")
    assert visitor.save("recipe") != first  # an equal answer would not be saved a second time
    sliders = (0.5, 0.25, 0.5, [], False)
    recipe = json.loads(
        base64.b64decode(visitor.save("recipe", *sliders, masks=[black], settings=bench["settings"])["data"])
    )
    assert (recipe["strength"], recipe["threshold"], recipe["composite"]) == (0.5, 0.25, False)
    assert recipe["input"]["mask"] == black["mask"]
    visitor.act("keep")
    # What a page says before it has seen that an older variant is back is not for that one.
    visitor.act("restore", id=session.kept[0].id)
    recipe = json.loads(
        base64.b64decode(
            visitor.save("recipe", *SLIDERS, masks=[{**black, "mask": None}], settings=bench["settings"])["data"]
        )
    )
    assert recipe["strength"] == 0.5
    assert recipe["input"]["mask"] == black["mask"]


def test_sliders_work_after_another_model_was_chosen(tmp_path: Path) -> None:
    save_pretrained(tiny_translator("stargan"), tmp_path / "rival")
    with running(str(tmp_path / "rival"), port=0, device="cpu") as (page, url):
        one, attributes = Visitor(page, url), ["Smiling", "Hat"]
        one.load()
        for name in ("avatars", "rival", "avatars", "rival"):
            bench, _, model, strength, _, _, label, _ = one.send(page.model, "input", None, name)
            lomit = name == "avatars"
            assert (model, bench["has_masks"], strength["visible"]) == (name, lomit, lomit)
            assert (label["value"], label["visible"]) == ([], not lomit)
            values = (0.5, 0, 0.5, [] if lomit else attributes[:1], True)
            assert one.send(page.controls[0], "input", None, *values)[0]["after"]
            recipe = json.loads(base64.b64decode(one.save("recipe", *values)["data"]))
            assert recipe["model"]["name"] == name
            assert recipe["label"] == (None if lomit else {"Smiling": 1.0, "Hat": 0.0})
        one.close()


def test_two_domains_begin_with_the_attributes(tmp_path: Path) -> None:
    save_pretrained(tiny_translator("munit"), tmp_path / "rival")
    page = Page(Models(str(tmp_path / "rival"), "cpu"), [], LIMITS)
    begun, attributes = page.sessions.begin("one"), ("Smiling", "Hat")
    assert begun.settings.label == attributes
    assert (
        page._save("one", {"what": "masks"})["alert"] == "there is no result yet: open an input and an exemplar first"
    )
    assert page._choose("one", {}, "avatars")[6]["value"] == []
    assert page._choose("one", {}, "rival")[6]["value"] == list(attributes)


@pytest.mark.parametrize(
    "sliders", [(5, 0, 0, [], True), (None, 0, 0, [], True), ("x", 0, 0, [], True), (1, 1, 0, [], True)]
)
def test_numbers_out_of_range_change_nothing(visitor: Visitor, sliders: tuple[Any, ...]) -> None:
    bench, *_ = visitor.load()
    session = visitor.page.sessions.get(visitor.hash)
    before = session.settings
    assert "load it again" in visitor.save("recipe", *sliders, settings=bench["settings"])["alert"]
    with pytest.raises(RuntimeError):
        visitor.send(visitor.page.controls[0], "input", None, *sliders)
    assert session.settings == before


def test_a_page_that_was_never_loaded_gets_nothing(visitor: Visitor) -> None:
    with pytest.raises(RuntimeError, match="load it again"):
        visitor.act("keep")


def test_ten_visitors_at_once(editor: Editor, faces: list[Path]) -> None:
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    visitors = [Visitor(*editor) for _ in range(10)]

    def visit(number: int) -> np.ndarray:
        """Opens an image, erases all of the input's mask in half of the cases, and saves."""
        one = visitors[number]
        one.load()
        one.open(0, faces[number % 4])
        if one.page.sessions.get(one.hash).slots[0].faces:  # type: ignore[union-attr]
            one.act("face", pane=0, face=99)
        if number % 2:
            one.stroke(0, Image.new("L", (256, 256)))
        file = one.save("result")
        assert file["name"] == f"face{number % 4}__{editor[0].samples[1].source().name}"
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(file["data"]))).convert("RGB"))

    try:
        with ThreadPoolExecutor(10) as pool:
            results = list(pool.map(visit, range(10)))
    finally:
        for one in visitors:
            one.close()
    inputs = [np.asarray(Image.open(path).convert("RGB")) for path in faces]
    for number, result in enumerate(results):
        own = inputs[number % 4]
        assert result.shape == own.shape
        # Those who erased everything have their own input back; the others their own input with changes.
        assert np.array_equal(result, own) == bool(number % 2)
        assert np.abs(result.astype(int) - own).mean() < 20
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_full_editor_says_so(editor: Editor) -> None:
    sessions = editor[0].sessions
    try:
        with contextlib.suppress(LomitError):  # an earlier test's page may still hold a place
            for number in range(LIMITS.sessions + 1):
                sessions.begin(f"guest{number}")
        with pytest.raises(RuntimeError, match="the editor is full"):
            Visitor(*editor).load()
    finally:
        for number in range(LIMITS.sessions + 1):
            sessions.end(f"guest{number}")


def test_a_full_queue_turns_requests_away(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, began, over = visitor.page.sessions, Event(), Event()
    begin = sessions.begin

    def held(page: str) -> Session:
        if page != visitor.hash:
            return begin(page)
        began.set()
        over.wait(60)
        raise LomitError("not needed any more")

    monkeypatch.setattr(sessions, "begin", held)
    later = Visitor(visitor.page, visitor.url)
    load = visitor.request(None, "load")
    try:
        assert status(visitor.url + JOIN, load, **JSON) == 200
        assert began.wait(60)
        answers = [status(visitor.url + JOIN, load, **JSON) for _ in range(LIMITS.queue + 1)]
        assert answers == [200] * LIMITS.queue + [503]
        over.set()
        for _ in range(300):  # until one of those that wait is through
            with contextlib.suppress(urllib.error.HTTPError):
                assert later.load()
                break
            time.sleep(0.1)
        else:
            pytest.fail("the queue stays full")
    finally:
        over.set()
        later.close()


def test_files_would_lie_in_a_folder_of_the_editors_own_that_goes(tmp_path: Path) -> None:
    save_pretrained(tiny_translator("stargan"), tmp_path / "rival")
    before = os.environ.get("GRADIO_TEMP_DIR")
    with running(str(tmp_path / "rival"), port=0, device="cpu") as (page, _):
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        assert folder.stat().st_mode & 0o077 == 0
        assert {block.GRADIO_CACHE for block in page.blocks.blocks.values()} == {str(folder)}
    assert not folder.exists()
    assert os.environ.get("GRADIO_TEMP_DIR") == before


def test_the_port_is_the_editors_own(editor: Editor) -> None:
    taken = running("avatars", port=int(editor[1].rpartition(":")[2]))
    with pytest.raises(LomitError, match="can't listen at 127.0.0.1, port"), taken:
        pass


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0 lets other machines in: give a password with --password-file"),
        (
            ["--url", "https://lab.example/faces"],
            "--url https://lab.example/faces lets other machines in: give a password",
        ),
        (["--proxy"], "--proxy lets other machines in: give a password"),
        (["--url", "lab.example"], "--url must be an address such as https://lab.example/faces; it is 'lab.example'"),
        (["--password-file", "none.txt"], "none.txt can't be read"),
        (["--password-file", "short.txt"], "the password must have at least 8 characters"),
        (["--port", "99999"], "--port must lie in 0 to 65535; it is 99999"),
        (["--model", "nobody"], "no model 'nobody'"),
        (["--share"], "--share"),
    ],
)
def test_wrong_command_lines(
    words: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOMIT_EDIT_PASSWORD", raising=False)
    Path("short.txt").write_text("abc\n")
    before = set(Path(tempfile.gettempdir()).glob("lomit-edit-*"))
    assert main(["edit", "--no-browser", *words]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert set(Path(tempfile.gettempdir()).glob("lomit-edit-*")) == before


def test_config_holds_no_paths_of_this_machine(editor: Editor) -> None:
    with urllib.request.urlopen(f"{editor[1]}/config", timeout=60) as answer:
        text = json.dumps(json.load(answer))
    assert str(Path.home()) + "/" not in text.replace("\\/", "/") or str(Path.home()) == "/"
    assert str(Path(__file__).parents[3]) not in text
