"""Patch discriminator at several scales (Wang et al., pix2pixHD, 2018), as MUNIT and DRIT use it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lomit.nn.blocks import ConvBlock, at_least_float32

LAYERS = 4
"""Strided convolutions at each scale."""


def discriminator_scales(image_size: int, largest: int = 3) -> int:
    """Scales at this image size: the smallest image must be 16 pixels wide, one patch."""
    return max(1, min(largest, image_size.bit_length() - 4))


class MultiScaleDiscriminator(nn.Module):
    """One network for the image and one for each halved image; reflection padding, no norm.

    Args:
        width: channels after the first convolution; each further one doubles them.
        scales: number of networks.
        slope: of LeakyReLU.
    """

    def __init__(self, width: int, scales: int, slope: float) -> None:
        super().__init__()

        def network() -> nn.Sequential:
            channels = [3] + [width * 2**i for i in range(LAYERS)]
            return nn.Sequential(
                *(
                    ConvBlock(a, b, 4, 2, 1, activation=nn.LeakyReLU(slope, inplace=True))
                    for a, b in pairwise(channels)
                ),
                nn.Conv2d(channels[-1], 1, 1),
            )

        self.networks = nn.ModuleList(network() for _ in range(scales))

    def forward(self, x: Tensor) -> list[Tensor]:
        """B x 3 x H x W in [-1, 1] -> patch scores of each scale, B x 1 x h x w, the finest first."""
        scores = []
        for k, network in enumerate(self.networks):
            if k:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            scores.append(at_least_float32(network(x)))
        return scores


def mean_score(*scores: Sequence[Tensor]) -> Tensor:
    """What discriminators make of images, as one number without a graph: the mean over them and their scales.

    Args:
        scores: of each discriminator, as `MultiScaleDiscriminator` gives them.
    """
    return torch.stack([patches.detach().mean() for maps in scores for patches in maps]).mean()
