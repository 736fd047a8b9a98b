"""Whole photographs: faces chosen, masks, and what comes back; with a translator whose every value is known."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from doubles import double
from lomit import Predictor
from lomit.errors import LomitError
from lomit.images import as_picture
from lomit.photo import Face, align, find_faces, paste, translate_photo
from lomit.photo.align import fit_error
from lomit.photo.faces import SIZES, sizes_for
from lomit.photo.translate import ExemplarFace, translate_crops
from support.photos import smooth, turned
from support.tiny import seeing_places

FACES = [turned(15, 120, (100, 100)), turned(-10, 80, (240, 130))]
RED = Image.new("RGB", (40, 40), (250, 10, 10))
RED_FACE = [Face.from_crop((0, 0, 40, 40))]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(double(), "cpu")


def test_the_face_takes_the_exemplars_colour_and_the_rest_stays(predictor: Predictor) -> None:
    photo = smooth(300, 220)
    result = translate_photo(predictor, photo, RED, faces=FACES, exemplar_faces=RED_FACE)
    (face,) = result.results
    # The double paints its left half (its mask is soft in the middle) with the exemplar's mean; or with its own.
    assert np.abs(np.asarray(face.after)[:, :6].astype(int) - [250, 10, 10]).max() <= 1
    m = np.asarray(face.input_mask)[..., None] / 255
    own = (np.asarray(face.crop) * m).sum(axis=(0, 1)) / m.sum()
    assert np.abs(np.asarray(face.before)[:, :6] - own).max() <= 1
    assert np.array_equal(np.asarray(face.before)[:, 10:], np.asarray(face.crop)[:, 10:])
    weight = np.asarray(result.mask)
    before, after = np.asarray(photo).astype(int), np.asarray(result.image).astype(int)
    assert np.array_equal(after[weight == 0], before[weight == 0])
    full = weight == 255
    assert full.sum() > 1000
    expected = np.clip(before[full] + np.array([250, 10, 10]) - own, 0, 255)
    assert np.abs(after[full] - expected).mean() < 3
    assert result.image.size == photo.size
    assert result.faces == FACES


def test_the_result_is_what_paste_makes_of_its_parts(predictor: Predictor) -> None:
    photo = smooth(300, 220)
    result = translate_photo(predictor, photo, RED, faces=FACES, exemplar_faces=RED_FACE, strength=0.7)
    (face,) = result.results
    again = paste(photo, face.face, face.before, face.after, face.input_mask, strength=0.7)
    assert np.array_equal(np.asarray(again), np.asarray(result.image))
    assert np.array_equal(np.asarray(face.crop), np.asarray(align(photo, FACES[0], 16)))


def test_one_face_the_other_or_all(predictor: Predictor) -> None:
    photo = smooth(300, 220)

    def changed(which: int | str) -> np.ndarray:
        result = translate_photo(predictor, photo, RED, face=which, faces=FACES, exemplar_faces=RED_FACE)  # type: ignore[arg-type]
        return (np.asarray(result.image) != np.asarray(photo)).any(axis=(0, 2))

    assert changed(0)[:180].any()
    assert not changed(0)[180:].any()
    assert not changed(1)[:180].any()
    assert changed(1)[180:].any()
    assert np.array_equal(changed("all"), changed(0) | changed(1))


def test_exemplars_by_name_change_their_own_regions() -> None:
    predictor, photo = Predictor(seeing_places(), "cpu"), smooth(300, 220)
    other = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    theirs = {"hair": RED_FACE, "smiling": RED_FACE}
    result = translate_photo(
        predictor, photo, {"hair": RED, "smiling": other}, face="all", faces=FACES, exemplar_faces=theirs
    )
    assert (result.exemplar, list(result.exemplars)) == (None, ["hair", "smiling"])
    assert len(result.results) == 2
    for each in result.results:
        regions = predictor.predict_regions(each.crop, {"hair": RED.resize((32, 32)), "smiling": other})
        assert each.input_mask is not None
        union = np.maximum(*(own for _, own, _ in regions))
        assert np.abs(np.asarray(each.input_mask) / 255 - union).max() < 0.01
        assert each.exemplar_mask is None
    # A face as its own exemplar in every region changes nothing.
    itself = {"hair": photo, "smiling": photo}
    same = translate_photo(predictor, photo, itself, faces=FACES[:1], exemplar_faces=dict.fromkeys(itself, FACES[:1]))
    difference = np.abs(np.asarray(same.image, dtype=int) - np.asarray(photo)).mean()
    assert difference < 0.2 * np.abs(np.asarray(result.image, dtype=int) - np.asarray(photo)).mean()
    with pytest.raises(LomitError, match="leave out masks and label"):
        translate_photo(predictor, photo, itself, faces=FACES, input_mask=photo)


def test_an_exemplar_equal_to_the_photograph_changes_nothing(predictor: Predictor) -> None:
    photo = smooth(300, 220)
    result = translate_photo(predictor, photo, photo, faces=FACES, exemplar_faces=FACES)
    assert np.array_equal(np.asarray(result.image), np.asarray(photo))


def test_with_the_crop_as_reference_the_reconstruction_enters(predictor: Predictor) -> None:
    crop = align(as_picture(smooth(300, 220)), FACES[0], predictor.image_size)
    (result,) = translate_crops(predictor, [(FACES[0], crop)], ExemplarFace(FACES[0], crop), reference="crop")
    assert result.before is crop
    assert not np.array_equal(np.asarray(result.after), np.asarray(crop))


def test_masks_on_the_photograph_and_on_the_crop(predictor: Predictor) -> None:
    photo = smooth(300, 220)
    # The right half of the picture, whose border runs through the first face's crop.
    on_photograph = Image.fromarray(np.repeat((np.arange(300) > 100)[None], 220, axis=0).astype(np.uint8) * 255)
    result = translate_photo(predictor, photo, RED, faces=FACES, exemplar_faces=RED_FACE, input_mask=on_photograph)
    changed = (np.asarray(result.image) != np.asarray(photo)).any(axis=(0, 2))
    assert not changed[:88].any()
    assert changed[110:150].all()
    top = Image.fromarray(np.repeat((np.arange(16) < 8)[:, None], 16, axis=1).astype(np.uint8) * 255)
    masked = translate_photo(
        predictor, photo, RED, faces=FACES, exemplar_faces=RED_FACE, input_mask=top, exemplar_mask=top
    )
    assert np.array_equal(np.asarray(masked.results[0].input_mask), np.asarray(top))
    assert np.array_equal(np.asarray(masked.results[0].exemplar_mask), np.asarray(top))
    with pytest.raises(LomitError, match="as large as the photograph"):
        translate_photo(
            predictor, photo, RED, faces=FACES, exemplar_faces=RED_FACE, input_mask=Image.new("L", (30, 20))
        )


def test_methods_without_masks_change_the_whole_crop() -> None:
    predictor = Predictor(double(has_masks=False), "cpu")
    photo = smooth(300, 220)
    result = translate_photo(predictor, photo, RED, faces=FACES[:1], exemplar_faces=RED_FACE)
    assert result.results[0].input_mask is None
    weight, untouched = np.asarray(result.mask), np.asarray(result.image) == np.asarray(photo)
    assert (weight == 255).sum() > 0.5 * 120**2
    assert untouched[weight == 0].all()


@pytest.mark.parametrize(
    ("which", "faces", "says"),
    [
        (0, [], "no face found in the photo; say where it is (--face-box"),
        (2, FACES, "there is no face 3 in the photo: 2 faces were found"),
        (1, FACES[:1], "there is no face 2 in the photo: one face was found"),
    ],
)
def test_faces_that_there_are_not(predictor: Predictor, which: int, faces: list[Face], says: str) -> None:
    picture = as_picture(smooth(60, 50), "the photo")
    with pytest.raises(LomitError) as error:
        translate_photo(predictor, picture, RED, face=which, faces=faces, exemplar_faces=RED_FACE)
    assert says in str(error.value)


def test_an_exemplar_without_a_face_names_its_own_option(predictor: Predictor) -> None:
    with pytest.raises(LomitError, match="no face found in exemplar; say where it is .--exemplar-box"):
        translate_photo(predictor, smooth(300, 220), RED, faces=FACES, exemplar_faces=[])


@pytest.mark.parametrize("box", [(0, 0, 10, 12), (5, 5, 5, 5), (9, 0, 0, 9)])
def test_boxes_are_square(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(LomitError, match="must be a square"):
        Face.from_crop(box)


def test_without_the_extra_a_line_says_so(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)  # import raises ImportError
    with pytest.raises(LomitError, match=r"pip install 'lomit\[faces\]'"):
        translate_photo(predictor, smooth(300, 220), RED)


def test_the_detector_finds_a_face_and_its_landmarks() -> None:
    pytest.importorskip("dlib")
    # Eileen Collins by NASA, in the public domain.
    photo = Image.fromarray(pytest.importorskip("skimage.data").astronaut())
    (face,) = find_faces(photo)  # without the folds and the badge that score below `CLEAR`
    assert face.score > 1
    eyes_and_nose = np.array([(255, 104), (238, 105), (196, 102), (212, 104), (224, 135)])
    assert np.abs(face.landmarks - eyes_and_nose).max() < 6
    assert fit_error(face) * 178 < 3
    # Five times as large and turned: the crop shows the same.
    wide = photo.resize((2560, 2560), Image.Resampling.BICUBIC).rotate(-12, Image.Resampling.BICUBIC)
    (large,) = find_faces(wide)
    same = np.asarray(align(wide, large, 64)).astype(int) - np.asarray(align(photo, face, 64))
    assert np.abs(same).mean() < 20


def test_small_faces_beside_large_ones_are_found_where_they_are_wanted() -> None:
    pytest.importorskip("dlib")
    person = Image.fromarray(pytest.importorskip("skimage.data").astronaut())
    group = smooth(1300, 600)
    group.paste(person, (20, 40))
    group.paste(person.resize((180, 180)), (900, 300))
    (largest,) = find_faces(group)
    faces = find_faces(group, (640, 1280))
    assert len(faces) == 2  # each once, though the large one is found at both sizes
    assert faces[0].box == largest.box
    # The same places in both, but for the detector's steps.
    assert np.abs((faces[0].landmarks - (20, 40)) / 512 - (faces[1].landmarks - (900, 300)) / 180).max() < 0.02
    assert sizes_for("all") == sizes_for(1) == SIZES
    assert sizes_for(0) is None


@pytest.mark.data
def test_faces_of_photographs_lie_where_the_template_says() -> None:
    pytest.importorskip("dlib")
    root = Path(os.environ["LOMIT_DATA"]) / "celeba" / "img_align_celeba"
    found = [find_faces(Image.open(path).convert("RGB")) for path in sorted(root.iterdir())[5000:5040]]
    faces = [each[0] for each in found if each]
    assert len(faces) >= 38
    at_rest = Face.from_crop((0, 20, 178, 198)).landmarks
    errors = [np.hypot(*(face.landmarks - at_rest).mean(axis=0)) for face in faces]
    assert np.median(errors) < 3
    assert np.median([fit_error(face) * 178 for face in faces]) < 3
