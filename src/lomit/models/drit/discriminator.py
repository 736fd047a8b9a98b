"""DRIT's content discriminator: which domain does a content code come from?"""

from __future__ import annotations

from torch import Tensor, nn

from lomit.nn.blocks import ConvBlock, at_least_float32


def content_depth(image_size: int) -> int:
    """Strided convolutions at this image size: three at 128 pixels, fewer below, so that 4 x 4 remain for the last."""
    return max(0, min(3, (image_size // 16).bit_length() - 1))


class ContentDiscriminator(nn.Sequential):
    """Up to three 7 x 7 convolutions with stride 2, one 4 x 4, one 1 x 1; LeakyReLU 0.01.

    B x C x h x w -> logits, B x 1 x h' x w' (1 x 1 up to 128 pixels).  Padding by 3: with the authors' 1 their
    three strided convolutions leave 1 x 1 of a code of 32 x 32 (128 pixels), too little for the 4 x 4 that follows.

    Args:
        channels: of the content code.
        image_size: side of the images.
    """

    def __init__(self, channels: int, image_size: int) -> None:
        def conv(kernel: int, stride: int, padding: int) -> ConvBlock:
            activation = nn.LeakyReLU(0.01, inplace=True)
            return ConvBlock(channels, channels, kernel, stride, padding, activation=activation)

        super().__init__(
            *(conv(7, 2, 3) for _ in range(content_depth(image_size))), conv(4, 1, 0), nn.Conv2d(channels, 1, 1)
        )

    def forward(self, c: Tensor) -> Tensor:
        return at_least_float32(super().forward(c))
