"""Eq. 13 as printed and its fast form, and the agreement of alike pixels, against loops in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks.plain_lomit import agreement, mask_smoothness_matrix
from lomit.losses.lomit import mask_smoothness
from lomit.losses.smoothness import fast_mask_smoothness, mask_agreement
from support.float64 import close, draw, draw_mask


def smoothness_by_loops(m: Tensor, c: Tensor) -> float:
    total = 0.0
    for b in range(len(m)):
        values, codes = m[b].flatten().tolist(), c[b].flatten(1).T
        n = len(values)
        for i in range(n):
            for j in range(n):
                cosine = (codes[i] @ codes[j]) / (codes[i].norm() * codes[j].norm())
                total += abs(values[i] - values[j]) * cosine.item() / n**2
    return total / len(m)


def tied_mask() -> Tensor:
    """Values with many ties, saturated ones among them."""
    return torch.randint(0, 4, (2, 1, 4, 5), generator=torch.Generator().manual_seed(3)).double() / 3


MASKS: dict[str, Callable[[], Tensor]] = {
    "distinct": lambda: draw_mask(2, 1, 4, 5),
    "ties": tied_mask,
    "two values": lambda: (draw_mask(2, 1, 4, 5) > 0.5).double(),
    "one value": lambda: torch.full((2, 1, 4, 5), 0.3, dtype=torch.float64),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_eq_13_is_the_mean_over_all_pairs_of_pixels(mask: Callable[[], Tensor]) -> None:
    m, c = mask(), draw(2, 3, 4, 5, seed=1)
    for formulation in (mask_smoothness, fast_mask_smoothness, mask_smoothness_matrix):
        close(formulation(m, c), smoothness_by_loops(m, c))


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_eq_13_gradient_is_that_of_the_matrix(mask: Callable[[], Tensor]) -> None:
    m, c = mask().requires_grad_(), draw(2, 3, 4, 5, seed=1).requires_grad_()
    (expected,) = torch.autograd.grad(3 * mask_smoothness_matrix(m, c), m)  # d|0| is 0 there, too
    for formulation in (mask_smoothness, fast_mask_smoothness):
        (found,) = torch.autograd.grad(3 * formulation(m, c), m)
        close(found, expected)
        formulation(m, c).backward()
        assert c.grad is None, "the content must get no gradient"


def test_eq_13_of_several_masks_of_an_image_is_their_mean() -> None:
    m, c = draw_mask(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)
    each = torch.stack([mask_smoothness_matrix(m[:, k : k + 1], c) for k in range(3)])
    close(mask_smoothness(m, c), each.mean())
    close(fast_mask_smoothness(m, c), each.mean())


def test_eq_13_gradcheck_without_ties() -> None:
    c = draw(2, 3, 3, 4, seed=1)
    assert torch.autograd.gradcheck(lambda m: fast_mask_smoothness(m, c), [draw_mask(2, 1, 3, 4).requires_grad_()])


def test_eq_13_does_not_depend_on_the_order_of_the_pixels() -> None:
    m, c = tied_mask(), draw(2, 3, 4, 5, seed=1)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    shuffled = [t.flatten(2)[:, :, order].reshape(t.shape) for t in (m, c)]
    close(fast_mask_smoothness(*shuffled), fast_mask_smoothness(m, c))


def test_eq_13_does_not_depend_on_offset_of_the_mask_or_length_of_the_codes() -> None:
    m, c = draw_mask(2, 1, 4, 5), draw(2, 3, 4, 5, seed=1)
    expected = fast_mask_smoothness(m, c)
    close(fast_mask_smoothness(m + 0.5, c), expected)
    close(fast_mask_smoothness(1 - m, c), expected)
    close(fast_mask_smoothness(m, c * draw_mask(2, 1, 4, 5, seed=2).add(0.1)), expected)
    close(fast_mask_smoothness(3 * m, c), 3 * expected)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_eq_13_of_a_constant_mask_is_zero(value: float) -> None:
    m = torch.full((2, 1, 8, 8), value, requires_grad=True)
    loss = fast_mask_smoothness(m, draw(2, 5, 8, 8).float())
    loss.backward()
    assert m.grad is not None
    torch.testing.assert_close(loss, torch.zeros(()), atol=1e-6, rtol=0)
    assert not m.grad.any()


def test_eq_13_at_training_size_in_float32() -> None:
    m, c = draw_mask(1, 1, 32, 32), draw(1, 16, 32, 32, seed=1).relu() + 0.01
    m32 = m.float().requires_grad_()
    loss = fast_mask_smoothness(m32, c.float())
    (found,) = torch.autograd.grad(loss, m32)
    m.requires_grad_()
    expected = mask_smoothness_matrix(m, c)
    (slope,) = torch.autograd.grad(expected, m)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.double(), slope, rtol=1e-3, atol=1e-4 * slope.abs().max().item())


def agreement_by_loops(m: Tensor, c: Tensor, alike: float) -> float:
    total = 0.0
    for b in range(len(m)):
        values, codes = m[b].flatten().tolist(), c[b].flatten(1).T
        for i, value in enumerate(values):
            cosines = [((codes[i] @ code) / (codes[i].norm() * code.norm())).item() for code in codes]
            weights = [max(0.0, cosine - alike) for cosine in cosines]
            apart = sum(w * abs(value - other) for w, other in zip(weights, values, strict=True))
            total += apart / sum(weights) / len(values)
    return total / len(m)


@pytest.mark.parametrize("alike", [-1.0, 0.2, 0.7])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_agreement_is_each_pixels_own_mean_over_pixels_alike(mask: Callable[[], Tensor], alike: float) -> None:
    m, c = mask().requires_grad_(), draw(2, 3, 4, 5, seed=1).requires_grad_()
    loss = mask_agreement(m, c, alike)
    close(loss, agreement_by_loops(m, c, alike))
    (found,) = torch.autograd.grad(3 * loss, m)
    (expected,) = torch.autograd.grad(3 * agreement(m, c, alike), m)
    close(found, expected)
    mask_agreement(m, c, alike).backward()
    assert c.grad is None, "the content must get no gradient"


def test_agreement_binds_a_small_region_to_itself_and_eq_13_to_what_surrounds_it() -> None:
    # 4 pixels of a mouth among 60 of skin, somewhat alike (cosine 0.4): all else equal, where is the mouth drawn to?
    mouth = torch.zeros(8, 8, dtype=torch.bool)
    mouth[6:, 6:] = True
    c = torch.where(mouth, torch.tensor([0.4, 0.84**0.5]).view(2, 1, 1), torch.tensor([1.0, 0.0]).view(2, 1, 1))[None]
    m = torch.where(mouth, 0.9, 0.1)[None, None].requires_grad_()
    (by_eq_13,) = torch.autograd.grad(fast_mask_smoothness(m, c), m)
    (by_agreement,) = torch.autograd.grad(mask_agreement(m, c, 0.6), m)
    assert (by_eq_13[0, 0][mouth] > 0).all(), "Eq. 13 takes the mouth's mask down to the skin's"
    assert not by_agreement.any(), "each region already agrees with itself"


@pytest.mark.parametrize("alike", [0.0, 0.3, 1 - 1e-7])
def test_pixels_without_content_agree_with_none(alike: float) -> None:
    """A uniform image has the code 0 at first: 0 / 0 would end the run."""
    m, c = draw_mask(2, 1, 4, 5).requires_grad_(), draw(2, 3, 4, 5, seed=1)
    c[0], c[1, :, 0] = 0.0, 0.0
    loss = mask_agreement(m, c, alike)
    (slope,) = torch.autograd.grad(loss, m)
    assert torch.isfinite(loss)
    assert torch.isfinite(slope).all()
    assert not slope[0].any()


def test_agreement_of_many_pixels_is_estimated_without_bias() -> None:
    m, c = draw_mask(1, 2, 20, 20), draw(1, 6, 20, 20, seed=1)
    torch.manual_seed(0)
    drawn = torch.stack([mask_agreement(m, c, 0.3) for _ in range(200)])
    expected = torch.stack([agreement(m[:, k : k + 1], c, 0.3) for k in (0, 1)]).mean()
    assert drawn.std() > 0
    assert abs(drawn.mean() - expected) < 4 * drawn.std() / 200**0.5
