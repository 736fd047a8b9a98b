"""The training step at several batch sizes, compile modes and precisions, the likeliest first, within a time."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import torch

from lomit.bench.gpu import profile
from lomit.bench.rates import DTYPES, Yardstick, describe, iteration_macs, rates
from lomit.bench.step import Step
from lomit.bench.timing import Timing, interleaved, synchronise, timed
from lomit.config import CompileMode, Precision, RunConfig
from lomit.engine.updates import WARM_UP

COMPILED = ("default", "reduce-overhead", "max-autotune")
"""Modes that spend a minute or more on compiling."""
PAPER_PAIRS = 200_000 * 8
"""Pairs that the paper's schedule shows the discriminator (7.2)."""


def settings(
    batch_sizes: Sequence[int], modes: Sequence[CompileMode], precisions: Sequence[Precision]
) -> list[tuple[int, CompileMode, Precision]]:
    """Every combination; what starts at once and the first precision come first, so that a short time suffices."""
    rows = product(batch_sizes, modes, precisions)
    return sorted(rows, key=lambda row: (row[2] != precisions[0], row[1] in COMPILED, modes.index(row[1])))


def sweep(
    config: RunConfig,
    device: torch.device,
    rows: Sequence[tuple[int, CompileMode, Precision]],
    minutes: float,
    rounds: int,
    keep: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Measures rows until the time is over.

    Args:
        config: the run; `model.attributes` and `model.image_size` must be filled.
        device: where.
        rows: of `settings`.
        minutes: after which no row is begun.
        rounds: cycles of the schedule that count.
        keep: called with all that is known after each row, so that a kill loses nothing.

    Returns:
        The machine, its rates and the rows; a row that failed has `error`, one that was not begun is missing.
    """
    began = time.monotonic()
    found: dict[str, Any] = {**describe(device), "image_size": config.model.image_size, "rows": []}
    found["gmac_per_second"] = machine_rates(device)
    keep(found)
    for batch_size, mode, precision in rows:
        if time.monotonic() - began > 60 * minutes:
            break
        train = replace(config.train, batch_size=batch_size, compile=mode, precision=precision, accumulate=1)
        row: dict[str, Any] = {"batch_size": batch_size, "compile": mode, "precision": precision}
        started = time.monotonic()
        try:
            row |= measure(replace(config, train=train), device, rounds)
        except (RuntimeError, MemoryError) as error:  # out of memory, above all
            row["error"] = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        row["took_s"] = time.monotonic() - started
        found["rows"].append(row)
        keep(found)
        _clean(device)
    return found


def machine_rates(device: torch.device) -> dict[str, float]:
    """`GEMM float32`, `convolution bfloat16`, ... -> GMAC/s; float32 is tf32 on a GPU, as in training."""
    found: dict[str, float] = {}
    for label, dtype in DTYPES.items():
        stick = Yardstick(device, dtype)
        timings = interleaved(stick.tasks(), 3, device)
        measured = rates(stick.macs, {name: timing.median for name, timing in timings.items()})
        found |= {f"{name} {label}": rate for name, rate in measured.items()}
    return found


def measure(config: RunConfig, device: torch.device, rounds: int) -> dict[str, Any]:
    """One setting: the schedule's mean iteration and what it asks of the machine."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    step = Step(config, device)
    cycle = math.lcm(*(update.phase.every for update in step.updates))
    iterations = _iterations(step)

    def one_cycle() -> None:
        for _ in range(cycle):
            next(iterations)

    for _ in range(WARM_UP + 1 if config.train.compile != "none" else 1):
        one_cycle()
    synchronise(device)
    timing = Timing(tuple(timed(one_cycle, device) / cycle for _ in range(rounds)))
    macs = iteration_macs(config)
    try:
        activity = profile(one_cycle, device)
    except Exception as error:  # the profiler's own troubles (a driver that forbids it, say) must not cost the row
        activity = None
        step.said.append(f"not profiled ({str(error).strip().splitlines()[0] if str(error).strip() else error!r})")
    seconds = timing.median
    hours = PAPER_PAIRS / config.train.batch_size * seconds / 3600
    row: dict[str, Any] = {
        "iteration": timing.to_json(),
        "images_per_second": 2 * config.train.batch_size / seconds,
        "gmac": macs / 1e9,
        "gmac_per_second": macs / 1e9 / seconds,
        "paper_hours_extrapolated": hours,
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        "said": step.said,
    }
    if activity is not None:
        row |= {
            "kernels": activity.kernels / cycle,
            "launches": activity.launches / cycle,
            "idle_share": activity.idle_share(seconds * cycle),
        }
    return row


def best(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The row with the most images a second; None where none was measured."""
    measured = [row for row in rows if "error" not in row]
    return max(measured, key=lambda row: row["images_per_second"], default=None)


def _iterations(step: Step) -> Iterator[None]:
    """Endless iterations as the training loop makes them, without loading."""
    index = 0
    while True:
        index += 1
        for update in step.updates:
            if index % update.phase.every == 0:
                step.means.add(update.phase.name, step.update(update))
        yield


def _clean(device: torch.device) -> None:
    """Leaves the next row a device as the first one found it."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
