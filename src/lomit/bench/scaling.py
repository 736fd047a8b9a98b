"""What several GPUs would give: a small model of data-parallel training, from measured steps and gradient sizes.

An iteration of `n` GPUs is each one's computing on its part of the batch, and an all-reduce of the gradients after each
phase.  Computing is a line through measured batch sizes: a fixed part (launches, optimiser) and a part for each pair.
An all-reduce is two-level: rings within a node, a tree between nodes on each GPU's share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lomit.errors import LomitError


@dataclass(frozen=True)
class Network:
    """What connects the GPUs; the defaults are assumptions, of the order of an H100 system's data sheet.

    Attributes:
        per_node: GPUs in a node.
        within: bytes a second and direction that a GPU gets out of the node's links (900 GB/s both ways, 70 % of half).
        between: bytes a second and direction out of a GPU's share of the network cards (400 Gbit/s, 80 %).
        within_latency, between_latency: seconds a message takes at least.
    """

    per_node: int = 8
    within: float = 315e9
    between: float = 40e9
    within_latency: float = 3e-6
    between_latency: float = 10e-6

    def all_reduce(self, size: float, gpus: int) -> float:
        """Seconds in which `size` bytes are summed over all GPUs."""
        local = min(gpus, self.per_node)
        nodes = math.ceil(gpus / self.per_node)
        seconds = 0.0
        if local > 1:
            seconds += 2 * (local - 1) / local * size / self.within + 2 * (local - 1) * self.within_latency
        if nodes > 1:
            share = size / local
            seconds += 2 * (nodes - 1) / nodes * share / self.between + 2 * math.log2(nodes) * self.between_latency
        return seconds


@dataclass(frozen=True)
class Compute:
    """Seconds of an iteration on one GPU: `fixed + per_pair * pairs`."""

    fixed: float
    per_pair: float

    def seconds(self, pairs: float) -> float:
        return self.fixed + self.per_pair * pairs


@dataclass(frozen=True)
class Scaled:
    """One row: so many GPUs.

    Attributes:
        gpus: how many.
        pairs: of the whole batch.
        compute, communicate: seconds of an iteration; the second is what computing does not hide.
        pairs_per_second: of all GPUs.
        efficiency: that rate over `gpus` times the rate of one GPU with the same batch (strong scaling) or with
            the same part of it (weak scaling).
    """

    gpus: int
    pairs: int
    compute: float
    communicate: float
    pairs_per_second: float
    efficiency: float


def fit(pairs: Sequence[float], seconds: Sequence[float]) -> Compute:
    """The line through measured batch sizes by least squares; neither part is below 0.

    Raises:
        LomitError: for fewer than two batch sizes.
    """
    if len(set(pairs)) < 2:
        raise LomitError("scaling needs steps measured at two batch sizes at least (lomit bench step --sweep)")
    x, y = sum(pairs) / len(pairs), sum(seconds) / len(seconds)
    slope = sum((a - x) * (b - y) for a, b in zip(pairs, seconds, strict=True)) / sum((a - x) ** 2 for a in pairs)
    slope = max(0.0, slope)
    if y - slope * x >= 0:
        return Compute(y - slope * x, slope)
    return Compute(0.0, sum(a * b for a, b in zip(pairs, seconds, strict=True)) / sum(a * a for a in pairs))


def scale(
    gpus: Sequence[int],
    pairs: int,
    compute: Compute,
    gradients: Sequence[tuple[float, int]],
    network: Network,
    weak: bool = False,
    overlap: float = 0.0,
) -> list[Scaled]:
    """The iteration at each number of GPUs.

    Args:
        gpus: numbers of GPUs; counts that do not divide the batch are left out.
        pairs: of the whole batch, or with `weak` of each GPU.
        compute: of one GPU.
        gradients: for each phase its bytes and every how many iterations it runs.
        network: what connects them.
        weak: the batch grows with the GPUs.
        overlap: share of computing behind which communication hides, 0 to 1.
    """
    rows = []
    for count in gpus:
        if not weak and pairs % count:
            continue
        each = pairs if weak else pairs // count
        computing = compute.seconds(each)
        wire = sum(network.all_reduce(size, count) / every for size, every in gradients)
        exposed = max(0.0, wire - overlap * computing)
        rate = each * count / (computing + exposed)
        efficiency = rate / (count * pairs / compute.seconds(pairs))
        rows.append(Scaled(count, each * count, computing, exposed, rate, efficiency))
    return rows


def last_that_pays(rows: Sequence[Scaled], gain: float = 1.5) -> int:
    """The largest number of GPUs to which each doubling (or smaller step) brought at least `gain` a doubling."""
    last = rows[0]
    for row in rows[1:]:
        if (row.pairs_per_second / last.pairs_per_second) < gain ** math.log2(row.gpus / last.gpus):
            break
        last = row
    return last.gpus
