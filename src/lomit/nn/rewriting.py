"""Layers rewritten for exporters and compilers: the same output from operators that every runtime has."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lomit.nn.blocks import BatchNorm, ConvBlock
from lomit.nn.convolution import Conv2d, UpsampledConv2d

M = TypeVar("M", bound=nn.Module)


class _Upsampling(nn.Module):
    """`UpsampledConv2d` in operators that every runtime has: one convolution, depth to space, corrected edges."""

    def __init__(self, conv: UpsampledConv2d) -> None:
        super().__init__()
        assert conv.bias is not None
        weight, c = conv.parity_weights().detach(), conv.out_channels
        # From parity by parity to channel by channel, the order of depth to space.
        self.weight = nn.Parameter(weight.unflatten(0, (4, c)).transpose(0, 1).flatten(0, 1), requires_grad=False)
        self.bias = nn.Parameter(conv.bias.detach().repeat_interleave(4), requires_grad=False)
        # Taps of the outermost rows and columns, as `UpsampledConv2d` adds them.
        self.rows = nn.ParameterList([_constant(conv.weight[:, :, tap, None]) for tap in (0, -1)])
        self.columns = nn.ParameterList([_constant(conv.weight[..., tap, None]) for tap in (0, -1)])

    def forward(self, x: Tensor) -> Tensor:
        y = F.pixel_shuffle(F.conv2d(F.pad(x, (1, 1, 1, 1), "replicate"), self.weight, self.bias), 2)
        top, bottom = (
            F.conv2d(F.pad(_doubled(difference, 3), (2, 2, 0, 0), "reflect"), tap)
            for difference, tap in zip(
                (x[:, :, 1:2] - x[:, :, :1], x[:, :, -2:-1] - x[:, :, -1:]), self.rows, strict=True
            )
        )
        left, right = (
            F.conv2d(F.pad(_doubled(difference, 2), (0, 0, 2, 2), "replicate"), tap)
            for difference, tap in zip(
                (x[..., 1:2] - x[..., :1], x[..., -2:-1] - x[..., -1:]), self.columns, strict=True
            )
        )
        y = torch.cat([y[:, :, :1] + top, y[:, :, 1:-1], y[:, :, -1:] + bottom], 2)
        return torch.cat([y[..., :1] + left, y[..., 1:-1], y[..., -1:] + right], 3)


class _Blocks(nn.Module):
    """A convolution into few channels, which computes 2 x 2 pixels at a time: a stride of 2, four times the channels.

    Runtimes compute channels in groups of 8 or 16, so that an image's three cost as much as sixteen.
    """

    def __init__(self, conv: Conv2d) -> None:
        super().__init__()
        assert conv.bias is not None
        c_out, c_in, k, _ = conv.weight.shape
        weight = conv.weight.new_zeros(c_out, 2, 2, c_in, k + 1, k + 1)
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight[:, row, column, :, row : row + k, column : column + k] = conv.weight.detach()
        self.weight, self.bias = _constant(weight.flatten(0, 2)), _constant(conv.bias.repeat_interleave(4))
        self.padding = conv.reflection

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (self.padding,) * 4, "reflect")
        return F.pixel_shuffle(F.conv2d(padded, self.weight, self.bias, stride=2), 2)


def _doubled(strip: Tensor, dim: int) -> Tensor:
    """Every pixel of a strip twice."""
    return F.interpolate(strip, scale_factor=(1.0, 2.0) if dim == 3 else (2.0, 1.0), mode="nearest")


def _constant(t: Tensor) -> nn.Parameter:
    return nn.Parameter(t.detach().clone(), requires_grad=False)


def rewritten(module: M) -> M:
    """A copy, in eval mode and without gradients, that gives the same output.

    Batch norm is folded into the convolutions before it, and `UpsampledConv2d` and convolutions into an image take the
    forms above.
    """
    module = copy.deepcopy(module).eval().requires_grad_(False)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, UpsampledConv2d):
                setattr(parent, name, _Upsampling(child))
            elif isinstance(child, Conv2d) and child.out_channels <= 4 and child.stride == (1, 1) and child.reflection:
                setattr(parent, name, _Blocks(child))
        if isinstance(parent, ConvBlock) and len(parent) > 1 and isinstance(parent[1], BatchNorm):
            conv: Any = parent[0]
            parent[0], parent[1] = fuse_conv_bn_eval(conv, parent[1]), nn.Identity()
    return module
