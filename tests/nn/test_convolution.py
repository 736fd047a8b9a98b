"""Padding and upsampling convolutions against the plain operations they replace."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lomit.nn.convolution import Conv2d, UpsampledConv2d, reflection_pad

SIZES = [(2, 2), (3, 5), (8, 8)]


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def plain_upsampled(layer: nn.Conv2d, x: Tensor) -> Tensor:
    large = F.pad(F.interpolate(x, scale_factor=2, mode="nearest"), (2,) * 4, mode="reflect")
    return F.conv2d(large, layer.weight, layer.bias)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_convolving_before_upsampling_changes_nothing(size: tuple[int, int], layout: torch.memory_format) -> None:
    """The output and the gradients of x, weight and bias; at 2 x 2 every pixel lies on two edges."""
    layer = UpsampledConv2d(3, 4).double()
    x = draw(2, 3, *size).to(memory_format=layout).requires_grad_()
    expected, y = plain_upsampled(layer, x), layer(x)
    torch.testing.assert_close(y, expected)
    upstream = draw(*expected.shape)
    inputs = [x, layer.weight, layer.bias]
    found = torch.autograd.grad(y, inputs, upstream)
    for a, b in zip(found, torch.autograd.grad(expected, inputs, upstream), strict=True):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("padding", [1, 2, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_reflection_padding_and_its_gradient(padding: int, layout: torch.memory_format) -> None:
    x = draw(2, 3, 5, 4).to(memory_format=layout).requires_grad_()
    expected = F.pad(x, (padding,) * 4, mode="reflect")
    upstream = draw(*expected.shape).to(memory_format=layout)
    y = reflection_pad(x, padding)
    assert torch.equal(y, expected)
    (found,) = torch.autograd.grad(y, x, upstream)
    torch.testing.assert_close(found, torch.autograd.grad(expected, x, upstream)[0])
    if layout is torch.channels_last:
        assert found.is_contiguous(memory_format=layout), "the gradient changed its layout: the next layer copies it"


def test_padding_keeps_bfloat16_under_autocast() -> None:
    """autocast runs F.pad in float32, which costs two conversions of every padded activation."""
    x = draw(1, 2, 4, 4, dtype=torch.bfloat16).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        assert reflection_pad(x, 1).dtype == torch.bfloat16
        assert UpsampledConv2d(2, 3)(x).dtype == torch.bfloat16


def test_a_padding_as_large_as_the_image_is_refused() -> None:
    with pytest.raises(RuntimeError, match="[Pp]adding"):
        reflection_pad(torch.zeros(1, 1, 3, 3, requires_grad=True), 3)


def test_conv_pads_with_zeros_where_it_is_told_to() -> None:
    layer = Conv2d(2, 3, 3, padding=1, pad="zeros").double()
    x = draw(1, 2, 4, 4)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1))
