"""The blocks that networks share."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lomit.nn.blocks import (
    BatchNorm,
    ConvBlock,
    LayerNorm,
    ResidualBlock,
    count_parameters,
    group_norm,
    he_init,
    instance_norm,
    instance_normalised,
    normal_init,
    resize_mask,
    swap_halves,
)


def test_a_mask_that_has_the_size_stays_what_it_is() -> None:
    m = torch.rand(2, 1, 4, 4)
    assert resize_mask(m, (4, 4)) is m


def test_a_mask_grows_bilinearly_and_stays_between_its_values() -> None:
    m = torch.rand(2, 1, 4, 4)
    large = resize_mask(m, (16, 16))
    torch.testing.assert_close(large, F.interpolate(m, scale_factor=4, mode="bilinear", align_corners=False))
    assert m.min() <= large.min()
    assert large.max() <= m.max()
    # Output pixels 1 and 2 lie 1/8 of a pixel left and right of the middle of input pixel 0: 0.375 in, 0.125 past.
    column = torch.tensor([[0.0, 1.0]]).view(1, 1, 1, 2).expand(1, 1, 2, 2)
    expected = torch.tensor([0.0, 0.0, 0.125, 0.375, 0.625, 0.875, 1.0, 1.0])
    torch.testing.assert_close(resize_mask(column, (8, 8))[0, 0, 3], expected)


def test_a_mask_shrinks_by_averaging() -> None:
    """A hand-drawn region thinner than a cell of the grid must not vanish between two samples."""
    m = torch.zeros(1, 1, 16, 16)
    m[..., 5] = 1
    small = resize_mask(m, (4, 4))
    torch.testing.assert_close(small, F.avg_pool2d(m, 4))
    torch.testing.assert_close(small.mean(), m.mean())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_resized_mask_keeps_its_precision(dtype: torch.dtype) -> None:
    m = torch.rand(1, 1, 3, 3, dtype=torch.float64).to(dtype)
    large = resize_mask(m, (9, 9))
    assert large.dtype == dtype
    torch.testing.assert_close(
        large, F.interpolate(m.double(), size=(9, 9), mode="bilinear", align_corners=False).to(dtype)
    )


def test_swap_halves_gives_every_sample_its_partner() -> None:
    t = torch.arange(6)
    assert swap_halves(t).tolist() == [3, 4, 5, 0, 1, 2]
    assert torch.equal(swap_halves(swap_halves(t)), t)


@pytest.mark.parametrize(("channels", "groups"), [(64, 8), (12, 4), (6, 2), (7, 1)])
def test_group_norm_takes_as_many_groups_as_fit(channels: int, groups: int) -> None:
    norm = group_norm(channels)
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == groups


def test_layer_norm_keeps_differences_between_channels() -> None:
    x = torch.randn(2, 4, 5, 5) + torch.arange(4.0).view(1, 4, 1, 1)
    y = LayerNorm(4)(x)
    torch.testing.assert_close(y.mean((1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    assert (y.mean((2, 3)).diff(dim=1) > 0.2).all()


def test_instance_norm_is_the_same_in_training_and_in_use() -> None:
    norm = instance_norm(3)
    x = torch.randn(2, 3, 6, 6) + 4
    before = norm.train()(x)
    assert torch.equal(before, norm.eval()(x))
    torch.testing.assert_close(before.mean((2, 3)), torch.zeros(2, 3), atol=1e-5, rtol=0)
    assert [name for name, _ in norm.named_parameters()] == ["weight", "bias"]
    assert not list(norm.buffers())


def test_batch_norm_can_leave_its_running_statistics_alone() -> None:
    norm, reference = BatchNorm(3), nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 5, 5) + 2
    norm.track = False
    torch.testing.assert_close(norm(x), reference(x))
    assert not norm.running_mean.any()
    assert norm.num_batches_tracked == 0
    norm.track = True
    norm(x)
    torch.testing.assert_close(norm.running_mean, reference.running_mean)
    torch.testing.assert_close(norm.running_var, reference.running_var)
    norm.track = False
    torch.testing.assert_close(norm.eval()(x), reference.eval()(x))


def test_conv_block_pads_as_told() -> None:
    x = torch.randn(1, 2, 6, 6)
    reflect, zeros = ConvBlock(2, 3, 3, padding=1), ConvBlock(2, 3, 3, padding=1, pad="zeros")
    zeros.load_state_dict(reflect.state_dict())
    conv = reflect[0]
    assert isinstance(conv, nn.Conv2d)
    torch.testing.assert_close(reflect(x), F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), conv.weight, conv.bias))
    torch.testing.assert_close(zeros(x), F.conv2d(x, conv.weight, conv.bias, padding=1))


def test_conv_block_upsamples_before_and_activates_after() -> None:
    block = ConvBlock(2, 3, 5, padding=2, norm=LayerNorm, activation=nn.ReLU(), upsample=True)
    assert [type(m).__name__ for m in block] == ["UpsampledConv2d", "LayerNorm", "ReLU"]
    y = block(torch.randn(1, 2, 6, 6))
    assert y.shape == (1, 3, 12, 12)
    assert y.min() == 0


def test_residual_block_leaves_its_input_alone() -> None:
    block = ResidualBlock(3, instance_norm)
    x = torch.randn(1, 3, 6, 6)
    before = x.clone()
    y = block(x)
    assert torch.equal(x, before), "an in-place activation wrote into the input"
    torch.testing.assert_close(y - x, block.body(x))


def test_initialisations() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(16, 64, 3), nn.Flatten(), nn.Linear(200, 100))
    he_init(net)
    conv, linear = net[0], net[2]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(linear, nn.Linear)
    assert conv.weight.std().item() == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.05)
    assert linear.weight.std().item() == pytest.approx((2 / 200) ** 0.5, rel=0.05)
    assert not conv.bias.any()
    normal_init(net)
    for layer in (conv, linear):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert not layer.bias.any()


def test_count_parameters() -> None:
    assert count_parameters(nn.Linear(3, 4)) == 16


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(3, 4, 6, 5), (1, 2, 2, 2)])
def test_instance_norm_in_channels_last_order_is_torchs(shape: tuple[int, ...], affine: bool) -> None:
    images = torch.randn(shape, dtype=torch.float64)
    given = [images] + [torch.randn(shape[1], dtype=torch.float64) for _ in range(2 * affine)]
    rows = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x, *rest = leaves = [each.clone().requires_grad_() for each in given]
        y = instance_normalised(x.contiguous(memory_format=layout), 1e-5, *rest)
        assert y.is_contiguous(memory_format=layout)
        rows.append([y, *torch.autograd.grad((y * torch.linspace(-1, 2, y.numel()).view(shape)).sum(), leaves)])
    for plain, ours in zip(*rows, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    assert torch.equal(rows[0][0], F.instance_norm(images, None, None, *given[1:]))


def test_instance_norm_of_bfloat16_has_statistics_in_float32() -> None:
    x = (100 + torch.randn(2, 3, 16, 16)).bfloat16().contiguous(memory_format=torch.channels_last)
    y = instance_normalised(x, 1e-5)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), F.instance_norm(x.float()), rtol=0.01, atol=0.01)
