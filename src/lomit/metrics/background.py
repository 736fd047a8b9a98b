"""Background kept: how little an image changes outside the region that was to change."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def outside(coverage: Tensor, margin: int) -> Tensor:
    """The pixels at least `margin` + 1 away from a region, bool, B x 1 x H x W; any share of a pixel counts as covered.

    The margin, in pixels of the square neighbourhood, keeps edges out: a resized image mixes the colours on both sides
    of an edge, and a pixel whose colour is partly hair is not background.
    """
    touched = (coverage > 0).float()
    return F.max_pool2d(touched, 2 * margin + 1, stride=1, padding=margin) == 0


def mean_change(before: Tensor, after: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference over the pixels and channels: float64, B, 0..255; nan where no pixel counts.

    Images are B x C x H x W in 0..255; the weight of the pixels is B x 1 x H x W, bool or not negative.
    """
    change = (before.double() - after.double()).abs().mean(dim=1, keepdim=True)
    return (weight * change).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3))
