"""Photographs to test with: no person's, with faces whose landmarks are given."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageCms

from lomit.photo import Face
from lomit.photo.faces import TEMPLATE


def turned(angle: float, side: float, centre: tuple[float, float]) -> Face:
    """A face whose crop is turned by an angle in degrees, clockwise as seen."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    landmarks = (TEMPLATE - 0.5) @ np.array([[c, s], [-s, c]]) * side + np.array(centre)
    return Face((0, 0, 1, 1), landmarks)


def smooth(width: int, height: int) -> Image.Image:
    """A picture without fine detail, so that resampling it costs little."""
    y, x = np.mgrid[:height, :width] / 40
    planes = [128 + 90 * np.sin(x * a + y * b + c) for a, b, c in ((1, 0.3, 0), (0.2, 1.1, 1), (0.7, 0.7, 2))]
    return Image.fromarray(np.stack(planes, axis=-1).round().astype(np.uint8))


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def wide_profile() -> bytes:
    """A wide RGB space: sRGB's profile with its red primary pulled outwards."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    name = data.find("sRGB".encode("utf-16-be"))
    while name >= 0:  # its description would say that it is sRGB
        data[name : name + 8] = "wide".encode("utf-16-be")
        name = data.find("sRGB".encode("utf-16-be"))
    for i in range(int.from_bytes(data[128:132], "big")):
        entry = 132 + 12 * i
        if data[entry : entry + 4] == b"rXYZ":
            start = int.from_bytes(data[entry + 4 : entry + 8], "big") + 8
            data[start : start + 4] = int(0.60 * 65536).to_bytes(4, "big")
    return bytes(data)
