"""From a picture to the network's input and back.

Worker processes import this module, so it takes tensors but does not load torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels; right and bottom are outside."""


def centre_box(size: tuple[int, int], crop: int | None = None, reference: int | None = None) -> Box:
    """The centre square of a picture.

    Args:
        size: width and height of the picture.
        crop: side of the square; None, or more than the picture has, takes the largest one.
        reference: shorter side of the set's full-size files. A smaller file is taken for a reduced one, and
            the crop shrinks with it (CelebA's 178 becomes 89 in a half-size copy).
    """
    width, height = size
    short = min(width, height)
    side = short if crop is None else crop
    if crop is not None and reference is not None and short < reference:
        side = max(1, round(crop * short / reference))
    side = min(side, short)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def resize(image: Image.Image, size: int) -> Image.Image:
    """A square picture scaled to `size` x `size`, antialiased (Lanczos)."""
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0)


def to_uint8_chw(image: Image.Image) -> np.ndarray:
    """An RGB picture as a contiguous uint8 array, 3 x H x W."""
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def normalise(images: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [-1, 1], any shape."""
    return images.float().div_(127.5).sub_(1)


def denormalise(images: Tensor) -> Tensor:
    """float in [-1, 1] -> uint8 in 0..255, rounded; values outside are clipped."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).byte()


def flip(images: Tensor, mask: Tensor) -> Tensor:
    """Mirrors the images (B x C x H x W) for which `mask` (B, bool) is set, left to right."""
    return images.flip(-1).where(mask.view(-1, 1, 1, 1), images)
