"""Masks: overlap against scikit-learn's Jaccard index and a closed form; the grid's ceiling."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from lomit.metrics.masks import area, iou, mean_in, on_grid, saturation, soft_iou


def disc(size: int, radius: float) -> torch.Tensor:
    y, x = torch.meshgrid(*(torch.arange(size) + 0.5 - size / 2,) * 2, indexing="ij")
    return ((x**2 + y**2) < radius**2).float().expand(1, 1, size, size)


def test_overlap_of_two_rectangles() -> None:
    mask, truth = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    mask[..., :8, :8] = 0.9
    truth[..., 4:8, 4:12] = 0.8  # 32 cells, 16 of them shared with the mask's 64
    assert iou(mask, truth).item() == pytest.approx(16 / (64 + 32 - 16))


def test_overlap_is_the_jaccard_index_of_the_enlarged_mask() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    g = torch.Generator().manual_seed(0)
    mask, truth = torch.rand(4, 1, 8, 8, generator=g), (torch.rand(4, 1, 32, 32, generator=g) < 0.3).float()
    large = F.interpolate(mask, (32, 32), mode="bilinear", align_corners=False) >= 0.5
    expected = [
        metrics.jaccard_score(t.flatten().numpy(), m.flatten().numpy()) for t, m in zip(truth, large, strict=True)
    ]
    assert iou(mask, truth).tolist() == pytest.approx(expected)


def test_overlap_ends_and_symmetry() -> None:
    g = torch.Generator().manual_seed(1)
    a, b = ((torch.rand(3, 1, 16, 16, generator=g) < 0.5).float() for _ in range(2))
    assert iou(a, a).tolist() == [1.0] * 3
    assert iou(1 - a, a).tolist() == [0.0] * 3
    torch.testing.assert_close(iou(a, b), iou(b, a))
    torch.testing.assert_close(iou(a.flip(-1), b.flip(-1)), iou(a, b))


def test_mask_of_ones_overlaps_as_much_as_the_region_is_large() -> None:
    truth = disc(64, 20)
    assert iou(torch.ones(1, 1, 16, 16), truth).item() == pytest.approx(truth.mean().item())


def test_an_empty_region_does_not_count() -> None:
    assert iou(torch.ones(1, 1, 4, 4), torch.full((1, 1, 16, 16), 0.4)).isnan().all()


def test_what_the_grid_costs() -> None:
    on_cells = torch.zeros(1, 1, 64, 64)
    on_cells[..., 16:48, 16:48] = 1
    large, small = disc(64, 24), disc(64, 3)
    for binary in (False, True):
        costs = [iou(on_grid(t, (16, 16), binary), t).item() for t in (on_cells, large, small)]
        # Bilinear enlarging rounds even the corners of whole cells off.
        assert costs[0] > 0.95
        assert 1 > costs[1] > costs[2] > 0
    assert set(on_grid(large, (16, 16), binary=True).unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(on_grid(large, (64, 64)), large)
    # Averages know where in a cell the outline runs.
    assert iou(on_grid(large, (16, 16)), large) > iou(on_grid(large, (16, 16), binary=True), large)


def test_averaging_keeps_the_area() -> None:
    truth = disc(64, 17)
    torch.testing.assert_close(area(on_grid(truth, (16, 16))), area(truth))


def test_area_and_saturation() -> None:
    mask = torch.tensor([[0.0, 0.04, 0.5, 0.96], [0.2, 0.2, 0.2, 0.2]]).view(2, 1, 2, 2)
    assert area(mask).tolist() == pytest.approx([0.375, 0.2])
    assert saturation(mask).tolist() == [0.75, 0.0]
    torch.testing.assert_close(saturation(1 - mask), saturation(mask))


def test_soft_overlap_and_means_by_hand() -> None:
    mask, truth = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    mask[0, 0, 0] = 0.5
    truth[0, 0, 0, :2] = torch.tensor([1.0, 0.25])
    # Smaller: 0.5 + 0.25; larger: 1 + 0.5 + 0.5 + 0.5.
    assert soft_iou(mask, truth)[0].item() == pytest.approx(0.75 / 2.5)
    assert mean_in(mask, truth)[0].item() == pytest.approx(0.5)
    mask[0, 0, 0, 0] = 0.9
    assert mean_in(mask, truth)[0].item() == pytest.approx((0.9 + 0.25 * 0.5) / 1.25)
    assert soft_iou(mask, truth)[1].isnan()
    assert mean_in(mask, truth)[1].isnan()


def test_pixels_that_are_not_known_have_no_say() -> None:
    g = torch.Generator().manual_seed(3)
    mask, truth = torch.rand(2, 1, 8, 16, generator=g), torch.rand(2, 1, 8, 16, generator=g)
    half = truth.clone()
    half[..., 8:] = float("nan")
    for measure in (iou, soft_iou, mean_in):
        torch.testing.assert_close(measure(mask, half), measure(mask[..., :8], truth[..., :8]))
    torch.testing.assert_close(area(half), area(truth[..., :8]))
    torch.testing.assert_close(on_grid(half, (4, 8))[..., :4], on_grid(truth[..., :8], (4, 4)))
    assert on_grid(half, (4, 8)).isfinite().all()
    # A cell is averaged over the pixels that are known.
    half[..., 7] = float("nan")
    torch.testing.assert_close(on_grid(half, (8, 8))[..., 3], truth[..., 6])
