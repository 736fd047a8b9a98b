"""Change outside a region: hand-made images, and invariance to what happens inside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lomit.metrics.background import mean_change, outside


def test_change_of_a_known_part() -> None:
    before = torch.full((2, 3, 8, 8), 100.0)
    after = before.clone()
    after[0, 0, :, :4] += 30  # one channel of three, half of the image
    after[1] -= 7
    whole = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    left = whole.clone()
    left[..., 4:] = False
    assert mean_change(before, after, whole).tolist() == [5.0, 7.0]
    assert mean_change(before, after, left).tolist() == [10.0, 7.0]
    assert mean_change(before, after, ~left).tolist() == [0.0, 7.0]


def test_change_inside_the_region_has_no_say() -> None:
    g = torch.Generator().manual_seed(0)
    before, after = (torch.rand(3, 3, 16, 16, generator=g) * 255 for _ in range(2))
    coverage = torch.zeros(3, 1, 16, 16)
    coverage[..., 5:9, 6:10] = 1
    where = outside(coverage, 1)
    disturbed = torch.where(where, after, torch.rand(after.shape, generator=g) * 255)
    torch.testing.assert_close(mean_change(before, after, where), mean_change(before, disturbed, where))
    torch.testing.assert_close(mean_change(before, after, where), mean_change(after, before, where))


@pytest.mark.parametrize("margin", [0, 1, 3])
def test_margin_is_scipys_dilation(margin: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    coverage = (torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(1)) < 0.03).float() * 0.01
    taken = ndimage.binary_dilation(coverage[0, 0].numpy() > 0, np.ones((2 * margin + 1,) * 2))
    assert taken.any()
    np.testing.assert_array_equal(outside(coverage, margin)[0, 0].numpy(), ~taken)


def test_no_background_left() -> None:
    where = outside(torch.ones(1, 1, 8, 8), 1)
    assert not where.any()
    assert mean_change(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8), where).isnan().all()
