"""StarGAN's discriminator at every image size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lomit.nn.discriminator import PatchDiscriminator, discriminator_depth


@pytest.mark.parametrize(
    ("size", "depth", "patches"), [(16, 3, 2), (32, 4, 2), (48, 4, 3), (64, 5, 2), (128, 6, 2), (256, 6, 4)]
)
def test_shapes_at_every_size(size: int, depth: int, patches: int) -> None:
    assert discriminator_depth(size) == depth
    net = PatchDiscriminator(size, attributes=3, width=2)
    scores, logits = net(torch.randn(2, 3, size, size))
    assert scores.shape == (2, 1, patches, patches)
    assert logits.shape == (2, 3)
    assert net.class_head.kernel_size == (size // 2**depth,) * 2


def test_widths_double_and_padding_is_zeros() -> None:
    net = PatchDiscriminator(128, attributes=4, width=3)
    convs = [m for m in net.trunk.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convs] == [3, 6, 12, 24, 48, 96]
    assert {c.padding_mode for c in convs} == {"zeros"}
    assert not [m for m in net.modules() if "Norm" in type(m).__name__]


def test_source_is_the_patch_head_alone() -> None:
    net = PatchDiscriminator(16, attributes=2, width=3)
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(net.source(x), net(x)[0])


def test_the_input_is_not_written_to() -> None:
    net = PatchDiscriminator(16, attributes=2, width=3)
    x = torch.randn(2, 3, 16, 16)
    before = x.clone()
    net(x)
    assert torch.equal(x, before)
