"""Pictures side by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lomit.errors import LomitError
from lomit.figures.grids import PAPER, TINT, change, grid, overlay, sheet, to_image


def test_pictures_stand_in_their_columns_and_rows() -> None:
    columns = {
        "a": [Image.new("RGB", (32, 32), (10 * row, 0, 0)) for row in (1, 2, 3)],
        "b": [Image.new("RGB", (8, 8), (0, 10 * row, 0)) for row in (1, 2, 3)],
    }
    page = np.asarray(grid(columns, cell=32, gap=4))
    line = page.shape[0] - 3 * 36
    for column in range(2):
        for row in range(3):
            top, left = line + row * 36, 4 + column * 36
            cell = page[top : top + 32, left : left + 32]
            assert (cell == ((10 * (row + 1), 0, 0) if column == 0 else (0, 10 * (row + 1), 0))).all()
    assert (page[:, :4] == PAPER).all()
    assert (page[:line, 4:36] != PAPER).any(), "a heading"


def test_captions_take_their_own_lines() -> None:
    column = {"a": [Image.new("RGB", (32, 32))] * 2}
    plain, captioned = grid(column, cell=32), grid(column, cell=32, rows=["one", "a caption that is far too long"])
    assert captioned.height > plain.height
    assert captioned.width == plain.width


def test_pictures_that_are_not_square_or_transparent() -> None:
    page = np.asarray(
        grid({"a": [Image.new("RGBA", (40, 10), (255, 0, 0, 0)), Image.new("L", (10, 40))]}, cell=40, gap=0)
    )
    line = page.shape[0] - 80
    assert (page[line : line + 40] == PAPER).all(), "transparent parts show the paper"
    dark = (page[line + 40 :] == 0).all(axis=-1)
    assert dark[:, 15:25].all()
    assert dark.sum() == 400


def test_uneven_columns_are_refused() -> None:
    picture = Image.new("RGB", (8, 8))
    with pytest.raises(LomitError, match="columns of one length"):
        grid({"a": [picture], "b": [picture] * 2})
    with pytest.raises(LomitError, match="columns of one length"):
        grid({"a": [picture]}, rows=["x", "y"])


def test_sheet_of_tensors() -> None:
    columns = {"image": torch.full((2, 3, 16, 16), -1.0), "mask": torch.ones(2, 1, 4, 4)}
    page = np.asarray(sheet(columns, cell=16))
    bottom = page[-8:, :, 0]
    assert (bottom[:2, 6:22] == 0).all(), "-1 is black"
    assert (bottom[:2, 28:44] == 255).all(), "a mask of 1 is white"
    assert sheet(columns).width > sheet(columns, cell=16).width, "small images are shown enlarged"


def test_tensor_ranges() -> None:
    image = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).expand(3, 1, 5)
    assert np.asarray(to_image(image))[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert np.asarray(to_image(torch.tensor([[[0.0, 0.5, 1.0]]])))[0].tolist() == [0, 128, 255]


def test_overlay_tints_the_foreground_alone() -> None:
    mask = Image.new("L", (16, 16))
    mask.paste(255, (0, 0, 8, 16))
    laid = overlay(Image.new("RGB", (16, 16), (90, 90, 90)), mask, strength=1.0)
    assert laid.getpixel((2, 8)) == TINT
    assert laid.getpixel((13, 8)) == (170, 170, 170), "pale grey"


def test_change_is_the_amplified_mean_difference() -> None:
    before, after = Image.new("RGB", (2, 2), (100, 100, 100)), Image.new("RGB", (2, 2), (103, 94, 100))
    assert change(before, after, factor=5).getpixel((0, 0)) == 15
    assert change(before, Image.new("RGB", (2, 2)), factor=5).getpixel((0, 0)) == 255
