"""Between a photograph's own colours and the sRGB that networks are trained on."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image


def to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """An RGB image in sRGB; unchanged without a profile, with sRGB's own or with one that can't be used.

    Args:
        image: mode RGB.
        icc: its colour profile.
    """
    return _convert(image, icc, forward=True)


def from_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """The inverse of `to_srgb`."""
    return _convert(image, icc, forward=False)


def _convert(image: Image.Image, icc: bytes | None, forward: bool) -> Image.Image:
    if icc is None:
        return image
    from PIL import ImageCms

    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if "srgb" in ImageCms.getProfileDescription(own).lower():
            return image  # a round trip through the same space would only round
        srgb: Any = ImageCms.createProfile("sRGB")
        source, target = (own, srgb) if forward else (srgb, own)
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    if converted is None:
        return image
    converted.info.pop("icc_profile", None)
    return converted
