"""What the parts of an experiment cost on this machine, measured before it starts."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from lomit.classifier.config import ClassifierConfig
from lomit.classifier.network import AttributeClassifier
from lomit.config import RunConfig, to_dict
from lomit.engine.trial import TrialStep, synchronise
from lomit.errors import LomitError
from lomit.losses.lomit import classification_loss
from lomit.models.base import Guide, Phase
from lomit.models.registry import method_of

ROUNDS = 3
"""Repetitions that count, after one that does not."""
ROUGH_SIDE = 32
"""Side of the images, in pixels, that a rough estimate measures with."""
LONG = 5.0
"""Seconds: where the first repetition takes longer, it is the only one."""
ROUGHLY_LONG = 0.2
"""The same in a rough estimate."""


@dataclass(frozen=True)
class Cost:
    """Of one unit of work.

    Attributes:
        wall, cpu: seconds elapsed, and of processor time of all threads.
        phases: of a training iteration: phase -> in what share of the schedule's iterations it is updated.
        turn: of a training iteration: after so many of them every phase has had its turn.
        images: of a training iteration: images that the method sees.
    """

    wall: float
    cpu: float
    phases: Mapping[str, float] = field(default_factory=dict)
    turn: int = 1
    images: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.wall < math.inf and 0 <= self.cpu < math.inf and self.turn >= 1):
            raise LomitError(
                f"a measured cost can't be {self.wall} s, {self.cpu} s of processor time, {self.turn} a turn"
            )

    def budgeted(self, device: torch.device) -> float:
        """The seconds that a budget counts: processor time on a CPU, where other processes take turns; else elapsed."""
        return self.cpu if device.type == "cpu" else self.wall

    def of(self, count: float) -> float:
        """Seconds elapsed for so many units if nothing else runs; several threads may be busy at once."""
        return count * min(self.wall, self.cpu)


def _smaller(config: RunConfig, pairs: int) -> RunConfig:
    """A run of so many pairs of small images."""
    side = min(config.model.image_size, ROUGH_SIDE)
    model, data = replace(config.model, image_size=side), replace(config.data, image_size=side)
    return replace(config, model=model, data=data, train=replace(config.train, batch_size=pairs))


def _pixels(config: RunConfig) -> float:
    """How many times as many pixels a run's images have as the small ones."""
    return max(1.0, (config.model.image_size / ROUGH_SIDE) ** 2)


def updates(phase: Phase, steps: int) -> int:
    """How often a phase is updated in so many iterations (`Phase.runs_in`, counted)."""
    end = steps if phase.end is None else min(phase.end, steps)
    return max(0, end // phase.every - phase.first // phase.every)


class Costs:
    """Measured on demand, each thing once.

    Args:
        known: what an earlier process measured, which is taken instead of measuring again.
        say: gets a line before each measurement, which may take half a minute.
        rough: measure one pair and two of at most 32 pixels, once or twice, and scale by pairs and pixels.

    Attributes:
        known: everything measured.
    """

    def __init__(
        self,
        device: torch.device,
        threads: int | None = None,
        known: Mapping[str, Cost] | None = None,
        say: Callable[[str], None] = lambda line: None,
        rough: bool = False,
    ) -> None:
        self.device, self.threads, self._say, self.rough = device, threads, say, rough
        self.known = dict(known or {})

    def training(self, config: RunConfig) -> Cost:
        """The mean iteration of a run's schedule, on noise: every phase's update, as often as its turn comes."""
        return self._get("train", config, self._measure_training)

    def translation(self, config: RunConfig) -> Cost:
        """One image translated by an exemplar, as an evaluation does it in batches of 16."""
        return self._get("translate", config, self._measure_translation)

    def classifier(self, config: ClassifierConfig, batch: int = 32) -> Cost:
        """One image in the training of the attribute classifier."""

        def measure() -> Cost:
            network = AttributeClassifier(config).to(self.device)
            x = torch.randn(batch, 3, config.image_size, config.image_size, device=self.device)
            y = torch.randint(0, 2, (batch, len(config.attributes)), device=self.device).float()
            cost = self._time(lambda: classification_loss(network(x), y).backward())
            return Cost(cost.wall / batch, cost.cpu / batch)

        return self._remember(f"classifier {config.network} {config.image_size} {config.width}", measure)

    def rendering(self, size: int) -> Cost:
        """One rendered face without its regions."""

        def measure() -> Cost:
            from lomit.data.avatars import render_face

            return self._time(lambda: render_face(0, 0, size, regions=False))

        return self._remember(f"render {size}", measure)

    def _get(self, kind: str, config: RunConfig, measure: Callable[[RunConfig], Cost]) -> Cost:
        model = {k: v for k, v in to_dict(config.model).items() if k != "attributes"}
        decides = [model, config.train.batch_size, config.train.precision, config.train.steps]
        digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:8]
        name = f"{kind} {method_of(config.model).name} {config.model.image_size} {digest}"
        scaled = self._scaled_training if kind == "train" else self._scaled_translation
        return self._remember(name, lambda: (scaled if self.rough else measure)(config))

    def _scaled_training(self, config: RunConfig) -> Cost:
        """From one pair and from two: updating the weights costs the same for any number, the rest grows with it."""
        (one, two), factor = (self._measure_training(_smaller(config, pairs)) for pairs in (1, 2)), _pixels(config)
        more = config.train.batch_size * factor - 1

        def at(first: float, last: float) -> float:
            return first + more * max(0.0, last - first)

        wall, cpu = at(one.wall, two.wall), at(one.cpu, two.cpu)
        return replace(one, wall=wall, cpu=cpu, images=2 * config.train.batch_size)

    def _scaled_translation(self, config: RunConfig) -> Cost:
        cost, factor = self._measure_translation(_smaller(config, 1)), _pixels(config)
        return replace(cost, wall=factor * cost.wall, cpu=factor * cost.cpu)

    def _remember(self, key: str, measure: Callable[[], Cost]) -> Cost:
        if key not in self.known:
            self._say(f"measuring: {key}")
            before = torch.get_num_threads()
            with torch.random.fork_rng(devices=[]):
                try:
                    if self.threads is not None:
                        torch.set_num_threads(self.threads)
                    self.known[key] = measure()
                finally:
                    torch.set_num_threads(before)
        return self.known[key]

    def _measure_training(self, config: RunConfig) -> Cost:
        step = TrialStep(config, self.device, ending=True)
        wall = cpu = 0.0
        shares: dict[str, float] = {}
        for update in step.updates:
            cost = self._time(lambda update=update: step.update(update))  # type: ignore[misc]
            share = shares[update.phase.name] = updates(update.phase, config.train.steps) / config.train.steps
            wall, cpu = wall + share * cost.wall, cpu + share * cost.cpu
        turn = math.lcm(*(update.phase.every for update in step.updates))
        return Cost(wall, cpu, shares, turn, 2 * config.train.batch_size)

    def _measure_translation(self, config: RunConfig) -> Cost:
        translator = method_of(config.model).build(config.model).to(self.device).eval()
        size, count = config.model.image_size, 2 if self.rough else 16
        x = 2 * torch.rand(count, 3, size, size, device=self.device) - 1
        label = torch.zeros(count, len(config.model.attributes), device=self.device)

        def run() -> None:
            with torch.no_grad():
                translator.translate(x, Guide(x.flip(0), 1 - label, source=label))

        cost = self._time(run)
        return Cost(cost.wall / count, cost.cpu / count)

    def _time(self, task: Callable[[], object]) -> Cost:
        times: list[tuple[float, float]] = []
        for _ in range(1 + ROUNDS):
            synchronise(self.device)
            started, spent = time.perf_counter(), time.process_time()
            task()
            synchronise(self.device)
            times.append((time.perf_counter() - started, time.process_time() - spent))
            if times[0][0] > (ROUGHLY_LONG if self.rough else LONG) or (self.rough and len(times) == 2):
                break
        counted = times[1:] or times
        return Cost(*(statistics.median(values) for values in zip(*counted, strict=True)))
