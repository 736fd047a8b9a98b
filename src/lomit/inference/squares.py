"""Between pictures of any size and the squares that a network sees."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lomit.data.transforms import centre_box, normalise, resize, to_uint8_chw
from lomit.errors import LomitError
from lomit.images import Picture, as_picture, read_image, read_mask

ImageLike = Picture | Image.Image | np.ndarray | Tensor | str | os.PathLike[str]
"""A path, a `Picture`, a Pillow image of any mode, an array H x W, H x W x 3 or H x W x 4, or a tensor H x W or
C x H x W of 1, 3 or 4 channels.  Arrays and tensors hold uint8, bool or floats in 0..1."""
MaskLike = ImageLike
"""The same, white (1, True) = foreground."""


def load_picture(image: ImageLike, name: str = "image") -> Picture:
    """Any image as a `Picture`; `name` is what errors call it unless it has a path.

    Raises:
        LomitError: for an image that can't be read or used; it says what can.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if not isinstance(image, Tensor):
        return as_picture(image, name)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[0] not in (1, 3, 4)):
        raise LomitError(
            f"{name}: a tensor must be H x W or C x H x W of 1, 3 or 4 channels; its shape is {tuple(image.shape)}"
        )
    plain = image.detach().cpu()
    plain = plain.float() if plain.is_floating_point() else plain  # NumPy has no bfloat16
    return as_picture(plain.numpy() if image.ndim == 2 else plain.permute(1, 2, 0).numpy(), name)


def load_mask(mask: MaskLike, name: str) -> Image.Image:
    """Any mask in mode L.  Raises as `load_picture`."""
    if isinstance(mask, str | os.PathLike):
        return read_mask(mask)
    return load_picture(mask, name).on_white().convert("L")


def to_tensor(pictures: Sequence[Picture], size: int, device: torch.device) -> Tensor:
    """B x 3 x S x S in [-1, 1]: centre squares at the model's size."""
    # One exemplar for many inputs stands in the list as often, and is scaled once.
    each = {id(p): p for p in pictures}
    squares = {key: to_uint8_chw(resize(p.on_white().crop(centre_box(p.size)), size)) for key, p in each.items()}
    stacked = torch.from_numpy(np.stack([squares[id(p)] for p in pictures])).to(device)
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
        grey = load_mask(mask, f"mask of {picture.name}")
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
