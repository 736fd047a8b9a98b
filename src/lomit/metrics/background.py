"""Background kept: how little an image changes outside the region that was to change.

By the mean difference, and by structural similarity (SSIM, Wang et al., 2004) over a part of an image, whatever the
rest of it holds.  The paper's Gaussian window: 11 x 11, sigma 1.5, K1 = 0.01, K2 = 0.03, values 0..255.  The window's
weights are restricted to the pixels that count and normalised to sum to 1 there (normalised convolution); so neither
the border of the image nor what lies outside the part leaks into the score.  Where the whole window counts, this is
SSIM as everybody computes it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lomit.nn.blocks import float64

RADIUS, SIGMA = 5, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


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
    change = (float64(before) - float64(after)).abs().mean(dim=1, keepdim=True)
    weight = weight.to(change.device)
    return (weight * change).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3))


def ssim_map(x: Tensor, y: Tensor, where: Tensor) -> Tensor:
    """SSIM at each pixel, per channel: float64, B x C x H x W in [-1, 1], meaningless outside `where`.

    Images are B x C x H x W in 0..255, `where` is bool, B x 1 x H x W: the pixels that count.
    """
    x, y, w = float64(x), float64(y), float64(where)
    # At a pixel that counts, the total is at least the window's central weight, which is 1.
    total = _blur(w).clamp_min(1e-12)

    def local_mean(values: Tensor) -> Tensor:
        return _blur(w * values) / total

    mu_x, mu_y = local_mean(x), local_mean(y)
    var_x, var_y = local_mean(x * x) - mu_x**2, local_mean(y * y) - mu_y**2
    cov = local_mean(x * y) - mu_x * mu_y
    return (2 * mu_x * mu_y + C1) * (2 * cov + C2) / ((mu_x**2 + mu_y**2 + C1) * (var_x + var_y + C2))


def ssim(x: Tensor, y: Tensor, where: Tensor) -> Tensor:
    """Mean of `ssim_map` over the pixels that count and the channels: float64, B; nan where no pixel counts."""
    values = ssim_map(x, y, where).mean(dim=1, keepdim=True)
    where = where.to(values.device)
    return torch.where(where, values, 0).sum(dim=(1, 2, 3)) / where.sum(dim=(1, 2, 3))


def _blur(values: Tensor) -> Tensor:
    """Weighted sums over the window, zeros around the image.  B x C x H x W.

    The window is a product of a row and a column, so both are banded matrices; at these sizes two products of
    matrices are many times faster than convolutions in double precision.
    """
    down, along = (_band(size, values) for size in values.shape[-2:])
    return down @ values @ along


def _band(size: int, like: Tensor) -> Tensor:
    """The window's weights between any two of `size` positions in a line, size x size."""
    position = torch.arange(size, dtype=like.dtype, device=like.device)
    distance = (position[:, None] - position[None, :]).abs()
    g = torch.exp(-(distance**2) / (2 * SIGMA**2))
    return torch.where(distance <= RADIUS, g, 0)
