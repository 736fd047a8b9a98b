"""The training step: D's update, the generator's, and the mean iteration of the schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from lomit.bench.plain import plain_formulation
from lomit.bench.rates import DTYPES, Yardstick, count_macs, describe, phase_macs, rates
from lomit.bench.timing import Timing, interleaved, peak_memory
from lomit.config import RunConfig
from lomit.engine.ema import Ema
from lomit.engine.log import Means
from lomit.engine.phases import make_runners
from lomit.engine.train import make_fabric
from lomit.engine.updates import WARM_UP, Update, Updates
from lomit.errors import LomitError
from lomit.models.base import Batch, Trainable, method_of


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


class Step:
    """A translator with all that an update needs, on noise.

    Args:
        config: the run.
        device: where.
        ending: keep phases that end after a while, too.
    """

    def __init__(self, config: RunConfig, device: torch.device, ending: bool = False) -> None:
        accelerator: Literal["cpu", "cuda"] = "cuda" if device.type == "cuda" else "cpu"
        self.fabric = make_fabric(replace(config.train, accelerator=accelerator))
        torch.manual_seed(config.train.seed)
        self.translator: Trainable = method_of(config.model).build_trainable(config.model).to(device)
        self.translator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = Ema(self.translator.generator, config.train.ema)
        # A phase that ends is no part of the iteration that the run consists of.
        runners = make_runners(self.fabric, self.translator, config.train)
        self.runners = [runner for runner in runners if ending or runner.phase.end is None]
        self.said: list[str] = []
        self.compiles = config.train.compile != "none"
        self.updates = Updates(self.fabric, self.translator, self.runners, config.train.compile, self.said.append)
        self.means = Means()
        self.lr = config.train.lr
        self.batch = self.translator.noise(config.train.batch_size, device)

    def update(self, update: Update) -> dict[str, Tensor]:
        """One update as the training loop makes it; its terms."""
        terms = update([self.batch], self.lr)
        if update.moves_generator:
            self.ema.update(self.translator.generator)
        return terms

    def settle(self) -> None:
        """Updates until all that is to be captured or compiled is."""
        for _ in range(WARM_UP + 1 if self.compiles else 0):
            for update in self.updates:
                self.update(update)


def measure_step(config: RunConfig, device: torch.device, rounds: int = 5, against_plain: bool = False) -> StepSpeed:
    """Times a run's updates, interleaved with the machine's GEMM and convolution rates.

    Args:
        config: the run; `model.attributes` and `model.image_size` must be filled.
        device: where.
        rounds: rounds that count, after one that does not.
        against_plain: time the plain formulation beside it, round by round.

    Raises:
        LomitError: for `against_plain` with another method than LOMIT or outside a checkout.
    """
    step = Step(config, device)
    tasks: dict[str, Callable[[], object]] = {
        update.phase.name: (lambda update=update: step.update(update))  # type: ignore[misc]
        for update in step.updates
    }
    every = {runner.phase.name: runner.phase.every for runner in step.runners}
    if against_plain:
        if method_of(config.model).name != "lomit":
            raise LomitError("--against plain knows the plain formulation of LOMIT only")
        tasks |= {f"plain {name}": task for name, task in _plain_tasks(step.translator, step.batch).items()}
        every |= {f"plain {name}": count for name, count in every.items()}
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
        for stick in [Yardstick(device, dtype)]
        for mark, task in stick.tasks().items()
    }
    timings = interleaved({**tasks, **{name: task for name, (_, task) in marks.items()}}, rounds, device)
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


def _plain_tasks(translator: Trainable, batch: Batch) -> dict[str, Callable[[], Tensor]]:
    translator.requires_grad_(True)
    plain = plain_formulation(translator)
    pair = (batch.x1.contiguous(), batch.x2.contiguous())
    labels = (batch.y1, batch.y2)
    return {
        "D": lambda: plain.discriminator_step(pair, labels),
        "G": lambda: plain.generator_step(pair, labels),
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
    every: dict[str, int],
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
