"""Pictures side by side: columns with headings, one row an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageChops, ImageDraw, ImageFont
from torch import Tensor

from lomit.data.transforms import denormalise
from lomit.errors import LomitError

INK, PAPER, TINT = (32, 32, 32), (255, 255, 255), (255, 0, 128)


def grid(
    columns: Mapping[str, Sequence[Image.Image]],
    cell: int = 128,
    gap: int = 6,
    rows: Sequence[str] | None = None,
) -> Image.Image:
    """A table of pictures on white paper.  Raises LomitError for columns of different lengths.

    Args:
        columns: heading -> one picture a row; every column has as many.  Pictures of any size and mode; one
            that is not square is centred in its cell.
        cell: side of a cell in pixels.
        gap: space between cells in pixels.
        rows: captions under the rows, drawn across the whole width.

    Returns:
        An RGB image.
    """
    counts = {len(column) for column in columns.values()}
    if len(counts) != 1 or (rows is not None and counts != {len(rows)}):
        raise LomitError(f"a grid needs columns of one length; these have {sorted(counts)}")
    font = ImageFont.load_default(max(10, cell // 9))
    line = round(1.7 * font.size) if isinstance(font, ImageFont.FreeTypeFont) else 16
    caption = line if rows is not None else 0
    pitch, count = cell + gap, counts.pop()
    page = Image.new("RGB", (len(columns) * pitch + gap, line + count * (pitch + caption)), PAPER)
    draw = ImageDraw.Draw(page)
    for i, (heading, column) in enumerate(columns.items()):
        left = gap + i * pitch
        draw.text((left + cell / 2, line / 2), _fitting(heading, font, cell), INK, font, anchor="mm")
        for j, picture in enumerate(column):
            fitted = _fit(picture, cell)
            top = line + j * (pitch + caption)
            page.paste(fitted, (left + (cell - fitted.width) // 2, top + (cell - fitted.height) // 2))
    for j, text in enumerate(rows or ()):
        middle = line + j * (pitch + caption) + cell + caption / 2
        draw.text((page.width / 2, middle), _fitting(text, font, page.width - 2 * gap), INK, font, anchor="mm")
    return page


def sheet(columns: Mapping[str, Tensor], cell: int | None = None) -> Image.Image:
    """A grid of tensors, for sample sheets.

    Args:
        columns: heading -> B x 3 x H x W, images in [-1, 1], or B x 1 x h x w, masks in [0, 1]; masks may be
            smaller than the images.
        cell: side of a cell in pixels; None: twice the images' own up to 64 pixels, else their own.
    """
    side = max(max(column.shape[-2:]) for column in columns.values())
    cell = cell or (2 * side if side <= 64 else side)
    return grid({name: [to_image(picture) for picture in column] for name, column in columns.items()}, cell)


def to_image(picture: Tensor) -> Image.Image:
    """3 x H x W in [-1, 1] as RGB, or 1 x H x W in [0, 1] as L."""
    picture = picture.detach().float().cpu()
    if picture.shape[0] == 1:
        return Image.fromarray((picture[0] * 255).round().clamp(0, 255).to(torch.uint8).numpy())
    return Image.fromarray(denormalise(picture).permute(1, 2, 0).numpy())


def overlay(image: Image.Image, mask: Image.Image, strength: float = 0.85) -> Image.Image:
    """An image in pale grey with its mask laid over it in colour.

    Args:
        image: any mode.
        mask: mode L, white = foreground; scaled to the image.
        strength: opacity of the colour where the mask is 1, in [0, 1].
    """
    # Pale and flat, so that it is the mask that is read and not the brightness of what lies below.
    grey = image.convert("L").point(lambda v: 130 + 0.45 * v).convert("RGB")
    opacity = mask.convert("L").resize(grey.size, Image.Resampling.BILINEAR).point(lambda v: strength * v)
    return Image.composite(Image.new("RGB", grey.size, TINT), grey, opacity)


def change(before: Image.Image, after: Image.Image, factor: float = 3.0) -> Image.Image:
    """The absolute difference of two images of one size, mean over the channels, times `factor`; mode L, clipped."""
    difference = np.asarray(ImageChops.difference(before.convert("RGB"), after.convert("RGB")), dtype=np.float32)
    return Image.fromarray(np.rint((difference.mean(axis=2) * factor).clip(0, 255)).astype(np.uint8))


def _fit(picture: Image.Image, cell: int) -> Image.Image:
    """RGB, scaled so that the longer side is `cell`; transparent parts show the paper."""
    if picture.mode != "RGB":
        rgba = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", rgba.size, (*PAPER, 255)), rgba).convert("RGB")
    scale = cell / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """The text, shortened until it is not wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."
