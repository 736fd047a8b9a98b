"""R1 (Eq. 13) by sorting against R1 as a matrix: time, memory, and how each grows with the mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lomit.bench.timing import Timing, interleaved, peak_memory
from lomit.losses import mask_smoothness


@dataclass(frozen=True)
class R1Speed:
    """Forward and backward of R1 at one size.

    Attributes:
        side: the mask is side x side.
        ours, matrix: times; the matrix's is None where it would not fit.
        our_bytes, matrix_bytes: memory at the peak, None where unknown.
    """

    side: int
    ours: Timing
    matrix: Timing | None
    our_bytes: int | None
    matrix_bytes: int | None

    @property
    def ratio(self) -> tuple[float, float] | None:
        """How many times faster than the matrix: (median, spread)."""
        return None if self.matrix is None else self.ours.ratio(self.matrix)


def mask_smoothness_matrix(m: Tensor, c: Tensor) -> Tensor:
    """Eq. 13 over all pairs of pixels at once; arguments as in `lomit.losses.mask_smoothness`."""
    m, c = m.flatten(2), F.normalize(c.detach().flatten(2), dim=1)
    distance = (m[..., :, None] - m[..., None, :]).abs()
    return (distance * (c.transpose(1, 2) @ c)[:, None]).mean()


def measure_r1(
    sides: Sequence[int], channels: int, batch: int, device: torch.device, rounds: int, limit_bytes: float
) -> list[R1Speed]:
    """Times R1 and its gradient at each size.

    Args:
        sides: of the masks.
        channels: of the content code.
        batch: masks.
        device: where.
        rounds: rounds that count.
        limit_bytes: the matrix is left out where its three N x N arrays would take more.
    """
    found = []
    for side in sides:
        generator = torch.Generator().manual_seed(side)
        c = torch.randn(batch, channels, side, side, generator=generator).to(device)
        m = torch.rand(batch, 1, side, side, generator=generator).to(device).requires_grad_()

        def ours(m: Tensor = m, c: Tensor = c) -> object:
            return torch.autograd.grad(mask_smoothness(m, c), m)

        def matrix(m: Tensor = m, c: Tensor = c) -> object:
            return torch.autograd.grad(mask_smoothness_matrix(m, c), m)

        fits = 3 * 4 * batch * side**4 <= limit_bytes
        tasks = {"ours": ours, "matrix": matrix} if fits else {"ours": ours}
        memory = {name: peak_memory(task, device) for name, task in tasks.items()}
        timings = interleaved(tasks, rounds, device)
        found.append(R1Speed(side, timings["ours"], timings.get("matrix"), memory["ours"], memory.get("matrix")))
    return found


def growth(sides: Sequence[int], values: Sequence[float | None]) -> float | None:
    """The exponent a in value ~ N^a, N = side^2 pixels, by least squares on logarithms over the largest three sizes."""
    known = [(2 * math.log(s), math.log(v)) for s, v in zip(sides, values, strict=True) if v][-3:]
    if len(known) < 2:
        return None
    x = sum(a for a, _ in known) / len(known)
    y = sum(b for _, b in known) / len(known)
    return sum((a - x) * (b - y) for a, b in known) / sum((a - x) ** 2 for a, _ in known)
