"""Masks against the truth, and what they are like: overlap, area, saturation."""

from __future__ import annotations

import torch
from torch import Tensor

from lomit.nn.blocks import float64, resize_mask

THRESHOLD = 0.5
"""From here on a pixel belongs to a soft mask or a true region."""
SATURATED = 0.05
"""A mask's value this near to 0 or 1 is saturated."""


def iou(mask: Tensor, coverage: Tensor) -> Tensor:
    """Intersection over union of a soft mask and a true region, both cut at 0.5, at the image's resolution.

    Masks are B x 1 x h x w in [0, 1], enlarged bilinearly before they are cut, as Eq. 1 enlarges them.  Coverage is B x
    1 x H x W, the share of each pixel that the region takes, 0..1; nan where a pixel does not count.  The value is
    float64, B; nan where the true region is empty.
    """
    found = (_enlarged(mask, coverage) >= THRESHOLD) & ~coverage.isnan()
    truth = coverage >= THRESHOLD
    both, either, size = (float64(t.sum(dim=(1, 2, 3))) for t in (found & truth, found | truth, truth))
    return torch.where(size > 0, both / either, float("nan"))


def soft_iou(mask: Tensor, coverage: Tensor) -> Tensor:
    """Sum of the smaller over sum of the larger of a soft mask and a region's shares; args and value as for `iou`."""
    truth = float64(coverage)
    known = ~truth.isnan()
    found, truth = float64(_enlarged(mask, coverage)).where(known, 0), truth.where(known, 0)
    smaller, larger = (pick(found, truth).sum(dim=(1, 2, 3)) for pick in (torch.minimum, torch.maximum))
    return torch.where(truth.sum(dim=(1, 2, 3)) > 0, smaller / larger, float("nan"))


def mean_in(mask: Tensor, coverage: Tensor) -> Tensor:
    """Mean of a soft mask over a region, each pixel weighted by its share; args and value as for `iou`."""
    weight = float64(coverage).nan_to_num()
    found = float64(_enlarged(mask, coverage))
    return (weight * found).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3))


def on_grid(coverage: Tensor, grid: tuple[int, int], binary: bool = False) -> Tensor:
    """The true region as a mask of that many cells (height, width) holds it: averaged over each cell.

    Its `iou` with the region itself says what the grid costs.  It is no strict bound: a soft mask whose cells are
    fitted to the outline could do better, so a trained one may.  A cell is averaged over its pixels that are not nan,
    and 0 without one; `binary` cuts it at 0.5 as well.
    """
    mask = resize_mask(coverage.nan_to_num(), grid)
    if coverage.isnan().any():
        mask = (mask / resize_mask((~coverage.isnan()).to(mask.dtype), grid)).nan_to_num()
    return (mask >= THRESHOLD).to(coverage.dtype) if binary else mask


def area(mask: Tensor) -> Tensor:
    """Mean of each soft mask, B x 1 x h x w -> float64, B in [0, 1]: the share of the image it takes.

    Of a region's shares, pixels that are nan don't count.
    """
    return float64(mask).nanmean(dim=(1, 2, 3))


def saturation(mask: Tensor) -> Tensor:
    """Share of each mask's cells within 0.05 of 0 or 1, B x 1 x h x w -> float64, B in [0, 1].

    A sharp mask is saturated in both ways, a collapsed one in one: read it beside the area.
    """
    return float64((mask < SATURATED) | (mask > 1 - SATURATED)).mean(dim=(1, 2, 3))


def _enlarged(mask: Tensor, coverage: Tensor) -> Tensor:
    return resize_mask(mask, (coverage.shape[-2], coverage.shape[-1]))
