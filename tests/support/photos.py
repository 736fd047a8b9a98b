"""Photographs to test with: no person's, with faces whose landmarks are given."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

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
