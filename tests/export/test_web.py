"""`lomit export --web`: what the folder holds, what is refused, and the page in headless Chromium."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.conftest import S, patched, tiny_naming
from lomit import Predictor
from lomit.cli import main
from lomit.errors import LomitError
from lomit.export import runtime
from lomit.export.web import export_site, terms
from lomit.inference.catalogue import known_models
from lomit.inference.weights import save_pretrained
from lomit.models.lomit.model import Lomit
from lomit.photo import Face, align, paste, translate_photo
from lomit.photo.faces import TEMPLATE

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
WAIT = 120_000
DONE = "#frame.full"


def package(folder: Path, files: dict[str, bytes]) -> Path:
    """An unpacked npm package with these files in its `dist`."""
    (folder / "dist").mkdir(parents=True)
    for name, content in files.items():
        (folder / "dist" / name).write_bytes(content)
    return folder


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """Small files in place of ONNX Runtime's, an empty cache, and no npm."""
    files = {name: name.encode() for name in runtime.FILES}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(runtime, "FILES", hashes)
    monkeypatch.setenv("LOMIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return files


def test_the_package_may_be_a_folder_or_a_file(pinned: dict[str, bytes], tmp_path: Path) -> None:
    for given in (package(tmp_path / "package", pinned), packed(tmp_path / "package.tgz", pinned)):
        got = runtime.runtime_files(given)
        assert {name: got[name] for name in pinned} == pinned
        assert b"MIT License" in got["LICENSE.txt"]
        assert "ThirdPartyNotices.txt" in got


def test_npm_is_asked_once(pinned: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed(tmp_path / "there.tgz", pinned)
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\n/bin/echo $@ >>{tmp_path}/asked\n/bin/cp {tmp_path}/there.tgz package.tgz\n")
    npm.chmod(0o755)
    first = runtime.runtime_files()
    assert runtime.runtime_files() == first
    assert (tmp_path / "asked").read_text() == f"pack onnxruntime-web@{runtime.VERSION} --ignore-scripts --silent\n"
    # What was damaged in the cache is noticed.
    next((tmp_path / "cache").rglob("*.wasm")).write_bytes(b"other")
    with pytest.raises(LomitError, match=r"its SHA-256 differs.*remove it"):
        runtime.runtime_files()


def test_what_npm_says_is_told(pinned: dict[str, bytes], tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error network' >&2\nexit 1\n")
    npm.chmod(0o755)
    with pytest.raises(LomitError, match=r"npm did not fetch onnxruntime-web@.* \(npm error network\)"):
        runtime.runtime_files()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["avatars", "--web", "page"], "there is no npm: install it, or give the package as --runtime"),
        (["avatars", "--web", "full"], "full is not empty; choose another --web"),
        (["avatars", "--web", "file"], "file is not a folder; choose another --web"),
        (["avatars", "--web", "page", "--overwrite"], "--overwrite is for --out; remove the folder of --web first"),
        (["nothing", "--web", "page"], "no model 'nothing'"),
        (["avatars", "--web", "page", "--runtime", "none"], "no such file or folder: none (--runtime)"),
        (["avatars", "--web", "page", "--runtime", "file"], "file can't be read as the package onnxruntime-web"),
        (["avatars", "--web", "page", "--runtime", "full"], "full has no dist/ort.wasm.bundle.min.mjs"),
        (["avatars", "--web", "page", "--runtime", "other"], "is not that of onnxruntime-web 1.30.0"),
    ],
)
@pytest.mark.usefixtures("pinned")
def test_refusals_get_one_line(
    words: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    Path("full").mkdir()
    Path("full/mine").write_text("mine")
    package(tmp_path / "other", dict.fromkeys(runtime.FILES, b"other"))
    assert main(["export", *words]) == 2
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1
    assert Path("full/mine").read_text() == "mine"
    assert not Path("page").exists()


def test_a_method_that_labels_guide_is_refused(
    pinned: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lomit.models.stargan.config import StarganConfig
    from lomit.models.stargan.model import Stargan

    config = StarganConfig(attributes=("Smiling",), image_size=S, width=4, d_width=4, res_blocks=1)
    model = save_pretrained(Stargan(config), tmp_path / "stargan")
    given = package(tmp_path / "package", pinned)
    assert main(["export", str(model), "--web", str(tmp_path / "page"), "--runtime", str(given)]) == 2
    told = capsys.readouterr().err
    assert "the method 'stargan' can't be exported" in told
    assert told.count("\n") == 1
    assert not [path for path in tmp_path.iterdir() if "page" in path.name]


def test_terms_are_those_of_the_card() -> None:
    said = {name: terms(folder) for name, folder in known_models().items()}
    assert said["avatars"].startswith("Apache-2.0")
    assert all("non-commercial research only" in text for name, text in said.items() if name.startswith("celeba"))


# The page.


@pytest.fixture(scope="session")
def site(naming: Lomit, traced_naming: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a tiny model."""
    pytest.importorskip("dicebear", reason="needs the avatars extra")
    folder = save_pretrained(tiny_naming(), tmp_path_factory.mktemp("model") / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patched(patch, traced_naming)
        return export_site(naming, tmp_path_factory.mktemp("site") / "page", folder, "tiny").path


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves below a path, as a page in somebody's folder lies."""

    isolated = False

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix("/some/where"))

    def end_headers(self) -> None:
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Host:
    """A static host, and the pages in the browser that came from it."""

    def __init__(self, site: Path, browser: Any, handler: type[Handler] = Handler) -> None:
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(site)))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.origin = f"http://localhost:{self.server.server_port}"
        self.browser, self.contexts = browser, list[Any]()
        self.asked: list[str] = []
        self.faults: list[str] = []

    def visit(self, width: int = 1280, path: str = "/some/where/", script: str = "", block: str = "") -> Any:
        """A loaded page."""
        context = self.browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True)
        self.contexts.append(context)
        if script:
            context.add_init_script(script)
        if block:
            context.route(block, lambda route: route.fulfill(status=404))
        tab = context.new_page()
        tab.set_default_timeout(WAIT)
        context.on("request", lambda request: self.asked.append(request.url))
        tab.on("pageerror", lambda error: self.faults.append(str(error)))
        tab.goto(self.origin + path)
        return tab

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        self.stop()


@pytest.fixture
def host(site: Path, browser: Any) -> Iterator[Host]:
    one = Host(site, browser)
    yield one
    one.close()


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Smooth colours with grain."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((smooth + rng.integers(-20, 21, smooth.shape)).clip(0, 255).astype(np.uint8))


def face_at(left: float, top: float, side: float) -> Face:
    return Face((0, 0, 1, 1), np.array([left, top]) + TEMPLATE * side)


def settled(tab: Any) -> None:
    """Waits until the result is that of what the panes show."""
    tab.wait_for_timeout(200)  # a face that moves is waited for
    tab.wait_for_function("() => /pixels, in/.test(document.querySelector('#status').textContent)")


def open_pictures(tab: Any, paths: list[Path]) -> None:
    for pane, path in enumerate(paths):
        tab.locator(".pane .file").nth(pane).set_input_files(path)
    width, height = Image.open(paths[0]).size
    tab.wait_for_function(
        "(size) => document.querySelector('#status').textContent.startsWith(size)", arg=f"{width} x {height} pixels"
    )
    settled(tab)


def downloaded(tab: Any) -> np.ndarray:
    with tab.expect_download() as waiting:
        tab.get_by_role("button", name="Download PNG").click()
    with Image.open(waiting.value.path()) as image:
        return np.asarray(image.convert("RGB")).astype(int)


browsing = [pytest.mark.browser, pytest.mark.npm]


def marked(test: Any) -> Any:
    for mark in browsing:
        test = mark(test)
    return test


@marked
def test_the_first_result_takes_less_than_five_seconds_and_asks_nobody_else(host: Host) -> None:
    """Seconds of two cores' time, so that what else runs on this machine counts for less."""

    def spent() -> float:
        session = host.browser.new_browser_cdp_session()
        return sum(each["cpuTime"] for each in session.send("SystemInfo.getProcessInfo")["processInfo"])

    before = spent()
    tab = host.visit()
    tab.wait_for_selector(DONE)
    taken = spent() - before
    assert taken / 2 < 5
    tab.wait_for_selector("#offline:has-text('without a network')")
    assert any(url.endswith("/some/where/model.onnx") for url in host.asked)
    assert all(url.startswith((f"{host.origin}/some/where/", "data:", "blob:")) for url in host.asked)
    assert host.faults == []


@marked
def test_other_hosts_are_out_of_reach(host: Host) -> None:
    tab = host.visit()
    blocked = "(url) => fetch(url, { mode: 'no-cors' }).then(() => 'went', (error) => String(error))"
    other = f"http://127.0.0.1:{host.server.server_port}/"  # answers, but is another origin
    assert "Failed to fetch" in tab.evaluate(blocked, other)


@marked
def test_paste_and_align_are_pythons(host: Host) -> None:
    """Crops smaller and larger than the network's square, over the edges, and scaled down in two steps."""
    tab = host.visit()
    script = """async ({ picture, face, size, before, after, mask }) => {
        const { align, paste } = await import("./photo.js");
        const bytes = (text) => text && Uint8ClampedArray.from(atob(text), (letter) => letter.charCodeAt(0));
        const text = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
        const given = { ...picture, data: bytes(picture.data) };
        const pasted = paste(given, face, bytes(before), bytes(after), bytes(mask), size);
        return [text(align(given, face, size)), text(pasted)];
    }"""

    def sent(image: Image.Image | None) -> str | None:  # numbers in a list take playwright seconds
        return image and base64.b64encode(image.tobytes()).decode()

    def received(text: str, height: int, width: int, channels: int) -> np.ndarray:
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, channels).astype(int)

    rng = np.random.default_rng(0)
    places = [(0, 0, 96), (20.3, -10.7, 60.4), (30.25, 20.5, 20.3), (-12.4, 8.6, 140.7), (5.3, 4.6, 300.2)]
    for number, (left, top, side) in enumerate(places):
        image = photo(*((320, 310) if side > 200 else (120, 96)), seed=number)
        face = face_at(left, top, side)
        crop = align(image, face, S)
        before = Image.fromarray((np.asarray(crop) + rng.integers(-3, 4, (S, S, 3))).clip(0, 255).astype(np.uint8))
        after = photo(S, S, seed=50 + number)
        for mask in (None, photo(S, S, seed=80 + number).convert("L")):
            expected = np.asarray(paste(image, face, before, after, mask)).astype(int)
            got_crop, got = tab.evaluate(
                script,
                {
                    "picture": {"width": image.width, "height": image.height, "data": sent(image.convert("RGBA"))},
                    "face": {"left": left, "top": top, "side": side},
                    "size": S,
                    "before": sent(before),
                    "after": sent(after),
                    "mask": sent(mask),
                },
            )
            assert np.abs(received(got_crop, S, S, 3) - np.asarray(crop)).max() <= 1
            assert np.abs(received(got, image.height, image.width, 4)[..., :3] - expected).max() <= 1
            assert np.abs(expected - np.asarray(image).astype(int)).max() > 20


@marked
def test_the_result_is_pythons_wherever_keys_place_the_face(host: Host, naming: Lomit, tmp_path: Path) -> None:
    images = [photo(150, 110, seed=1), photo(90, 100, seed=2)]
    paths = [tmp_path / f"{k}.png" for k in range(2)]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    tab = host.visit()
    tab.wait_for_selector(DONE)
    open_pictures(tab, paths)
    tab.locator(".stage").nth(0).focus()
    for key in ("+", "+", "+", "ArrowLeft", "Shift+ArrowUp"):
        tab.keyboard.press(key)
    # The square is scaled about its middle; the picture moves left and up, so the square moves right and down.
    side = 110 / 1.04**3
    left, top = 20 + (110 - side) / 2 + 0.02 * side, (110 - side) / 2 + 0.1 * side
    settled(tab)
    predictor, exemplar = Predictor(naming, "cpu"), face_at(0, 5, 90)
    faces = {"faces": [face_at(left, top, side)], "exemplar_faces": [exemplar]}
    expected = np.asarray(translate_photo(predictor, *images, **faces).image).astype(int)
    got = downloaded(tab)
    assert np.abs(expected - np.asarray(images[0]).astype(int)).max() > 20
    # Rounding of the network's output may differ by 1 in both crops whose difference is pasted.
    assert np.abs(got - expected).max() <= 2
    assert (np.abs(got - expected) <= 1).mean() > 0.999

    # Ticks are `only`.
    tab.get_by_label("Male").check()
    settled(tab)
    only = Predictor(naming, "cpu", only="male")
    named = np.asarray(translate_photo(only, *images, **faces).image).astype(int)
    assert np.abs(named - expected).max() > 10  # else the test would see no difference
    assert (np.abs(downloaded(tab) - named) <= 1).mean() > 0.999


@marked
def test_masks_are_erased_and_strokes_undone(host: Host) -> None:
    tab = host.visit()
    tab.wait_for_selector(DONE)
    settled(tab)
    first = downloaded(tab)
    tab.get_by_role("radio", name="Erase").check()
    stage = tab.locator(".stage").nth(0)
    box = stage.bounding_box()
    tab.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.7 * box["height"], steps=8)
    tab.mouse.up()
    tab.wait_for_selector(".note:has-text('edited')")
    settled(tab)
    changed = downloaded(tab)
    assert np.abs(changed - first).max() > 10
    stage.focus()  # which the download took
    tab.keyboard.press("Control+z")
    tab.wait_for_selector(".note:has-text('edited')", state="detached")
    settled(tab)
    assert (downloaded(tab) == first).all()
    # By keys alone.
    stage.focus()
    tab.keyboard.press(" ")
    tab.wait_for_selector(".note:has-text('edited')")


@marked
def test_a_narrow_screen_shows_one_picture_at_a_time(host: Host) -> None:
    tab = host.visit(width=390)
    tab.wait_for_selector(DONE)
    for name in ("Exemplar", "Input"):
        tab.get_by_role("radio", name=name).check()
        assert tab.locator(".pane:not(.result):visible h2").all_text_contents() == [name]
        assert tab.evaluate("document.documentElement.scrollWidth") == 390


@marked
def test_it_works_without_a_network_after_the_first_load(host: Host) -> None:
    tab = host.visit()
    tab.wait_for_selector("#offline:has-text('without a network')")
    host.stop()
    for address in (f"{host.origin}/some/where/", f"{host.origin}/some/where/?again"):
        tab.goto(address)
        tab.wait_for_selector(DONE)


@marked
def test_threads_where_the_host_isolates_the_page(site: Path, browser: Any) -> None:
    isolated = Host(site, browser, type("Isolated", (Handler,), {"isolated": True}))
    try:
        tab = isolated.visit(script="Object.defineProperty(Navigator.prototype, 'hardwareConcurrency', { value: 2 });")
        assert tab.evaluate("crossOriginIsolated")
        tab.wait_for_selector(DONE)
        assert isolated.faults == []
    finally:
        isolated.close()


@marked
@pytest.mark.parametrize(
    ("script", "block", "line"),
    [
        ("delete globalThis.WebAssembly;", "", "This browser has no WebAssembly"),
        ("", "**/model.onnx", "The file model.onnx is missing beside this page."),
        ("", "**/*.wasm", "The model can't be run here: a file of this page is damaged or missing"),
        ("", "**/worker.js", "The page's files are damaged or missing"),
        ("", "**/about.js", "A file of this page is missing."),
    ],
)
def test_what_is_missing_is_told_in_one_line(host: Host, script: str, block: str, line: str) -> None:
    tab = host.visit(script=script, block=block)
    tab.wait_for_selector(f'#alert:has-text("{line}")')


@marked
def test_a_file_that_is_no_picture_changes_nothing(host: Host, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    tab = host.visit()
    tab.wait_for_selector(DONE)
    settled(tab)
    first = downloaded(tab)
    tab.locator(".pane .file").nth(0).set_input_files(tmp_path / "notes.png")
    tab.wait_for_selector('#alert:has-text("notes.png can\'t be read as a picture")')
    assert (downloaded(tab) == first).all()


@pytest.mark.npm
def test_the_folder_says_what_it_holds(site: Path) -> None:
    text = (site / "about.js").read_text(encoding="utf-8")
    about = json.loads(text.removeprefix("export default ").removesuffix(";\n"))
    assert (about["name"], about["size"], about["hasMasks"]) == ("tiny", S, True)
    assert about["moves"] == [{"name": "smiling", "of": [0]}, {"name": "male", "of": [1]}]
    assert len(about["samples"]) == 2
    assert about["credits"][1]["license"] == "CC BY 4.0"
    worker = (site / "sw.js").read_text(encoding="utf-8")
    files = json.loads(worker.split("const FILES = ")[1].split(";\n")[0])
    held = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert {*files, "sw.js"} == held
    assert "runtime/LICENSE.txt" in held
    # No script asks for another place.
    assert not [path for path in site.glob("*.js") if "https://" in path.read_text() and path.name != "about.js"]
