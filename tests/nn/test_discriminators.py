"""StarGAN's discriminator at every image size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lomit.nn.discriminators import PatchDiscriminator, discriminator_depth


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


@pytest.mark.parametrize("size", [16, 48, 80])  # 80: a strided convolution of five rows leaves one out
def test_the_source_gradient_is_autograds_and_so_is_the_gradient_of_its_penalty(size: int) -> None:
    torch.manual_seed(0)
    net = PatchDiscriminator(size, attributes=2, width=3).double()
    x = torch.randn(2, 3, size, size, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(net(x)[0].sum(), x, create_graph=True)
    found = net.source_gradient(x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)
    weights = [m.weight for m in net.trunk.modules() if isinstance(m, nn.Conv2d)] + [net.source_head.weight]
    here, there = (
        torch.autograd.grad((g.flatten(1).norm(dim=1) - 1).square().mean(), weights) for g in (found, expected)
    )
    for a, b in zip(here, there, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-15)


def test_the_source_gradient_comes_first_or_last_under_autocast() -> None:
    """Autocast keeps low-precision weights; ones that were kept without a graph would get no gradient."""
    x, found = torch.randn(2, 3, 16, 16), []
    for penalty_first in (True, False):
        torch.manual_seed(0)
        net = PatchDiscriminator(16, attributes=2, width=3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if penalty_first:
                gradient, scores = net.source_gradient(x), net(x)[0]
            else:
                scores, gradient = net(x)[0], net.source_gradient(x)
        (gradient.float().square().sum() + scores.float().sum()).backward()
        found.append([p.grad for p in net.parameters() if p.grad is not None])
    assert len(found[0]) == len(list(net.parameters())) - 2  # all but the class head's
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_the_input_is_not_written_to() -> None:
    net = PatchDiscriminator(16, attributes=2, width=3)
    x = torch.randn(2, 3, 16, 16)
    before = x.clone()
    net(x)
    assert torch.equal(x, before)
