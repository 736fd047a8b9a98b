"""Fréchet distance against scipy, torchmetrics and a closed form; rotations and order do not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lomit.errors import LomitError
from lomit.metrics.fid import distance, estimate, moments


def fid(x: Tensor, y: Tensor) -> float:
    return distance(moments(x), moments(y))


def sample(n: int = 80, d: int = 6, seed: int = 0) -> Tensor:
    """Correlated features."""
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=g, dtype=torch.float64)
    return torch.randn(n, d, generator=g, dtype=torch.float64) @ mix + torch.randn(d, generator=g)


def test_distance_is_scipys() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    x, y = sample().numpy(), sample(50, seed=1).numpy()
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * linalg.sqrtm(s1 @ s2).real)
    assert fid(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(expected)


def test_distance_is_torchmetrics() -> None:
    theirs = pytest.importorskip("torchmetrics.image.fid")
    x, y = sample(), sample(50, seed=1)
    assert fid(x, y) == pytest.approx(float(theirs._compute_fid(*moments(x), *moments(y))))


@pytest.mark.parametrize("n", [80, 4])
def test_stretched_and_moved(n: int) -> None:
    """y = a x + b: |b + (a - 1) mu|^2 + (a - 1)^2 tr S, with fewer samples than features too."""
    x = sample(n)
    a, b = 1.7, torch.arange(6.0, dtype=torch.float64)
    expected = (b + (a - 1) * x.mean(0)).square().sum() + (a - 1) ** 2 * x.var(0).sum()
    assert fid(a * x + b, x) == pytest.approx(expected.item())


def test_rotation_order_and_direction_do_not_matter() -> None:
    x, y = sample(), sample(50, seed=1)
    turn, _ = torch.linalg.qr(sample(6, 6, seed=2))
    for other in (fid(x @ turn, y @ turn), fid(x.flip(0), y), fid(y, x), fid(x + 5, y + 5)):
        assert other == pytest.approx(fid(x, y))
    assert fid(x, x.flip(0)) == pytest.approx(0, abs=1e-8)
    assert fid(2 * x, 2 * y) == pytest.approx(4 * fid(x, y))


def test_it_is_larger_for_fewer_samples() -> None:
    reference = sample(2000)
    few = np.mean([fid(sample(2000)[k * 20 : k * 20 + 20], reference) for k in range(10)])
    assert few > 5 * fid(sample(2000)[:400], reference) > 0


def test_interval_holds_the_distance_where_a_bootstrap_would_not() -> None:
    x, reference = sample(2120, 20).split([120, 2000])
    found = estimate(x, torch.arange(120) // 2, reference)
    assert found.value == pytest.approx(fid(x, reference))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high  # type: ignore[operator]
    assert (found.samples, found.people) == (120, 60)
    g = torch.Generator().manual_seed(0)
    drawn = [torch.randint(60, (60,), generator=g) for _ in range(200)]
    resampled = [fid(x[torch.cat([2 * people, 2 * people + 1])], reference) for people in drawn]
    assert np.quantile(resampled, 0.025) > found.value  # type: ignore[operator]


def test_one_sample_and_one_feature() -> None:
    with pytest.raises(LomitError, match="two samples at least; there are 1"):
        fid(sample(1), sample())
    x = sample(30, 1)
    assert fid(x + 2, x) == pytest.approx(4)
