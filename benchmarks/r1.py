"""R1 (Eq. 13) by sorting against R1 as a matrix: time, memory, and how each grows with the mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.options import BenchOptions, mib
from benchmarks.timing import Timing, interleaved, peak_memory
from lomit.commands.options import parse
from lomit.errors import LomitError
from lomit.losses.lomit import mask_smoothness
from lomit.losses.smoothness import fast_mask_smoothness
from lomit.stats.estimate import markdown_table

SIDES = (16, 32, 64, 128, 256)


@dataclass
class R1Options(BenchOptions):
    """Time R1 (Eq. 13) by sorting against its N x N matrix, forward and backward."""

    sides: tuple[int, ...] = ()
    """Sides of the masks; by default 16, 32, 64, 128, 256."""
    channels: int = 256
    """Channels of the content code."""
    batch: int = 1
    """Masks at once."""
    limit_gib: float = 4.0
    """The matrix is left out where it would take more memory."""


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
            return torch.autograd.grad(fast_mask_smoothness(m, c), m)

        def matrix(m: Tensor = m, c: Tensor = c) -> object:
            return torch.autograd.grad(mask_smoothness(m, c), m)

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
    slope, _ = np.polyfit([x for x, _ in known], [y for _, y in known], 1)
    return float(slope)


def run(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(R1Options, argv, "lomit bench r1")
    device = options.start()
    sides = sorted(set(options.sides or SIDES))
    if min(*sides, options.channels, options.batch) < 1:
        raise LomitError("--sides, --channels and --batch must be at least 1")
    found = measure_r1(sides, options.channels, options.batch, device, options.rounds, options.limit_gib * 2**30)
    rows = [["mask", "pixels", "ms", "matrix ms", "times as fast", "MiB", "matrix MiB"]]
    for f in found:
        rows.append([
            f"{f.side} x {f.side}",
            str(f.side**2),
            f"{1000 * f.ours.median:.2f}",
            "–" if f.matrix is None else f"{1000 * f.matrix.median:.2f}",
            "–" if f.ratio is None else f"{f.ratio[0]:.2f} (spread {100 * f.ratio[1]:.0f} %)",
            mib(f.our_bytes),
            "–" if f.matrix is None else mib(f.matrix_bytes),
        ])  # fmt: skip
    print(f"{device}, {options.channels} channels, batch {options.batch}, forward and backward, float32")
    print(markdown_table(rows))
    exponents = _exponents(found)
    print("\ngrowth with the pixels, N^a over the largest three sizes: " + ", ".join(exponents))
    last = next((f for f in reversed(found) if f.ratio is not None), None)
    if last is not None and last.ratio is not None:
        print(f"{last.side} x {last.side} against the matrix: {last.ratio[0]:.2f} times as fast")
    options.write({"device": str(device), "channels": options.channels, "sizes": [_json(f) for f in found]})
    return 0


def _exponents(found: Sequence[R1Speed]) -> list[str]:
    sides = [f.side for f in found]
    series: dict[str, list[float | None]] = {
        "time": [f.ours.median for f in found],
        "matrix time": [f.matrix.median if f.matrix else None for f in found],
        "memory": [f.our_bytes for f in found],
        "matrix memory": [f.matrix_bytes for f in found],
    }
    values = {name: growth(sides, values) for name, values in series.items()}
    return [f"{name} {a:.2f}" for name, a in values.items() if a is not None]


def _json(found: R1Speed) -> dict[str, Any]:
    return {
        "side": found.side,
        "ours": found.ours.to_json(),
        "matrix": found.matrix and found.matrix.to_json(),
        "our_bytes": found.our_bytes,
        "matrix_bytes": found.matrix_bytes,
    }
