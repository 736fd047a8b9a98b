"""MUNIT's, DRIT's and StarGAN v2's terms against straightforward formulations in float64, and their invariances."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lomit.losses import rivals
from support.float64 import close, draw

REAL = [draw(2, 1, 4, 4), draw(2, 1, 2, 2, seed=1)]
FAKE = [draw(2, 1, 4, 4, seed=2), draw(2, 1, 2, 2, seed=3)]


def mean_over(scores: Tensor, value: object) -> float:
    assert callable(value)
    values = [value(v) for v in scores.flatten().tolist()]
    return math.fsum(values) / len(values)


def sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v))


def test_least_squares() -> None:
    critic = sum(mean_over(r, lambda v: (v - 1) ** 2) for r in REAL) + sum(mean_over(f, lambda v: v**2) for f in FAKE)
    close(rivals.least_squares_critic(REAL, FAKE), critic)
    close(rivals.least_squares_adversarial(FAKE), sum(mean_over(f, lambda v: (v - 1) ** 2) for f in FAKE))
    ones, zeros = [torch.ones_like(f) for f in FAKE], [torch.zeros_like(f) for f in FAKE]
    close(rivals.least_squares_critic(ones, zeros), 0.0)
    close(rivals.least_squares_adversarial(ones), 0.0)


def test_sigmoid_cross_entropy() -> None:
    real = sum(mean_over(r, lambda v: -math.log(sigmoid(v))) for r in REAL)
    fake = sum(mean_over(f, lambda v: -math.log(1 - sigmoid(v))) for f in FAKE)
    close(rivals.sigmoid_critic(REAL, FAKE), real + fake)
    expected = sum(mean_over(f, lambda v: -math.log(sigmoid(v))) for f in FAKE)
    close(rivals.sigmoid_adversarial(FAKE), expected)
    sure = [torch.full((1, 1, 1, 1), 800.0)]
    assert torch.isfinite(rivals.sigmoid_critic([-sure[0]], sure))


def test_content_confusion_is_least_where_the_domains_look_alike() -> None:
    logits = draw(2, 1, 3, 3).requires_grad_()

    def half(v: float) -> float:
        return -0.5 * math.log(sigmoid(v)) - 0.5 * math.log(1 - sigmoid(v))

    close(rivals.content_confusion(logits), mean_over(logits, half))
    close(rivals.content_confusion(torch.zeros(2, dtype=torch.float64)), math.log(2))
    close(rivals.content_confusion(-logits), rivals.content_confusion(logits))
    rivals.content_confusion(logits).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad.sign(), logits.detach().sign()), "downhill is towards 0"


def test_style_loss_and_small_codes() -> None:
    a, b = draw(2, 5), draw(2, 5, seed=1)
    pairs = zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)
    close(rivals.style_loss(a, b), math.fsum(abs(p - q) for p, q in pairs) / 10)
    close(rivals.small_codes(a), math.fsum(p * p for p in a.flatten().tolist()) / 10)


def test_kl_is_the_integral_of_the_densities() -> None:
    mean, log_var = draw(3, 2), draw(3, 2, seed=1)
    total = 0.0
    grid = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    for m, v in zip(mean.flatten().tolist(), log_var.flatten().tolist(), strict=True):
        log_p = -0.5 * (math.log(2 * math.pi) + v + (grid - m) ** 2 / math.exp(v))
        log_q = -0.5 * (math.log(2 * math.pi) + grid**2)
        total += torch.trapezoid(log_p.exp() * (log_p - log_q), grid).item()
    torch.testing.assert_close(rivals.kl_to_normal(mean, log_var).item(), total / 3, rtol=1e-8, atol=1e-8)
    close(rivals.kl_to_normal(torch.zeros(2, 3), torch.zeros(2, 3)), 0.0)


def test_mode_seeking_rewards_images_that_differ() -> None:
    images, codes = (draw(2, 3, 4, 4), draw(2, 3, 4, 4, seed=1)), (draw(2, 5, seed=2), draw(2, 5, seed=3))
    distance = [(a - b).abs().sum().item() / a.numel() for a, b in (images, codes)]
    close(rivals.mode_seeking(images, codes), 1 / (distance[0] / distance[1] + 1e-5))
    close(rivals.mode_seeking((images[1], images[0]), codes), rivals.mode_seeking(images, codes))
    further = rivals.mode_seeking((images[0], images[0] + 2 * (images[1] - images[0])), codes)
    assert further < rivals.mode_seeking(images, codes)
    close(rivals.mode_seeking((images[0], images[0]), codes), 1e5)


def test_style_diversity_moves_the_first_image_alone() -> None:
    image, other = draw(2, 3, 4, 4).requires_grad_(), draw(2, 3, 4, 4, seed=1).requires_grad_()
    pairs = zip(image.flatten().tolist(), other.flatten().tolist(), strict=True)
    distance = rivals.style_diversity(image, other)
    close(distance, math.fsum(abs(p - q) for p, q in pairs) / image.numel())
    distance.backward()
    assert image.grad is not None
    assert other.grad is None


def test_r1_is_half_the_squared_slope() -> None:
    slope = draw(3, 2, 4, 4)
    close(rivals.r1_penalty(slope), math.fsum(v * v for v in slope.flatten().tolist()) / 2 / 3)
    # Of x -> w.x the slope is w, wherever x is.
    w, x = draw(2, 4, 4), draw(5, 2, 4, 4, seed=1).requires_grad_()
    (found,) = torch.autograd.grad((x * w).sum(), x)
    close(rivals.r1_penalty(found), w.square().sum() / 2)
