"""StarGAN's discriminator: strided convolutions, a patch head and a class head (paper 7.1)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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

    def source_gradient(self, x: Tensor) -> Tensor:
        """The gradient of D_src(x), summed over the patches, with respect to x: what Eq. 10's penalty is made of.

        Strided convolutions and LeakyReLU are linear between kinks, so the gradient is a chain of transposed
        convolutions whose only tie to x is on which side of its kink each unit lies.  Written out, it is itself an
        ordinary forward pass: the weights' gradient needs one backward pass in place of a backward of a backward,
        which compilers do not take, and nothing runs back through the first pass, where that gradient is zero.

        Args:
            x: B x 3 x H x W; no gradient reaches it.

        Returns:
            B x 3 x H x W, with a graph to the weights.
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
