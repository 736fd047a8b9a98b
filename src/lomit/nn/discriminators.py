"""Patch discriminators: StarGAN's, which is LOMIT's too, and one at several scales, which MUNIT and DRIT use."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lomit.nn.blocks import ConvBlock, Padding, at_least_float32


def discriminator_depth(image_size: int) -> int:
    """Strided convolutions at this image size: six, one fewer below 128 pixels so that 2 x 2 patches remain."""
    return max(2, min(6, image_size.bit_length() - 2))


def _strided(width: int, depth: int, slope: float, pad: Padding) -> list[nn.Module]:
    """4 x 4 convolutions with stride 2 and LeakyReLU, no norm; each doubles the channels of the one before."""
    channels = [3] + [width * 2**i for i in range(depth)]
    activation = nn.LeakyReLU(slope, inplace=True)
    return [ConvBlock(a, b, 4, 2, 1, activation=activation, pad=pad) for a, b in pairwise(channels)]


class PatchDiscriminator(nn.Module):
    """D_src and D_cls on one trunk; zero padding, LeakyReLU 0.01, no norm (paper 7.1).

    `width` are the channels after the first convolution; each further one doubles them.  `bias`: whether the two heads
    add one (StarGAN's do not).
    """

    def __init__(self, image_size: int, attributes: int, width: int, bias: bool = True) -> None:
        super().__init__()
        depth = discriminator_depth(image_size)
        channels = width * 2 ** (depth - 1)
        self.trunk = nn.Sequential(*_strided(width, depth, 0.01, "zeros"))
        self.source_head = nn.Conv2d(channels, 1, 3, padding=1, bias=bias)
        self.class_head = nn.Conv2d(channels, attributes, image_size // 2**depth, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """B x 3 x H x W in [-1, 1] -> patch scores B x 1 x h x w, class logits B x A."""
        h = self.trunk(x)
        return self.source_head(h), self.class_head(h).flatten(1)

    def source_gradient(self, x: Tensor) -> Tensor:
        """The gradient of D_src(x), summed over the patches, with respect to x: what Eq. 10's penalty is made of.

        Strided convolutions and LeakyReLU are linear between kinks, so the gradient is a chain of transposed
        convolutions whose only tie to x is on which side of its kink each unit lies.  Written out, it is itself an
        ordinary forward pass: the weights' gradient needs one backward pass in place of a backward of a backward, which
        compilers do not take, and nothing runs back through the first pass, where that gradient is zero.

        B x 3 x H x W each; the result has a graph to the weights, and no gradient reaches x.
        """
        h, passed = x.detach(), []
        for block in self.trunk:
            conv: nn.Conv2d = block[0]  # type: ignore[index]
            activation: nn.LeakyReLU = block[1]  # type: ignore[index]
            size = h.shape[-2:]
            # Detached, not under no_grad: there autocast would keep low-precision weights that have no graph.
            h = conv(h).detach()
            passed.append((conv, size, h > 0, activation.negative_slope))
            h = activation(h)
        g = h.new_ones(len(h), 1, *h.shape[-2:])
        g = F.conv_transpose2d(g, self.source_head.weight, padding=1)
        for conv, size, positive, slope in reversed(passed):
            g = torch.where(positive, g, slope * g)
            # A row that the strided convolution left out, where the size was odd.
            missing = [n - 2 * m for n, m in zip(size, g.shape[-2:], strict=True)]
            g = F.conv_transpose2d(g, conv.weight, stride=2, padding=1, output_padding=missing)
        return g


def discriminator_scales(image_size: int) -> int:
    """Scales at this image size, up to three: the smallest image must be 16 pixels wide, one patch."""
    return max(1, min(3, image_size.bit_length() - 4))


class MultiScaleDiscriminator(nn.Module):
    """One network for the image and one for each halved image; reflection padding, no norm (pix2pixHD, 2018).

    Each has four strided convolutions, the first with `width` channels, and LeakyReLU of this slope.
    """

    def __init__(self, width: int, scales: int, slope: float) -> None:
        super().__init__()
        self.networks = nn.ModuleList(
            nn.Sequential(*_strided(width, 4, slope, "reflect"), nn.Conv2d(8 * width, 1, 1)) for _ in range(scales)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """B x 3 x H x W in [-1, 1] -> patch scores of each scale, B x 1 x h x w, the finest first."""
        scores = []
        for k, network in enumerate(self.networks):
            if k:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            scores.append(at_least_float32(network(x)))
        return scores


def mean_score(*scores: Sequence[Tensor]) -> Tensor:
    """What discriminators make of images, without a graph: the mean over them, their scales and patches."""
    return torch.stack([patches.detach().mean() for maps in scores for patches in maps]).mean()
