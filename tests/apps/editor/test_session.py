"""What a page holds, without a server."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lomit import masks
from lomit.apps.editor import views
from lomit.apps.editor.models import Models
from lomit.apps.editor.samples import Sample, draw_samples
from lomit.apps.editor.session import Session, Sessions
from lomit.apps.editor.state import MASK_SIDE, PANES, EditorSettings, Limits, Slot
from lomit.errors import LomitError
from lomit.images import Picture
from lomit.inference.choice import PHOTOGRAPHS
from lomit.inference.weights import save_pretrained
from lomit.models.lomit.config import LossWeights
from lomit.photo.faces import Face
from lomit.photo.translate import translate_photo
from lomit.recipe.file import read_recipe
from lomit.recipe.portrait import Portrait, Scene
from support.photos import noise, wide_profile
from support.tiny import tiny_translator


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return draw_samples()


@pytest.fixture
def models(tmp_path: Path) -> Models:
    save_pretrained(tiny_translator("lomit", image_size=32), tmp_path / "tiny")
    return Models(str(tmp_path / "tiny"), "cpu")


@pytest.fixture
def session(models: Models, samples: list[Sample]) -> Session:
    one = Session(models, Limits(kept=2), samples, EditorSettings("tiny"))
    one.sample(0, 0)
    one.sample(1, 1)
    return one


def black() -> Image.Image:
    return Image.new("L", (MASK_SIDE, MASK_SIDE))


def finished(session: Session) -> np.ndarray:
    return np.asarray(session.finish()[0])


def test_empty_masks_give_back_the_input(session: Session) -> None:
    before = finished(session)
    session.stroke(0, black())
    after = finished(session)
    assert np.array_equal(after, np.asarray(session.samples[0].picture.rgb))
    assert not np.array_equal(before, after)
    session.stroke(0, None)
    assert np.array_equal(finished(session), before)


def test_a_stroke_that_comes_late_is_not_for_the_next_image(session: Session) -> None:
    drawn_on = session.slots[0]
    assert drawn_on is not None
    session.stroke(0, black(), drawn_on.stamp)
    assert session.slots[0] is not None
    assert session.slots[0].mask is not None
    session.sample(0, 2)
    before = finished(session)
    session.stroke(0, black(), drawn_on.stamp)
    assert session.slots[0].mask is None
    assert np.array_equal(finished(session), before)


STEPS = (
    {"do": "grow", "radius": 3}, {"do": "lasso", "points": [[0.1, 0.1], [0.9, 0.2], [0.5, 0.9]], "erase": True},
    {"do": "select", "at": [0.5, 0.1], "alike": 0.3},
)  # fmt: skip


@pytest.mark.parametrize("pane", [0, 1])
def test_operations_are_those_of_python(session: Session, pane: int) -> None:
    expected = np.asarray(session.mask(pane))
    scene = session.scene
    assert scene is not None
    for number, step in enumerate(STEPS, start=1):
        session.operate(pane, step)
        expected = np.asarray(masks.to_image(masks.apply(expected, step, scene.content[pane])))
        slot = session.slots[pane]
        assert slot is not None
        assert (slot.operation, slot.mask) == (number, session.mask(pane))
        assert np.array_equal(np.asarray(session.mask(pane)), expected)
    by_hand, result = np.asarray(session.mask(pane)), finished(session)
    # A recipe that says the same steps gives the same result.
    session.stroke(pane, None)
    assert not np.array_equal(np.asarray(session.mask(pane)), by_hand)
    done = ((STEPS[0],), ()) if pane == 0 else ((), (STEPS[0],))
    once = scene.render(replace(session.edit, steps=done))
    session.operate(pane, STEPS[0])
    assert np.array_equal(scene.render(session.edit).raw, once.raw)
    assert not np.array_equal(finished(session), result)


def test_operations_that_fail_change_nothing(session: Session, models: Models) -> None:
    before = list(session.slots)
    for call, says in (
        (lambda: session.operate(0, {"do": "grow", "radius": -1}), "'radius' of grow must be a number"),
        (lambda: session.operate(0, None), "a step must be an object"),
        (lambda: session.operate(2, STEPS[0]), "open an image first"),
        (lambda: session.load_mask(0, "mask.png", b"no image"), r"mask\.png is not an image"),
    ):
        with pytest.raises(LomitError, match=says):
            call()
    assert session.slots == before
    alone = Session(models, Limits(), session.samples, EditorSettings("tiny"))
    alone.sample(0, 0)
    with pytest.raises(LomitError, match="there is no mask yet"):
        alone.operate(0, STEPS[0])


def test_a_stroke_drawn_before_an_operation_is_left_out(session: Session) -> None:
    slot = session.slots[0]
    assert slot is not None
    session.operate(0, STEPS[0])
    session.stroke(0, black(), slot.stamp, 0)
    assert np.asarray(session.mask(0)).any()
    session.stroke(0, black(), slot.stamp, 1)
    assert not np.asarray(session.mask(0)).any()


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_masks_are_saved_and_loaded_at_any_size(session: Session) -> None:
    session.operate(0, STEPS[1])
    drawn = np.asarray(session.mask(0))
    told = views.mask_file(session, 0)
    assert told["name"] == f"{session.samples[0].source().name.removesuffix('.png')}_mask.png"
    with Image.open(io.BytesIO(base64.b64decode(told["data"]))) as saved:
        assert (saved.mode, saved.size) == ("L", (MASK_SIDE, MASK_SIDE))
        session.stroke(0, None)
        session.load_mask(0, told["name"], base64.b64decode(told["data"]))
        assert np.array_equal(np.asarray(session.mask(0)), drawn)
        session.load_mask(0, "small.png", png(saved.resize((64, 64), Image.Resampling.BOX)))
    assert 0 < np.abs(np.asarray(session.mask(0), dtype=int) - drawn).mean() < 6
    session.load_mask(0, "bits.png", png(Image.fromarray((drawn > 127).astype(np.uint8))))
    assert np.array_equal(np.asarray(session.mask(0)), 255 * (drawn > 127))
    with pytest.raises(LomitError, match=r"is 30 x 20; make it square, or of the image's shape \(256 x 256\)"):
        session.load_mask(0, "wide.png", png(Image.new("L", (30, 20))))


def test_a_mask_of_the_whole_image_is_cut_as_the_image_is(session: Session) -> None:
    photo = Picture(noise(900, 600))
    whole = np.zeros((300, 450), dtype=np.uint8)  # half as large
    whole[:, 225:] = 255
    session.slots[0] = Slot(Portrait("me.png", lambda: photo))
    session.load_mask(0, "mask.png", png(Image.fromarray(whole)))
    mask = np.asarray(session.mask(0))
    assert mask[:, :126].max() == 0
    assert mask[:, 130:].min() == 255
    session.slots[0] = Slot(Portrait("me.png", lambda: photo, Face.from_crop((350, 200, 550, 400))))
    session.load_mask(0, "mask.png", png(Image.fromarray(whole)))
    mask = np.asarray(session.mask(0))
    assert mask[128, :122].max() == 0
    assert mask[128, 134:].min() == 255


def test_swap_takes_masks_along(session: Session) -> None:
    session.stroke(0, black())
    session.swap()
    assert session.slots[1] is not None
    assert session.slots[1].mask is not None
    assert session.slots[0] is not None
    assert session.slots[0].mask is None


def test_variants(session: Session) -> None:
    first = finished(session)
    session.keep()
    session.stroke(0, black())
    session.sample(1, 3)
    session.keep()
    with pytest.raises(LomitError, match="the strip holds 2 variants"):
        session.keep()
    session.restore(1)
    assert np.array_equal(finished(session), first)
    session.drop(1)
    assert [variant.id for variant in session.kept] == [2]
    with pytest.raises(LomitError, match="is gone"):
        session.restore(1)


def test_a_close_up_shows_the_face_of_a_photograph(session: Session) -> None:
    assert not views.viewer(session)["can_close"]
    photo = Picture(noise(900, 700))
    session.slots[0] = Slot(Portrait("me.png", lambda: photo, Face.from_crop((300, 200, 500, 400))))
    session.keep()

    def shown(name: str) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(views.viewer(session)[name].partition(",")[2])))

    assert views.viewer(session)["can_close"]
    assert shown("after").size == (640, 498)
    whole = views.viewer(session)["kept"][0]["image"]
    session.close = True
    assert {shown(name).size for name in ("before", "after", "change")} <= {(200, 200), (201, 201)}
    assert views.viewer(session)["kept"][0]["image"] not in ("", whole)
    before = np.asarray(shown("before").convert("L")).astype(int)[:200, :200]
    assert np.abs(before - np.asarray(photo.rgb.crop((300, 200, 500, 400)).convert("L"))).mean() < 12
    assert finished(session).shape == (700, 900, 3)


def test_names_are_harmless_and_differ(session: Session) -> None:
    file = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(file, "PNG")
    data = file.getvalue()
    session.open(0, "../../x/<b>me.png", data)
    session.open(1, "C:\\secret\\<b>me.png", data)
    names = [slot.source.name for slot in session.images if slot]
    assert names == ["bme.png", "bme-2.png"]
    session.open(2, "...", data)
    assert session.slots[2] is not None
    assert session.slots[2].source.name == "image"


def test_pages_see_srgb_and_files_keep_their_space(session: Session) -> None:
    profile = wide_profile()
    file = io.BytesIO()
    Image.new("RGB", (30, 20), (200, 60, 60)).save(file, "PNG", icc_profile=profile)
    session.open(0, "me.png", file.getvalue())
    told = views.viewer(session)
    for shown in ("before", "after"):
        with Image.open(io.BytesIO(base64.b64decode(told[shown].partition(",")[2]))) as image:
            assert "icc_profile" not in image.info
            assert image.convert("RGB").getpixel((0, 10))[0] > 215
    saved = views.download(session, "result")
    with Image.open(io.BytesIO(base64.b64decode(saved["data"]))) as image:
        assert image.info["icc_profile"] == profile
        assert image.getpixel((0, 10)) == (200, 60, 60)


def test_a_bad_upload_changes_nothing(session: Session) -> None:
    before = list(session.slots)
    for data in (b"", b"no image", b"%!PS-Adobe"):
        with pytest.raises(LomitError, match="is not an image"):
            session.open(0, "x.png", data)
    with pytest.raises(LomitError, match=r"me\.heic is (HEIC|not an image)"):
        session.open(0, "me.heic", b"\0\0\0\x18ftypheic")
    assert session.slots == before


def test_edits_outlive_a_model_without_masks(tmp_path: Path, samples: list[Sample]) -> None:
    for method in ("lomit", "munit", "stargan"):
        save_pretrained(tiny_translator(method), tmp_path / method)
    for method in ("munit", "stargan"):
        models = Models(str(tmp_path / method), "cpu")
        session = Session(models, Limits(), samples, EditorSettings(method, strength=0.5, threshold=0.5))
        session.sample(0, 0)
        session.sample(1, 1)
        session.sample(2, 2)
        session.stroke(0, black())
        told = views.bench(session)
        assert not told["has_masks"]
        assert "has no masks" in told["panes"][0]["note"]
        assert ("takes no exemplar" in told["panes"][1]["note"]) == (method == "stargan")
        assert views.viewer(session)["after"].startswith("data:image/jpeg")
        with pytest.raises(LomitError, match="has no masks"):
            views.download(session, "masks")


@pytest.fixture(scope="module")
def by_place(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A model whose masks go by names: hair and smiling."""
    folder = tmp_path_factory.mktemp("places") / "places"
    attributes = ("Black_Hair", "Brown_Hair", "Smiling")
    told = {"mask_sees": "differences", "weights": LossWeights(style_cls=1.0)}
    save_pretrained(tiny_translator("lomit", image_size=32, attributes=attributes, **told), folder)
    return Models(str(folder), "cpu")


@pytest.fixture
def composing(by_place: Models, samples: list[Sample]) -> Session:
    one = Session(by_place, Limits(), samples, EditorSettings("places"))
    for pane in range(3):
        one.sample(pane, pane)
    one.compose(True)
    return one


def test_exemplars_with_regions_are_those_of_python(composing: Session) -> None:
    predictor = composing.models.get("places")
    size = predictor.image_size
    own, hair, smile = (slot.source.seen(size) for slot in composing.images[:3] if slot)
    assert (composing.gives(1), composing.gives(2)) == (("hair",), ("smiling",))
    parts = predictor.predict_regions(own, {"hair": hair, "smiling": smile})
    image, edited, _ = composing.finish()
    assert np.array_equal(edited.raw, predictor.compose(own, masks=parts).raw)
    assert image.size == (256, 256)
    # Painted masks, at the editor's size.
    drawn = [
        Image.fromarray(np.roll(np.eye(MASK_SIDE, dtype=np.uint8) * 255, k, 0)).resize((MASK_SIDE,) * 2)
        for k in range(4)
    ]
    for pane, mask in zip((0, 1, 4, 2), drawn, strict=True):
        composing.stroke(pane, mask)
    by_hand = predictor.compose(own, masks=[(hair, *drawn[:2]), (smile, *drawn[2:])])
    assert np.array_equal(composing.finish()[1].raw, by_hand.raw)
    assert not np.array_equal(by_hand.raw, edited.raw)
    # One exemplar again: as if there had never been another.
    alone = Session(composing.models, Limits(), composing.samples, EditorSettings("places"))
    alone.sample(0, 0)
    alone.sample(1, 1)
    composing.remove(2)
    for pane in (0, 1):
        composing.stroke(pane, None)
    assert not composing.composing
    assert np.array_equal(finished(composing), finished(alone))


def test_a_photograph_is_composed_as_lomit_photo_does(composing: Session) -> None:
    photos = [Picture(noise(300, 260, seed)) for seed in range(3)]
    face = Face.from_crop((60, 40, 220, 200))
    for pane, photo in enumerate(photos):
        composing._put(pane, Slot(Portrait(f"{pane}.png", lambda photo=photo: photo, face)))
    theirs = {"hair": [face], "smiling": [face]}
    result = translate_photo(
        composing.models.get("places"), photos[0], {"hair": photos[1], "smiling": photos[2]}, faces=[face],
        exemplar_faces=theirs,
    )  # fmt: skip
    image, before = finished(composing), np.asarray(photos[0].rgb)
    assert np.array_equal(image, np.asarray(result.image))
    assert not np.array_equal(image, before)


def test_a_region_has_one_giver_and_survives_other_exemplars(composing: Session) -> None:
    both = finished(composing)
    composing.give(1, "smiling", True)
    assert (composing.gives(1), composing.gives(2)) == (("hair", "smiling"), ())
    assert not np.asarray(composing.predicted()[4]).any()
    assert not np.array_equal(finished(composing), both)
    composing.give(1, "smiling", False)
    assert (composing.gives(1), composing.gives(2)) == (("hair",), ())
    composing.give(2, "smiling", True)
    assert np.array_equal(finished(composing), both)
    for pane, name in ((2, "nose"), (0, "hair"), (3, "hair")):
        with pytest.raises(LomitError, match="no such exemplar or region"):
            composing.give(pane, name, True)
    composing.sample(3, 3)
    with pytest.raises(LomitError, match="remove one first"):
        composing.compose(False)
    composing.stroke(4, black())
    composing.sample(2, 4)
    assert not np.asarray(composing.mask(4)).any()  # as the input's mask outlives another exemplar
    composing.sample(0, 5)
    assert composing.slots[4] is not None
    assert composing.slots[4].mask is None
    composing.keep()
    composing.remove(3)
    composing.compose(False)
    assert not composing.composing
    composing.restore(1)
    assert composing.composing


def test_a_recipe_of_regions(composing: Session, tmp_path: Path) -> None:
    composing.stroke(4, black())
    composing.give(2, "hair", True)
    image, edited, recipe = composing.finish()
    (tmp_path / "r.json").write_text(recipe.to_json())
    again = read_recipe(tmp_path / "r.json")
    assert (again.gives, again.edit.regions[0]) == (((), ("hair", "smiling")), None)
    sources = [slot.source for slot in composing.images if slot]
    scene = again.scene(composing.models.get("places"), sources)
    assert np.array_equal(scene.render(again.edit).raw, edited.raw)
    assert np.array_equal(
        np.asarray(scene.place(scene.render(again.edit), again.edit, again.composite)), np.asarray(image)
    )
    for wrong, says in (
        ({"gives": "hair"}, "must be a list of names"),
        ({"region": "!"}, "must be a PNG in base64"),
        ({}, "is missing"),
    ):
        values = json.loads(recipe.to_json())
        values["exemplars"][0] |= wrong
        if not wrong:
            del values["exemplars"][0]["gives"]
        (tmp_path / "r.json").write_text(json.dumps(values))
        with pytest.raises(LomitError, match=says):
            read_recipe(tmp_path / "r.json")
    with pytest.raises(LomitError, match="regions are for a composition"):
        Scene(composing.models.get("places"), sources[0], sources[1:]).render(recipe.edit)
    names = io.BytesIO(base64.b64decode(views.download(composing, "masks")["data"]))
    assert sum("region" in name for name in zipfile.ZipFile(names).namelist()) == 2


def test_nothing_to_show_without_images(models: Models) -> None:
    session = Session(models, Limits(), [], EditorSettings("tiny"))
    assert views.viewer(session)["after"] == ""
    assert [pane["image"] for pane in views.bench(session)["panes"]] == [""] * PANES
    for call in (session.finish, session.keep):
        with pytest.raises(LomitError, match="there is no result"):
            call()
    with pytest.raises(LomitError, match="open an image first"):
        session.stroke(0, None)
    session.stroke(0, None, 1)  # drawn before the image was removed: left out, not an error
    assert session.slots == [None] * PANES


def test_paths_of_models_stay_here(models: Models) -> None:
    assert models.names[0] == "tiny"
    assert "avatars" in models.names
    assert models.about("avatars").startswith("LOMIT for rendered faces")
    assert models.about("tiny") == f"Its attributes are {', '.join(models.get('tiny').attributes)}."
    with pytest.raises(KeyError):
        models.get("/etc")


def test_store(session: Session) -> None:
    sessions = Sessions(lambda: session, Limits(sessions=2, idle=1e9))
    sessions.begin("a")
    sessions.begin("b")
    with pytest.raises(LomitError, match="the editor is full"):
        sessions.begin("c")
    sessions.end("a")
    sessions.begin("c")
    with pytest.raises(LomitError, match="load it again"):
        sessions.get("a")
    silent = Sessions(lambda: session, Limits(sessions=1, idle=0))
    silent.begin("a")
    silent.begin("b")
    assert len(silent) == 1


def test_an_input_chooses_the_model_until_a_person_does(samples: list[Sample]) -> None:
    models = Models("avatars", "cpu")
    photographs = [name for name in models.names if name in PHOTOGRAPHS]
    if not photographs:
        pytest.skip("no checkout")
    one = Session(models, Limits(), samples, EditorSettings("avatars", choosing=True))
    shades = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(shades).resize((64, 64), Image.Resampling.BICUBIC).save(file, "PNG")
    one.open(1, "b.png", file.getvalue())
    assert one.settings.model == "avatars"
    one.open(0, "a.png", file.getvalue())
    assert one.settings.model in photographs
    assert one.slots[0] is not None
    assert "photograph" in one.slots[0].note
    one.set(EditorSettings("avatars"))
    one.open(0, "a.png", file.getvalue())
    assert one.settings.model == "avatars"


def test_a_model_of_photographs_is_told(models: Models) -> None:
    assert not models.photographs
    for name in models.names:
        if name in PHOTOGRAPHS:
            assert Models(name, "cpu").photographs
