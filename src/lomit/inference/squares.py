"""Between pictures of any size and the squares that a network sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lomit.data.transforms import centre_box, normalise, resize, to_uint8_chw
from lomit.errors import LomitError
from lomit.images import Picture, as_picture

MaskLike = Image.Image | np.ndarray
"""A Pillow image of any mode or a uint8 array, white = foreground."""


def to_tensor(pictures: Sequence[Picture], size: int, device: torch.device) -> Tensor:
    """B x 3 x S x S in [-1, 1]: centre squares at the model's size."""
    squares = [resize(p.on_white().crop(centre_box(p.size)), size) for p in pictures]
    stacked = torch.from_numpy(np.stack([to_uint8_chw(s) for s in squares])).to(device)
    return normalise(stacked.contiguous(memory_format=torch.channels_last))


def mask_planes(
    masks: Sequence[MaskLike | None], pictures: Sequence[Picture], size: int, device: torch.device
) -> Tensor | None:
    """B x 1 x S x S in [0, 1], NaN for masks that are not given; None where none is.

    Raises:
        LomitError: for a mask that is neither as large as its picture nor square.
    """
    if all(mask is None for mask in masks):
        return None
    planes = torch.full((len(masks), 1, size, size), torch.nan)
    for plane, mask, picture in zip(planes, masks, pictures, strict=True):
        if mask is None:
            continue
        grey = as_picture(mask, f"mask of {picture.name}").on_white().convert("L")
        if grey.size == picture.size:
            grey = grey.crop(centre_box(grey.size))
        elif grey.width != grey.height:
            raise LomitError(
                f"the mask of {picture.name} is {grey.width} x {grey.height}; make it as large as the image "
                f"({picture.size[0]} x {picture.size[1]}) or square"
            )
        scaled = grey.resize((size, size), Image.Resampling.BILINEAR)
        plane[0] = torch.from_numpy(np.array(scaled, dtype=np.float32)) / 255
    return planes.to(device)


def mask_image(mask: Tensor, side: int) -> Image.Image:
    """A mask h x w in [0, 1] as mode L, side x side (bilinear, as Eq. 1 does)."""
    plane = Image.fromarray(mask.float().cpu().numpy()).resize((side, side), Image.Resampling.BILINEAR)
    return Image.fromarray(np.rint(np.asarray(plane).clip(0, 1) * 255).astype(np.uint8))


def put_back(square: Image.Image, picture: Picture, mask: Image.Image | None) -> Image.Image:
    """The picture with its centre square replaced, only under the mask if one is given."""
    box = centre_box(picture.size)
    side = box[2] - box[0]
    colours = picture.rgb.copy()
    colours.paste(square.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0), box[:2], mask)
    return picture.with_colours(colours)
