"""Differentiable augmentation: D sees every image, real or translated, changed at random.

A discriminator can learn a few thousand images by heart, and what it says of a new one then means nothing.  Changing
what it sees, real and translated images alike and with the gradient running through, keeps it from that, and the
changes don't show in what is generated (Zhao et al., "Differentiable augmentation for data-efficient GAN training",
NeurIPS 2020).  Its changes of colour are left out: hair colour and make-up are what D is to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lomit.config import Augmentation

SHIFT = 1 / 8
"""Farthest shift, as a share of the side (Zhao et al., appendix: translation)."""
CUTOUT = 1 / 2
"""Side of the square that is cut out, as a share of the image's."""


def augment(x: Tensor, kinds: Sequence[Augmentation]) -> Tensor:
    """Every image, B x 3 x H x W in [-1, 1], changed for itself in the order of `kinds`, with a gradient to it.

    `shift` moves by up to `SHIFT` of either side, grey where nothing is left; `cutout` is a grey square of `CUTOUT` of
    the sides around any pixel.  Nothing waits for the device.
    """
    for kind in kinds:
        x = _KINDS[kind](x)
    return x


def shift(x: Tensor) -> Tensor:
    """See `augment`."""
    for dim in (2, 3):
        size = x.shape[dim]
        most = int(size * SHIFT + 0.5)
        offset = torch.randint(-most, most + 1, (len(x), 1), device=x.device)
        index = _along(torch.arange(size, device=x.device) - offset, dim)
        x = x.gather(dim, index.clamp(0, size - 1).expand_as(x)) * ((index >= 0) & (index < size))
    return x


def cutout(x: Tensor) -> Tensor:
    """See `augment`."""
    kept = []
    for dim in (2, 3):
        size = x.shape[dim]
        length = int(size * CUTOUT + 0.5)
        centre = torch.randint(0, size + 1, (len(x), 1), device=x.device)
        distance = _along(torch.arange(size, device=x.device) - (centre - length // 2), dim)
        kept.append((distance < 0) | (distance >= length))
    return x * (kept[0] | kept[1])


def _along(values: Tensor, dim: int) -> Tensor:
    """B x n values, each for a row (dim 2) or a column (dim 3), as B x 1 x n x 1 or B x 1 x 1 x n."""
    return values[:, None, :, None] if dim == 2 else values[:, None, None, :]


_KINDS: dict[Augmentation, Callable[[Tensor], Tensor]] = {"shift": shift, "cutout": cutout}
