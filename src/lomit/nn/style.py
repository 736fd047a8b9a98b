"""The style encoder that MUNIT and the feature-wise DRIT share."""

from __future__ import annotations

from torch import Tensor, nn

from lomit.nn.blocks import ConvBlock, at_least_float32


class StyleEncoder(nn.Sequential):
    """7 x 7 stem, four strided convolutions, global average, 1 x 1 convolution; ReLU, no norm (it would erase style).

    B x 3 x H x W in [-1, 1] -> B x S.

    Args:
        width: channels of the stem; at most four times as many follow.
        style_dim: entries of a code.
    """

    def __init__(self, width: int, style_dim: int) -> None:
        def conv(c_in: int, c_out: int, kernel: int, stride: int, padding: int) -> ConvBlock:
            return ConvBlock(c_in, c_out, kernel, stride, padding, activation=nn.ReLU(inplace=True))

        w = width
        super().__init__(
            conv(3, w, 7, 1, 3),
            conv(w, 2 * w, 4, 2, 1),
            conv(2 * w, 4 * w, 4, 2, 1),
            conv(4 * w, 4 * w, 4, 2, 1),
            conv(4 * w, 4 * w, 4, 2, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(4 * w, style_dim, 1),
            nn.Flatten(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return at_least_float32(super().forward(x))
