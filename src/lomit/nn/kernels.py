"""Triton kernels for a GPU: instance and layer norm with ReLU, and padding, in channels-last order.

torch's own instance norm, group norm and reflection padding compute in contiguous order: between two channels-last
convolutions each of them copies the whole feature map there and back, which took more than a third of a step on an
H100 (docs/performance.md).  These read and write channels-last, in the input's precision, with float32 statistics.

Every norm here is, once its statistics are known, an affine map per image and channel, y = scale x + shift; and the
gradient is affine in the gradient of y and in x.  So two kernels that sum over pixels and two that map pixels serve
all of them; what lies between works on B x C values, in torch.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

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
    return x.numel() > 0 and _module() is not None


def norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, layer: bool, relu: bool, eps: float = 1e-5) -> Tensor:
    """Instance norm (`layer`: layer norm over a whole feature map), affine per channel, then ReLU where asked for.

    Args:
        x: B x C x H x W.
        weight, bias: C, or None.
        layer: statistics over channels and pixels instead of pixels alone.
        relu: of the result.
        eps: added to the variance.

    Returns:
        B x C x H x W, channels-last, in x's type.
    """
    return _Norm.apply(x, weight, bias, layer, relu, eps)  # type: ignore[no-any-return]


def pad(x: Tensor, padding: int, mode: Mode) -> Tensor:
    """x with `padding` pixels on each side; B x C x H x W -> B x C x (H + 2p) x (W + 2p), channels-last.

    Args:
        padding: less than the image's sides for `reflect`; 1 for `replicate`.

    Raises:
        RuntimeError: where it is neither.
    """
    most = min(x.shape[-2:]) - 1 if mode == "reflect" else 1
    if padding > most:
        raise RuntimeError(f"{mode} padding of {padding} is more than {most}, the most for {tuple(x.shape)}")
    return _Pad.apply(x, padding, mode)  # type: ignore[no-any-return]


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, weight: Tensor | None, bias: Tensor | None, layer: bool, relu: bool, eps: float
    ) -> Tensor:
        x = _last(x)
        count = x.shape[1] * x.shape[2] * (x.shape[3] if layer else 1)
        total, squares = _over_channels(_sums(x), layer)
        mean = total / count
        inverse = torch.rsqrt((squares / count - mean * mean).clamp(min=0) + eps)
        scale = (inverse if weight is None else inverse * weight.float()).expand(len(x), x.shape[3]).contiguous()
        shift = -mean * scale if bias is None else bias.float() - mean * scale
        y = _map(x, scale, shift, relu)
        ctx.save_for_backward(x, weight, mean, inverse, scale, shift)  # type: ignore[arg-type]
        ctx.options = layer, relu, count, bias is not None  # type: ignore[attr-defined]
        return _first(y)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, mean, inverse, scale, shift = ctx.saved_tensors  # type: ignore[attr-defined]
        layer, relu, count, has_bias = ctx.options  # type: ignore[attr-defined]
        grad = _last(grad.to(x.dtype))
        # With g the gradient before ReLU and x_hat = (x - mean) inverse: sums of g and of g x_hat, each B x C.
        summed, by_x = _sums(x, grad, scale, shift, relu)
        by_x_hat = (by_x - mean * summed) * inverse
        w = 1.0 if weight is None else weight.float()
        first, second = _over_channels(torch.stack([summed * w, by_x_hat * w]), layer)
        # dx = inverse (w g - mean(w g) - x_hat mean(w g x_hat)), written as a map of g and x.
        of_x = (-inverse * inverse * second / count).expand_as(scale).contiguous()
        constant = (-inverse * first / count).expand_as(scale) - mean * of_x
        dx = _map_back(x, grad, scale, shift, of_x, constant, relu)
        d_weight = None if weight is None else by_x_hat.sum(0).to(weight.dtype)
        d_bias = summed.sum(0).to(weight.dtype if weight is not None else summed.dtype) if has_bias else None
        return _first(dx), d_weight, d_bias, None, None, None


class _Pad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, padding: int, mode: Mode) -> Tensor:
        ctx.options = padding, mode  # type: ignore[attr-defined]
        x = _last(x)
        b, h, w, c = x.shape
        y = x.new_empty(b, h + 2 * padding, w + 2 * padding, c)
        kernels, block = _module(), 1024
        grid = (b * y.shape[1], -(-y.shape[2] * c // block))
        kernels.pad[grid](x, y, h, w, c, P=padding, REFLECT=mode == "reflect", BLOCK=block)
        return _first(y)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        padding, mode = ctx.options  # type: ignore[attr-defined]
        grad = _last(grad)
        b, hp, wp, c = grad.shape
        h, w = hp - 2 * padding, wp - 2 * padding
        dx = grad.new_empty(b, h, w, c)
        kernels, block = _module(), 1024
        grid = (b * h, -(-w * c // block))
        kernels.pad_backward[grid](grad, dx, h, w, c, P=padding, REFLECT=mode == "reflect", BLOCK=block)
        return _first(dx), None, None


def _last(x: Tensor) -> Tensor:
    """B x C x H x W as B x H x W x C in memory; a copy where it isn't."""
    return x.permute(0, 2, 3, 1).contiguous()


def _first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def _over_channels(sums: Tensor, layer: bool) -> Tensor:
    """Sums that belong to one statistic, 2 x B x C or 2 x B x 1."""
    return sums.sum(2, keepdim=True) if layer else sums


def _tile(x: Tensor) -> tuple[int, int]:
    """Pixels and channels of a tile."""
    channels = min(128, 1 << (x.shape[3] - 1).bit_length())
    return TILE // channels, channels


def _sums(
    x: Tensor,
    grad: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """Over each image's pixels: x and x^2, or g and g x with g the gradient before ReLU.  float32, 2 x B x C."""
    b, h, w, c = x.shape
    rows, channels = _tile(x)
    groups = -(-c // channels)
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


def _map(x: Tensor, scale: Tensor, shift: Tensor, relu: bool) -> Tensor:
    """scale x + shift, then ReLU; scale and shift are B x C."""
    b, h, w, c = x.shape
    rows, channels = _tile(x)
    y, grid = torch.empty_like(x), (b, -(-h * w // rows), -(-c // channels))
    _module().affine[grid](x, scale, shift, y, h * w, c, ROWS=rows, CHANNELS=channels, RELU=relu)
    return y


def _map_back(
    x: Tensor, grad: Tensor, scale: Tensor, shift: Tensor, of_x: Tensor, constant: Tensor, relu: bool
) -> Tensor:
    """scale g + of_x x + constant with g the gradient before ReLU; all but x and grad are B x C."""
    b, h, w, c = x.shape
    rows, channels = _tile(x)
    dx, grid = torch.empty_like(x), (b, -(-h * w // rows), -(-c // channels))
    _module().affine_backward[grid](
        x, grad, scale, shift, of_x, constant, dx, h * w, c, ROWS=rows, CHANNELS=channels, RELU=relu
    )
    return dx
