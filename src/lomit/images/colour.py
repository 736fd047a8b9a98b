"""Between pictures' own colours and the sRGB that networks are trained on."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
from PIL import Image

SAME = 2
"""A profile that moves no value of 8 bits further than this is sRGB: a way there and back would only round."""
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
"""Colour space of a profile -> mode of the pictures that it describes."""


def to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """An image as RGB in sRGB; by Pillow's plain conversion where there is no profile that can be used.

    Args:
        image: mode RGB, L, CMYK or LAB.
        icc: its colour profile.
    """
    if image.mode == "RGB" and (icc is None or is_srgb(icc)):
        return image
    forward = _transform(icc, image.mode, True)
    return image.convert("RGB") if forward is None else _apply(image, forward)


def from_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """The inverse of `to_srgb` for mode RGB; unchanged without a profile that can be used."""
    if icc is None or is_srgb(icc):
        return image
    backward = _transform(icc, "RGB", False)
    return image if backward is None else _apply(image, backward)


def is_usable(icc: bytes, mode: str, back: bool = False) -> bool:
    """Whether a profile can be read and describes images of this mode; `back`: leads from sRGB to them, too."""
    return _transform(icc, mode, not back) is not None


@functools.lru_cache(maxsize=64)
def is_srgb(icc: bytes) -> bool:
    """Whether a profile's curves and primaries are those of sRGB, whatever it is called."""
    forward = _transform(icc, "RGB", True)
    if forward is None:
        return False
    levels = np.array([0, 16, 32, 64, 96, 128, 160, 192, 224, 255], dtype=np.uint8)
    probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
    seen = np.asarray(_apply(Image.fromarray(probe), forward))
    return int(np.abs(seen.astype(int) - probe).max()) <= SAME


@functools.lru_cache(maxsize=64)
def _transform(icc: bytes | None, mode: str, forward: bool) -> Any:
    """Pillow's transform from a profile to sRGB or back; None where there is none."""
    from PIL import ImageCms

    try:
        if icc is None and mode != "LAB":
            return None
        own = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB") if icc is None else io.BytesIO(icc))
        if _SPACES.get(own.profile.xcolor_space.strip()) != mode:
            return None
        srgb = ImageCms.createProfile("sRGB")
        if forward:
            return ImageCms.buildTransform(own, srgb, mode, "RGB")
        return ImageCms.buildTransform(srgb, own, "RGB", mode)
    except Exception:  # littleCMS says in many ways that a profile is damaged
        return None


def _apply(image: Image.Image, transform: Any) -> Image.Image:
    converted: Image.Image = transform.apply(image)
    converted.info.pop("icc_profile", None)
    return converted
