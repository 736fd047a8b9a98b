"""The editor as a person uses it, in headless Chromium."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from doubles import bomb
from lomit import Predictor, masks
from lomit.apps.editor.page import Page
from lomit.apps.editor.samples import draw_samples
from lomit.apps.editor.session import Session
from lomit.cli import main
from lomit.inference.editing import Edited
from lomit.recipe.file import decode_mask

pytestmark = pytest.mark.browser
WAIT = 120_000
DONE = ".viewer img.after:not([hidden])"


class Person:
    """A page in the browser, loaded."""

    def __init__(self, browser: Any, url: str, width: int = 1280, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True, **options)
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(WAIT)
        self.requests: list[str] = []
        self.faults: list[str] = []
        self.open_calls: set[Any] = set()
        self.tab.on("request", self._asked)
        for end in ("requestfinished", "requestfailed"):
            self.tab.on(end, lambda request: self.open_calls.discard(request))
        self.tab.on("pageerror", lambda error: self.faults.append(str(error)))
        self.tab.goto(url)
        self.tab.wait_for_selector(DONE)

    def _asked(self, request: Any) -> None:
        self.requests.append(request.url)
        # Gradio holds a stream of answers open for as long as one of the page's events waits for its own.
        if "/queue/" in request.url:
            self.open_calls.add(request)

    def settle(self) -> None:
        """Waits until everything asked for so far is answered, so that no late answer passes for the next one."""
        end, quiet = time.monotonic() + WAIT / 1000, 0
        while quiet < 3:  # an event that waited in the page is sent a moment after the one before it
            assert time.monotonic() < end, "the editor doesn't answer"
            self.tab.wait_for_timeout(50)
            quiet = 0 if self.open_calls else quiet + 1

    def result(self) -> str:
        self.settle()
        return str(self.tab.get_attribute(DONE, "src"))

    def changed(self, before: str) -> None:
        """Waits until another result is shown, and no more is to come."""
        self.tab.wait_for_function(f"(b) => document.querySelector('{DONE}')?.src !== b", arg=before)
        self.settle()

    def open(self, pane: int, path: Path) -> None:
        self.pane(pane).locator(".file").set_input_files(path)

    def pane(self, number: int) -> Any:
        return self.tab.locator(f'.pane[data-pane="{number}"]')

    def save(self, text: str) -> bytes:
        with self.tab.expect_download() as waiting:
            self.tab.get_by_role("button", name=text, exact=True).click()
        return Path(waiting.value.path()).read_bytes()

    def stroke(self, pane: int, points: list[tuple[float, float]]) -> None:
        """Drags the brush over points of the image, as shares of its side."""
        stage = self.pane(pane).locator(".stage")
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
        assert box is not None
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        self.tab.mouse.move(*places[0])
        self.tab.mouse.down()
        for place in places[1:]:
            self.tab.mouse.move(*place, steps=6)
        self.tab.mouse.up()


@pytest.fixture(scope="module")
def visit(editor: tuple[Page, str], browser: Any) -> Iterator[Person]:
    one = Person(browser, editor[1])
    yield one
    one.context.close()
    assert one.faults == []


@pytest.fixture
def person(visit: Person) -> Person:
    """The same page for all tests, because loading one takes seconds; samples again, without edits."""
    tab = visit.tab
    for others in (2, 0):  # an image that is chosen again keeps its edits
        before = visit.result()
        for pane, sample in (("input", 0), ("exemplar", 1)):
            tab.get_by_role("button", name=f"Sample as {pane}").nth(sample + others).click()
        visit.changed(before)
    tab.get_by_text("Result", exact=True).nth(1).click()
    return visit


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def unpacked(data: bytes) -> dict[str, np.ndarray]:
    pack = zipfile.ZipFile(io.BytesIO(data))
    return {name: np.asarray(Image.open(pack.open(name))) for name in pack.namelist()}


def test_edit_download_reproduce(
    person: Person, faces: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], editor: tuple[Page, str]
) -> None:
    for pane in (0, 1):
        before = person.result()
        person.open(pane, faces[pane])
        person.changed(before)
    choice = person.tab.get_by_label("Face in the input", exact=True)
    if choice.is_visible():  # where the detector takes a drawn face for one
        before = person.result()
        choice.select_option(label="Centre square as it is")
        person.changed(before)
    first = pixels(person.save("Save result"))
    whole = unpacked(person.save("Masks"))["face0__face1_input-mask.png"]
    before = person.result()
    # Over the hair of the left half, where the predicted mask lies.
    person.tab.locator(".soft").uncheck()
    person.stroke(0, [(0.05, 0.05), (0.45, 0.05), (0.45, 0.15), (0.05, 0.15), (0.05, 0.25), (0.45, 0.25), (0.05, 0.35)])
    person.changed(before)
    second = pixels(person.save("Save result"))
    edited = unpacked(person.save("Masks"))["face0__face1_input-mask.png"]
    assert whole.shape == edited.shape == (160, 160)
    removed = (whole > 60) & (edited == 0)
    assert removed.sum() > 200
    source = pixels(faces[0].read_bytes())
    square = slice(None), slice(30, 190)
    # Erased: the input to the bit, where the first result had another colour.  Outside of both masks nothing moves.
    assert np.array_equal(second[square][removed], source[square][removed])
    assert np.abs(first[square][removed] - source[square][removed]).mean() > 3
    assert np.array_equal(second[square][edited == 0], source[square][edited == 0])
    assert np.array_equal(np.delete(second, np.r_[30:190], axis=1), np.delete(source, np.r_[30:190], axis=1))
    assert np.abs(second - source).sum() > 0

    pack = zipfile.ZipFile(io.BytesIO(person.save("All (zip)")))
    pack.extractall(tmp_path / "pack")
    recipe = tmp_path / "pack" / "face0__face1.recipe.json"
    assert main(["recipe", str(recipe), "--out", str(tmp_path / "again"), "--device", "cpu"]) == 0
    assert "the same, bit for bit" in capsys.readouterr().out
    again = (tmp_path / "again" / "face0__face1.png").read_bytes()
    assert again == pack.read("face0__face1.png")
    assert np.array_equal(pixels(again), second)
    outside = [url for url in person.requests if not url.startswith((editor[1], "data:", "blob:"))]
    assert outside == []
    assert len(person.requests) > 20


def test_undo_invert_reset_and_the_keyboard(person: Person) -> None:
    tab, note = person.tab, person.tab.locator(".pane .note").first
    start = note.inner_text()
    stage = tab.locator(".stage").first
    stage.focus()
    for key in ("p", "Space"):
        tab.keyboard.press(key)
    assert "edited" in note.inner_text()
    tab.keyboard.press("Control+z")
    assert note.inner_text() == start
    tab.keyboard.press("Control+Shift+z")
    assert "edited" in note.inner_text()
    tab.get_by_role("button", name="Reset the mask to the prediction: input").click()
    assert note.inner_text() == start
    before = person.result()
    tab.get_by_role("button", name="Invert the mask: input").click()
    person.changed(before)
    covered = [int("".join(c for c in text if c.isdigit())) for text in (start, note.inner_text())]
    assert abs(sum(covered) - 100) <= 1
    # Another image in the other pane leaves the edit alone.
    before = person.result()
    tab.get_by_role("button", name="Sample as exemplar").nth(2).click()
    person.changed(before)
    assert "edited" in note.inner_text()


def saved_mask(person: Person, pane: str = "input") -> np.ndarray:
    data = person.save(f"Save the mask: {pane}")
    return np.asarray(Image.open(io.BytesIO(data)))


def tool_that_changes(person: Person, pane: str, x: float, y: float) -> str:
    """Paint where the mask is low, Erase where it is high."""
    return "Erase" if saved_mask(person, pane)[int(256 * y), int(256 * x)] > 127 else "Paint"


def test_operations_and_their_keys_are_pythons_and_can_be_undone(person: Person) -> None:
    tab = person.tab
    operations = {
        "+": lambda m: masks.grow(m, 3),
        "-": lambda m: masks.shrink(m, 3),
        "f": lambda m: masks.feather(m, 3),
        "h": masks.fill_holes,
        "d": lambda m: masks.drop_specks(m, 150),
    }
    for key, same in operations.items():
        before = saved_mask(person)
        tab.locator(".stage").first.focus()
        tab.keyboard.press(key)
        person.settle()
        after = saved_mask(person)
        assert np.array_equal(after, np.asarray(masks.to_image(same(before)))), key
        assert key == "d" or not np.array_equal(after, before), key  # there may be no speck
        tab.locator(".stage").first.focus()
        tab.keyboard.press("Control+z")
        assert np.array_equal(saved_mask(person), before) or key == "d", key
    # Clicked twice before the first is answered: each counts, and each is undone by itself.
    before = saved_mask(person)
    grow = tab.get_by_role("button", name="Grow the mask: input")
    grow.click()
    grow.click()
    tab.get_by_role("button", name="Invert the mask: input").click()
    person.settle()
    once = masks.grow(before, 3)
    assert np.array_equal(saved_mask(person), 255 - np.asarray(masks.to_image(masks.grow(once, 3))))
    for expected in (masks.grow(once, 3), once, before):
        tab.get_by_role("button", name="Undo the last edit of the mask: input").click()
        person.settle()
        assert np.array_equal(saved_mask(person), np.asarray(masks.to_image(expected)))


LATE = """() => {
const ask = window.fetch;
window.fetch = async (...asked) => {
  const answer = await ask(...asked);
  if (!String(asked[0].url || asked[0]).includes("/queue/data")) return answer;
  const read = new TextDecoder(), write = new TextEncoder();
  const late = new TransformStream({
    async transform(chunk, out) {
      for (const message of read.decode(chunk, { stream: true }).split(/(?<=\\n\\n)/)) {
        if (message.includes("close_stream")) await new Promise((done) => setTimeout(done, 1500));
        out.enqueue(write.encode(message));
      }
    },
  });
  return new Response(answer.body.pipeThrough(late), { headers: answer.headers });
};
}"""


def test_an_answer_is_not_lost_where_the_stream_closes_before_it(editor: tuple[Page, str], browser: Any) -> None:
    one = Person(browser, editor[1])
    try:
        one.settle()
        one.tab.evaluate(LATE)
        first = one.save("Save the mask: input")  # the stream's end is on its way for 1.5 s
        sent = len(one.requests)
        assert one.save("Save the mask: exemplar") != first
        assert any("/queue/join" in url for url in one.requests[sent:])
        assert one.faults == []
    finally:
        one.context.close()


def test_a_region_is_selected_and_one_is_drawn_around(person: Person) -> None:
    tab = person.tab
    sources = [sample.source().seen(64) for sample in draw_samples()[:2]]
    content = Predictor.from_pretrained("avatars", "cpu").edit(sources[0], [sources[1]]).content[0]
    before, shown = saved_mask(person), person.result()
    tab.get_by_text("Select", exact=True).click()
    tab.get_by_text("Paint", exact=True).click()
    person.stroke(0, [(0.51, 0.52)])
    person.changed(shown)
    selected = saved_mask(person)
    region = masks.select(content, (0.51, 0.52))
    assert 0.05 < region.mean() < 0.6
    assert np.array_equal(selected, np.asarray(masks.to_image(masks.add(before, region))))
    tab.get_by_text("Lasso", exact=True).click()
    tab.locator(".modes").get_by_text("Erase").click()
    shown, corners = person.result(), [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]
    person.stroke(0, corners)
    person.changed(shown)
    left = saved_mask(person)
    assert left[70:186, 70:186].max() == 0
    assert np.array_equal(np.delete(left, np.r_[62:194], axis=0), np.delete(selected, np.r_[62:194], axis=0))
    # By keys: corners with the space bar, closed with Enter; Escape gives up.  They begin where the pointer is.
    tab.locator(".stage").first.hover()
    tab.locator(".stage").first.focus()
    note = tab.locator(".pane .note").first.inner_text()
    for key in ("p", "l", "Space", "Shift+ArrowLeft", "Space", "Shift+ArrowUp", "Space", "Escape", "Enter"):
        tab.keyboard.press(key)
    person.settle()
    assert tab.locator(".pane .note").first.inner_text() == note
    for key in ("Space", "Shift+ArrowRight", "Space", "Shift+ArrowDown", "Space", "Enter"):
        tab.keyboard.press(key)
    person.settle()
    assert (saved_mask(person).astype(int) - left).sum() > 0.8 * 255 * 24**2 / 2
    tab.locator(".stage").first.focus()
    tab.keyboard.press("Control+z")
    assert np.array_equal(saved_mask(person), left)
    tab.locator(".stage").first.focus()
    tab.keyboard.press("b")
    assert tab.locator(".radius").is_visible()
    person.settle()


def test_masks_from_files_and_to_files(person: Person, tmp_path: Path) -> None:
    tab, alert = person.tab, person.tab.locator(".bench .alert")
    before = saved_mask(person, "exemplar")
    half = Image.new("L", (50, 50))
    half.paste(255, (0, 0, 25, 50))
    half.save(tmp_path / "half.png")
    Image.new("L", (30, 20)).save(tmp_path / "wide.png")
    shown = person.result()
    tab.get_by_label("Load a mask for the exemplar").set_input_files(tmp_path / "half.png")
    person.changed(shown)
    loaded = saved_mask(person, "exemplar")
    assert loaded[:, :124].min() == 255
    assert loaded[:, 132:].max() == 0
    tab.get_by_label("Load a mask for the exemplar").set_input_files(tmp_path / "wide.png")
    tab.wait_for_function("() => document.querySelector('.bench .alert').textContent.includes('is 30 x 20')")
    assert alert.is_visible()
    assert np.array_equal(saved_mask(person, "exemplar"), loaded)
    tab.get_by_role("button", name="Undo the last edit of the mask: exemplar").click()
    assert np.array_equal(saved_mask(person, "exemplar"), before)
    person.settle()


def fingers(person: Person, *steps: tuple[str, list[tuple[int, float, float]]]) -> None:
    """Touches as a screen reports them: kinds, each with the fingers that are down, as shares of the input's side."""
    stage = person.tab.locator(".stage").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    session = person.context.new_cdp_session(person.tab)
    for kind, down in steps:
        points = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": k} for k, x, y in down]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.detach()


ONE, THERE = (1, 0.3, 0.3), (1, 0.6, 0.3)
TWO = (2, 0.7, 0.7)


@pytest.mark.parametrize(
    ("steps", "drawn"),
    [
        ((("touchStart", [ONE]), ("touchMove", [THERE]), ("touchEnd", [])), True),
        ((("touchStart", [ONE]), ("touchMove", [THERE]), ("touchCancel", [])), False),
        ((("touchStart", [ONE]), ("touchStart", [ONE, TWO]), ("touchMove", [THERE, TWO]), ("touchEnd", [])), False),
        ((("touchStart", [ONE, TWO]), ("touchMove", [THERE, TWO]), ("touchEnd", [])), False),
        # The first finger stays after the second has gone: still nothing is drawn; the next touch draws again.
        ((("touchStart", [ONE]), ("touchStart", [ONE, TWO]), ("touchEnd", [ONE]), ("touchMove", [THERE]),
          ("touchEnd", [])), False),
        ((("touchStart", [ONE]), ("touchStart", [ONE, TWO]), ("touchEnd", []), ("touchStart", [ONE]),
          ("touchMove", [THERE]), ("touchEnd", [])), True),
    ],
)  # fmt: skip
def test_one_finger_draws_and_two_do_not(
    person: Person, steps: tuple[tuple[str, list[tuple[int, float, float]]], ...], drawn: bool
) -> None:
    tab, note = person.tab, person.tab.locator(".pane .note").first
    tab.locator(".modes").get_by_text(tool_that_changes(person, "input", *ONE[1:])).click()
    before = tab.locator(".stage canvas").first.evaluate("(canvas) => canvas.toDataURL()")
    fingers(person, *steps)
    after = tab.locator(".stage canvas").first.evaluate("(canvas) => canvas.toDataURL()")
    assert (after != before) == ("edited" in note.inner_text()) == drawn
    if drawn:
        tab.keyboard.press("Control+z")  # the image has the focus
        assert "edited" not in note.inner_text()
    person.settle()


def test_undoing_or_inverting_in_the_middle_of_a_stroke_ends_it(person: Person) -> None:
    tab, note = person.tab, person.tab.locator(".pane .note").first
    stage = tab.locator(".stage").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    before = tab.locator(".stage canvas").first.evaluate("(canvas) => canvas.toDataURL()")
    tab.get_by_text("Paint", exact=True).click()
    for key in ("Control+z", "Control+Shift+z"):
        tab.mouse.move(box["x"] + 40, box["y"] + 40)
        tab.mouse.down()
        tab.mouse.move(box["x"] + 80, box["y"] + 40, steps=3)
        tab.keyboard.press(key)
        tab.mouse.move(box["x"] + 120, box["y"] + 40, steps=3)
        tab.mouse.up()
        assert "edited" not in note.inner_text()
        assert tab.locator(".stage canvas").first.evaluate("(canvas) => canvas.toDataURL()") == before
    person.settle()


def test_variants_compare_swap_and_second_exemplar(person: Person) -> None:
    tab = person.tab
    first = person.result()
    tab.get_by_role("button", name="Keep this variant").click()
    tab.wait_for_selector(".variant")
    tab.get_by_role("button", name="Swap input and exemplar").click()
    person.changed(first)
    swapped = person.result()
    tab.get_by_text("Before and after").click()
    assert tab.locator(".before").is_visible()
    tab.get_by_label("What the result is compared with").select_option("1")
    assert tab.get_attribute(".before", "src") == first
    tab.get_by_label("Divider between before and after").fill("20")
    assert "80%" in str(tab.get_attribute(".before", "style"))
    tab.locator(".variant").click()
    person.changed(swapped)
    assert person.result() == first
    assert not tab.get_by_label("range slider for Blend").is_visible()
    tab.get_by_role("button", name="Add an exemplar").click()
    tab.get_by_role("button", name="Sample as second exemplar").nth(3).click()
    tab.get_by_label("range slider for Blend").wait_for()
    person.changed(first)


def test_exemplars_with_a_region_each(person: Person, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tab = person.tab
    add = tab.get_by_role("button", name="Add an exemplar")
    if not person.pane(2).is_visible():
        add.click()
    shown = person.result()
    tab.get_by_role("button", name="Sample as second exemplar").nth(2).click()
    person.changed(shown)
    blended = person.result()
    # By the keyboard: the switch, and whose region is shown on the input.
    tab.locator("input[value=blend]").focus()
    tab.keyboard.press("ArrowRight")
    person.changed(blended)
    composed = person.result()
    assert not tab.get_by_label("range slider for Blend").is_visible()
    assert "on the input and on the exemplar" in tab.locator(".sharing .hint").inner_text()
    assert person.pane(0).is_visible()
    assert not person.pane(4).is_visible()
    tab.locator("input[name=lomit-region]:checked").focus()
    tab.keyboard.press("ArrowRight")
    assert person.pane(4).is_visible()
    assert not person.pane(0).is_visible()
    # A region is painted, undone and painted again; it is that exemplar's alone.
    tab.get_by_role("button", name="Invert the mask: input for exemplar 2").click()
    person.changed(composed)
    inverted = person.result()
    assert "edited" in person.pane(4).locator(".note").inner_text()
    assert "edited" not in person.pane(0).locator(".note").inner_text()
    person.pane(4).locator(".stage").focus()
    tab.keyboard.press("Control+z")
    person.changed(inverted)
    assert person.result() == composed
    tab.keyboard.press("Control+Shift+z")
    person.changed(composed)
    assert person.result() == inverted
    pack = zipfile.ZipFile(io.BytesIO(person.save("All (zip)")))
    pack.extractall(tmp_path)
    recipe = next(tmp_path.glob("*.recipe.json"))
    assert main(["recipe", str(recipe), "--out", str(tmp_path / "again"), "--device", "cpu"]) == 0
    assert "the same, bit for bit" in capsys.readouterr().out
    # A third has no one to be blended with; removed again, all is as before.
    add.click()
    tab.get_by_role("button", name="Sample as third exemplar").nth(3).click()
    person.changed(inverted)
    assert tab.locator("input[value=blend]").is_disabled()
    third = person.result()
    tab.get_by_role("button", name="Remove the third exemplar").click()
    person.changed(third)
    assert person.result() == inverted
    tab.locator("input[value=compose]").focus()
    tab.keyboard.press("ArrowLeft")
    person.changed(inverted)
    assert person.result() == blended
    tab.get_by_role("button", name="Remove the second exemplar").click()
    person.changed(blended)
    assert not tab.locator(".sharing").is_visible()


def test_no_click_is_lost_while_another_is_not_answered(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    clicks = [person.tab.get_by_role("button", name=f"Sample as {pane}").nth(4) for pane in ("input", "exemplar")]
    for click in clicks:
        before = person.result()
        click.click()
        person.changed(before)
    both = person.result()
    for pane, sample in (("input", 0), ("exemplar", 1)):
        before = person.result()
        person.tab.get_by_role("button", name=f"Sample as {pane}").nth(sample).click()
        person.changed(before)
    first, render = person.result(), Session.render

    def slow(session: Session) -> Edited | None:
        time.sleep(0.5)  # so that the second click comes before the first one's answer
        return render(session)

    monkeypatch.setattr(Session, "render", slow)
    for click in clicks:
        click.click()
    person.changed(first)
    assert person.result() == both


def test_strokes_that_wait_for_an_answer_are_saved(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    render = Session.render

    def slow(session: Session) -> Edited | None:
        time.sleep(0.5)
        return render(session)

    monkeypatch.setattr(Session, "render", slow)
    tab = person.tab
    keys = [tool_that_changes(person, pane, 0.5, 0.5)[0].lower() for pane in ("input", "exemplar")]
    for stage in (0, 1):
        person.pane(stage).locator(".stage").hover()  # the keys begin in the middle
    for stage in (0, 1, 0):  # the second and the third wait for the first, and only the third is sent after it
        person.pane(stage).locator(".stage").focus()
        for key in (keys[stage], "Space", "Shift+ArrowDown", "Space"):
            tab.keyboard.press(key)
    recipe = json.loads(person.save("Recipe"))
    # A second exemplar of an earlier test may follow.
    for pane, image in enumerate([recipe["input"], recipe["exemplars"][0]]):
        note = person.pane(pane).locator(".note").inner_text()
        assert f"covers {np.asarray(decode_mask(image['mask'])).mean() / 2.55:.0f} %, edited" in note
    assert json.loads(person.save("Recipe")) == recipe  # saved again though it is the same
    tab.wait_for_function("document.querySelector('.viewer .note').textContent === ''")
    person.settle()


def test_bad_uploads(person: Person, tmp_path: Path) -> None:
    before, alert = person.result(), person.tab.locator(".bench .alert")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "ps.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    bomb(tmp_path / "bomb.png", 30_000, 30_000)
    Image.new("RGB", (9, 9)).save(
        tmp_path / "moves.gif", save_all=True, append_images=[Image.new("RGB", (9, 9), "red")]
    )
    (tmp_path / "large.png").write_bytes(bytes(3 * 2**20))
    (tmp_path / "page.html").write_text("<script>alert(1)</script>")
    # Sent one after the other: the next line stands for the answer to the last file.
    for name, line in {
        "text.png": "text.png is not an image",
        "ps.png": "ps.png is not an image",
        "bomb.png": "bomb.png has more than 2 megapixels",
        "moves.gif": "moves.gif has 2 frames",
        "large.png": "large.png has 3 MB; at most 2 MB",
        "page.html": "page.html is not an image",
    }.items():
        person.open(0, tmp_path / name)
        person.tab.wait_for_function(
            "(line) => document.querySelector('.bench .alert').textContent.startsWith(line)", arg=line
        )
    person.open(0, tmp_path / "text.png")
    person.settle()
    person.open(0, tmp_path / "text.png")  # the same line again
    person.settle()
    alert.wait_for()  # a file that is still being read has hidden it, and its answer shows it
    assert person.result() == before


def test_every_control_has_a_name_and_can_be_reached(person: Person) -> None:
    nameless = person.tab.evaluate("""() =>
        [...document.querySelectorAll("button, input, select, textarea, [tabindex='0']")]
        .filter((e) => e.offsetParent && !(e.ariaLabel || e.getAttribute("aria-label") || e.title ||
            e.innerText?.trim() || [...(e.labels || [])].some((l) => l.innerText.trim())))
        .map((e) => e.outerHTML.slice(0, 120))""")
    assert nameless == []
    seen = set()
    for _ in range(60):
        person.tab.keyboard.press("Tab")
        seen.add(
            person.tab.evaluate(
                "() => (document.activeElement.ariaLabel || document.activeElement.innerText).slice(0, 24)"
            )
        )
    for start in (
        "Mask of the input",
        "Mask of the exemplar",
        "Brush size",
        "Open an image as input",
        "Keep this variant",
    ):
        assert any(name.startswith(start) for name in seen), (start, seen)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone(editor: tuple[Page, str], browser: Any, scheme: str) -> None:
    person = Person(browser, editor[1], 375, color_scheme=scheme, has_touch=True)
    tab = person.tab
    assert tab.evaluate("document.documentElement.scrollWidth") <= 375
    assert person.pane(0).locator(".stage").is_visible()
    assert not person.pane(1).locator(".stage").is_visible()
    tab.get_by_role("tab", name="Exemplar", exact=True).click()
    box = person.pane(1).locator(".stage").bounding_box()
    assert box is not None
    assert box["width"] > 300
    person.context.close()


def test_nothing_is_kept_once_the_page_is_closed(editor: tuple[Page, str], browser: Any) -> None:
    page, url = editor
    wait_for(lambda: len(page.sessions) <= 1)
    here = len(page.sessions)
    person = Person(browser, url)
    assert len(page.sessions) == here + 1
    known = set(page.blocks.state_holder.session_data)
    person.context.close()
    wait_for(lambda: len(page.sessions) == here)
    assert len(known - set(page.blocks.state_holder.session_data)) == 1


def test_ten_people_at_once(editor: tuple[Page, str], browser: Any) -> None:
    """Each chooses other faces at the same moment as the others, and sees the result of these alone."""
    choices = [(i, e) for i in range(1, 6) for e in (0, 2)]
    people = [Person(browser, editor[1]) for _ in choices]
    try:
        for side, pane in enumerate(("input", "exemplar")):
            before = [one.result() for one in people]
            for one, choice in zip(people, choices, strict=True):
                one.tab.get_by_role("button", name=f"Sample as {pane}").nth(choice[side]).click()
            for one, old in zip(people, before, strict=True):
                one.changed(old)
        together = [one.result() for one in people]
        assert len(set(together)) == len(choices)
        # One of them, changed over to another's choice while nobody else asks: what that one saw.
        last, neighbour = people[-1], together[-2]
        last.tab.get_by_role("button", name="Sample as exemplar").nth(choices[-2][1]).click()
        last.changed(together[-1])
        assert last.result() == neighbour
    finally:
        for one in people:
            one.context.close()
    assert [fault for one in people for fault in one.faults] == []


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within a minute")
