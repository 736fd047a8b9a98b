"""Padding and upsampling convolutions that cost less than their plain forms and give the same result."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from lomit.nn import kernels


class _ReflectionPad(torch.autograd.Function):
    """Reflection padding with a backward that keeps the memory layout.

    torch's own backward fills a tensor with zeros and copies between layouts: for channels-last bfloat16 on a
    CPU it took a tenth of a training step.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, padding: int) -> Tensor:
        ctx.padding = padding  # type: ignore[attr-defined]
        return _pad(x, (padding,) * 4, "reflect")

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        p: int = ctx.padding  # type: ignore[attr-defined]
        folded = _fold_columns(grad[:, :, p:-p], p)
        # Row i of the image (i = 1..p) is also row -i of the padding.
        folded[:, :, 1 : p + 1] += _fold_columns(grad[:, :, :p], p).flip(2)
        folded[:, :, -p - 1 : -1] += _fold_columns(grad[:, :, -p:], p).flip(2)
        return folded, None


def _fold_columns(grad: Tensor, p: int) -> Tensor:
    """The transpose of padding the columns: B x C x h x (w + 2p) -> B x C x h x w."""
    folded = grad[..., p:-p].clone(memory_format=torch.preserve_format)
    folded[..., 1 : p + 1] += grad[..., :p].flip(3)
    folded[..., -p - 1 : -1] += grad[..., -p:].flip(3)
    return folded


def reflection_pad(x: Tensor, padding: int) -> Tensor:
    """x with `padding` reflected pixels on each side; B x C x H x W -> B x C x (H + 2p) x (W + 2p).

    Its gradient can be taken once, not twice (a gradient penalty needs zero padding).  RuntimeError where the padding
    reaches the image's size.
    """
    if kernels.usable(x):
        return kernels.pad(x, padding, "reflect")
    # A compiler writes a backward of its own from torch's operators, and faster than from a Function.
    if torch.is_grad_enabled() and x.requires_grad and not torch.compiler.is_compiling():
        return _ReflectionPad.apply(x, padding)  # type: ignore[no-any-return]
    return _pad(x, (padding,) * 4, "reflect")


def _pad(x: Tensor, padding: tuple[int, int, int, int], mode: str) -> Tensor:
    """`F.pad` in x's own precision: autocast would turn bfloat16 into float32 and back."""
    # A compiler fuses the conversions away; the meta device, on which memory is estimated, has none.
    if torch.compiler.is_compiling() or not torch.amp.is_autocast_available(x.device.type):
        return F.pad(x, padding, mode)
    with torch.autocast(x.device.type, enabled=False):
        return F.pad(x, padding, mode)


class Conv2d(nn.Conv2d):
    """A convolution with `padding` reflected or zero pixels (`pad`) on each side."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, padding: int = 0, pad: str = "reflect"):
        super().__init__(c_in, c_out, kernel, stride, padding if pad == "zeros" else 0)
        self.reflection = padding if pad == "reflect" else 0

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(reflection_pad(x, self.reflection) if self.reflection else x)

    def unbiased(self, x: Tensor) -> Tensor:
        """Without the bias, for a norm that adds it."""
        padded = reflection_pad(x, self.reflection) if self.reflection else x
        return self._conv_forward(padded, self.weight, None)


class _AddToEdges(torch.autograd.Function):
    """Adds to the outermost rows and columns in place; the gradient passes through uncopied."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
        ctx.mark_dirty(x)  # type: ignore[attr-defined]
        return _add_to_edges(x, top, bottom, left, right)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return grad, grad[:, :1], grad[:, -1:], grad[:, :, :1], grad[:, :, -1:]


def _add_to_edges(x: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """B x H x W x C, and strips of one row or column."""
    x[:, :1] += top
    x[:, -1:] += bottom
    x[:, :, :1] += left
    x[:, :, -1:] += right
    return x


def _plus_edges(x: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """`_add_to_edges` out of place: a compiler fuses it into one pass."""
    h, w = x.shape[1] - 1, x.shape[2] - 1
    rows = F.pad(top, (0, 0, 0, 0, 0, h)) + F.pad(bottom, (0, 0, 0, 0, h, 0))
    columns = F.pad(left, (0, 0, 0, w)) + F.pad(right, (0, 0, w, 0))
    return x + rows + columns


class UpsampledConv2d(nn.Conv2d):
    """Nearest-neighbour upsampling by 2, reflection padding by 2, 5 x 5 convolution - computed before upsampling.

    Two neighbours of the upsampled image are one pixel of the small one, so of the 5 taps of a row some fall on the
    same pixel and their weights can be summed first.  What remains is a 3 x 3 convolution for each of the four (row,
    column) parities of the output: 9 products instead of 25, on an input a quarter the size.  `weight` is c_out x c_in
    x 5 x 5, as without this rearrangement.

    With the small image's own border pixel repeated once around it, every output pixel is right except in the outermost
    rows and columns, where reflection takes the outermost tap from the second pixel instead of the first: there the
    tap's weight times the difference of the two is added.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 5)

    def forward(self, x: Tensor) -> Tensor:
        """B x c_in x h x w -> B x c_out x 2h x 2w."""
        assert self.bias is not None
        return self._convolved(x, self.bias.repeat(4))

    def unbiased(self, x: Tensor) -> Tensor:
        """Without the bias, for a norm that adds it."""
        return self._convolved(x, None)

    def _convolved(self, x: Tensor, bias: Tensor | None) -> Tensor:
        padded = kernels.pad(x, 1, "replicate") if kernels.usable(x) else _pad(x, (1, 1, 1, 1), "replicate")
        y = F.conv2d(padded, self.parity_weights(), bias)
        b, _, h, w = y.shape
        # Channels last all the way: the innermost copies are runs of whole pixels.
        y = y.permute(0, 2, 3, 1).reshape(b, h, w, 2, 2, -1).transpose(2, 3).reshape(b, 2 * h, 2 * w, -1)
        edges = [edge.permute(0, 2, 3, 1) for edge in self._edges(x)]
        if torch.compiler.is_compiling():
            return _plus_edges(y, *edges).permute(0, 3, 1, 2)
        y = _AddToEdges.apply(y, *edges) if torch.is_grad_enabled() else _add_to_edges(y, *edges)
        return y.permute(0, 3, 1, 2)

    def parity_weights(self) -> Tensor:
        """Summed taps for outputs (even, even), (even, odd), (odd, even), (odd, odd): 4 c_out x c_in x 3 x 3."""
        rows = [_merged_taps(self.weight, 2, parity) for parity in (0, 1)]
        return torch.cat([_merged_taps(row, 3, parity) for row in rows for parity in (0, 1)])

    def _edges(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the top and bottom rows and the left and right columns lack.

        Rows see the columns as reflection has them, columns see the rows as repetition has them: so the corners get
        both differences and their product, each once.
        """

        def row(outer: int, inner: int, tap: int) -> Tensor:
            difference = x[:, :, inner, None] - x[:, :, outer, None]
            strip = _pad(difference.repeat_interleave(2, 3), (2, 2, 0, 0), "reflect")
            return F.conv2d(strip, self.weight[:, :, tap, None])

        def column(outer: int, inner: int, tap: int) -> Tensor:
            difference = x[..., inner, None] - x[..., outer, None]
            strip = _pad(difference.repeat_interleave(2, 2), (0, 0, 2, 2), "replicate")
            return F.conv2d(strip, self.weight[..., tap, None])

        return row(0, 1, 0), row(-1, -2, -1), column(0, 1, 0), column(-1, -2, -1)


def _merged_taps(weight: Tensor, dim: int, parity: int) -> Tensor:
    """Five taps of the upsampled axis as three of the small one, for even (0) or odd (1) outputs.

    Output 2i + parity reaches upsampled pixels 2i + parity - 2 ... 2i + parity + 2, which are pixels i - 1 to i + 1.
    """
    groups = weight.split((2, 2, 1) if parity == 0 else (1, 2, 2), dim)
    return torch.cat([group.sum(dim, keepdim=True) for group in groups], dim)
