"""The page of `lomit live` as a person uses it, in headless Chromium with a camera that is a file."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lomit.apps.live.server import GONE, running
from lomit.apps.live.session import LiveSession
from support.photos import smooth
from support.scenes import SIZE, camera_file, path, rendered, scene

pytestmark = pytest.mark.browser
WAIT = 120_000
SHOWS_FRAMES = "() => document.getElementById('rate').textContent.endsWith('frames a second')"
DIFFERENCE = """() => {
  const [video, output] = [document.getElementById("input"), document.getElementById("output")];
  const canvas = Object.assign(document.createElement("canvas"), { width: output.width, height: output.height });
  const drawing = canvas.getContext("2d");
  const read = (from) => {
    drawing.drawImage(from, 0, 0, canvas.width, canvas.height);
    return drawing.getImageData(0, 0, canvas.width, canvas.height).data;
  };
  const [a, b] = [read(video), read(output)];
  let count = 0;
  for (let k = 0; k < a.length; k += 1) count += Math.abs(a[k] - b[k]) > 40;
  return count;
}"""
"""How many values of the translated picture are far from the camera's; compression alone makes some so."""
FEW, MANY = 1500, 3000


@pytest.fixture(scope="module")
def camera(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Starts a Chromium whose camera shows frames; `allowed`: without asking a person."""
    folder, started = tmp_path_factory.mktemp("camera"), {}

    def start(name: str, frames: list[Any], allowed: bool = True) -> Any:
        if (name, allowed) not in started:
            file = camera_file(folder / f"{name}.y4m", frames)
            words = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream"]
            words += ["--use-fake-ui-for-media-stream"] * allowed + [f"--use-file-for-fake-video-capture={file}"]
            chromium = browser.browser_type.launch(executable_path=shutil.which("chromium"), args=words)
            started[name, allowed] = chromium
        return started[name, allowed]

    yield start
    for each in started.values():
        each.close()


@pytest.fixture
def visit() -> Iterator[Callable[..., Any]]:
    """Opens a page, and notes what goes wrong in it and where it sends anything."""
    contexts: list[Any] = []
    faults: list[str] = []

    def go(browser: Any, url: str, width: int = 1280) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 844})
        context.set_default_timeout(WAIT)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda request: faults.append(request.url) if not request.url.startswith((url, "blob:", "data:")) else None,
        )
        page.goto(url)
        return page

    yield go
    for context in contexts:
        context.close()
    assert faults == []


def message(page: Any, wanted: str) -> None:
    """Waits until the page says something that begins so, or nothing at all where that is empty."""
    page.wait_for_function(
        "(text) => { const said = document.getElementById('message').textContent;"
        " return text ? said.startsWith(text) : said === ''; }",
        arg=wanted,
    )


def test_the_face_before_the_camera_is_translated(
    url: str, camera: Callable[..., Any], visit: Callable[..., Any], tmp_path: Path
) -> None:
    chromium = camera("still", [scene()])
    page = visit(chromium, url)
    page.wait_for_function(SHOWS_FRAMES)
    assert page.inner_text("#message") == ""
    assert page.evaluate("[output.width, output.height]") == list(SIZE)
    assert page.evaluate(DIFFERENCE) > MANY
    assert "127.0.0.1" in page.inner_text("header")
    assert page.is_checked("#mirror")
    assert "mirrored" in page.get_attribute("#output", "class")
    page.uncheck("#mirror")
    assert "mirrored" not in page.get_attribute("#output", "class")
    # Without strength the picture is the camera's, but for JPEG.
    page.locator("#strength").fill("0")
    page.wait_for_function(f"() => ({DIFFERENCE})() < {FEW}")
    assert page.inner_text("#amount") == "0.0"
    page.check("#mask")
    page.wait_for_function(f"() => ({DIFFERENCE})() > {MANY}")
    page.uncheck("#mask")
    page.locator("#strength").fill("1")
    # Another exemplar, and one without a face.
    rendered(3, 11).save(tmp_path / "other.png")
    smooth(300, 200).save(tmp_path / "wall.png")
    before = page.get_attribute("#exemplar", "src")
    page.set_input_files("#image", tmp_path / "wall.png")
    message(page, "No face found in wall.png")
    assert page.get_attribute("#exemplar", "src") == before
    page.set_input_files("#image", tmp_path / "other.png")
    page.wait_for_function("(before) => document.getElementById('exemplar').getAttribute('src') !== before", arg=before)
    message(page, "")
    # The same page once more: the newer one has the camera.
    second = visit(chromium, url)
    second.wait_for_function(SHOWS_FRAMES)
    message(page, GONE[:20].capitalize())
    assert page.evaluate("document.getElementById('input').srcObject") is None


def test_on_a_phone_nothing_hangs_over_the_side(
    url: str, camera: Callable[..., Any], visit: Callable[..., Any]
) -> None:
    page = visit(camera("still", [scene()]), url, 390)
    page.wait_for_function(SHOWS_FRAMES)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    result, own = (page.locator(f"#{name}").bounding_box() for name in ("output", "input"))
    assert result["y"] < own["y"]
    assert result["width"] > 2 * own["width"]


def test_no_face_is_said_until_there_is_one(url: str, camera: Callable[..., Any], visit: Callable[..., Any]) -> None:
    frames = [smooth(*SIZE)] * 90 + [scene()] * 210
    page = visit(camera("comes", frames), url)
    message(page, "No face is seen.")
    message(page, "")
    page.wait_for_function(f"() => ({DIFFERENCE})() > {MANY}")


def test_what_the_camera_lacks_is_said(
    url: str, browser: Any, camera: Callable[..., Any], visit: Callable[..., Any], tmp_path: Path
) -> None:
    page = visit(browser, url)  # a machine without a camera
    message(page, "No camera was found.")
    denied = visit(camera("still", [scene()], allowed=False), url)
    message(denied, "The camera may not be used.")
    # A video takes its place.
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.webm"), "w") as out:
        stream = out.add_stream("libvpx-vp9", rate=10, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for shift in path(20):
            out.mux(stream.encode(av.VideoFrame.from_image(scene(shift)).reformat(format="yuv420p")))
        out.mux(stream.encode(None))
    denied.set_input_files("#file", tmp_path / "a.webm")
    denied.wait_for_function(SHOWS_FRAMES)
    message(denied, "")
    assert not denied.is_checked("#mirror")
    denied.click("#pause")
    denied.wait_for_selector("#pause[aria-pressed=true]")  # the video's own event sets it, a moment later
    (tmp_path / "b.mp4").write_bytes(b"no film" * 100)
    denied.set_input_files("#file", tmp_path / "b.mp4")
    message(denied, "This browser can't play that video.")


def test_a_server_that_is_gone_is_said(
    session: LiveSession, camera: Callable[..., Any], visit: Callable[..., Any]
) -> None:
    with running(session, port=0) as url:
        page = visit(camera("still", [scene()]), url)
        page.wait_for_function(SHOWS_FRAMES)
    message(page, "The program does not answer.")


def test_attributes_can_be_ticked(camera: Callable[..., Any], visit: Callable[..., Any], predictor: Any) -> None:
    from apps.live.test_session import Still, named
    from lomit.images import as_picture
    from lomit.photo import Face

    session = LiveSession(named(), as_picture(rendered(3, 4), "x"), [Face.from_crop((0, 0, 280, 280))], Still)
    asked: list[tuple[str, ...]] = []
    frame = session.frame

    def noted(page: int, data: bytes, *, only: Any = (), **more: Any) -> Any:
        asked.append(tuple(only))
        return frame(page, data, only=only, **more)

    session.frame = noted  # type: ignore[method-assign]
    with running(session, port=0) as url:
        page = visit(camera("still", [scene()]), url)
        page.wait_for_function(SHOWS_FRAMES)
        boxes = page.locator("#names input")
        assert [re.sub(r"\s+", " ", text).strip() for text in page.locator("#names label").all_inner_texts()] == [
            "Black Hair",
            "Smiling",
        ]
        assert [box.is_checked() for box in boxes.all()] == [True, False]
        assert asked[-1] == ("Black_Hair",)
        boxes.nth(1).check()
        boxes.nth(0).uncheck()
        for _ in range(100):  # until the frames on their way are through
            if asked[-1] == ("Smiling",):
                break
            page.wait_for_timeout(200)
        assert asked[-1] == ("Smiling",)
        assert page.inner_text("#message") == ""
