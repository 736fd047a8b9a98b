"""Carries the change of a face's crop back into the photograph, at the photograph's own size and sharpness."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from lomit.errors import LomitError
from lomit.images import Picture, as_picture
from lomit.images.colour import from_srgb
from lomit.photo.align import bands, covered, place, view
from lomit.photo.faces import Face

FADE = 0.08
"""Width of the seam along the edges of the crop, over which the change fades out, as a share of its side."""
FEATHER = 0.012
"""Standard deviation of the blur of the mask's edge, as a share of the crop's side."""
LOW, HIGH = 0.1, 0.5
"""The change counts from where the mask is `LOW`, and fully from `HIGH` on."""
LEAST = 1 / 512
"""Smaller weights are 0: they would not change a value of 8 bits, and what they touch would not stay identical."""
WINDOW = 0.02
"""Standard deviation of the windows in which structure before and after is compared, as a share of the crop's side."""
FLAT = 16.0
"""Variance (levels squared) up to which a window counts as flat, and the photograph's own grain is kept."""


def paste(
    picture: Picture | Image.Image | np.ndarray,
    face: Face,
    crop_before: Image.Image,
    crop_after: Image.Image,
    mask: Image.Image | None,
    *,
    strength: float = 1.0,
    detail: Literal["structure", "all"] = "structure",
) -> Image.Image:
    """The photograph with the change of a face's crop applied to it.

    Where only colour changed, the change (after - before) is added to the photograph, which so keeps its detail. Where
    structure changed, detail finer than the crop is taken back as far as the crop's structure before does not explain
    the crop's structure after.  Pixels whose weight is 0 keep their value.  Raises LomitError for crops that don't fit
    together, and a strength out of range.

    Args:
        crop_before: what the network makes of the crop when nothing is to change, or the crop itself; RGB in sRGB,
            square.
        crop_after: the translated crop, of the same size.
        mask: where the change is to be seen, mode L, white = there; square, of any size.  None: all over the crop.
        strength: factor on the change, from 0 to 2.
        detail: "all" keeps the photograph's detail where structure changed, too (to compare).

    Returns:
        RGB, or RGBA where the photograph is transparent, with its colour profile, at its size.
    """
    if crop_before.size != crop_after.size or crop_before.width != crop_before.height:
        raise LomitError(f"the crops must be squares of one size; they are {crop_before.size} and {crop_after.size}")
    if not 0 <= strength <= 2:
        raise LomitError(f"the strength must lie between 0 and 2; it is {strength:g}")
    picture = as_picture(picture)
    size = crop_before.width
    before, after = (_floats(from_srgb(crop.convert("RGB"), picture.icc)) for crop in (crop_before, crop_after))
    weight = weights(mask, size)[..., None]
    gain = np.ones_like(weight) if detail == "all" else detail_gain(_grey(before), _grey(after))[..., None]
    seen = _floats(view(picture.rgb, face, size))
    planes = np.concatenate([weight, after - before, gain, seen], axis=2)
    colours = picture.rgb.copy()
    for band in bands(covered(face, picture.size)):
        box, placed = place(planes, face, picture.size, band)
        if placed.size:
            colours.paste(_changed(picture.rgb.crop(box), placed, strength), box[:2])
    return picture.with_colours(colours)


def on_photo(mask: Image.Image | None, face: Face, size: tuple[int, int], crop: int = 256) -> Image.Image:
    """The weight that `paste` gives each pixel of a photograph, mode L; 0 is only where it is exactly 0.

    Args:
        mask, face: as for `paste`.
        size: width and height of the photograph.
        crop: side of the crops.
    """
    plane = Image.new("L", size)
    weight = weights(mask, crop)[..., None]
    for band in bands(covered(face, size)):
        box, placed = place(weight, face, size, band)
        if placed.size:
            plane.paste(Image.fromarray(np.ceil(_clean(placed[..., 0]) * 255).astype(np.uint8)), box[:2])
    return plane


def weights(mask: Image.Image | None, size: int) -> np.ndarray:
    """How much of the change each pixel of a crop takes: the mask, feathered, fading out along the crop's edges.

    Returns:
        float32, size x size, in [0, 1].
    """
    ramp = np.clip((np.arange(size) + 0.5) / (FADE * size), 0, 1)
    edge = _smoothstep(np.minimum(ramp, ramp[::-1]))
    window = edge[:, None] * edge
    if mask is None:
        return window.astype(np.float32)
    plane = np.asarray(mask.convert("L").resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32) / 255
    inside = _smoothstep(np.clip((plane - LOW) / (HIGH - LOW), 0, 1))
    return (blur(inside[..., None], FEATHER * size)[..., 0] * window).astype(np.float32)


def detail_gain(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How far structure before explains structure after: the slope of after over before in a window around each pixel.

    1 where only colour changed or the crop is flat, 0 where structure went or something else took its place.  The slope
    is that of the guided filter (He et al., 2010), regularised towards 1.

    Args:
        before, after: float32, S x S, levels in 0..255.

    Returns:
        float32, S x S, in [0, 1].
    """
    stacked = np.stack([before, after, before * before, before * after], axis=-1)
    x, y, xx, xy = np.moveaxis(blur(stacked, WINDOW * len(before)), -1, 0)
    return np.clip((xy - x * y + FLAT) / (xx - x * x + FLAT), 0, 1).astype(np.float32)


def blur(planes: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of H x W x C, continued by reflection at the edges."""
    radius = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma, 1e-6)) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for axis in (0, 1):
        pad = [(0, 0)] * 3
        pad[axis] = (radius, radius)
        padded = np.pad(planes, pad, mode="symmetric")
        planes = sum(k * padded.take(range(i, i + planes.shape[axis]), axis=axis) for i, k in enumerate(kernel))  # type: ignore[assignment]
    return planes


def _changed(region: Image.Image, placed: np.ndarray, strength: float) -> Image.Image:
    """A part of the photograph with the placed planes (weight, change, gain, what the crop shows) applied."""
    own = _floats(region)
    weight = strength * _clean(placed[..., :1])
    change, gain, seen = placed[..., 1:4], np.clip(placed[..., 4:5], 0, 1), placed[..., 5:]
    # own - seen is what the photograph shows beyond the resolution of the crop.
    changed = own + weight * (change - (1 - gain) * (own - seen))
    values = np.where(weight > 0, np.rint(changed).clip(0, 255), own)
    return Image.fromarray(values.astype(np.uint8))


def _clean(weight: np.ndarray) -> np.ndarray:
    """Weights without what interpolation put below 0, above 1, or just beside 0."""
    return np.where(weight < LEAST, 0, np.minimum(weight, 1))


def _smoothstep(t: np.ndarray) -> np.ndarray:
    return t * t * (3 - 2 * t)


def _floats(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float32)


def _grey(colours: np.ndarray) -> np.ndarray:
    """Luma (ITU-R BT.601) of H x W x 3."""
    return colours @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
