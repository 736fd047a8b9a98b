"""The kernels that `lomit.nn.kernels` calls; feature maps are B x H x W x C in memory, H x W is one axis of pixels."""

from __future__ import annotations

import triton
import triton.language as tl

# Triton reads these functions' source: types are those of the GPU, and a call with another constant compiles anew.


@triton.jit
def moments(x, out, pixels, c, each, half, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    """Sums of x and of x^2 over `each` pixels of one image: program (image, part, group of channels)."""
    image, part = tl.program_id(0), tl.program_id(1)
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    start = image.to(tl.int64) * pixels * c
    first, second = tl.zeros((CHANNELS,), tl.float32), tl.zeros((CHANNELS,), tl.float32)
    for begin in range(0, each, ROWS):
        pixel = part * each + begin + tl.arange(0, ROWS)
        inside = (pixel[:, None] < pixels) & (channel[None, :] < c)
        v = tl.load(x + start + pixel[:, None] * c + channel[None, :], mask=inside, other=0.0).to(tl.float32)
        first += tl.sum(v, 0)
        second += tl.sum(v * v, 0)
    to = out + (image * tl.num_programs(1) + part) * c + channel
    tl.store(to, first, mask=channel < c)
    tl.store(to + half, second, mask=channel < c)


@triton.jit
def gradient_sums(
    x, grad, scale, shift, out, pixels, c, each, half, ROWS: tl.constexpr, CHANNELS: tl.constexpr, RELU: tl.constexpr
):
    """Sums of g and of g x, g the gradient before ReLU; programs as in `moments`."""
    image, part = tl.program_id(0), tl.program_id(1)
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    start = image.to(tl.int64) * pixels * c
    a = tl.load(scale + image * c + channel, mask=channel < c, other=0.0)
    b = tl.load(shift + image * c + channel, mask=channel < c, other=0.0)
    first, second = tl.zeros((CHANNELS,), tl.float32), tl.zeros((CHANNELS,), tl.float32)
    for begin in range(0, each, ROWS):
        pixel = part * each + begin + tl.arange(0, ROWS)
        inside = (pixel[:, None] < pixels) & (channel[None, :] < c)
        at = start + pixel[:, None] * c + channel[None, :]
        v = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        g = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
        if RELU:
            g = tl.where(v * a[None, :] + b[None, :] > 0, g, 0.0)
        first += tl.sum(g, 0)
        second += tl.sum(g * v, 0)
    to = out + (image * tl.num_programs(1) + part) * c + channel
    tl.store(to, first, mask=channel < c)
    tl.store(to + half, second, mask=channel < c)


@triton.jit
def affine(x, scale, shift, y, pixels, c, ROWS: tl.constexpr, CHANNELS: tl.constexpr, RELU: tl.constexpr):
    """y = scale x + shift, then ReLU: program (image, tile of pixels, group of channels)."""
    image = tl.program_id(0)
    pixel = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    inside = (pixel[:, None] < pixels) & (channel[None, :] < c)
    at = image.to(tl.int64) * pixels * c + pixel[:, None] * c + channel[None, :]
    a = tl.load(scale + image * c + channel, mask=channel < c, other=0.0)
    b = tl.load(shift + image * c + channel, mask=channel < c, other=0.0)
    v = tl.load(x + at, mask=inside, other=0.0).to(tl.float32) * a[None, :] + b[None, :]
    if RELU:
        v = tl.maximum(v, 0.0)
    tl.store(y + at, v.to(y.dtype.element_ty), mask=inside)


@triton.jit
def affine_backward(
    x, grad, scale, shift, of_x, constant, dx, pixels, c,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """dx = scale g + of_x x + constant, g the gradient before ReLU; programs as in `affine`."""
    image = tl.program_id(0)
    pixel = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    inside = (pixel[:, None] < pixels) & (channel[None, :] < c)
    at = image.to(tl.int64) * pixels * c + pixel[:, None] * c + channel[None, :]
    known = channel < c
    a = tl.load(scale + image * c + channel, mask=known, other=0.0)
    b = tl.load(shift + image * c + channel, mask=known, other=0.0)
    k = tl.load(of_x + image * c + channel, mask=known, other=0.0)
    d = tl.load(constant + image * c + channel, mask=known, other=0.0)
    v = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    g = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
    if RELU:
        g = tl.where(v * a[None, :] + b[None, :] > 0, g, 0.0)
    result = a[None, :] * g + k[None, :] * v + d[None, :]
    tl.store(dx + at, result.to(dx.dtype.element_ty), mask=inside)


@triton.jit
def _source(i, n, REFLECT: tl.constexpr):
    """The row (or column) of an image of n that padding shows at i, which may lie outside."""
    if REFLECT:
        return n - 1 - tl.abs(n - 1 - tl.abs(i))
    return tl.minimum(tl.maximum(i, 0), n - 1)


@triton.jit
def pad(x, y, h, w, c, P: tl.constexpr, REFLECT: tl.constexpr, BLOCK: tl.constexpr):
    """Program (image and padded row, block of its columns and channels)."""
    line = tl.program_id(0)
    image, row = line // (h + 2 * P), line % (h + 2 * P)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    column, channel = k // c, k % c
    inside = column < w + 2 * P
    source = (image.to(tl.int64) * h + _source(row - P, h, REFLECT)) * w + _source(column - P, w, REFLECT)
    v = tl.load(x + source * c + channel, mask=inside)
    tl.store(y + line.to(tl.int64) * (w + 2 * P) * c + k, v, mask=inside)


@triton.jit
def _place(i, n, K: tl.constexpr, P: tl.constexpr, REFLECT: tl.constexpr):
    """Where the padded image shows row i of n: itself (K = 0), above (1) and below (2); -1 where it doesn't."""
    if K == 0:
        return i + P
    if REFLECT:
        if K == 1:
            return tl.where((i >= 1) & (i <= P), P - i, -1)
        return tl.where((i >= n - 1 - P) & (i <= n - 2), 2 * (n - 1) - i + P, -1)
    if K == 1:
        return tl.where(i == 0, 0, -1)
    return tl.where(i == n - 1, n + 1, -1)


@triton.jit
def pad_backward(grad, dx, h, w, c, P: tl.constexpr, REFLECT: tl.constexpr, BLOCK: tl.constexpr):
    """Program (image and row, block of its columns and channels): sums what the padding made of each pixel."""
    line = tl.program_id(0)
    image, row = line // h, line % h
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    column, channel = k // c, k % c
    inside = column < w
    total = tl.zeros((BLOCK,), tl.float32)
    for i in tl.static_range(3):
        above = _place(row + 0 * column, h, i, P, REFLECT)
        for j in tl.static_range(3):
            beside = _place(column, w, j, P, REFLECT)
            at = (image.to(tl.int64) * (h + 2 * P) + above) * (w + 2 * P) + beside
            there = inside & (above >= 0) & (beside >= 0)
            total += tl.load(grad + at * c + channel, mask=there, other=0.0).to(tl.float32)
    tl.store(dx + line.to(tl.int64) * w * c + k, total.to(dx.dtype.element_ty), mask=inside)
