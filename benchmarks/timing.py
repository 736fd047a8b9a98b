"""Medians of interleaved runs, and memory at its peak."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lomit.engine.trial import synchronise


@dataclass(frozen=True)
class Timing:
    """Seconds that each round of a task took, in the order of the rounds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        return spread(self.seconds)

    def ratio(self, other: Timing) -> tuple[float, float]:
        """How many times faster than `other`, round by round: (median, spread).

        Both tasks ran once in every round, so what slowed the machine down for a while slowed both.
        """
        ratios = [theirs / mine for mine, theirs in zip(self.seconds, other.seconds, strict=True)]
        return statistics.median(ratios), spread(ratios)

    def to_json(self) -> dict[str, Any]:
        return {"median_s": self.median, "spread": self.spread, "seconds": list(self.seconds)}


def spread(values: tuple[float, ...] | list[float]) -> float:
    """Half the distance between the quartiles, as a share of the median; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle


Clock = Callable[[], float]


def timed(task: Callable[[], object], device: torch.device, repeats: int = 1, clock: Clock | None = None) -> float:
    """Mean seconds of `repeats` calls in a row.

    On a GPU, between two events on its stream: the host may run ahead, as it does in training, so what it takes to
    launch a call shows only where it takes longer than the GPU does to run it.  Elsewhere by the clock,
    `time.perf_counter` unless another is given.
    """
    clock = clock or time.perf_counter
    synchronise(device)
    if device.type != "cuda":
        started = clock()
        for _ in range(repeats):
            task()
        return (clock() - started) / repeats
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(repeats):
        task()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1000 / repeats


ENOUGH = 0.05
"""Seconds for which a task is repeated on a GPU in each round."""


def interleaved(
    tasks: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    warmup: int = 1,
    clock: Clock | None = None,
) -> dict[str, Timing]:
    """Runs every task once in every round, so that a noisy neighbour meets them all alike.

    Args:
        tasks: name -> what to time.
        rounds: rounds that count.
        device: where they run; on a GPU a short task is repeated in a row.
        warmup: rounds before them, which do not count; at least one on a GPU, to find how often a task is repeated.
        clock: of a CPU, as for `timed`; `time.process_time` leaves out what other programs do.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    repeats = dict.fromkeys(tasks, 1)
    for index in range(warmup + rounds):
        for name, task in tasks.items():
            took = timed(task, device, repeats[name], clock)
            if index >= warmup:
                seconds[name].append(took)
            elif device.type == "cuda":
                repeats[name] = max(1, math.ceil(ENOUGH / took))
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def peak_memory(task: Callable[[], object], device: torch.device) -> int | None:
    """Bytes by which a task makes the process (or the GPU's allocations) grow at its largest; None where unknown.

    On a CPU that is the growth of the resident set: memory that an earlier task gave back to the allocator but not
    to the system does not show, so let the smaller task come first.
    """
    gc.collect()
    if device.type == "cuda":
        synchronise(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        task()
        synchronise(device)
        return torch.cuda.max_memory_allocated(device) - before
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
        before = _resident("VmRSS")
        task()
        return max(0, _resident("VmHWM") - before)
    except OSError:  # not Linux
        return None


def _resident(name: str) -> int:
    text = next(t for t in Path("/proc/self/status").read_text().splitlines() if t.startswith(name))
    return int(text.split()[1]) * 1024
