"""StarGAN v2's residual blocks (its appendix): pre-activation, LeakyReLU 0.2, sums over the square root of 2.

As published, a block that halves the image pools after its first convolution, and one that doubles it repeats pixels
before.  Pooling and repeating are linear, so both are merged with the convolution here: 16 products for each pixel of
the small image in place of 36, and the 1 x 1 convolution of the shortcut works on the small image.  Weights stay 3 x 3.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lomit.nn.blocks import instance_norm, plain_instance_norm

SLOPE = 0.2
"""Of LeakyReLU."""


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def halvings(size: int, least: int) -> int:
    """How often a side halves without a remainder and without falling below `least`."""
    count = 0
    while size % 2 == 0 and size // 2 >= least:
        size, count = size // 2, count + 1
    return count


def widths(first: int, most: int, count: int) -> list[int]:
    """Channels of the stem and of `count` blocks, each twice as wide as the one before, up to `most`."""
    return [min(first * 2**k, max(first, most)) for k in range(count + 1)]


def merged(weight: Tensor) -> Tensor:
    """A 3 x 3 kernel and the mean over 2 x 2 pixels as one kernel: ... x 3 x 3 -> ... x 4 x 4."""
    return F.avg_pool2d(F.pad(weight, (1, 1, 1, 1)), 2, 1)


def halved(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """`avg_pool2d(conv(x), 2)` of a 3 x 3 convolution with padding 1."""
    return F.conv2d(x, merged(conv.weight), conv.bias, stride=2, padding=1)


def doubled(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """`conv(x)` of the image in which every pixel is repeated 2 x 2; 3 x 3 with padding 1."""
    kernel = 4 * merged(conv.weight.flip(2, 3)).transpose(0, 1)
    return F.conv_transpose2d(x, kernel, conv.bias, stride=2, padding=1)


def repeat(x: Tensor) -> Tensor:
    """Every pixel 2 x 2 times."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _shortcut(c_in: int, c_out: int) -> nn.Module:
    return nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1, bias=False)


class Kinks(NamedTuple):
    """Where the inputs of a block's two LeakyReLUs are positive, bool, of the inputs' shapes."""

    first: Tensor
    second: Tensor


def passed(positive: Tensor, g: Tensor) -> Tensor:
    """A gradient before LeakyReLU, from that after it."""
    return torch.where(positive, g, SLOPE * g)


class PoolingBlock(nn.Module):
    """Half the image, no norm: E's and D's block.  B x C x h x w -> B x C' x h/2 x w/2."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(c_in, c_in, 3, padding=1)
        self.second = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.shortcut = _shortcut(c_in, c_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.with_kinks(x)[0]

    def with_kinks(self, x: Tensor) -> tuple[Tensor, Kinks]:
        """The block's output, and what `slope` needs to know of the way there."""
        h = halved(self.first, leaky(x))
        y = self.second(leaky(h)) + self.shortcut(F.avg_pool2d(x, 2))
        return y * 0.5**0.5, Kinks(x > 0, h > 0)

    def slope(self, g: Tensor, kinks: Kinks) -> Tensor:
        """The transposed block: the gradient with respect to x, from that with respect to the output."""
        g = g * 0.5**0.5
        h = passed(kinks.second, F.conv_transpose2d(g, self.second.weight, padding=1))
        body = F.conv_transpose2d(h, merged(self.first.weight), stride=2, padding=1)
        if isinstance(self.shortcut, nn.Conv2d):
            g = F.conv_transpose2d(g, self.shortcut.weight)
        return passed(kinks.first, body) + 0.25 * repeat(g)


class NormBlock(nn.Module):
    """Instance norm before each activation: G's block on the way down.

    The convolutions have no biases, as on the way up: a norm would remove them (see `StarganV2Generator`).
    """

    def __init__(self, c_in: int, c_out: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.norms = nn.ModuleList([instance_norm(c_in), instance_norm(c_in)])
        self.first = nn.Conv2d(c_in, c_in, 3, padding=1, bias=False)
        self.second = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.shortcut = _shortcut(c_in, c_out)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x h x w -> B x C' x h x w, or half the size."""
        h = leaky(self.norms[0](x))
        h = halved(self.first, h) if self.halves else self.first(h)
        h = self.second(leaky(self.norms[1](h)))
        return (h + self.shortcut(F.avg_pool2d(x, 2) if self.halves else x)) * 0.5**0.5


class Adain(nn.Module):
    """(1 + gamma(s)) * normalised x + beta(s), gamma and beta linear in the style."""

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.norm = plain_instance_norm(channels)
        self.affine = nn.Linear(style_dim, 2 * channels)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """B x C x h x w, B x S -> B x C x h x w."""
        gamma, beta = self.affine(s).to(x.dtype)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(beta, 1 + gamma, self.norm(x))


class AdainBlock(nn.Module):
    """AdaIN before each activation: G's block on the way up."""

    def __init__(self, c_in: int, c_out: int, style_dim: int, doubles: bool) -> None:
        super().__init__()
        self.doubles = doubles
        self.norms = nn.ModuleList([Adain(c_in, style_dim), Adain(c_out, style_dim)])
        self.first = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.second = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.shortcut = _shortcut(c_in, c_out)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """B x C x h x w, B x S -> B x C' x h x w, or twice the size."""
        h = leaky(self.norms[0](x, s))
        h = doubled(self.first, h) if self.doubles else self.first(h)
        h = self.second(leaky(self.norms[1](h, s)))
        shortcut = self.shortcut(x)
        return (h + (repeat(shortcut) if self.doubles else shortcut)) * 0.5**0.5
