"""StarGAN's discriminator: strided convolutions, a patch head and a class head (paper 7.1)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from lomit.nn.blocks import ConvBlock, normal_init


def discriminator_depth(image_size: int) -> int:
    """Strided convolutions at this image size: six, one fewer below 128 pixels so that 2 x 2 patches remain."""
    return max(2, min(6, image_size.bit_length() - 2))


class PatchDiscriminator(nn.Module):
    """D_src and D_cls on one trunk; zero padding, LeakyReLU 0.01, no norm.

    Args:
        image_size: side of the images.
        attributes: number of attributes.
        width: channels after the first convolution; each further one doubles them.
        depth: number of 4 x 4 stride 2 convolutions.
        head_bias: whether the two heads add a bias (StarGAN's do not).
        init: of the weights; None leaves PyTorch's (StarGAN's).
    """

    def __init__(
        self,
        image_size: int,
        attributes: int,
        width: int = 64,
        depth: int | None = None,
        head_bias: bool = True,
        init: Callable[[nn.Module], None] | None = normal_init,
    ) -> None:
        super().__init__()
        depth = discriminator_depth(image_size) if depth is None else depth
        channels = [3] + [width * 2**i for i in range(depth)]
        self.trunk = nn.Sequential(
            *(
                ConvBlock(a, b, 4, 2, 1, activation=nn.LeakyReLU(0.01, inplace=True), pad="zeros")
                for a, b in pairwise(channels)
            )
        )
        self.source_head = nn.Conv2d(channels[-1], 1, 3, padding=1, bias=head_bias)
        self.class_head = nn.Conv2d(channels[-1], attributes, image_size // 2**depth, bias=head_bias)
        if init is not None:
            init(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """B x 3 x H x W in [-1, 1] -> patch scores B x 1 x h x w, class logits B x A."""
        h = self.trunk(x)
        return self.source_head(h), self.class_head(h).flatten(1)

    def source(self, x: Tensor) -> Tensor:
        """D_src alone, for the gradient penalty."""
        return self.source_head(self.trunk(x))  # type: ignore[no-any-return]
