"""Each equation against a straightforward formulation in float64, by loops or by hand, and its invariances."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lomit.losses import lomit as losses
from support.float64 import close, draw, draw_mask

# Eq. 1


def test_eq_1_regions() -> None:
    x, m = draw(2, 3, 4, 4), draw_mask(2, 1, 4, 4)
    foreground, background = losses.split_regions(x, m)
    for b, k, i, j in torch.cartesian_prod(*(torch.arange(n) for n in x.shape)).tolist():
        close(foreground[b, k, i, j], m[b, 0, i, j] * x[b, k, i, j])
        close(background[b, k, i, j], (1 - m[b, 0, i, j]) * x[b, k, i, j])


# Eqs. 3 and 4


def by_hand_adain(c: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> Tensor:
    out = torch.empty_like(c)
    for b in range(c.shape[0]):
        for k in range(c.shape[1]):
            values = c[b, k].flatten().tolist()
            mean = math.fsum(values) / len(values)
            variance = math.fsum((v - mean) ** 2 for v in values) / len(values)
            out[b, k] = gamma[b, k] * (c[b, k] - mean) / math.sqrt(variance + eps) + beta[b, k]
    return out


def test_eq_3_adain_by_hand() -> None:
    c, gamma, beta = 3 * draw(2, 3, 4, 5) + 1, draw(2, 3, seed=1), draw(2, 3, seed=2)
    close(losses.adain(c, gamma, beta), by_hand_adain(c, gamma, beta))


def test_eq_3_sets_the_statistics_of_each_channel() -> None:
    gamma, beta = draw(2, 3, seed=1), draw(2, 3, seed=2)
    out = losses.adain(5 * draw(2, 3, 8, 8) - 2, gamma, beta)
    torch.testing.assert_close(out.mean((2, 3)), beta, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(out.std((2, 3), correction=0), gamma.abs(), rtol=1e-4, atol=1e-6)


def test_eq_3_ignores_scale_and_offset_of_the_content() -> None:
    c, gamma, beta = draw(2, 3, 8, 8), draw(2, 3, seed=1), draw(2, 3, seed=2)
    torch.testing.assert_close(losses.adain(4 * c + 7, gamma, beta), losses.adain(c, gamma, beta), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_eq_3_statistics_are_taken_in_float32_at_least(dtype: torch.dtype) -> None:
    c = (100 + draw(1, 2, 16, 16)).to(dtype)
    assert losses.normalise_content(c).dtype == torch.promote_types(dtype, torch.float32)
    close(losses.normalise_content(c).double().mean((2, 3)).abs().round(decimals=4), torch.zeros(1, 2))


Style = tuple[Tensor, Tensor]


def hadain_case() -> tuple[Tensor, Style, Style]:
    return draw(2, 3, 4, 6), (draw(2, 3, seed=1), draw(2, 3, seed=2)), (draw(2, 3, seed=3), draw(2, 3, seed=4))


def test_eq_4_mixes_two_adains_by_the_mask() -> None:
    c, foreground, background = hadain_case()
    m = draw_mask(2, 1, 4, 6)
    expected = m * by_hand_adain(c, *foreground) + (1 - m) * by_hand_adain(c, *background)
    close(losses.hadain(m, c, foreground, background), expected)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_eq_4_with_a_constant_mask_is_one_adain(value: float) -> None:
    c, foreground, background = hadain_case()
    m = torch.full((2, 1, 4, 6), value, dtype=torch.float64)
    close(losses.hadain(m, c, foreground, background), by_hand_adain(c, *(foreground if value else background)))


def test_eq_4_with_a_half_plane_keeps_each_half_to_its_style() -> None:
    c, foreground, background = hadain_case()
    m = torch.zeros(2, 1, 4, 6, dtype=torch.float64)
    m[..., :3] = 1
    out = losses.hadain(m, c, foreground, background)
    close(out[..., :3], by_hand_adain(c, *foreground)[..., :3])
    close(out[..., 3:], by_hand_adain(c, *background)[..., 3:])
    other = losses.hadain(m, c, (draw(2, 3, seed=9), draw(2, 3, seed=8)), background)
    assert torch.equal(out[..., 3:], other[..., 3:]), "the foreground style reached the background"


def test_eq_4_with_several_foregrounds() -> None:
    c, first, background = hadain_case()
    second = (draw(2, 3, seed=5), draw(2, 3, seed=6))
    a, b = (0.5 * draw_mask(2, 1, 4, 6, seed=k) for k in (7, 8))
    terms = ((a, first), (b, second), (1 - a - b, background))
    expected = sum(m * by_hand_adain(c, *style) for m, style in terms)
    close(losses.composed_hadain([a, b], c, [first, second], background), expected)
    with pytest.raises(ValueError, match="zip"):
        losses.composed_hadain([a, b], c, [first], background)


def test_shares_of_masks() -> None:
    masks = [torch.rand(2, 1, 4, 6, generator=torch.Generator().manual_seed(k)) for k in range(3)]
    parts, total = losses.shares(masks)
    by_hand = [m / sum(masks) * torch.maximum(torch.maximum(*masks[:2]), masks[2]) for m in masks]
    for part, expected in zip(parts, by_hand, strict=True):
        torch.testing.assert_close(part, expected)
    torch.testing.assert_close(sum(parts), total)
    assert total.max() <= 1
    (alone,), union = losses.shares(masks[:1])
    assert torch.equal(alone, masks[0])
    assert torch.equal(union, masks[0])
    for part in losses.shares([masks[0]] * 4)[0]:
        torch.testing.assert_close(part, masks[0] / 4)
    zero = torch.zeros(1, 1, 2, 2)
    assert torch.equal(losses.shares([zero, zero])[0][1], zero), "no division by zero"
    apart = [torch.tensor([[[[0.3, 0.0]]]]), torch.tensor([[[[0.0, 0.9]]]])]
    assert all(torch.equal(a, b) for a, b in zip(losses.shares(apart)[0], apart, strict=True))


# Eqs. 5 to 9


@pytest.mark.parametrize(
    "loss",
    [
        losses.foreground_style_loss,
        losses.background_style_loss,
        losses.content_loss,
        losses.cycle_loss,
        losses.self_reconstruction_loss,
    ],
    ids=lambda loss: loss.__name__,
)
def test_eqs_5_to_9_are_mean_absolute_differences(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    a, b = draw(2, 3, 4, 4), draw(2, 3, 4, 4, seed=1)
    pairs = zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)
    close(loss(a, b), math.fsum(abs(p - q) for p, q in pairs) / a.numel())
    close(loss(a, a), 0.0)
    # No reconstruction target is detached: gradients reach both sides.
    a.requires_grad_()
    b.requires_grad_()
    loss(a, b).backward()
    assert a.grad is not None
    assert b.grad is not None
    assert torch.equal(a.grad, -b.grad)
    close(a.grad.abs(), torch.full_like(a, 1 / a.numel()))


# Eq. 10


def test_eq_10_critic_and_generator_by_hand() -> None:
    real, fake = torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.tensor([[0.0, -1.0], [1.0, 2.0]])
    close(losses.critic_loss(real, fake), 0.5 - 3.0)
    close(losses.generator_adversarial_loss(fake), -0.5)


def test_eq_10_interpolates_each_image_with_its_own_translation() -> None:
    real, fake = draw(3, 3, 2, 2), draw(3, 3, 2, 2, seed=1)
    alpha = torch.tensor([0.0, 1.0, 0.25], dtype=torch.float64)
    x_hat = losses.interpolate_images(real, fake.requires_grad_(), alpha)
    close(x_hat[0], fake[0].detach())
    close(x_hat[1], real[1])
    close(x_hat[2], 0.25 * real[2] + 0.75 * fake[2].detach())
    assert not x_hat.requires_grad


def test_eq_10_draws_one_uniform_share_per_image() -> None:
    torch.manual_seed(0)
    share = losses.interpolate_images(torch.ones(4000, 3, 2, 2), torch.zeros(4000, 3, 2, 2))
    alpha = share[:, 0, 0, 0]
    assert torch.equal(share, alpha.view(-1, 1, 1, 1).expand_as(share))
    assert alpha.min() >= 0
    assert alpha.max() < 1
    # A uniform sample: quantiles lie where they should, within four standard errors.
    quantiles = torch.quantile(alpha, torch.linspace(0.1, 0.9, 9))
    assert (quantiles - torch.linspace(0.1, 0.9, 9)).abs().max() < 4 * 0.5 / math.sqrt(4000)


def test_eq_10_penalty_of_a_linear_critic_is_known() -> None:
    w = draw(3, 4, 4)
    penalty = losses.gradient_penalty(w.expand(5, 3, 4, 4))  # D(x) = sum of w x
    close(penalty, (w.norm().item() - 1) ** 2)


def test_eq_10_penalty_against_differences_and_its_gradient() -> None:
    a, x_hat = draw(2, 2, seed=1).requires_grad_(), draw(3, 3, 2, 2, seed=2)

    def source(x: Tensor) -> Tensor:
        """Two patches an image, so that the sum over patches shows."""
        return torch.tanh(x.mean((1, 3)) @ a)

    step, slopes = 1e-6, torch.zeros(3, 12, dtype=torch.float64)
    for k in range(12):
        shift = torch.zeros(12, dtype=torch.float64)
        shift[k] = step
        up, down = (source(x_hat + s * shift.view(1, 3, 2, 2)).sum(1) for s in (1, -1))
        slopes[:, k] = (up - down).detach() / (2 * step)
    expected = ((slopes.norm(dim=1) - 1) ** 2).mean()

    def of_weights(w: Tensor) -> Tensor:
        x = x_hat.detach().requires_grad_()
        scores = torch.tanh(x.mean((1, 3)) @ w)
        return losses.gradient_penalty(torch.autograd.grad(scores.sum(), x, create_graph=True)[0])

    torch.testing.assert_close(of_weights(a), expected, rtol=1e-8, atol=1e-8)

    assert torch.autograd.gradcheck(of_weights, [a])


# Eqs. 11 and 12


def test_eqs_11_and_12_by_hand() -> None:
    logits = torch.tensor([[0.3, -1.2, 2.0], [4.0, 0.0, -0.7]], dtype=torch.float64)
    y = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    total = 0.0
    for z, label in zip(logits.flatten().tolist(), y.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-z))
        total -= math.log(p) if label == 1 else math.log(1 - p)
    close(losses.classification_loss(logits, y), total / 2)


def test_eqs_11_and_12_leave_out_what_is_not_annotated() -> None:
    logits = draw(3, 4).requires_grad_()
    y = torch.tensor([[1, 0, -1, 1], [-1, -1, -1, -1], [0, 1, 1, -1]], dtype=torch.float64)
    total = 0.0
    for z, label in zip(logits.flatten().tolist(), y.flatten().tolist(), strict=True):
        total += {1.0: math.log1p(math.exp(-z)), 0.0: math.log1p(math.exp(z)), -1.0: 0.0}[label]
    loss = losses.classification_loss(logits, y)
    close(loss, total / 3)
    loss.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad != 0, y >= 0)


def test_eqs_11_and_12_stay_finite_for_sure_logits() -> None:
    logits = torch.tensor([[800.0, -800.0]])
    close(losses.classification_loss(logits, torch.tensor([[0.0, 1.0]])), 1600.0)


# Eqs. 14 and 15


def test_eqs_14_and_15_by_hand() -> None:
    s_1, s_2 = torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([[0.0, 4.0], [0.0, 1.0]])
    close(losses.style_contrast(s_1, s_2), -(1 + 2 + 0 + 2) / 4)
    close(losses.mask_area(torch.tensor([[[[0.0, 1.0], [0.5, 0.1]]]])), 0.4)


# Beyond the paper


def test_doubt_by_hand() -> None:
    close(losses.mask_doubt(torch.tensor([[[[0.0, 1.0], [0.5, 0.2]]]], dtype=torch.float64)), (0.25 + 0.16) / 4)


def test_what_a_background_tells_by_hand() -> None:
    """KL of a fair coin from D_cls, over the attributes in which the pair differs alone."""
    p = torch.tensor([[0.9, 0.9, 0.9, 0.2], [0.5, 0.1, 0.3, 0.3]], dtype=torch.float64)
    y = torch.tensor([[1.0, 1.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    partner = torch.tensor([[0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, -1.0]])
    coin = [0.5 * math.log(0.5 / q) + 0.5 * math.log(0.5 / (1 - q)) for q in (0.9, 0.2, 0.5, 0.1)]
    close(losses.telltale_background(p.logit(), y, partner), sum(coin) / 2)


def test_change_outside_a_mask_by_hand() -> None:
    x, own, m = draw(2, 3, 4, 4), draw(2, 3, 4, 4, seed=1), draw_mask(2, 1, 4, 4)
    total = 0.0
    for b, k, i, j in torch.cartesian_prod(*(torch.arange(n) for n in x.shape)).tolist():
        total += (1 - m[b, 0, i, j].item()) * abs(x[b, k, i, j].item() - own[b, k, i, j].item())
    close(losses.background_change(x, own, m), total / x.numel())
    close(losses.background_change(x, own, torch.ones_like(m)), 0.0)


def test_a_mask_pays_where_a_change_exceeds_the_ratio_of_the_weights() -> None:
    own, change = torch.zeros(1, 3, 1, 2).double(), torch.tensor([0.3, 0.1]).double()
    x, m = (own + change).requires_grad_(), torch.full((1, 1, 1, 2), 0.5).double().requires_grad_()
    own.requires_grad_()
    (0.4 * losses.mask_area(m) + 2 * losses.background_change(x, own, m)).backward()
    assert m.grad is not None
    assert m.grad.flatten().sign().tolist() == [-1, 1]  # descent: up where 0.3 > 0.4 / 2, down where 0.1 is less
    assert own.grad is None
    assert x.grad is not None


# Eq. 16


def scalars(**values: float) -> dict[str, Tensor]:
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def test_eq_16_discriminator_by_hand() -> None:
    terms = scalars(critic=-3.0, penalty=0.5, cls_r=2.0)
    close(losses.discriminator_objective(terms), -3.0 + 10 * 0.5 + 2.0)
    close(losses.discriminator_objective(terms, lambda_cls=0.5, lambda_gp=2.0), -3.0 + 1.0 + 1.0)


GENERATOR_TERMS = {
    "adv": -4.0, "cls_f": 2.0, "s_f": 0.5, "s_b": 0.25, "c": 1.5, "cyc": 0.3, "x": 0.2, "R1": 0.6, "R2": -0.7, "R3": 0.9
}  # fmt: skip


def test_eq_16_generator_at_the_papers_weights() -> None:
    expected = -4.0 + 2.0 + (0.5 + 0.25 + 1.5) + 10 * (0.3 + 0.2) + 0.1 * 0.6 + 0.01 * -0.7 + 0.0001 * 0.9
    close(losses.generator_objective(scalars(**GENERATOR_TERMS)), expected)


@pytest.mark.parametrize(
    ("weight", "names"),
    [
        ("lambda_cls", ["cls_f"]),
        ("lambda_sc", ["s_f", "s_b", "c"]),
        ("lambda_x", ["cyc", "x"]),
        ("lambda_1", ["R1"]),
        ("lambda_2", ["R2"]),
        ("lambda_3", ["R3"]),
    ],
)
def test_eq_16_each_weight_scales_its_own_terms(weight: str, names: list[str]) -> None:
    terms = scalars(**GENERATOR_TERMS)
    low = losses.generator_objective(terms, **{weight: 1.0})  # type: ignore[arg-type]
    high = losses.generator_objective(terms, **{weight: 3.0})  # type: ignore[arg-type]
    close(high - low, 2 * sum(GENERATOR_TERMS[name] for name in names))


def test_eq_16_needs_every_term() -> None:
    terms = scalars(**GENERATOR_TERMS)
    del terms["cyc"]
    with pytest.raises(KeyError, match="cyc"):
        losses.generator_objective(terms)


def test_a_term_that_is_switched_off_cannot_break_the_sum() -> None:
    terms = scalars(**GENERATOR_TERMS) | {"R1": torch.tensor(math.inf, dtype=torch.float64)}
    assert torch.isfinite(losses.generator_objective(terms, lambda_1=0.0))
