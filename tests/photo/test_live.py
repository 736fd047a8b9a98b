"""Frames of a camera: pasted as `paste` does, translated as a video is, followed with few looks of the detector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from doubles import double
from lomit import Predictor
from lomit.models.lomit.config import LossWeights
from lomit.photo import ExemplarFace, Face, align, paste, translate_crops
from lomit.photo import live as live_module
from lomit.photo.align import side_of
from lomit.photo.live import Live, LiveTracker, paste_quickly, tint_quickly
from lomit.photo.tracking import HOLD, STEADY, SteadyMasks, Tracker
from lomit.photo.translate import FrameTranslator
from support.photos import noise, smooth, turned
from support.scenes import EXEMPLAR, SIZE, path, rendered, scene
from support.tiny import tiny_translator

SIDE = 64


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.from_pretrained("avatars", "cpu")


def painted(seed: int) -> Image.Image:
    """A crop without fine detail."""
    return noise(6, 6, seed).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def disc(radius: float = 20.0) -> Image.Image:
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    return Image.fromarray(((x**2 + y**2 < radius**2) * 255).astype(np.uint8))


def levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


PLACES = {
    "upright": turned(0, 300, (320, 240)),
    "turned": turned(-25, 220, (300, 200)),
    "small": turned(10, 45, (500, 400)),
    "large": turned(5, 700, (320, 240)),
    "over the edge": turned(0, 260, (20, 470)),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mask", [disc(), None], ids=["disc", "all"])
def test_pasting_quickly_is_pasting(place: str, mask: Image.Image | None) -> None:
    image, face = smooth(*SIZE), PLACES[place]
    crop, after = align(image, face, SIDE), painted(2)
    wanted = levels(paste(image, face, painted(1), after, mask, strength=0.8))
    given = levels(paste_quickly(image, face, crop, painted(1), after, mask, strength=0.8))
    change = np.abs(wanted - levels(image))
    assert change.max() > 40
    # A face smaller than the crop is scaled down by other filters.
    small = side_of(face) < SIDE
    assert np.abs(given - wanted).mean() < (0.06 if small else 0.02) * change.mean()
    assert np.abs(given - wanted).max() <= (24 if small else 10)
    touched = [(result != levels(image)).any(axis=2) for result in (wanted, given)]
    assert (touched[0] != touched[1]).mean() < 0.02


def test_pixels_without_weight_stay() -> None:
    image, face = noise(*SIZE), PLACES["turned"]
    none, gone = Image.new("L", (SIDE, SIDE)), turned(0, 100, (-300, 240))
    for mask, where in ((none, face), (disc(), gone)):
        crop = align(image, where, SIDE)
        assert paste_quickly(image, where, crop, painted(1), painted(2), mask).tobytes() == image.tobytes()
        assert tint_quickly(image, where, mask, SIDE).tobytes() == image.tobytes()
    crop = align(image, face, SIDE)
    for shown in (
        paste_quickly(image, face, crop, painted(1), painted(2), disc(8)),
        tint_quickly(image, face, disc(8), SIDE),
    ):
        changed = (levels(shown) != levels(image)).any(axis=2)
        rows, columns = np.nonzero(changed)
        # A disc of an eighth of the crop's side, and its soft edge.
        reach = 1.5 * side_of(face) * 8 / SIDE
        assert np.hypot(columns + 0.5 - 300, rows + 0.5 - 200).max() < reach
    assert paste_quickly(image, face, crop, painted(1), painted(2), disc(), strength=0).tobytes() == image.tobytes()


def test_a_mask_that_is_shown_reddens_its_place_alone() -> None:
    grey, face = Image.new("RGB", SIZE, (90, 90, 90)), PLACES["upright"]
    shown = levels(tint_quickly(grey, face, disc(), SIDE))
    assert shown[240, 320].tolist() == [189, 60, 60]  # 60 % of the way to the tint
    assert shown[10, 10].tolist() == [90, 90, 90]


def told(places: Sequence[Face | None]) -> Tracker:
    """A tracker that is told where the face is in each frame."""

    class Told(Tracker):
        def update(self, image: Image.Image, time: float) -> list[Face]:
            face = places[round(time)]
            return [] if face is None else [face]

    return Told(0)


@pytest.mark.parametrize("places", [False, True], ids=["avatars", "places"])
def test_frames_have_the_bits_of_crops_translated_one_by_one(predictor: Predictor, places: bool) -> None:
    only = None
    if places:
        only, names = ["hair"], ("Black_Hair", "Blond_Hair", "Smiling")
        predictor = Predictor(
            tiny_translator(attributes=names, mask_sees="differences", weights=LossWeights(style_cls=1.0)), "cpu"
        )
    size, face = predictor.image_size, turned(0, 280, (320, 240))
    guide = ExemplarFace(face, rendered(*EXEMPLAR).resize((size, size)))
    translate, masks, theirs = FrameTranslator(predictor, guide, only=only), SteadyMasks(), None
    for index, shift in enumerate([(0, 0), (9, 3), (17, 5)]):
        crop = align(scene(shift), face, size)
        (done,) = translate([(face, crop)])
        known = replace(guide, mask=theirs)
        (wanted,) = translate_crops(predictor, [(face, crop)], known, only=only, steady=masks)
        theirs = wanted.exemplar_mask
        for part in ("input_mask", "exemplar_mask", "before", "after"):
            assert getattr(done, part).tobytes() == getattr(wanted, part).tobytes(), (index, part)


def test_of_the_exemplar_nothing_is_computed_twice(predictor: Predictor) -> None:
    size, face = predictor.image_size, turned(0, 280, (320, 240))
    translate = FrameTranslator(predictor, ExemplarFace(face, rendered(*EXEMPLAR).resize((size, size))))
    generator, calls = predictor.translator.generator, Counter[str]()
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
        for name, module in {
            "c": generator.content_encoder,  # type: ignore[union-attr]
            "m": generator.cosegmentation,  # type: ignore[union-attr]
            "s": generator.style_encoders.stem,  # type: ignore[union-attr]
        }.items()
    ]
    counts = []
    for shift in (0, 0), (9, 3), (17, 5):
        translate([(face, align(scene(shift), face, size))])
        counts.append(dict(calls))
        calls.clear()
    for hook in hooks:
        hook.remove()
    # The pair, and then the frame alone: its content and the codes of its two regions; masks are a pair's.
    assert counts == [{"c": 1, "m": 1, "s": 3}, {"c": 1, "m": 1, "s": 2}, {"c": 1, "m": 1, "s": 2}]


def test_frames_without_the_face_pass_and_the_masks_begin_anew(predictor: Predictor) -> None:
    size, face = predictor.image_size, turned(0, 280, (320, 240))
    guide = ExemplarFace(face, rendered(*EXEMPLAR).resize((size, size)))
    live = Live(predictor, guide, tracker=told([face, face, None, face]))
    frames = [live.frame(scene((3 * k, 0)), float(k), show_mask=True) for k in range(4)]
    assert [frame.found for frame in frames] == [True, True, False, True]
    assert frames[2].image.tobytes() == scene((6, 0)).tobytes()
    assert frames[2].seconds.keys() == {"find"}
    assert frames[3].seconds.keys() == {"find", "translate", "paste"}
    fresh = Live(predictor, guide, tracker=told([face] * 4))
    fresh._translate._guide = live._translate._guide
    again = fresh.frame(scene((9, 0)), 3.0, show_mask=True)
    assert frames[3].image.tobytes() == again.image.tobytes()


def test_another_exemplar_takes_effect_at_once(predictor: Predictor) -> None:
    size, face = predictor.image_size, turned(0, 280, (320, 240))
    one, two = (ExemplarFace(face, rendered(*which).resize((size, size))) for which in (EXEMPLAR, (3, 4)))
    live = Live(predictor, one, tracker=told([face] * 2))
    before = live.frame(scene(), 0.0).image
    live.guide(two)
    after = live.frame(scene(), 1.0).image
    assert after.tobytes() == Live(predictor, two, tracker=told([face])).frame(scene(), 0.0).image.tobytes()
    assert after.tobytes() != before.tobytes()


@pytest.mark.parametrize("has_masks", [True, False])
def test_methods_that_cannot_be_edited_are_translated_as_photographs_are(
    has_masks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Predictor, "can_blend", False)
    predictor, face = Predictor(double(has_masks=has_masks), "cpu"), turned(0, 200, (320, 240))
    live = Live(predictor, ExemplarFace(face, Image.new("RGB", (16, 16), (220, 40, 40))), tracker=told([face]))
    shown = levels(live.frame(Image.new("RGB", SIZE, (40, 60, 120)), 0.0).image)
    assert shown[240, 280, 0] > 150
    assert shown[240, 500].tolist() == [40, 60, 120]


def test_masks_are_averaged_over_frames() -> None:
    masks = SteadyMasks()
    black, white = (Image.new("L", (2, 2), value) for value in (0, 200))
    assert masks([black])[0].getpixel((0, 0)) == 0  # type: ignore[union-attr]
    assert masks([white])[0].getpixel((0, 0)) == 200 * STEADY  # type: ignore[union-attr]
    assert masks([None]) == [None]
    masks([black])
    masks.forget()
    assert masks([white])[0].getpixel((0, 0)) == 200  # type: ignore[union-attr]


Looks = list[str]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """What the detector was asked to search: `whole` frames, or what is `near` a face."""
    pytest.importorskip("dlib")
    asked: Looks = []
    find: Callable[..., list[Face]] = live_module.find_faces

    def counted(image: Image.Image, longest: int) -> list[Face]:
        asked.append("whole" if image.size == SIZE else "near")
        return find(image, longest)

    monkeypatch.setattr(live_module, "find_faces", counted)
    return asked


def astronaut(shift: tuple[int, int] = (0, 0), angle: float = 0.0) -> Image.Image:
    """Eileen Collins by NASA, in the public domain, before a plain wall."""
    photo = Image.fromarray(pytest.importorskip("skimage.data").astronaut()).crop((90, 0, 390, 300))
    frame = Image.new("RGB", SIZE, (110, 120, 130))
    frame.paste(
        photo.rotate(angle, Image.Resampling.BICUBIC, fillcolor=(110, 120, 130)), (170 + shift[0], 90 + shift[1])
    )
    return frame


def test_a_moving_face_is_followed_with_two_looks_a_second(looks: Looks) -> None:
    tracker, rate = LiveTracker(), 20
    for k, shift in enumerate(path(60)):
        (face,) = tracker.update(astronaut(shift), k / rate)
        eyes = np.array([(255, 104), (238, 105), (196, 102), (212, 104), (224, 135)]) - (90, 0) + (170, 90) + shift
        # The filter lags behind a moving face by a few pixels of its 100.
        assert np.abs(face.landmarks - eyes).max() < 12, k
        assert np.abs(np.mean(np.reshape(face.box, (2, 2)), axis=0) - eyes.mean(axis=0)).max() < 30, k
        assert 70 < face.box[2] - face.box[0] < 160, k
    # A look every half second: each near the last place, but for the first.
    assert looks[0] == "whole"
    assert looks.count("near") in (5, 6)
    assert looks.count("whole") == 1


def test_a_face_that_leaps_is_found_in_the_whole_frame(looks: Looks) -> None:
    tracker, rate = LiveTracker(), 20
    found = [tracker.update(astronaut((0, 0) if k < 10 else (120, 40)), k / rate) for k in range(30)]
    assert all(found[:10])
    there = [bool(faces) and faces[0].landmarks[:, 0].mean() > 400 for faces in found[10:]]
    # Beyond the neighbourhood that is searched: within a second, and then for good.
    assert any(there)
    assert all(there[there.index(True) :])
    assert there.index(True) <= rate


def test_a_face_that_leans_is_followed_beyond_what_the_detector_finds(looks: Looks) -> None:
    tracker, sides = LiveTracker(), []
    for k in range(30):
        (face,) = tracker.update(astronaut(angle=1.2 * k), k / 30)
        sides.append(side_of(face))
    assert max(sides) / min(sides) < 1.25
    assert looks.count("whole") <= 2


def test_a_face_that_leaves_is_lost_soon_and_found_again(looks: Looks) -> None:
    empty = Image.new("RGB", SIZE, (110, 120, 130))
    tracker, rate = LiveTracker(), 20
    found = [bool(tracker.update(astronaut(), k / rate)) for k in range(10)]
    found += [bool(tracker.update(empty, (10 + k) / rate)) for k in range(40)]
    assert all(found[:10])
    last = max(k for k, here in enumerate(found) if here)
    assert (last - 9) / rate <= live_module.AGAIN + HOLD + 1 / rate
    # Every frame is searched until the face is given up; then four a second are.
    assert looks.count("whole") <= 2 + HOLD * rate + 2 / live_module.REST
    back = [bool(tracker.update(astronaut((20, 5)), (50 + k) / rate)) for k in range(10)]
    assert back.index(True) / rate <= live_module.REST + 1 / rate
    assert all(back[back.index(True) :])


def test_nothing_is_followed_that_is_no_face(looks: Looks) -> None:
    tracker = LiveTracker()
    assert [tracker.update(smooth(*SIZE), k / 20) for k in range(20)] == [[]] * 20
    assert looks.count("near") == 0
    assert looks.count("whole") <= 4
