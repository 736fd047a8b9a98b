"""What D is shown in place of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from lomit.nn.augment import augment, cutout, shift

SIZE = 32
MOST = 4
"""An eighth of the side."""


def images(count: int = 64) -> Tensor:
    """Of which no pixel is grey (0)."""
    torch.manual_seed(0)
    x = 0.1 + 0.9 * torch.rand(count, 3, SIZE, SIZE, dtype=torch.float64)
    return torch.where(torch.rand_like(x) < 0.5, x, -x)


def moved(x: Tensor, down: int, right: int) -> Tensor:
    """One image, 3 x H x W, by slices."""
    result = torch.zeros_like(x)
    rows, columns = range(max(0, down), SIZE + min(0, down)), range(max(0, right), SIZE + min(0, right))
    for row in rows:
        for column in columns:
            result[:, row, column] = x[:, row - down, column - right]
    return result


def test_a_shift_moves_each_image_for_itself() -> None:
    x = images()
    shifted = shift(x)
    found = set()
    for before, after in zip(x, shifted, strict=True):
        filled = (after != 0).all(0)
        rows, columns = (filled.any(dim).nonzero().flatten() for dim in (1, 0))
        # What is left is a rectangle at the side that it was moved to.
        down = int(rows[0]) if rows[0] else int(rows[-1]) + 1 - SIZE
        right = int(columns[0]) if columns[0] else int(columns[-1]) + 1 - SIZE
        torch.testing.assert_close(after, moved(before, down, right), rtol=0, atol=0)
        found.add((down, right))
    every = [offset for pair in found for offset in pair]
    assert (min(every), max(every)) == (-MOST, MOST)
    assert len(found) > 30


def test_a_cutout_is_a_grey_square_of_half_the_side() -> None:
    x = images()
    kept = cutout(x)
    grey = (kept == 0).all(1)
    torch.testing.assert_close(kept, torch.where(grey[:, None], 0.0, x), rtol=0, atol=0)
    sizes = set()
    for square in grey:
        rows, columns = (square.any(dim).nonzero().flatten() for dim in (1, 0))
        assert square[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert max(len(rows), len(columns)) <= SIZE // 2
        sizes.add((len(rows), len(columns)))
    assert max(a * b for a, b in sizes) == (SIZE // 2) ** 2
    assert len(sizes) > 10, "squares reach over the border"


def test_gradients_run_through_what_is_seen() -> None:
    x = images(8).requires_grad_()
    seen = augment(x, ("shift", "cutout"))
    (gradient,) = torch.autograd.grad(seen.sum(), x)
    assert set(gradient.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close((gradient * x).sum((1, 2, 3)), seen.sum((1, 2, 3)))


def test_draws_are_those_of_the_seed_and_nothing_is_nothing() -> None:
    x = images(8)
    torch.manual_seed(5)
    first = augment(x, ("shift", "cutout"))
    assert not torch.equal(augment(x, ("shift", "cutout")), first)
    torch.manual_seed(5)
    assert torch.equal(augment(x, ("shift", "cutout")), first)
    assert augment(x, ()) is x
