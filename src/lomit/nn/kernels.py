"""Triton kernels for a GPU: instance and layer norm with ReLU, and padding, in channels-last order.

torch's own instance norm, group norm and reflection padding compute in contiguous order: between two channels-last
convolutions each of them copies the whole feature map there and back, which took more than a third of a step on an
H100 (docs/performance-gpu.md).  These read and write channels-last, in the input's precision, with float32 statistics.

Every norm here is, once its statistics are known, an affine map per image and channel, y = scale x + shift; and the
gradient is affine in the gradient of y and in x.  So two kernels that sum over pixels and two that map pixels serve
all of them; what lies between works on B x C values, in torch.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

logger = logging.getLogger(__name__)

Mode = Literal["reflect", "replicate"]

TILE = 4096
"""Values that a program handles at a time."""
WAVES = 8
"""Programs for each multiprocessor in the sums, so that all of them have work to the end."""


@functools.cache
def _module() -> Any:
    """The kernels, None where there is no Triton."""
    if importlib.util.find_spec("triton") is None or os.environ.get("LOMIT_TRITON") == "0":
        return None
    from lomit.nn import triton_kernels

    return triton_kernels


def usable(x: Tensor) -> bool:
    """Whether the kernels take this feature map: on a GPU, in a float type they know, and not under a compiler."""
    if not x.is_cuda or torch.compiler.is_compiling() or x.dtype not in (torch.bfloat16, torch.float16, torch.float32):
        return False
    return x.numel() > 0 and _module() is not None and _works(x.device)


@functools.cache
def _works(device: torch.device) -> bool:
    """Whether the smallest of them runs: an old GPU can't, nor can Triton where it finds no C compiler."""
    x, one = torch.zeros(1, 4, 1, 1, device=device), torch.ones(1, 4, device=device)
    try:
        _mapped(_module().affine, True, x, one, one)
    except Exception as error:
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        logger.warning("norms and padding are left to torch, which takes longer: Triton does not run here (%s)", why)
        return False
    return True


def norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    layer: bool,
    relu: bool,
    before: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Instance norm (`layer`: layer norm over a whole feature map), affine per channel, then ReLU where asked for.

    Args:
        x: B x C x H x W; so is the result, channels-last, in x's type.
        weight, bias: C, or None.
        layer: statistics over channels and pixels instead of pixels alone.
        relu: of the result.
        before: C, added to x first: the bias of the convolution before, which costs nothing here, and whose gradient
            follows from sums that are there.
        eps: added to the variance.
    """
    return _Norm.apply(x, weight, bias, layer, relu, before, eps)  # type: ignore[no-any-return]


def pad(x: Tensor, padding: int, mode: Mode) -> Tensor:
    """x with `padding` pixels on each side; B x C x H x W -> B x C x (H + 2p) x (W + 2p), channels-last.

    RuntimeError unless the padding is less than the image's sides for `reflect`, and 1 for `replicate`.
    """
    most = min(x.shape[-2:]) - 1 if mode == "reflect" else 1
    if padding > most:
        raise RuntimeError(f"{mode} padding of {padding} is more than {most}, the most for {tuple(x.shape)}")
    return _Pad.apply(x, padding, mode)  # type: ignore[no-any-return]


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        layer: bool,
        relu: bool,
        before: Tensor | None,
        eps: float,
    ) -> Tensor:
        x = _channels_last(x)
        pixels = x.shape[2] * x.shape[3]
        count = pixels * (x.shape[1] if layer else 1)
        raw, squares = _sums(x)
        total = raw
        if before is not None:
            before = before.float()
            squares = squares + before * (2 * raw + pixels * before)
            total = raw + pixels * before
        mean, mean_square = _over_channels(torch.stack([total, squares]), layer) / count
        inverse = torch.rsqrt((mean_square - mean * mean).clamp(min=0) + eps)
        scale = (inverse if weight is None else inverse * weight.float()).expand_as(total).contiguous()
        shift = -mean * scale if bias is None else bias.float() - mean * scale
        if before is not None:
            shift = shift + before * scale
        ctx.save_for_backward(x, weight, before, raw, mean, inverse, scale, shift)  # type: ignore[arg-type]
        ctx.options = layer, relu, count, bias is not None  # type: ignore[attr-defined]
        return _mapped(_module().affine, relu, x, scale, shift)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, before, raw, mean, inverse, scale, shift = ctx.saved_tensors  # type: ignore[attr-defined]
        layer, relu, count, has_bias = ctx.options  # type: ignore[attr-defined]
        grad = _channels_last(grad.to(x.dtype))
        # With g the gradient before ReLU and x_hat = (x + before - mean) inverse: sums of g and of g x_hat, B x C each.
        summed, by_x = _sums(x, grad, scale, shift, relu)
        shifted = -mean if before is None else before - mean
        by_x_hat = (by_x + shifted * summed) * inverse
        w = 1.0 if weight is None else weight.float()
        first, second = _over_channels(torch.stack([summed * w, by_x_hat * w]), layer) / count
        # dx = inverse (w g - mean(w g) - x_hat mean(w g x_hat)), written as a map of g and x.
        of_x = (-inverse * inverse * second).expand_as(scale).contiguous()
        constant = (-inverse * first).expand_as(scale) + shifted * of_x
        dx = _mapped(_module().affine_backward, relu, x, grad, scale, shift, of_x, constant)
        d_before = None
        if before is not None and layer:
            d_before = (scale * summed + of_x * raw + x.shape[2] * x.shape[3] * constant).sum(0)
        elif before is not None:
            d_before = torch.zeros_like(before)  # an instance's mean takes it away again
        d_weight = None if weight is None else by_x_hat.sum(0).to(weight.dtype)
        d_bias = summed.sum(0) if has_bias else None
        return dx, d_weight, d_bias, None, None, d_before, None


class _Pad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, padding: int, mode: Mode) -> Tensor:
        ctx.options = padding, mode  # type: ignore[attr-defined]
        x = _channels_last(x)
        b, c, h, w = x.shape
        y = _empty(x, h + 2 * padding, w + 2 * padding)
        kernels, block = _module(), 1024
        grid = (b * y.shape[2], -(-y.shape[3] * c // block))
        kernels.pad[grid](x, y, h, w, c, P=padding, REFLECT=mode == "reflect", BLOCK=block)
        return y

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        padding, mode = ctx.options  # type: ignore[attr-defined]
        grad = _channels_last(grad)
        b, c, h, w = grad.shape[0], grad.shape[1], grad.shape[2] - 2 * padding, grad.shape[3] - 2 * padding
        dx = _empty(grad, h, w)
        kernels, block = _module(), 1024
        grid = (b * h, -(-w * c // block))
        kernels.pad_backward[grid](grad, dx, h, w, c, P=padding, REFLECT=mode == "reflect", BLOCK=block)
        return dx, None, None


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _empty(x: Tensor, h: int, w: int) -> Tensor:
    """Room for a feature map of another size.  Not a view of another shape, which nobody could change in place."""
    size = (x.shape[0], x.shape[1], h, w)
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _over_channels(sums: Tensor, layer: bool) -> Tensor:
    """Sums that belong to one statistic, 2 x B x C or 2 x B x 1."""
    return sums.sum(2, keepdim=True) if layer else sums


def _tile(x: Tensor) -> tuple[int, int]:
    """Pixels and channels of a tile."""
    channels = min(128, 1 << (x.shape[1] - 1).bit_length())
    return TILE // channels, channels


def _sums(
    x: Tensor, grad: Tensor | None = None, scale: Tensor | None = None, shift: Tensor | None = None, relu: bool = False
) -> Tensor:
    """Over each image's pixels: x and x^2, or g and g x with g the gradient before ReLU.  float32, 2 x B x C."""
    b, c, h, w = x.shape
    rows, channels = _tile(x)
    groups = -(-c // channels)
    # Off a GPU, in Triton's interpreter, any number does.
    multiprocessors = torch.cuda.get_device_properties(x.device).multi_processor_count if x.is_cuda else 4
    parts = max(1, min(-(-h * w // rows), WAVES * multiprocessors // max(1, b * groups)))
    each = -(-h * w // (parts * rows)) * rows
    parts = -(-h * w // each)
    out = torch.empty(2, b, parts, c, device=x.device)
    grid = (b, parts, groups)
    if grad is None:
        _module().moments[grid](x, out, h * w, c, each, b * parts * c, ROWS=rows, CHANNELS=channels)
    else:
        _module().gradient_sums[grid](
            x, grad, scale, shift, out, h * w, c, each, b * parts * c, ROWS=rows, CHANNELS=channels, RELU=relu
        )
    return out.sum(2)


def _mapped(kernel: Any, relu: bool, x: Tensor, *operands: Tensor) -> Tensor:
    """A feature map of x's size, pixel by pixel from x and the operands, by `affine` or `affine_backward`."""
    b, c, h, w = x.shape
    rows, channels = _tile(x)
    y, grid = _empty(x, h, w), (b, -(-h * w // rows), -(-c // channels))
    kernel[grid](x, *operands, y, h * w, c, ROWS=rows, CHANNELS=channels, RELU=relu)
    return y
