"""What LOMIT, MUNIT and DRIT are built of: encoders of content and style, and the way back to an image."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from lomit.nn.blocks import ConvBlock, LayerNorm, Norm, ResidualBlock, at_least_float32


def _doubling(width: int, cell: int) -> list[int]:
    """Channels that each halving of the image starts from, until a pixel of the content code covers `cell` pixels."""
    return [width * 2**i for i in range(cell.bit_length() - 1)]


class ContentEncoder(nn.Sequential):
    """E_c: 7 x 7 stem, strided convolutions, residual blocks, a norm everywhere.

    B x 3 x H x W -> B x (cell * w) x H/cell x W/cell.
    """

    def __init__(self, width: int, res_blocks: int, norm: Norm, cell: int = 4) -> None:
        relu = nn.ReLU(inplace=True)
        super().__init__(
            ConvBlock(3, width, 7, 1, 3, norm, relu),
            *(ConvBlock(c, 2 * c, 4, 2, 1, norm, relu) for c in _doubling(width, cell)),
            *(ResidualBlock(cell * width, norm) for _ in range(res_blocks)),
        )


class Decoder(nn.Sequential):
    """G: residual blocks with layer norm, upsampling convolutions, tanh.

    B x (cell * w) x h x w -> B x 3 x (cell * h) x (cell * w).
    """

    def __init__(self, width: int, res_blocks: int, cell: int = 4) -> None:
        relu = nn.ReLU(inplace=True)
        super().__init__(
            *(ResidualBlock(cell * width, LayerNorm) for _ in range(res_blocks)),
            *(ConvBlock(2 * c, c, 5, 1, 2, LayerNorm, relu, upsample=True) for c in reversed(_doubling(width, cell))),
            ConvBlock(width, 3, 7, 1, 3, activation=nn.Tanh()),
        )


def style_stem(width: int, activation: nn.Module) -> list[nn.Module]:
    """7 x 7 stem and two strided convolutions, no norm: it would erase style.  3 -> 4 * width channels."""
    return [
        ConvBlock(3, width, 7, 1, 3, activation=activation),
        *(ConvBlock(c, 2 * c, 4, 2, 1, activation=activation) for c in (width, 2 * width)),
    ]


def style_head(width: int, style_dim: int, activation: nn.Module) -> list[nn.Module]:
    """Two more strided convolutions, global average, 1 x 1 convolution.  B x 4 * width x h x w -> B x S."""
    c = 4 * width
    strided = [ConvBlock(c, c, 4, 2, 1, activation=activation) for _ in range(2)]
    return [*strided, nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, style_dim, 1), nn.Flatten()]


class StyleEncoder(nn.Sequential):
    """The one of MUNIT and of the feature-wise DRIT, with ReLU: B x 3 x H x W in [-1, 1] -> B x S."""

    def __init__(self, width: int, style_dim: int) -> None:
        relu = nn.ReLU(inplace=True)
        super().__init__(*style_stem(width, relu), *style_head(width, style_dim, relu))

    def forward(self, x: Tensor) -> Tensor:
        return at_least_float32(super().forward(x))


def mlp(*sizes: int, activation: Callable[[], nn.Module] = nn.ReLU) -> list[nn.Module]:
    """Linear layers between these numbers of entries, an activation between any two of them."""
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), activation())]
    return layers[:-1]
