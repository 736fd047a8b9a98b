"""Operations on masks, as `lomit.masks`: the editor's buttons and a recipe's steps call these functions, too.

A mask is H x W, float32 in [0, 1], 1 = foreground.  Each function takes what `load` takes, leaves it as it is, and
returns a new mask whose soft values stay soft.  Lengths are in the mask's own pixels, places in shares of its sides.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from lomit.errors import LomitError, did_you_mean, require
from lomit.images import write_png
from lomit.inference.squares import MaskLike, load_mask

Mask = np.ndarray
Point = tuple[float, float]
"""x and y as shares of the width and the height, 0 to 1 from the upper left corner."""

SIDE = 256
"""Side in pixels of the masks that the editor and recipes work on."""
ALIKE = 0.4
"""Cosine from which `select` takes a place: of 0.3, 0.4, ..., 0.8 the best for photographs' models on rendered hair."""
_FINE = 4
"""Lines of a lasso are drawn at this many times the mask's resolution, so that its edge is smooth."""


def load(mask: MaskLike, size: tuple[int, int] | None = None) -> Mask:
    """A mask from a file, an image or an array, white = foreground.

    Args:
        mask: a path, an image, or an array H x W of bool, uint8 or floats in [0, 1]; floats keep every bit.
        size: width and height to resample it to.

    Raises:
        LomitError: for what can't be read or is no mask; it says why.
    """
    if isinstance(mask, np.ndarray) and mask.ndim == 2 and mask.dtype.kind == "f":
        if not (mask.size and np.isfinite(mask).all() and mask.min() >= 0 and mask.max() <= 1):
            raise LomitError("a mask of floats must hold values in [0, 1]; scale or clip it")
        m = mask.astype(np.float32)
    else:
        m = np.asarray(load_mask(mask, "mask"), dtype=np.float32) / np.float32(255)
    return m if size is None else resize(m, size)


def save(path: str | os.PathLike[str], mask: MaskLike, overwrite: bool = False) -> None:
    """Writes a mask as a grey PNG of 8 bits, which every `--input-mask` and the editor read.  Raises as `write_png`."""
    write_png(path, to_image(mask), overwrite)


def to_image(mask: MaskLike) -> Image.Image:
    """A mask as an image in mode L, white = foreground.  Raises as `load`."""
    return Image.fromarray(np.rint(load(mask) * 255).astype(np.uint8))


def resize(mask: MaskLike, size: tuple[int, int]) -> Mask:
    """The mask at another width and height: bilinear, and averaged where it gets smaller.  Raises as `load`."""
    m = load(mask)
    if (m.shape[1], m.shape[0]) == tuple(size):
        return m
    if min(size) < 1:
        raise LomitError(f"a mask must have sides of 1 pixel or more; {size[0]} x {size[1]} asked for")
    return np.asarray(Image.fromarray(m).resize(size, Image.Resampling.BILINEAR)).clip(0, 1)


def similarity(content: np.ndarray | Tensor, at: Point) -> np.ndarray:
    """Cosine of every place's content code with the code at a point, h x w in [-1, 1]: what R1 (Eq. 13) binds masks by.

    Args:
        content: content code c of one image, C x h x w (`lomit.Editing.content`).
        at: the point.

    Raises:
        LomitError: for a point outside of the image.
    """
    if not all(0 <= share <= 1 for share in at):
        raise LomitError(f"a point is given by shares of the sides, 0 to 1; it is {at[0]:g}, {at[1]:g}")
    c = content.detach().float().cpu().numpy() if isinstance(content, Tensor) else np.asarray(content, np.float32)
    height, width = c.shape[1:]
    # A place without content is like none.
    c = c / np.maximum(np.linalg.norm(c, axis=0), np.finfo(np.float32).tiny)
    column, row = min(int(at[0] * width), width - 1), min(int(at[1] * height), height - 1)
    return np.einsum("c,chw->hw", c[:, row, column], c).clip(-1, 1)


def select(content: np.ndarray | Tensor, at: Point, alike: float = ALIKE) -> Mask:
    """The region around a point whose content is like the point's: grown from place to neighbouring place.

    Args:
        content, at: as for `similarity`.
        alike: least cosine with the point's content code, -1 to 1; less takes in more.

    Returns:
        h x w, the resolution at which a model uses masks: 1 in the region, else 0.

    Raises:
        LomitError: as `similarity`, and where scipy is missing.
    """
    label = _ndimage().label
    taken = similarity(content, at) >= alike
    height, width = taken.shape
    row, column = min(int(at[1] * height), height - 1), min(int(at[0] * width), width - 1)
    taken[row, column] = True  # whatever `alike` asks for
    regions, _ = label(taken)
    return (regions == regions[row, column]).astype(np.float32)


def lasso(points: Sequence[Point], size: tuple[int, int] = (SIDE, SIDE)) -> Mask:
    """The inside of a line that is drawn around a region and closed, with smooth edges.

    Args:
        points: the line's corners, three or more; where it crosses itself, what it goes around twice is inside, too.
        size: width and height of the mask.

    Raises:
        LomitError: for fewer points.
    """
    if len(points) < 3:
        raise LomitError(f"a lasso needs three points or more; {len(points)} given")
    width, height = size
    fine = Image.new("L", (_FINE * width, _FINE * height))
    # Pillow counts from the middle of a pixel.
    corners = [(x * fine.width - 0.5, y * fine.height - 0.5) for x, y in points]
    ImageDraw.Draw(fine).polygon(corners, fill=255)
    return np.asarray(fine.reduce(_FINE), dtype=np.float32) / 255


def add(mask: MaskLike, region: MaskLike) -> Mask:
    """Mask and region together: the larger value of the two.  The region is resampled to the mask's size."""
    m = load(mask)
    return np.maximum(m, load(region, (m.shape[1], m.shape[0])))


def remove(mask: MaskLike, region: MaskLike) -> Mask:
    """The mask without a region: at most 1 - region.  The region is resampled to the mask's size."""
    m = load(mask)
    return np.minimum(m, 1 - load(region, (m.shape[1], m.shape[0])))


def invert(mask: MaskLike) -> Mask:
    """Foreground for background: 1 - mask."""
    return 1 - load(mask)


def grow(mask: MaskLike, radius: float) -> Mask:
    """Each pixel takes the largest value within a disc.  Raises `LomitError` where scipy is missing.

    `shrink(grow(m, r), r)` is nowhere less than m: it closes gaps narrower than 2 r.
    """
    return _largest_within(load(mask), radius)


def shrink(mask: MaskLike, radius: float) -> Mask:
    """Each pixel takes the smallest value within a disc; beyond the edge of the image nothing counts.

    `grow(shrink(m, r), r)` is nowhere more than m: it takes away what is narrower than 2 r.  Raises as `grow`.
    """
    return 0 - _largest_within(-load(mask), radius)


def feather(mask: MaskLike, radius: float) -> Mask:
    """Softens edges: a Gaussian blur whose standard deviation is the radius.  Raises as `grow`."""
    _check_radius(radius)
    return np.asarray(_ndimage().gaussian_filter(load(mask), radius, mode="nearest")).clip(0, 1)


def fill_holes(mask: MaskLike) -> Mask:
    """Fills what the mask encloses.

    A pixel takes the value that every way from it to the edge of the image must rise to, up, down, left and right:
    a dip within a soft mask is filled up to its rim.
    """
    m = load(mask)
    filled = np.ones_like(m)
    for inside, edge in ((filled, m), (filled.T, m.T)):
        inside[[0, -1]] = edge[[0, -1]]
    before = np.empty_like(m)
    while not np.array_equal(before, filled):
        before[:] = filled
        # From each side in turn a row learns from the one before it; a way of few turns needs few rounds.
        for level, floor in ((filled, m), (filled[::-1], m[::-1]), (filled.T, m.T), (filled.T[::-1], m.T[::-1])):
            for row in range(1, len(level)):
                np.minimum(level[row], np.maximum(level[row - 1], floor[row]), out=level[row])
    return filled


def drop_specks(mask: MaskLike, area: float, level: float = 0.1) -> Mask:
    """Drops small islands: regions above a level that have fewer pixels than `area` become 0.

    Args:
        area: least number of pixels of a region that stays.
        level: pixels above it count, and belong together where they share a side.

    Raises:
        LomitError: where scipy is missing.
    """
    m = load(mask)
    regions, _ = _ndimage().label(m > level)
    small = np.bincount(regions.ravel()) < area
    small[0] = False  # what lies in no region
    return np.where(small[regions], np.float32(0), m)


def _largest_within(m: np.ndarray, radius: float) -> np.ndarray:
    """The largest value within a disc around each pixel, row by row of the disc: O(radius) a pixel."""
    _check_radius(radius)
    filter_rows = _ndimage().maximum_filter1d
    largest = m.copy()
    for away in range(min(int(radius), len(m) - 1) + 1):
        half = int(math.sqrt(radius**2 - away**2))
        # Beyond the edge nothing counts: -1 is no more than any value of a mask, or of a mask times -1.
        rows = filter_rows(m, 2 * half + 1, axis=1, mode="constant", cval=-1)
        height = len(m) - away
        np.maximum(largest[away:], rows[:height], out=largest[away:])
        np.maximum(largest[:height], rows[away:], out=largest[:height])
    return largest


def _check_radius(radius: float) -> None:
    if not (math.isfinite(radius) and radius >= 0):
        raise LomitError(f"a radius must be a number of pixels, 0 or more; it is {radius:g}")


def _ndimage() -> Any:
    """scipy.ndimage.  Raises `LomitError` where scipy is missing."""
    require("this operation on masks", "editor", "scipy.ndimage")
    import scipy.ndimage

    return scipy.ndimage


_STEPS: dict[str, tuple[Callable[..., Mask], dict[str, tuple[float, float]]]] = {
    "grow": (grow, {"radius": (0, SIDE)}),
    "shrink": (shrink, {"radius": (0, SIDE)}),
    "feather": (feather, {"radius": (0, SIDE)}),
    "drop_specks": (drop_specks, {"area": (0, SIDE**2)}),
    "fill_holes": (fill_holes, {}),
    "invert": (invert, {}),
}
"""Name -> the function, and the bounds of the numbers that it takes."""
_REGIONS = ("select", "lasso")
_MOST_POINTS = 10_000

Step = Mapping[str, Any]
"""A step as JSON has it: `do` is the name of a function of this module, the rest are its arguments.

`{"do": "grow", "radius": 3}`, likewise `shrink` and `feather`; `{"do": "drop_specks", "area": 40}`;
`{"do": "fill_holes"}`; `{"do": "invert"}`; `{"do": "select", "at": [0.5, 0.1], "alike": 0.5}`;
`{"do": "lasso", "points": [[0.1, 0.1], ...]}`.  The region of the last two is added to the mask, or removed with
`"erase": true`.
"""


def apply(mask: MaskLike, step: Step, content: np.ndarray | Tensor | None = None) -> Mask:
    """The mask after a step, which may come from a file or the network: everything in it is checked.

    Args:
        content: of the image that the mask belongs to, for `select`; None where the model has none.

    Raises:
        LomitError: for a step that there is not, an argument that is missing, unknown or out of its range, and as the
            functions.
    """
    if not isinstance(step, Mapping):
        raise LomitError("a step must be an object with the name of an operation as 'do'")
    name, known = str(step.get("do")), (*_STEPS, *_REGIONS)
    given = {key: value for key, value in step.items() if key != "do"}
    if name not in known:
        raise LomitError(f"there is no operation '{name}'{did_you_mean(name, known)}; known: {', '.join(known)}")
    if name in _REGIONS:
        return _with_region(load(mask), name, given, content)
    function, bounds = _STEPS[name]
    numbers = {key: _number(name, given.pop(key, None), key, *its) for key, its in bounds.items()}
    _none_left(name, given)
    return function(mask, **numbers)


def _with_region(m: Mask, name: str, given: dict[str, Any], content: np.ndarray | Tensor | None) -> Mask:
    """The mask with the region of `select` or `lasso`, or without it."""
    erase = given.pop("erase", False)
    if not isinstance(erase, bool):
        raise LomitError(f"'erase' of {name} must be true or false")
    if name == "select":
        at = _point(name, given.pop("at", None))
        alike = _number(name, given.pop("alike", ALIKE), "alike", -1, 1)
        _none_left(name, given)
        if content is None:
            raise LomitError("this model gives no content codes to select by; take a LOMIT model that isn't exported")
        region = select(content, at, alike)
    else:
        line = given.pop("points", None)
        if not isinstance(line, list | tuple) or len(line) > _MOST_POINTS:
            raise LomitError(f"'points' of lasso must be a list of up to {_MOST_POINTS} points")
        points = [_point(name, each) for each in line]
        _none_left(name, given)
        region = lasso(points, (m.shape[1], m.shape[0]))
    return remove(m, region) if erase else add(m, region)


def _number(name: str, value: object, key: str, least: float, most: float) -> float:
    if type(value) not in (int, float) or not least <= value <= most:  # type: ignore[operator]
        raise LomitError(f"'{key}' of {name} must be a number from {least:g} to {most:g}; it is {value!r}")
    return float(value)  # type: ignore[arg-type]


def _point(name: str, value: object) -> Point:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise LomitError(f"a point of {name} must be [x, y], as shares of the sides")
    x, y = (_number(name, share, key, 0, 1) for share, key in zip(value, "xy", strict=True))
    return x, y


def _none_left(name: str, given: Mapping[str, Any]) -> None:
    if given:
        raise LomitError(f"{name} has no '{next(iter(given))}'; leave it out")
