"""Cutting, scaling and the way to [-1, 1] and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lomit.data.transforms import centre_box, denormalise, flip, normalise, resize, to_uint8_chw


@pytest.mark.parametrize(
    ("size", "crop", "reference", "box"),
    [
        ((178, 218), 178, 178, (0, 20, 178, 198)),  # CelebA
        ((178, 218), 148, 178, (15, 35, 163, 183)),
        ((89, 109), 178, 178, (0, 10, 89, 99)),  # CelebA at half size: a crop of 89
        ((89, 109), 148, 178, (7, 17, 81, 91)),  # ... and of half of 148
        ((300, 200), None, None, (50, 0, 250, 200)),
        ((300, 200), 100, None, (100, 50, 200, 150)),
        ((30, 200), 100, None, (0, 85, 30, 115)),  # smaller than the crop
        ((1, 1), 178, 178, (0, 0, 1, 1)),
    ],
)
def test_centre_box(
    size: tuple[int, int], crop: int | None, reference: int | None, box: tuple[int, int, int, int]
) -> None:
    assert centre_box(size, crop, reference) == box


def test_resize_is_antialiased() -> None:
    # One-pixel stripes are grey from afar; a resize that picks single pixels leaves them black or white.
    stripes = np.zeros((128, 128, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    small = np.asarray(resize(Image.fromarray(stripes), 32))
    assert small.shape == (32, 32, 3)
    assert np.abs(small[:, 2:-2].astype(int) - 127).max() <= 2


def test_resize_leaves_the_right_size_alone() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    assert np.array_equal(np.asarray(resize(image, 16)), np.asarray(image))


def test_normalise_and_back_keeps_every_value() -> None:
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB")
    pixels = torch.from_numpy(to_uint8_chw(image))
    assert pixels.shape == (3, 16, 16)
    x = normalise(pixels)
    assert x.dtype == torch.float32
    assert (x.min(), x.max()) == (-1, 1)
    assert torch.equal(denormalise(x), pixels)


def test_denormalise_clips_and_rounds() -> None:
    assert denormalise(torch.tensor([-1.5, -0.9973, 0.0, 2.0])).tolist() == [0, 0, 128, 255]


def test_flip_mirrors_the_marked_images_only() -> None:
    x = torch.arange(2 * 3 * 2 * 4.0).view(2, 3, 2, 4)
    y = flip(x, torch.tensor([False, True]))
    assert torch.equal(y[0], x[0])
    assert torch.equal(y[1], x[1][:, :, [3, 2, 1, 0]])
