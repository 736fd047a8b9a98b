"""Kernel distance against torchmetrics and a loop; it is unbiased."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lomit.errors import LomitError
from lomit.metrics.kid import estimate


def sample(n: int, d: int = 5, seed: int = 0, shift: float = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def discrepancy(x: Tensor, y: Tensor) -> float:
    return estimate(x, torch.arange(len(x)), y).value


def test_discrepancy_is_torchmetrics() -> None:
    theirs = pytest.importorskip("torchmetrics.image.kid")
    x, y = sample(30), sample(30, seed=1, shift=0.3)
    assert discrepancy(x, y) == pytest.approx(float(theirs.poly_mmd(x, y)))


def test_discrepancy_is_that_of_a_loop_for_unequal_counts() -> None:
    x, y = sample(7).numpy(), sample(9, seed=1, shift=0.5).numpy()

    def mean(a: np.ndarray, b: np.ndarray, same: bool) -> float:
        pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if not same or i != j]
        return float(np.mean([(a[i] @ b[j] / 5 + 1) ** 3 for i, j in pairs]))

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    assert discrepancy(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(expected)


def test_it_is_unbiased_for_few_samples() -> None:
    values = np.array([discrepancy(sample(10, seed=2 * k), sample(10, seed=2 * k + 1)) for k in range(400)])
    assert abs(values.mean()) < 3 * values.std() / 20
    assert 0.3 < (values < 0).mean() < 0.8
    moved = np.mean([discrepancy(sample(10, seed=k), sample(10, seed=k + 400, shift=0.7)) for k in range(100)])
    assert moved > 5 * values.std() / 20


def test_rotation_order_and_direction_do_not_matter() -> None:
    x, y = sample(20), sample(20, seed=1, shift=0.3)
    turn, _ = torch.linalg.qr(sample(5, seed=2))
    for other in (discrepancy(x @ turn, y @ turn), discrepancy(x.flip(0), y), discrepancy(y, x)):
        assert other == pytest.approx(discrepancy(x, y))


def test_one_sample() -> None:
    with pytest.raises(LomitError, match="two samples at least; there are 1"):
        discrepancy(sample(1), sample(5))


def test_interval_covers_the_true_distance() -> None:
    """Of two equal distributions it is 0."""
    reference, covered = sample(400, seed=10_000), 0
    for k in range(40):
        found = estimate(sample(40, seed=k), torch.arange(40), reference)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert covered >= 33
