"""The training step: D's update, the generator's, and the mean iteration of the schedule."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch

from benchmarks import plain_rivals
from benchmarks.options import RunBenchOptions, facts_line, mib
from benchmarks.plain_step import plain_step
from benchmarks.rates import DTYPES, Yardstick, count_macs, describe, phase_macs, rates
from benchmarks.timing import Timing, interleaved, peak_memory
from lomit.commands.options import parse
from lomit.config import RunConfig
from lomit.engine.trial import TrialStep
from lomit.models.base import Batch
from lomit.models.registry import method_of
from lomit.stats.estimate import markdown_table

Part = tuple[Callable[[], object], float]
"""What an iteration consists of: a task, and in every how many iterations it runs."""


@dataclass
class StepOptions(RunBenchOptions):
    """Time the training step: D's update, the generator's, and the mean iteration of the schedule."""

    against: Literal["nothing", "plain"] = "nothing"
    """`plain`: time the plain formulation beside it."""


@dataclass(frozen=True)
class StepSpeed:
    """What `measure_step` found.

    Attributes:
        facts: machine, method, sizes, precision.
        phases: update (`D`, `G`, `iteration`; `plain D`, ...) -> its numbers: `timing`, `images_per_second`,
            `gmac`, `gmac_per_second`, `peak_bytes`.
        yardsticks: `GEMM float32`, `convolution bfloat16`, ... -> GMAC/s.
        ratio: how many times faster the iteration is than the plain one (median, spread); None without it.
    """

    facts: dict[str, Any]
    phases: dict[str, dict[str, Any]]
    yardsticks: dict[str, float]
    ratio: tuple[float, float] | None


def measure_step(config: RunConfig, device: torch.device, rounds: int = 5, against_plain: bool = False) -> StepSpeed:
    """Times a run's updates, interleaved with the machine's GEMM and convolution rates.

    Args:
        config: the run; `model.attributes` and `model.image_size` must be filled.
        device: where.
        rounds: rounds that count, after one that does not.
        against_plain: time the plain formulation beside it, round by round.

    With one thread on a CPU, seconds are the processor's: other programs cost what they take from its caches.
    """
    step = TrialStep(config, device)
    parts = _parts(step)
    tasks = {name: task for name, (task, _) in parts.items()}
    every = {name: count for name, (_, count) in parts.items()}
    if against_plain:
        plain = _plain_parts(step.translator, step.batch)
        tasks |= {f"plain {name}": task for name, (task, _) in plain.items()}
        every |= {f"plain {name}": count for name, (_, count) in plain.items()}
    counted = phase_macs(config)
    work = {name: counted[name][0] if name in counted else count_macs(task) for name, task in tasks.items()}
    if device.type == "cuda":  # the first call also tries out convolutions, with memory of their own
        for task in tasks.values():
            task()
    # Before anything is captured: a graph's memory is taken once, and a replay takes none.
    memory = {name: peak_memory(task, device) for name, task in tasks.items()}
    step.settle()
    marks = {
        f"{mark} {label}": (stick.macs[mark], task)
        for label, dtype in DTYPES.items()
        # Without instructions for it, a bfloat16 convolution takes longer than the step.
        if label == "float32" or config.train.precision == "bfloat16"
        for stick in [Yardstick(device, dtype)]
        for mark, task in stick.tasks().items()
    }
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    timings = interleaved({**tasks, **{name: task for name, (_, task) in marks.items()}}, rounds, device, clock=clock)
    images = 2 * config.train.batch_size
    phases = {name: _numbers(timings[name], images, work[name], memory[name]) for name in tasks}
    phases |= _iterations(timings, every, work, memory, images)
    ratio = None
    if against_plain:
        ratio = phases["iteration"]["timing"].ratio(phases["plain iteration"]["timing"])
    facts = {
        **describe(device),
        "method": method_of(config.model).name,
        "image_size": config.model.image_size,
        "batch_size": config.train.batch_size,
        "precision": config.train.precision,
        "compile": config.train.compile,
        "parameters": {part: sum(p.numel() for p in m.parameters()) for part, m in step.translator.named_children()},
        "rounds": rounds,
    }
    speeds = rates({n: macs for n, (macs, _) in marks.items()}, {n: timings[n].median for n in marks})
    return StepSpeed(facts, phases, speeds, ratio)


def _parts(step: TrialStep) -> dict[str, Part]:
    """The updates; where they share what they compute, the schedule's kinds of iterations, by the updates in them."""
    if not any(update.shares([step.batch]) for update in step.updates):
        return {
            update.phase.name: (lambda update=update: step.update(update), update.phase.every)  # type: ignore[misc]
            for update in step.updates
        }
    kinds: dict[str, list[int]] = {}
    for index in range(step.begun, step.begun + step.cycle):
        names = (update.phase.name for update in step.updates if update.phase.runs_in(index))
        kinds.setdefault(", ".join(names), []).append(index)
    return {names: (partial(step.iteration, found[0]), step.cycle / len(found)) for names, found in kinds.items()}


def _plain_parts(translator: Any, batch: Batch) -> Mapping[str, Part]:
    """What an iteration of the plain formulation consists of, and in every how many iterations each part runs."""
    batch = batch.map(torch.Tensor.contiguous)
    rival = plain_rivals.METHODS.get(method_of(translator.config).name)
    if rival is not None:
        return rival(translator).tasks(batch)
    translator.requires_grad_(True)
    plain = plain_step(translator)
    pair, labels = (batch.x1, batch.x2), (batch.y1, batch.y2)
    return {
        "D": (lambda: plain.discriminator_step(pair, labels), 1),
        "G": (lambda: plain.generator_step(pair, labels), translator.config.critic_steps),
    }


def _numbers(timing: Timing, images: int, macs: float, memory: int | None) -> dict[str, Any]:
    return {
        "timing": timing,
        "images_per_second": images / timing.median,
        "gmac": macs / 1e9,
        "gmac_per_second": macs / 1e9 / timing.median,
        "peak_bytes": memory,
    }


def _iterations(
    timings: dict[str, Timing],
    every: Mapping[str, float],
    work: dict[str, float],
    memory: dict[str, int | None],
    images: int,
) -> dict[str, dict[str, Any]]:
    """The schedule's mean iteration, ours and the plain one: every phase's time over how rarely it runs."""
    found = {}
    for prefix in ("", "plain "):
        names = [n for n in every if n.startswith("plain ") == bool(prefix)]
        if not names:
            continue
        seconds = zip(*(timings[n].seconds for n in names), strict=True)
        timing = Timing(tuple(sum(t / every[n] for n, t in zip(names, one, strict=True)) for one in seconds))
        peaks = [peak for n in names if (peak := memory[n]) is not None]
        macs = sum(work[n] / every[n] for n in names)
        found[f"{prefix}iteration"] = _numbers(timing, images, macs, max(peaks) if peaks else None)
    return found


def run(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(StepOptions, argv, "lomit bench step")
    device = options.start()
    speed = measure_step(options.run_config(), device, options.rounds, options.against == "plain")
    marks = speed.yardsticks
    best = marks["convolution bfloat16" if speed.facts["precision"] == "bfloat16" else "convolution float32"]
    rows = [["update", "median ms", "spread %", "images/s", "GMAC", "GMAC/s", "of conv rate %", "peak MiB"]]
    for name, numbers in speed.phases.items():
        # The plain formulation computes in float32, so its rate is held against that of a float32 convolution.
        mark = marks["convolution float32"] if name.startswith("plain ") else best
        rows.append([
            name,
            f"{1000 * numbers['timing'].median:.1f}",
            f"{100 * numbers['timing'].spread:.1f}",
            f"{numbers['images_per_second']:.1f}",
            f"{numbers['gmac']:.2f}",
            f"{numbers['gmac_per_second']:.1f}",
            f"{100 * numbers['gmac_per_second'] / mark:.0f}",
            mib(numbers["peak_bytes"]),
        ])  # fmt: skip
    print(facts_line(speed.facts))
    print(markdown_table(rows))
    print("\nthis machine, same run: " + ", ".join(f"{name} {rate:.0f} GMAC/s" for name, rate in marks.items()))
    iteration = speed.phases["iteration"]["timing"]
    if device.type == "cuda":
        steps = options.run_config().train.steps
        print(f"{steps} iterations would take {steps * iteration.median / 3600:.2f} h (extrapolated)")
    if speed.ratio is not None:
        print(f"iteration against plain: {speed.ratio[0]:.2f} times as fast (spread {100 * speed.ratio[1]:.1f} %)")
    options.write(_json(speed))
    return 0


def _json(speed: StepSpeed) -> dict[str, Any]:
    ratio = None if speed.ratio is None else {"median": speed.ratio[0], "spread": speed.ratio[1]}
    phases = {
        name: {k: v.to_json() if isinstance(v, Timing) else v for k, v in numbers.items()}
        for name, numbers in speed.phases.items()
    }
    return {**speed.facts, "updates": phases, "gmac_per_second": speed.yardsticks, "against_plain": ratio}
