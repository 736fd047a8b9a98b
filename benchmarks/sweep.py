"""The training step at several batch sizes, compile modes and precisions, the likeliest first, within a time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch

from benchmarks.options import RunBenchOptions
from benchmarks.rates import DTYPES, Yardstick, describe, iteration_macs, rates
from benchmarks.timing import Timing, interleaved, timed
from benchmarks.trace import profile
from lomit.commands.options import parse
from lomit.config import CompileMode, NumberFormat, RunConfig
from lomit.engine.trial import TrialStep, synchronise
from lomit.engine.updates import WARM_UP
from lomit.errors import LomitError, line_of
from lomit.stats.estimate import markdown_table

COMPILED = ("default", "reduce-overhead", "max-autotune")
"""Modes that spend a minute or more on compiling."""
PAPER_PAIRS = 200_000 * 8
"""Pairs that the paper's schedule shows the discriminator (7.2)."""


@dataclass
class SweepOptions(RunBenchOptions):
    """Time the mean iteration at several settings, the likeliest first; the JSON file is written after each.

    Batch sizes, compile modes and precisions of the sweep take the place of --batch-size, --compile and --precision.
    """

    batch_sizes: tuple[int, ...] = ()
    """By default 8, 32, 64."""
    modes: tuple[CompileMode, ...] = ()
    """By default none, graphs, reduce-overhead (on a CPU: none)."""
    precisions: tuple[NumberFormat, ...] = ()
    """By default bfloat16, float32 (tf32 on a GPU)."""
    minutes: float = 3.0
    """After which no other setting is begun."""


def settings(
    batch_sizes: Sequence[int], modes: Sequence[CompileMode], precisions: Sequence[NumberFormat]
) -> list[tuple[int, CompileMode, NumberFormat]]:
    """Every combination; what starts at once and the first precision come first, so that a short time suffices."""
    rows = product(batch_sizes, modes, precisions)
    return sorted(rows, key=lambda row: (row[2] != precisions[0], row[1] in COMPILED, modes.index(row[1])))


def sweep(
    config: RunConfig,
    device: torch.device,
    rows: Sequence[tuple[int, CompileMode, NumberFormat]],
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
            row["error"] = line_of(error)
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
    step = TrialStep(config, device)
    cycle = step.cycle

    def one_cycle() -> None:
        for index in range(cycle):
            step.iteration(step.begun + index)

    for _ in range(WARM_UP + 1 if config.train.compile != "none" else 1):
        one_cycle()
    synchronise(device)
    timing = Timing(tuple(timed(one_cycle, device) / cycle for _ in range(rounds)))
    macs = iteration_macs(config)
    try:
        activity = profile(one_cycle, device)
    except Exception as error:  # the profiler's own troubles (a driver that forbids it, say) must not cost the row
        activity = None
        step.said.append(f"not profiled ({line_of(error)})")
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


def _clean(device: torch.device) -> None:
    """Leaves the next row a device as the first one found it."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def run(argv: Sequence[str]) -> int:
    """The command: prints a table row by row, then the best setting; returns its exit code."""
    options = parse(SweepOptions, argv, "lomit bench sweep")
    device = options.start()
    modes: tuple[CompileMode, ...] = ("none", "graphs", "reduce-overhead") if device.type == "cuda" else ("none",)
    batch_sizes, minutes = options.batch_sizes or (8, 32, 64), options.minutes
    if min(batch_sizes) < 1:
        raise LomitError(f"--batch-sizes must be at least 1; one is {min(batch_sizes)}")
    if minutes <= 0:
        raise LomitError(f"--minutes must be positive; it is {minutes:g}")
    rows = settings(batch_sizes, options.modes or modes, options.precisions or ("bfloat16", "float32"))
    shown = 0

    def keep(found: dict[str, Any]) -> None:
        nonlocal shown
        if str(options.json) != "-":
            options.write(found)
        for row in found["rows"][shown:]:
            print(f"{row['batch_size']} pairs, {row['compile']}, {row['precision']}: {_outcome(row)}", flush=True)
        shown = len(found["rows"])

    found = sweep(options.run_config(), device, rows, minutes, options.rounds, keep)
    table = [["pairs", "compile", "precision", "ms/iteration", "spread %", "images/s", "GMAC/s", "of conv rate %",
              "peak MiB", "kernels", "launches", "GPU idle %", "paper's schedule, h"]]  # fmt: skip
    for row in found["rows"]:
        table.append(_cells(row, found["gmac_per_second"]))
    print("\n" + markdown_table(table))
    print(
        "\nthis machine: " + ", ".join(f"{name} {rate:.0f} GMAC/s" for name, rate in found["gmac_per_second"].items())
    )
    if len(found["rows"]) < len(rows):
        print(f"{len(rows) - len(found['rows'])} of {len(rows)} settings not begun: {minutes:g} minutes were over")
    top = best(found["rows"])
    if top is None:
        print("no setting could be measured")
    else:
        print(_best(top))
    options.write(found)
    return int(top is None)


def _best(top: dict[str, Any]) -> str:
    return (
        f"best: --train.batch-size {top['batch_size']} --train.compile {top['compile']} --train.precision "
        f"{top['precision']}: {top['images_per_second']:.0f} images/s, {PAPER_PAIRS:,} pairs (the paper's 200,000 "
        f"iterations of 8) in {top['paper_hours_extrapolated']:.2f} h (extrapolated)"
    )


def _outcome(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"failed ({row['error']})"
    said = "".join(f"; {line}" for line in row["said"])
    return f"{1000 * row['iteration']['median_s']:.2f} ms an iteration (took {row['took_s']:.0f} s){said}"


def _cells(row: dict[str, Any], machine: dict[str, float]) -> list[str]:
    setting = [str(row["batch_size"]), row["compile"], row["precision"]]
    if "error" in row:
        return [*setting, "failed", *["–"] * 9]
    mark = machine["convolution bfloat16" if row["precision"] == "bfloat16" else "convolution float32"]
    peak, timing = row["peak_bytes"], row["iteration"]
    return [
        *setting, f"{1000 * timing['median_s']:.2f}", f"{100 * timing['spread']:.1f}",
        f"{row['images_per_second']:.1f}", f"{row['gmac_per_second']:.1f}",
        f"{100 * row['gmac_per_second'] / mark:.0f}", "–" if peak is None else f"{peak / 2**20:.0f}",
        f"{row['kernels']:.0f}" if "kernels" in row else "–", f"{row['launches']:.0f}" if "launches" in row else "–",
        f"{100 * row['idle_share']:.0f}" if "idle_share" in row else "–", f"{row['paper_hours_extrapolated']:.2f}",
    ]  # fmt: skip
