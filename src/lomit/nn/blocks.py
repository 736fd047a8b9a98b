"""Convolution blocks that all networks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lomit.nn import kernels
from lomit.nn.convolution import Conv2d, UpsampledConv2d

Norm = Callable[[int], nn.Module]
Padding = Literal["zeros", "reflect"]


class KernelNorm(nn.Module):
    """A norm that goes through a kernel on a GPU, which keeps channels-last order (`lomit.nn.kernels`)."""

    over_channels: bool
    """Whether its statistics are over channels and pixels, not over pixels alone."""

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W, normalised."""
        return self.by_kernel(x) if kernels.usable(x) else super().forward(x)  # type: ignore[no-any-return, misc]

    def by_kernel(self, x: Tensor, relu: bool = False, before: Tensor | None = None) -> Tensor:
        """The norm of x + before, then ReLU where asked for; for what `kernels.usable` says yes to."""
        return kernels.norm(x, self.weight, self.bias, self.over_channels, relu, before, self.eps)  # type: ignore[arg-type]


class _ImageByImage(torch.autograd.Function):
    """Batch norm of each image for itself, which is instance norm, in channels-last order.

    torch's own instance norm computes in contiguous order alone.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        y = torch.empty_like(x)
        wide = torch.promote_types(x.dtype, torch.float32)
        if weight is None and wide != x.dtype:  # by them torch tells that statistics are to be wider than x
            weight, bias = x.new_ones(x.shape[1], dtype=wide), x.new_zeros(x.shape[1], dtype=wide)
        mean, scale = (x.new_empty(x.shape[:2], dtype=wide) for _ in range(2))
        for image, *out in zip(x.split(1), y.split(1), mean, scale, strict=True):
            torch.native_batch_norm(image, weight, bias, None, None, True, 0.0, eps, out=tuple(out))
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.eps = eps
        return y

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, mean, scale = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        needed = list(ctx.needs_input_grad[:3])
        found = [
            torch.ops.aten.native_batch_norm_backward(g, image, weight, None, None, m, s, True, ctx.eps, needed)
            for g, image, m, s in zip(grad.split(1), x.split(1), mean, scale, strict=True)
        ]
        images, weights, biases = zip(*found, strict=True)
        return (
            torch.cat(images) if needed[0] else None,
            torch.stack(weights).sum(0) if needed[1] else None,
            torch.stack(biases).sum(0) if needed[2] else None,
            None,
        )


class InstanceNorm(KernelNorm, nn.InstanceNorm2d):
    """Instance norm, also in channels-last order on a CPU."""

    over_channels = False

    def forward(self, x: Tensor) -> Tensor:
        if kernels.usable(x):
            return self.by_kernel(x)
        return instance_normalised(x, self.eps, self.weight, self.bias)


def instance_normalised(x: Tensor, eps: float, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Each channel of each image with mean 0 and variance 1 over its pixels, times weight, plus bias; B x C x H x W."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    if last and x.device.type == "cpu" and not torch.compiler.is_compiling():
        return _ImageByImage.apply(x, weight, bias, eps)  # type: ignore[no-any-return]
    return F.instance_norm(x, None, None, weight, bias, True, 0.0, eps)


class LayerNorm(KernelNorm, nn.GroupNorm):
    """Layer norm over a whole feature map (group norm with one group), affine per channel."""

    over_channels = True

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)


def instance_norm(channels: int) -> nn.Module:
    """Instance norm with an affine map and without running statistics: the same in training and in use."""
    return InstanceNorm(channels, affine=True, track_running_stats=False)


def plain_instance_norm(channels: int) -> nn.Module:
    """Instance norm without an affine map."""
    return InstanceNorm(channels, affine=False, track_running_stats=False)


def group_norm(channels: int) -> nn.Module:
    """Group norm with up to eight groups."""
    return nn.GroupNorm(next(g for g in (8, 4, 2, 1) if channels % g == 0), channels)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm whose running statistics can be left alone while batch statistics are used.

    `track` is False during the discriminator's step, which runs the generator without training it.
    """

    track: bool = True

    def forward(self, x: Tensor) -> Tensor:
        if self.training and not self.track:
            return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return super().forward(x)


class ConvBlock(nn.Sequential):
    """Pad on each side, convolve, normalise, activate.

    Args:
        norm: makes a normalisation from a channel count; None for none.
        activation: module applied last; None for none.
        pad: `reflect` (the generator) or `zeros` (discriminators).
        upsample: nearest-neighbour upsampling by 2 first; for 5 x 5 convolutions with reflection padding.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        norm: Norm | None = None,
        activation: nn.Module | None = None,
        pad: Padding = "reflect",
        upsample: bool = False,
    ) -> None:
        layers: list[nn.Module]
        if upsample:
            assert (kernel, stride, padding, pad) == (5, 1, 2, "reflect")
            layers = [UpsampledConv2d(c_in, c_out)]
        else:
            layers = [Conv2d(c_in, c_out, kernel, stride, padding, pad)]
        if norm is not None:
            layers.append(norm(c_out))
        if activation is not None:
            layers.append(activation)
        super().__init__(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """In turn; on a GPU the convolution's bias, the norm and a ReLU after it are one call."""
        conv, *rest = self
        if not rest or not isinstance(rest[0], KernelNorm) or not kernels.usable(x):
            return super().forward(x)  # type: ignore[no-any-return]
        assert isinstance(conv, (Conv2d, UpsampledConv2d))
        relu = isinstance(rest[-1], nn.ReLU)
        y = rest[0].by_kernel(conv.unbiased(x), relu, conv.bias)
        return y if relu or len(rest) == 1 else rest[1](y)  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), 3 x 3, channels and size kept (He et al., 2016)."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvBlock(channels, channels, 3, padding=1, norm=norm, activation=nn.ReLU(inplace=True)),
            ConvBlock(channels, channels, 3, padding=1, norm=norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def he_init(module: nn.Module) -> None:
    """He initialisation (fan-in) of convolutions and linear layers, biases zero (paper 7.2)."""
    for m in module.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(m.weight, mode="fan_in", nonlinearity="relu")
            if m.bias is not None:
                nn.init.zeros_(m.bias)


def normal_init(module: nn.Module, std: float = 0.02) -> None:
    """N(0, std) for convolutions and linear layers, biases zero (paper 7.2: "a normal distribution")."""
    for m in module.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(m.weight, std=std)
            if m.bias is not None:
                nn.init.zeros_(m.bias)


def count_parameters(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in module.parameters())


def at_least_float32(t: Tensor) -> Tensor:
    """What leaves a network under autocast, fit for a loss: bfloat16 becomes float32, float64 stays."""
    return t.to(torch.promote_types(t.dtype, torch.float32))


def with_planes(x: Tensor, code: Tensor) -> Tensor:
    """A code, B x S, beside every pixel of x: B x C x h x w -> B x (C + S) x h x w."""
    planes = code.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[-2:])
    # Beside planes in an order of their own, `cat` would give up that of x.
    return torch.cat([x, planes.contiguous(memory_format=torch.channels_last)], dim=1)


def float64(t: Tensor) -> Tensor:
    """The tensor in float64; on the CPU where its device is Apple's (mps), which has no float64."""
    return (t.cpu() if t.device.type == "mps" else t).double()


def resize_mask(m: Tensor, size: tuple[int, int]) -> Tensor:
    """A soft mask, B x 1 x h x w, at (height, width): averaged where it shrinks, bilinear where it grows."""
    if tuple(m.shape[-2:]) == size:
        return m
    if m.shape[-2] >= size[0] and m.shape[-1] >= size[1]:
        return F.adaptive_avg_pool2d(m, size)
    return F.interpolate(at_least_float32(m), size=size, mode="bilinear", align_corners=False).to(m.dtype)


def halves(t: Tensor) -> tuple[Tensor, Tensor]:
    """The two halves of a stack along the batch axis.

    Unlike `chunk`, whose number of pieces follows from a rounded division, slices let an exporter and a compiler
    keep the batch size open.
    """
    n = t.shape[0] // 2
    return t[:n], t[n:]


def swap_halves(t: Tensor) -> Tensor:
    """The partner of every sample: a stack of (1, 2) becomes (2, 1) along the batch axis."""
    first, second = halves(t)
    return torch.cat([second, first])
