"""The training crop of a face in a photograph, and the way back: a similarity fitted to five landmarks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from PIL import Image

from lomit.data.transforms import Box, resize
from lomit.errors import LomitError
from lomit.images import Picture, as_picture
from lomit.images.colour import to_srgb
from lomit.photo.faces import TEMPLATE, Face

Matrix = np.ndarray
"""2 x 3: (x, y, 1) -> (x, y)."""
MARGIN = 3
"""Pixels around a warped region that the interpolation reaches into."""
BAND = 2**22
"""Pixels of a photograph that are worked on at a time."""
LARGEST = 8
"""Side of the largest crop, in longer sides of the photograph."""


def fit_similarity(source: np.ndarray, target: np.ndarray) -> Matrix:
    """The rotation, scale and shift that bring `source` closest to `target` in the least-squares sense.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991, equations 40 to
    43; never a reflection.  Raises LomitError where either set of points lies on one spot.

    Args:
        source, target: N x 2 each, N at least 2.
    """
    centre, target_centre = source.mean(axis=0), target.mean(axis=0)
    a, b = source - centre, target - target_centre
    variance = (a**2).sum() / len(a)
    if min(variance, (b**2).sum()) < 1e-12 or not np.isfinite([*a.flat, *b.flat]).all():
        raise LomitError("the landmarks of a face lie on one spot; give five distinct points")
    u, d, vt = np.linalg.svd(b.T @ a / len(a))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * sign) @ vt
    scale = (d * sign).sum() / variance
    return np.column_stack([scale * rotation, target_centre - scale * rotation @ centre])


def crop_to_photo(face: Face) -> Matrix:
    """Takes points of the training crop, as shares of its side, to the photograph's pixels."""
    return fit_similarity(TEMPLATE, face.landmarks)


def side_of(face: Face) -> float:
    """Side of a face's training crop in the photograph's pixels."""
    return float(np.hypot(*crop_to_photo(face)[:, 0]))


def fit_error(face: Face) -> float:
    """How far the landmarks lie from the template after the best similarity: root mean square, in sides of the crop."""
    matrix = crop_to_photo(face)
    fitted = TEMPLATE @ matrix[:, :2].T + matrix[:, 2]
    return float(np.sqrt(((fitted - face.landmarks) ** 2).sum(axis=1).mean())) / side_of(face)


def check_place(face: Face, picture: Picture) -> None:
    """Faces that were found lie in the photograph; those that a person or a file names may lie anywhere.  Raises
    LomitError for a crop that lies outside of the photograph, or is far larger.
    """
    low, high = _extent(crop_to_photo(face))
    crop = f"the crop of the face, {','.join(str(round(edge)) for edge in (*low, *high))},"
    size = f"{picture.name}, which has {picture.size[0]} x {picture.size[1]} pixels"
    if not ((low < picture.size) & (high > 0)).all():
        raise LomitError(f"{crop} lies outside of {size}")
    if (high - low).max() > LARGEST * max(picture.size):
        raise LomitError(f"{crop} is far larger than {size}")


def align(picture: Picture | Image.Image | np.ndarray, face: Face, size: int) -> Image.Image:
    """The training crop of a face: RGB in sRGB, size x size.

    A crop larger than `size` is cut out at the photograph's own sharpness and then scaled down with antialiasing, like
    the images of a training set.  Beyond the photograph's edges it is continued by reflection.  Raises LomitError for
    landmarks on one spot, or an image that can't be used.
    """
    picture = as_picture(picture)
    return to_srgb(view(picture.on_white(), face, size), picture.icc)


def view(image: Image.Image, face: Face, size: int, sharp: int = 4) -> Image.Image:
    """`align` for an image of mode RGB or L, in its own colours.

    Whole blocks are averaged first, so that what is warped stays below `sharp` times the size, however large the face.
    """
    matrix = crop_to_photo(face)
    side = side_of(face)
    block = max(1, int(side // (sharp * size)))
    between = max(size, round(side / block))
    box = _bounds(matrix, (block + 1) * MARGIN)
    region = _reflected(image, box)
    if block > 1:
        region = region.reduce(block)
    # From pixels of the crop `between` wide to pixels of the region.
    step = matrix[:, :2] / between / block
    shift = (matrix[:, 2] - box[:2]) / block
    warped = region.transform(
        (between, between), Image.Transform.AFFINE, _coefficients(step, shift), Image.Resampling.BICUBIC
    )
    return resize(warped, size)


def covered(face: Face, size: tuple[int, int]) -> Box:
    """The part of a photograph of this width and height that a face's crop lies in; edges cross where there is none."""
    left, top, right, bottom = _bounds(crop_to_photo(face), 0)
    return max(0, left), max(0, top), min(size[0], right), min(size[1], bottom)


def bands(box: Box) -> Iterator[Box]:
    """A part of a photograph in pieces, top to bottom, so that what is computed of a large face fits into memory."""
    left, top, right, bottom = box
    rows = max(1, BAND // max(1, right - left))
    for start in range(top, bottom, rows):
        yield left, start, right, min(bottom, start + rows)


def place(crop: np.ndarray, face: Face, size: tuple[int, int], part: Box | None = None) -> tuple[Box, np.ndarray]:
    """The inverse of `align` for values of any kind: where they lie in a photograph.

    A crop with more pixels than its place has is scaled down first, with antialiasing.

    Args:
        crop: float32, S x S x C.
        size: width and height of the photograph.
        part: of `covered`; None: all of it.

    Returns:
        The part of the photograph that the crop lies in (which is empty where it lies outside), and the values there,
        float32, H x W x C; 0 outside of the crop.
    """
    matrix = crop_to_photo(face)
    box = covered(face, size) if part is None else part
    shape = max(0, box[2] - box[0]), max(0, box[3] - box[1])
    if 0 in shape:
        return (0, 0, 0, 0), np.zeros((0, 0, crop.shape[2]), dtype=np.float32)
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in crop.astype(np.float32).transpose(2, 0, 1)]
    here = max(1, min(crop.shape[0], round(side_of(face))))
    planes = [plane.resize((here, here), Image.Resampling.LANCZOS) for plane in planes]
    inverse = np.linalg.inv(matrix[:, :2])
    coefficients = _coefficients(inverse * here, inverse @ (np.array(box[:2]) - matrix[:, 2]) * here)
    warped = [p.transform(shape, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC) for p in planes]
    return box, np.stack([np.asarray(p) for p in warped], axis=-1)


def _coefficients(step: np.ndarray, shift: np.ndarray) -> tuple[float, ...]:
    """Pillow's six numbers: output x, y (at the centres of pixels) -> input x, y."""
    # Without the last digits, so that whole numbers of pixels are met exactly.
    a, b, c, d, e, f = np.column_stack([step, shift]).round(9).ravel().tolist()
    return a, b, c, d, e, f


def _extent(matrix: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest (x, y) of a crop's corners."""
    corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) @ matrix[:, :2].T + matrix[:, 2]
    return corners.min(axis=0), corners.max(axis=0)


def _bounds(matrix: Matrix, margin: int) -> Box:
    """The pixels that a crop covers, with a margin."""
    (left, top), (right, bottom) = _extent(matrix)
    return math.floor(left) - margin, math.floor(top) - margin, math.ceil(right) + margin, math.ceil(bottom) + margin


def _reflected(image: Image.Image, box: Box) -> Image.Image:
    """A part of an image that is continued beyond its edges by reflection, however far."""
    width, height = image.size
    if box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height:
        return image.crop(box)
    columns, rows = _mirrored(box[0], box[2], width), _mirrored(box[1], box[3], height)
    return Image.fromarray(np.asarray(image)[rows][:, columns])


def _mirrored(start: int, stop: int, length: int) -> np.ndarray:
    """Where the places start..stop of a row lie once it is continued by its mirror image."""
    at = np.arange(start, stop) % (2 * length)
    return np.minimum(at, 2 * length - 1 - at)
