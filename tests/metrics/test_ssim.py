"""SSIM against scikit-image and against a loop over pixels; what lies outside the part has no say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lomit.metrics.background import C1, C2, RADIUS, SIGMA, ssim, ssim_map


def images(size: int = 24, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two images of smooth shapes and noise, 2 x 3 x size x size in 0..255."""
    g = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(0, 200, size).expand(2, 3, size, size)
    x = ramp + 40 * torch.rand(ramp.shape, generator=g)
    y = 0.8 * x + 30 * torch.rand(ramp.shape, generator=g)
    return x, y.clamp(0, 255)


def everywhere(x: Tensor) -> Tensor:
    return torch.ones(len(x), 1, *x.shape[-2:], dtype=torch.bool)


def test_inner_pixels_are_scikit_images() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    x, y = images()
    ours = ssim_map(x, y, everywhere(x))
    for k in range(2):
        _, theirs = metrics.structural_similarity(
            x[k].numpy().astype(np.float64), y[k].numpy().astype(np.float64), channel_axis=0, data_range=255,
            gaussian_weights=True, sigma=SIGMA, use_sample_covariance=False, full=True,
        )  # fmt: skip
        inner = (..., slice(RADIUS, -RADIUS), slice(RADIUS, -RADIUS))
        np.testing.assert_allclose(ours[k][inner].numpy(), theirs[inner], atol=1e-9)


def test_part_of_an_image_against_a_loop() -> None:
    x, y = images(16, seed=4)
    x, y = x[:1, :1].double(), y[:1, :1].double()
    where = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1)) < 0.4
    ours = ssim_map(x, y, where)[0, 0]
    for i in range(16):
        for j in range(16):
            if not where[0, 0, i, j]:
                continue
            w, a, b = [], [], []
            for p in range(max(0, i - 5), min(16, i + 6)):
                for q in range(max(0, j - 5), min(16, j + 6)):
                    if where[0, 0, p, q]:
                        w.append(np.exp(-((p - i) ** 2 + (q - j) ** 2) / (2 * 1.5**2)))
                        a.append(x[0, 0, p, q].item())
                        b.append(y[0, 0, p, q].item())
            mu = np.average(a, weights=w), np.average(b, weights=w)
            c = np.cov(a, b, aweights=w, ddof=0) if len(w) > 1 else np.zeros((2, 2))
            expected = (2 * mu[0] * mu[1] + C1) * (2 * c[0, 1] + C2)
            expected /= (mu[0] ** 2 + mu[1] ** 2 + C1) * (c[0, 0] + c[1, 1] + C2)
            assert ours[i, j].item() == pytest.approx(expected, abs=1e-8)


def test_equal_images_score_one_and_order_does_not_matter() -> None:
    x, y = images()
    where = everywhere(x)
    torch.testing.assert_close(ssim(x, x, where), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(ssim(x, y, where), ssim(y, x, where))
    assert (ssim(x, y, where) < 0.99).all()


def test_pixels_outside_the_part_have_no_say() -> None:
    x, y = images()
    where = everywhere(x)
    where[..., 8:16, 8:16] = False
    changed = torch.where(where, y, torch.rand(y.shape, generator=torch.Generator().manual_seed(2)) * 255)
    assert not torch.equal(changed, y)
    torch.testing.assert_close(ssim(x, y, where), ssim(x, changed, where), rtol=0, atol=1e-12)


def test_only_the_damaged_image_of_a_batch_loses() -> None:
    x, _ = images()
    y = x.clone()
    y[1] = 255 - y[1]
    scores = ssim(x, y, everywhere(x))
    assert scores[0].item() == pytest.approx(1)
    assert scores[1] < 0.2


def test_no_pixel_counts() -> None:
    x, y = images()
    assert ssim(x, y, torch.zeros_like(everywhere(x))).isnan().all()
