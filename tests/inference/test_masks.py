"""Operations on masks: what each promises, on masks whose right answer is known."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lomit
from lomit import masks
from lomit.errors import LomitError

EPS = 1e-6


def soft(height: int = 30, width: int = 41, seed: int = 0) -> np.ndarray:
    """A mask of random soft values, with a wide range of sizes of what is bright."""
    small = np.random.default_rng(seed).random((height // 3, width // 4)).astype(np.float32)
    return masks.resize(small, (width, height)) ** 2


def box(height: int, width: int, top: int, left: int, bottom: int, right: int, value: float = 1.0) -> np.ndarray:
    m = np.zeros((height, width), dtype=np.float32)
    m[top:bottom, left:right] = value
    return m


def test_public_under_a_short_name() -> None:
    assert lomit.masks is masks
    assert masks.__name__ == "lomit.inference.masks"


def test_a_mask_of_any_kind_is_read_and_floats_keep_every_bit(tmp_path: Path) -> None:
    m = soft()
    assert np.array_equal(masks.load(m), m)
    assert masks.load(m) is not m
    assert np.array_equal(masks.load(m > 0.5), (m > 0.5).astype(np.float32))
    masks.save(tmp_path / "mask.png", m)
    with Image.open(tmp_path / "mask.png") as image:
        assert (image.mode, image.size) == ("L", (41, 30))
    assert np.abs(masks.load(tmp_path / "mask.png") - m).max() <= 0.5 / 255 + EPS
    assert masks.load(tmp_path / "mask.png", (7, 9)).shape == (9, 7)
    with pytest.raises(LomitError, match="exists already"):
        masks.save(tmp_path / "mask.png", m)


def test_resampling_keeps_the_mean_and_the_range() -> None:
    m = soft(40, 40)
    for size in ((10, 10), (80, 120)):
        scaled = masks.resize(m, size)
        assert scaled.shape == (size[1], size[0])
        assert abs(scaled.mean() - m.mean()) < 0.01
        assert scaled.min() >= 0
        assert scaled.max() <= 1


@pytest.mark.parametrize("radius", [0, 1, 2.5, 7, 60])
def test_grown_and_shrunk_are_what_a_disc_of_pixels_says(radius: float) -> None:
    m = soft(17, 12)
    y, x = np.mgrid[:17, :12]
    grown, shrunk = masks.grow(m, radius), masks.shrink(m, radius)
    for i in range(17):
        for j in range(12):
            disc = m[(y - i) ** 2 + (x - j) ** 2 <= radius**2]
            assert grown[i, j] == disc.max()
            assert shrunk[i, j] == disc.min()


@pytest.mark.parametrize("radius", [1, 3, 6.3])
def test_growing_and_shrinking_close_and_open(radius: float) -> None:
    m = soft()
    closed, opened = masks.shrink(masks.grow(m, radius), radius), masks.grow(masks.shrink(m, radius), radius)
    assert (closed >= m).all()
    assert (opened <= m).all()
    assert (closed > m).any()
    assert (opened < m).any()
    # Once closed it stays closed; each is the other on the background, up to the last bit of 1 - m.
    assert np.array_equal(masks.shrink(masks.grow(closed, radius), radius), closed)
    assert np.allclose(masks.shrink(m, radius), masks.invert(masks.grow(masks.invert(m), radius)), atol=EPS)


def test_feathering_spreads_an_edge_and_keeps_what_is_even() -> None:
    m = box(40, 40, 0, 0, 40, 20)
    blurred = masks.feather(m, 3)
    assert np.array_equal(masks.feather(m, 0), m)
    assert np.allclose(blurred + blurred[:, ::-1], 1, atol=1e-5)
    assert blurred[20, 17] == pytest.approx(0.798, abs=0.005)  # 2.5 pixels inside: Phi(2.5 / 3)
    assert np.abs(masks.feather(np.full((9, 9), 0.3, dtype=np.float32), 2) - 0.3).max() < EPS


def test_holes_are_filled_up_to_their_rim() -> None:
    ring = box(20, 20, 4, 4, 16, 16, 0.7) - box(20, 20, 8, 8, 12, 12, 0.6)
    assert np.allclose(masks.fill_holes(ring), box(20, 20, 4, 4, 16, 16, 0.7))
    ring[9, 12:16] = 0.3  # a way out, as high as 0.3
    assert np.allclose(masks.fill_holes(ring)[8:12, 8:12], 0.3)
    open_at_the_edge = box(9, 9, 0, 0, 9, 9) - box(9, 9, 3, 0, 5, 6)
    assert np.array_equal(masks.fill_holes(open_at_the_edge), open_at_the_edge)
    # A way of many turns: nothing is closed, so nothing is filled.
    spiral = np.ones((25, 25), dtype=np.float32)
    row = column = 0
    for length, (down, right) in zip(range(24, 0, -2), [(0, 1), (1, 0), (0, -1), (-1, 0)] * 3, strict=True):
        for _ in range(length):
            spiral[row, column] = 0
            row, column = row + down, column + right
    assert np.array_equal(masks.fill_holes(spiral), spiral)
    m = soft()
    assert (masks.fill_holes(m) >= m).all()
    assert np.array_equal(masks.fill_holes(masks.fill_holes(m)), masks.fill_holes(m))


def test_specks_go_by_their_size() -> None:
    m = box(20, 20, 1, 1, 3, 3, 0.8) + box(20, 20, 6, 6, 9, 9, 0.6) + box(20, 20, 12, 12, 19, 19, 0.05)
    assert np.array_equal(masks.drop_specks(m, 4), m)
    assert np.array_equal(masks.drop_specks(m, 5), m - box(20, 20, 1, 1, 3, 3, 0.8))
    assert np.array_equal(masks.drop_specks(m, 10), box(20, 20, 12, 12, 19, 19, 0.05))
    assert masks.drop_specks(m, 10, level=0).sum() == pytest.approx(49 * 0.05)


def content() -> np.ndarray:
    """C x 8 x 8: two like regions on either side of a third, each cell at a length of its own."""
    c = np.zeros((3, 8, 8), dtype=np.float32)
    c[0, :, :3] = c[0, :, 5:] = 1
    c[1, :, 3:5] = 1
    c[1, 2, 1] = 0.5  # cosine with its neighbours: 0.894
    return c * np.random.default_rng(0).uniform(0.5, 2, (8, 8)).astype(np.float32)


def test_a_region_is_selected_by_content_around_the_point() -> None:
    left = box(8, 8, 0, 0, 8, 3)
    assert np.array_equal(masks.select(content(), (0.1, 0.9), 0.8), left)  # the like region across isn't reached
    assert np.array_equal(masks.select(torch.from_numpy(content()), (0.1, 0.9), 0.8), left)
    left[2, 1] = 0
    assert np.array_equal(masks.select(content(), (0.1, 0.9), 0.95), left)
    assert np.array_equal(masks.select(content(), (1.0, 1.0), 0.95), box(8, 8, 0, 5, 8, 8))
    assert masks.select(content(), (0.5, 0.5), -1).all()
    assert masks.select(np.zeros((3, 4, 4)), (0.5, 0.5)).sum() == 1  # the place itself, at least
    cosines = masks.similarity(content(), (0.2, 0.3))
    assert cosines[0, 0] == pytest.approx(1 / np.sqrt(1.25))
    with pytest.raises(LomitError, match="shares of the sides"):
        masks.select(content(), (1.2, 0.5))


def test_a_lasso_is_filled() -> None:
    half = masks.lasso([(0, 0), (0.5, 0), (0.5, 1), (0, 1)], (40, 20))
    assert half.shape == (20, 40)
    assert np.abs(half - box(20, 40, 0, 0, 20, 20)).mean() < 0.02
    triangle = masks.lasso([(0.1, 0.1), (0.9, 0.1), (0.1, 0.9)])
    assert triangle.mean() == pytest.approx(0.32, abs=0.003)
    assert len(np.unique(triangle)) > 4  # its slope is smooth
    with pytest.raises(LomitError, match="three points"):
        masks.lasso([(0, 0), (1, 1)])


def test_regions_are_added_and_removed_at_the_masks_own_size() -> None:
    m, region = soft(40, 40), box(10, 10, 0, 0, 5, 10)
    inside = masks.resize(region, (40, 40))
    assert np.array_equal(masks.add(m, region), np.maximum(m, inside))
    assert np.array_equal(masks.remove(m, region), np.minimum(m, 1 - inside))
    assert np.array_equal(masks.remove(masks.add(m, 0 * m), 0 * m), m)
    assert np.allclose(masks.invert(masks.invert(m)), m, atol=EPS)


LINE = [[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]]


@pytest.mark.parametrize(
    ("step", "same"),
    [
        ({"do": "grow", "radius": 2}, lambda m: masks.grow(m, 2)),
        ({"do": "shrink", "radius": 1.5}, lambda m: masks.shrink(m, 1.5)),
        ({"do": "feather", "radius": 2}, lambda m: masks.feather(m, 2)),
        ({"do": "drop_specks", "area": 999}, lambda m: masks.drop_specks(m, 999)),
        ({"do": "fill_holes"}, masks.fill_holes),
        ({"do": "invert"}, masks.invert),
        ({"do": "lasso", "points": LINE}, lambda m: masks.add(m, masks.lasso([(x, y) for x, y in LINE], (41, 30)))),
        (
            {"do": "select", "at": [0.1, 0.9], "alike": 0.8, "erase": True},
            lambda m: masks.remove(m, masks.select(content(), (0.1, 0.9), 0.8)),
        ),
    ],
)
def test_a_step_is_the_function_of_its_name(step: dict[str, Any], same: Any) -> None:
    m = soft()
    before = m.copy()
    assert np.array_equal(masks.apply(m, step, content()), same(m))
    assert np.array_equal(m, before)
    assert not np.array_equal(masks.apply(m, step, content()), m)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ([], "a step must be an object"),
        ({}, "there is no operation 'None'"),
        ({"do": "grown", "radius": 1}, r"no operation 'grown' \(did you mean 'grow'\?\)"),
        ({"do": "load", "radius": 1}, "no operation 'load'"),
        ({"do": "grow"}, "'radius' of grow must be a number from 0 to 256; it is None"),
        ({"do": "grow", "radius": True}, "must be a number from 0 to 256; it is True"),
        ({"do": "grow", "radius": 1e9}, "must be a number from 0 to 256"),
        ({"do": "grow", "radius": float("nan")}, "must be a number from 0 to 256"),
        ({"do": "invert", "radius": 1}, "invert has no 'radius'"),
        ({"do": "lasso", "points": [[0, 0], [1, 1]]}, "three points"),
        ({"do": "lasso", "points": [[0, 0]] * 10_001}, "up to 10000 points"),
        ({"do": "lasso", "points": [[0, 0], [1, 1], [2, 0]]}, "'x' of lasso must be a number from 0 to 1"),
        ({"do": "select"}, "a point of select must be"),
        ({"do": "select", "at": [0, 0], "erase": 1}, "'erase' of select must be true or false"),
        ({"do": "select", "at": [0, 0]}, "this model gives no content codes"),
    ],
)
def test_steps_from_elsewhere_are_checked(step: Any, says: str) -> None:
    with pytest.raises(LomitError, match=says) as raised:
        masks.apply(soft(), step)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("bad", [np.full((3, 3), 1.5), np.full((3, 3), np.nan), np.zeros((0, 3)), np.zeros((2, 3, 7))])
def test_what_is_no_mask_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(LomitError):
        masks.grow(bad, 1)


def test_numbers_and_extras_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    for operation in (masks.grow, masks.shrink, masks.feather):
        with pytest.raises(LomitError, match="a radius must be"):
            operation(soft(), -1)
    with pytest.raises(LomitError, match="sides of 1 pixel or more"):
        masks.resize(soft(), (0, 3))
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)  # import raises ImportError
    with pytest.raises(LomitError, match=r"pip install 'lomit\[editor\]'"):
        masks.grow(soft(), 1)
    assert masks.fill_holes(soft()).shape == (30, 41)
