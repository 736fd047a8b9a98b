"""StarGAN v2's networks (Section 2.1): mapping network F, style encoder E, generator G, discriminator D.

They are built of residual blocks (its appendix): pre-activation, LeakyReLU 0.2, sums over the square root of 2.  As
published, a block that halves the image pools after its first convolution, and one that doubles it repeats pixels
before.  Pooling and repeating are linear, so both are merged with the convolution here: 16 products for each pixel of
the small image in place of 36, and the 1 x 1 convolution of the shortcut works on the small image.  Weights stay 3 x 3.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lomit.models.starganv2.config import StarganV2Config
from lomit.nn.blocks import at_least_float32, he_init, instance_norm, plain_instance_norm
from lomit.nn.encoders import mlp

SLOPE = 0.2
"""Of LeakyReLU."""
BOTTLENECK = 16
"""Side of G's content code, in pixels."""
LEAST = 4
"""Side of the last feature map of E and D, in pixels."""


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


class MappingNetwork(nn.Module):
    """F_y(z): four shared layers, then four of each domain's own; ReLU between them."""

    def __init__(self, latent_dim: int, width: int, style_dim: int, domains: int) -> None:
        super().__init__()
        w = width
        self.shared = nn.Sequential(*mlp(latent_dim, w, w, w, w), nn.ReLU())
        self.branches = nn.ModuleList(nn.Sequential(*mlp(w, w, w, w, style_dim)) for _ in range(domains))

    def forward(self, z: Tensor, domain: Tensor) -> Tensor:
        """Style codes: B x L, B (int64) -> B x S."""
        return of_domain(torch.stack(self.of_every_domain(z), dim=1), domain)

    def of_every_domain(self, z: Tensor) -> list[Tensor]:
        """Style codes of each domain, B x S each."""
        h = self.shared(z)
        return [branch(h) for branch in self.branches]


class Trunk(nn.Module):
    """What E and D are made of: stem, blocks that halve the image down to 4 x 4, a convolution over what is left."""

    def __init__(self, image_size: int, width: int, max_width: int) -> None:
        super().__init__()
        depth = halvings(image_size, LEAST)
        channels = widths(width, max_width, depth)
        self.channels = channels[-1]
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(PoolingBlock(a, b) for a, b in pairwise(channels))
        self.last = nn.Conv2d(self.channels, self.channels, image_size // 2**depth)

    def forward(self, x: Tensor) -> Tensor:
        """B x 3 x H x W in [-1, 1] -> B x C."""
        return self.with_kinks(x)[0]

    def with_kinks(self, x: Tensor) -> tuple[Tensor, list[Kinks]]:
        """The features and what `slope` needs; the last of the list is that of the two activations at the end."""
        h, kinks = self.stem(x), []
        for block in self.blocks:
            h, found = block.with_kinks(h)  # type: ignore[operator]
            kinks.append(found)
        last = self.last(leaky(h))
        return leaky(last).flatten(1), [*kinks, Kinks(h > 0, last > 0)]

    def slope(self, g: Tensor, kinks: list[Kinks]) -> Tensor:
        """The gradient with respect to x, from that with respect to the features, B x C."""
        *inner, end = kinks
        g = passed(end.second, g[:, :, None, None])
        g = passed(end.first, F.conv_transpose2d(g, self.last.weight))
        for block, found in zip(reversed(self.blocks), reversed(inner), strict=True):
            g = block.slope(g, found)  # type: ignore[operator]
        return F.conv_transpose2d(g, self.stem.weight, padding=1)


class StyleEncoder(nn.Module):
    """E_y(x): a trunk, and a linear head for each domain."""

    def __init__(self, config: StarganV2Config) -> None:
        super().__init__()
        self.trunk = Trunk(config.image_size, config.width, config.max_width)
        self.heads = nn.Linear(self.trunk.channels, config.domains * config.style_dim)
        self.style_dim = config.style_dim

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        """Style codes: B x 3 x H x W in [-1, 1], B (int64) -> B x S."""
        return of_domain(self.heads(self.trunk(x)).unflatten(1, (-1, self.style_dim)), domain)


class StarganV2Generator(nn.Module):
    """All that translation needs: G(x, s) as `decode(content(x), s)`, F as `mapping`, E as `style_encoder`.

    G has no skip connections between its two ways, so what it makes of x alone is shared by all styles.  Of its
    convolutions only the last has a bias: what the others would add to a channel is constant over the image, stays so
    on every shortcut, and is taken away by the norm at the end of every path.  The authors' have them, without effect.
    """

    def __init__(self, config: StarganV2Config) -> None:
        super().__init__()
        channels = widths(config.width, config.max_width, halvings(config.image_size, BOTTLENECK))
        wide, s = channels[-1], config.style_dim
        self.encoder = nn.Sequential(
            nn.Conv2d(3, config.width, 3, padding=1, bias=False),
            *(NormBlock(a, b, halves=True) for a, b in pairwise(channels)),
            *(NormBlock(wide, wide, halves=False) for _ in range(2)),
        )
        self.decoder = nn.ModuleList(
            [
                *(AdainBlock(wide, wide, s, doubles=False) for _ in range(2)),
                *(AdainBlock(b, a, s, doubles=True) for b, a in pairwise(reversed(channels))),
            ]
        )
        self.to_rgb = nn.Sequential(
            instance_norm(config.width), nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(config.width, 3, 1)
        )
        self.mapping = MappingNetwork(config.latent_dim, config.mapping_width, s, config.domains)
        self.style_encoder = StyleEncoder(config)
        he_init(self)

    def content(self, x: Tensor) -> Tensor:
        """What is kept of an image, whatever the style: B x 3 x H x W in [-1, 1] -> B x C x h x w."""
        return self.encoder(x)  # type: ignore[no-any-return]

    def decode(self, c: Tensor, s: Tensor) -> Tensor:
        """B x C x h x w, B x S -> B x 3 x H x W.  Nothing bounds it to [-1, 1]."""
        for block in self.decoder:
            c = block(c, s)
        return at_least_float32(self.to_rgb(c))

    def image_parts(self) -> list[nn.Module]:
        """G without F and E."""
        return [self.encoder, self.decoder, self.to_rgb]


class StarganV2Discriminator(nn.Module):
    """D_y(x): a trunk, and one output for each domain."""

    def __init__(self, config: StarganV2Config) -> None:
        super().__init__()
        self.trunk = Trunk(config.image_size, config.d_width, config.max_width)
        self.heads = nn.Linear(self.trunk.channels, config.domains)
        he_init(self)

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        """Logits that x is a real image of its domain: B x 3 x H x W in [-1, 1], B (int64) -> B."""
        return of_domain(self.heads(self.trunk(x)), domain)

    def with_slope(self, x: Tensor, domain: Tensor) -> tuple[Tensor, Tensor]:
        """The same logits, B, and the gradient of each with respect to its image, B x 3 x H x W: what R1 is of.

        Between the kinks of LeakyReLU the network is linear, so the gradient is the transposed network, and that is an
        ordinary forward pass: the penalty's gradient needs one backward pass, not one through another.  The kinks are
        known from the pass that made the logits.  The gradient has a graph to the weights.
        """
        h, kinks = self.trunk.with_kinks(x)
        slope = self.trunk.slope(self.heads.weight.index_select(0, domain), kinks)
        return of_domain(self.heads(h), domain), at_least_float32(slope)


def of_domain(values: Tensor, domain: Tensor) -> Tensor:
    """Of values for every domain, B x K or B x K x S, those of each row's own: B or B x S, at least float32."""
    index = domain.view(-1, *(1,) * (values.dim() - 1)).expand(-1, 1, *values.shape[2:])
    return at_least_float32(values.gather(1, index).squeeze(1))
