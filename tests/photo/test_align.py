"""Training crops of faces: the similarity against least squares, resampling, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lomit.data.transforms import resize
from lomit.errors import LomitError
from lomit.photo import Face, align, place
from lomit.photo.align import crop_to_photo, fit_error, fit_similarity, side_of
from lomit.photo.faces import TEMPLATE
from support.photos import noise, smooth, turned


@pytest.mark.parametrize("seed", range(3))
def test_similarity_is_the_least_squares_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    target += 3 * source  # so that no reflection fits better
    # x' = a x - b y + tx, y' = b x + a y + ty is linear in its four numbers.
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        values += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    np.testing.assert_allclose(fit_similarity(source, target), [[a, -b, tx], [b, a, ty]], atol=1e-9)


def test_similarity_never_mirrors() -> None:
    matrix = fit_similarity(TEMPLATE, TEMPLATE * [-1, 1])
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize("points", [np.ones((5, 2)), np.full((5, 2), np.nan)])
def test_landmarks_on_one_spot_are_refused(points: np.ndarray) -> None:
    with pytest.raises(LomitError, match="five distinct points"):
        align(noise(20, 20), Face((0, 0, 1, 1), points), 16)


@pytest.mark.parametrize("size", [40, 100])
def test_an_upright_crop_is_what_training_sees(size: int) -> None:
    photo, box = noise(200, 150), (30, 20, 130, 120)
    expected = resize(photo.crop(box), size)
    assert np.array_equal(np.asarray(align(photo, Face.from_crop(box), size)), np.asarray(expected))


@pytest.mark.parametrize(("angle", "side"), [(0, 90.0), (30, 61.7), (-75, 140.0), (180, 90.0)])
def test_a_turned_face_is_turned_back(angle: float, side: float) -> None:
    photo = smooth(300, 260)
    face = turned(angle, side, (150.2, 131.7))
    got = np.asarray(align(photo, face, 32)).astype(float)
    at = (np.mgrid[:32, :32][::-1].reshape(2, -1).T + 0.5) / 32  # centres of the crop's pixels
    x, y = (at @ crop_to_photo(face)[:, :2].T + crop_to_photo(face)[:, 2]).T
    y, x = (y - 0.5) / 40, (x - 0.5) / 40
    planes = [128 + 90 * np.sin(x * a + y * b + c) for a, b, c in ((1, 0.3, 0), (0.2, 1.1, 1), (0.7, 0.7, 2))]
    expected = np.stack(planes, axis=-1).reshape(32, 32, 3)
    assert np.abs(got - expected).max() < 2.5


@pytest.mark.parametrize("angle", [0, 20])
def test_shrinking_averages(angle: float) -> None:
    y, x = np.mgrid[:900, :900]
    checks = Image.fromarray(((x + y) % 2 * 255).astype(np.uint8)).convert("RGB")
    crop = np.asarray(align(checks, turned(angle, 700, (450, 450)), 32)).astype(float)
    assert np.abs(crop - 127.5).max() < 3, "single pixels of a board of squares would be black or white"


@pytest.mark.parametrize("centre", [(5.0, 5.0), (-400.0, 900.0)])
def test_nothing_black_enters_at_the_edges(centre: tuple[float, float]) -> None:
    crop = align(Image.new("RGB", (90, 70), "white"), turned(15, 60, centre), 32)
    assert np.asarray(crop).min() == 255


def test_beyond_an_edge_the_photograph_is_mirrored() -> None:
    photo = noise(60, 60)
    crop = np.asarray(align(photo, Face.from_crop((-20, 0, 40, 60)), 60))
    assert np.array_equal(crop[:, :20], np.asarray(photo)[:, :20][:, ::-1])
    assert np.array_equal(crop[:, 20:], np.asarray(photo)[:, :40])


def test_transparent_parts_are_white() -> None:
    photo = Image.new("RGBA", (40, 40), (10, 20, 30, 0))
    assert np.asarray(align(photo, Face.from_crop((0, 0, 40, 40)), 16)).min() == 255


@pytest.mark.parametrize(("side", "size"), [(64.0, 64), (150.0, 64), (40.0, 64)])
def test_place_inverts_align(side: float, size: int) -> None:
    photo, face = smooth(260, 220), turned(25, side, (130.0, 110.0))
    crop = np.asarray(align(photo, face, size), dtype=np.float32)
    (left, top, right, bottom), values = place(crop, face, photo.size)
    _, inside = place(np.ones((size, size, 1), dtype=np.float32), face, photo.size)
    assert values.shape == (bottom - top, right - left, 3)
    error = np.abs(values - np.asarray(photo, dtype=np.float32)[top:bottom, left:right]).max(axis=2)
    well_inside = inside[..., 0] > 0.999
    assert well_inside.sum() > 0.8 * side**2
    assert np.percentile(error[well_inside], 99) < 4


def test_a_crop_outside_of_the_photograph_has_no_place() -> None:
    box, values = place(np.ones((8, 8, 2), dtype=np.float32), turned(0, 20, (-100, 5)), (50, 50))
    assert box == (0, 0, 0, 0)
    assert values.shape == (0, 0, 2)


def test_fit_error() -> None:
    face = turned(40, 178, (300, 200))
    assert fit_error(face) == pytest.approx(0, abs=1e-9)
    assert side_of(face) == pytest.approx(178)
    bent = face.landmarks.copy()
    bent[4] += 0.3 * 178
    assert fit_error(Face(face.box, bent)) > 0.05
