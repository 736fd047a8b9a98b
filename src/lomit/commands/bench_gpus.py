"""`lomit bench step --sweep` and `lomit bench scaling`: a machine's best settings, and what more GPUs would give."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lomit.bench.scaling import Compute, Network, fit, last_that_pays, scale
from lomit.bench.sweep import PAPER_PAIRS, best, settings, sweep
from lomit.commands.options import parse
from lomit.config import CompileMode, Precision, RunConfig
from lomit.errors import LomitError, did_you_mean
from lomit.models import method_of, presets
from lomit.stats.text import markdown_table


def preset_config(name: str) -> RunConfig:
    """A preset's run.

    Raises:
        LomitError: for an unknown one.
    """
    known = presets()
    if name not in known:
        raise LomitError(f"unknown preset '{name}'{did_you_mean(name, known)}; `lomit train --help` lists them")
    return known[name][1]()


def run_sweep(
    config: RunConfig,
    device: torch.device,
    batch_sizes: Sequence[int],
    modes: Sequence[CompileMode],
    precisions: Sequence[Precision],
    minutes: float,
    rounds: int,
    out: Path | None,
) -> int:
    """Prints a table row by row, then the best setting; writes `out` after every row."""
    if min(batch_sizes) < 1:
        raise LomitError(f"--batch-sizes must be at least 1; one is {min(batch_sizes)}")
    if minutes <= 0:
        raise LomitError(f"--minutes must be positive; it is {minutes:g}")
    rows = settings(batch_sizes, modes, precisions)
    shown = 0

    def keep(found: dict[str, Any]) -> None:
        nonlocal shown
        if out is not None:
            part = out.with_name(f".{out.name}.part")
            part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            part.replace(out)
        for row in found["rows"][shown:]:
            print(f"{row['batch_size']} pairs, {row['compile']}, {row['precision']}: {_outcome(row)}", flush=True)
        shown = len(found["rows"])

    found = sweep(config, device, rows, minutes, rounds, keep)
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
        return 1
    print(
        f"best: --train.batch-size {top['batch_size']} --train.compile {top['compile']} --train.precision "
        f"{top['precision']}: {top['images_per_second']:.0f} images/s, {PAPER_PAIRS:,} pairs (the paper's 200,000 "
        f"iterations of 8) in {top['paper_hours_extrapolated']:.2f} h (extrapolated)"
    )
    return 0


def _outcome(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"failed ({row['error']})"
    said = "".join(f"; {line}" for line in row["said"])
    return f"{1000 * row['iteration']['median_s']:.2f} ms an iteration (took {row['took_s']:.0f} s){said}"


def _cells(row: dict[str, Any], machine: dict[str, float]) -> list[str]:
    setting = [str(row["batch_size"]), row["compile"], row["precision"]]
    if "error" in row:
        return [*setting, "failed", *["–"] * 9]
    mark = machine["convolution bfloat16" if "bf16" in row["precision"] else "convolution float32"]
    peak, timing = row["peak_bytes"], row["iteration"]
    return [
        *setting, f"{1000 * timing['median_s']:.2f}", f"{100 * timing['spread']:.1f}",
        f"{row['images_per_second']:.1f}", f"{row['gmac_per_second']:.1f}",
        f"{100 * row['gmac_per_second'] / mark:.0f}", "–" if peak is None else f"{peak / 2**20:.0f}",
        f"{row['kernels']:.0f}" if "kernels" in row else "–", f"{row['launches']:.0f}" if "launches" in row else "–",
        f"{100 * row['idle_share']:.0f}" if "idle_share" in row else "–", f"{row['paper_hours_extrapolated']:.2f}",
    ]  # fmt: skip


@dataclass
class ScalingOptions:
    """Tell from measured steps and gradient sizes what more GPUs would give (a model, not a measurement)."""

    preset: str = "celeba-hair-smile"
    """Preset whose gradients are sent."""
    batch_size: int = 64
    """Pairs of an iteration over all GPUs; with --weak, on each."""
    gpus: tuple[int, ...] = ()
    """Number of GPUs; repeat the option for more. By default 1, 2, 4 ... 64."""
    sweep: str | None = None
    """JSON of `lomit bench step --sweep`: its batch sizes give the time of a step."""
    compile: CompileMode = "default"
    """Which rows of the sweep; several processes use no CUDA graphs."""
    precision: Precision = "bf16-mixed"
    """Which rows of the sweep."""
    fixed_ms: float | None = None
    """In place of a sweep: the part of an iteration that does not grow with the batch."""
    pair_ms: float | None = None
    """In place of a sweep: what each pair adds."""
    weak: bool = False
    """The batch grows with the GPUs."""
    overlap: float = 0.0
    """Share of computing behind which communication hides, 0 to 1."""
    per_node: int = 8
    """GPUs in a node."""
    within_gb: float = 315.0
    """GB a second that a GPU sends within its node."""
    between_gb: float = 40.0
    """GB a second that a GPU sends to other nodes."""
    json: str | None = None
    """File for the numbers."""


def run_bench_scaling(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(ScalingOptions, argv, "lomit bench scaling")
    gpus = sorted(set(options.gpus or (1, 2, 4, 8, 16, 32, 64)))
    if min(*gpus, options.batch_size, options.per_node) < 1:
        raise LomitError("--gpus, --batch-size and --per-node must be at least 1")
    if not 0 <= options.overlap <= 1:
        raise LomitError(f"--overlap must lie in 0..1; it is {options.overlap:g}")
    if min(options.within_gb, options.between_gb) <= 0:
        raise LomitError("--within-gb and --between-gb must be positive")
    compute = _compute(options)
    gradients = gradient_bytes(preset_config(options.preset))
    network = Network(options.per_node, 1e9 * options.within_gb, 1e9 * options.between_gb)
    sizes = list(gradients.values())
    rows = scale(gpus, options.batch_size, compute, sizes, network, options.weak, options.overlap)
    if not rows:
        raise LomitError(f"--batch-size {options.batch_size} can't be cut evenly for any of {gpus} GPUs")
    table = [["GPUs", "pairs", "compute ms", "communicate ms", "images/s", "efficiency %", "paper's schedule, h"]]
    for row in rows:
        table.append([
            str(row.gpus), str(row.pairs), f"{1000 * row.compute:.2f}", f"{1000 * row.communicate:.2f}",
            f"{2 * row.pairs_per_second:.0f}", f"{100 * row.efficiency:.0f}",
            f"{PAPER_PAIRS / row.pairs_per_second / 3600:.2f}",
        ])  # fmt: skip
    sent = ", ".join(f"{name} {size / 2**20:.0f} MiB every {every}" for name, (size, every) in gradients.items())
    print(f"modelled, not measured: {options.preset}, gradients {sent} iteration(s)")
    print(f"one GPU: {1000 * compute.fixed:.2f} ms and {1000 * compute.per_pair:.3f} ms a pair; {network}\n")
    print(markdown_table(table))
    print(f"\na doubling pays (at least 1.5 times as fast) up to {last_that_pays(rows)} GPUs")
    if options.json is not None:
        values = {"compute": vars(compute), "network": vars(network), "rows": [vars(row) for row in rows]}
        Path(options.json).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return 0


def gradient_bytes(config: RunConfig) -> dict[str, tuple[float, int]]:
    """A run's phases: name -> (bytes of float32 gradients, every how many iterations they are sent)."""
    attributes = config.data.attributes or ("attribute",)
    with torch.device("meta"):
        model = type(config.model)(
            **{**vars(config.model), "attributes": attributes, "image_size": config.data.image_size}
        )
        phases = method_of(model).build_trainable(model).phases()
    lasting = [phase for phase in phases if phase.end is None]
    return {phase.name: (4.0 * sum(p.numel() for p in phase.parameters()), phase.every) for phase in lasting}


def _compute(options: ScalingOptions) -> Compute:
    if options.sweep is None:
        if options.fixed_ms is None or options.pair_ms is None:
            raise LomitError("give --sweep FILE (of lomit bench step --sweep --json FILE) or --fixed-ms and --pair-ms")
        if options.fixed_ms < 0 or options.pair_ms <= 0:
            raise LomitError("--fixed-ms must be at least 0 and --pair-ms positive")
        return Compute(options.fixed_ms / 1000, options.pair_ms / 1000)
    try:
        rows = json.loads(Path(options.sweep).read_text(encoding="utf-8"))["rows"]
        kept = [r for r in rows if (r["compile"], r["precision"]) == (options.compile, options.precision)]
        kept = [r for r in kept if "error" not in r]
        return fit([r["batch_size"] for r in kept], [r["iteration"]["median_s"] for r in kept])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LomitError(f"{options.sweep} is no result of lomit bench step --sweep: {error}") from error
