"""Diversity against scipy's distances and a loop; scale and order do not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lomit.errors import LomitError
from lomit.metrics.diversity import feature_distance, pair_mean


def features(seed: int = 0) -> Tensor:
    return torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_pairs_are_scipys() -> None:
    spatial = pytest.importorskip("scipy.spatial.distance")
    f = features()
    expected = [2 * spatial.pdist(of_input.numpy(), "cosine").mean() for of_input in f]
    np.testing.assert_allclose(pair_mean(f).numpy(), expected)


def test_ten_outputs_make_45_pairs_under_any_distance() -> None:
    images, seen = torch.rand(2, 10, 3, 4, 4), []

    def distance(first: Tensor, second: Tensor) -> Tensor:
        seen.append((first, second))
        return (first - second).abs().mean(dim=(1, 2, 3))

    found = pair_mean(images, distance)
    assert len(seen) == 45
    by_hand = [(images[1, i] - images[1, j]).abs().mean() for i in range(10) for j in range(i)]
    assert found[1].item() == pytest.approx(torch.stack(by_hand).mean().item(), rel=1e-5)


def test_scale_and_order_do_not_matter() -> None:
    f = features()
    scale = torch.rand(3, 5, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1
    for other in (f * scale, f.flip(1)):
        torch.testing.assert_close(pair_mean(other), pair_mean(f))
    torch.testing.assert_close(pair_mean(f.flip(0)), pair_mean(f).flip(0))


def test_range() -> None:
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 2.0])
    assert feature_distance(a, a).item() == 0
    assert feature_distance(a, b).item() == pytest.approx(2)
    assert feature_distance(a, -a).item() == pytest.approx(4)
    assert pair_mean(features()[:, :1].expand(3, 4, 8)).tolist() == [0.0] * 3


def test_one_output() -> None:
    with pytest.raises(LomitError, match="two outputs of an input at least; there are 1"):
        pair_mean(features()[:, :1])
