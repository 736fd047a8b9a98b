"""A training step on noise, to be timed: `lomit reproduce` plans with it, `lomit bench` compares with it, and
`--train.precision auto` goes by it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import torch
from torch import Tensor

from lomit.config import NumberFormat, RunConfig
from lomit.engine.ema import Ema
from lomit.engine.fabric import make_fabric, processes
from lomit.engine.log import Means
from lomit.engine.phases import make_runners
from lomit.engine.updates import WARM_UP, Update, iteration, make_updates
from lomit.inference.device import usable_device
from lomit.inference.precision import Run, choose, usable_precision
from lomit.models.base import Trainable
from lomit.models.registry import method_of


class TrialStep:
    """A translator with all that an update needs, on noise; `ending` keeps phases that end after a while, too."""

    def __init__(self, config: RunConfig, device: torch.device, ending: bool = False) -> None:
        self.fabric = make_fabric(replace(config.train, accelerator=str(device)))
        torch.manual_seed(config.train.seed)
        self.translator: Trainable = method_of(config.model).build_trainable(config.model).to(device)
        self.translator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = Ema(self.translator.generator, config.train.ema)
        # A phase that ends is no part of the iteration that the run consists of.
        runners = make_runners(self.fabric, self.translator, config.train)
        self.runners = [runner for runner in runners if ending or runner.phase.end is None]
        self.said: list[str] = []
        self.compiles = config.train.compile != "none"
        self.updates = make_updates(self.fabric, self.translator, self.runners, config.train.compile, self.said.append)
        self.means = Means()
        self.lr = config.train.lr
        self.batch = self.translator.noise(config.train.batch_size, device)

    def update(self, update: Update) -> dict[str, Tensor]:
        """One update as the training loop makes it; its terms."""
        terms = update([self.batch], self.lr)
        if update.moves_generator:
            self.ema.update(self.translator.generator)
        return terms

    @property
    def cycle(self) -> int:
        """Iterations after which the schedule repeats."""
        return math.lcm(*(update.phase.every for update in self.updates))

    @property
    def begun(self) -> int:
        """The iteration, counted from 0, with which the first cycle of all phases begins."""
        first = max(update.phase.first for update in self.updates)
        return first + -first % self.cycle

    def iteration(self, step: int) -> None:
        """Iteration `step`, counted from 0, as the training loop makes it, without loading."""
        for update, terms in iteration(self.updates, [self.batch], self.lr, step):
            self.means.add(update.phase.name, terms)
            if update.moves_generator:
                self.ema.update(self.translator.generator)

    def settle(self) -> None:
        """Updates until all that is to be captured or compiled is."""
        for _ in range(WARM_UP + 1 if self.compiles else 0):
            for update in self.updates:
                self.update(update)


def settled(config: RunConfig) -> RunConfig:
    """The run with a precision in place of `auto`: the faster one, by iterations of a run that is thrown away.

    Their losses have to be finite: how near translations are says nothing yet, since layers that are not trained
    exaggerate what is rounded.  Several processes take float32: each would have to try alone.
    """
    train = config.train
    if train.precision != "auto":
        return config
    device = usable_device(None if train.accelerator == "auto" else train.accelerator)
    taken = usable_precision("auto" if processes() == 1 else "float32", device)
    if taken == "auto":
        if train.threads is not None:
            torch.set_num_threads(train.threads)
        tried = replace(train, batch_size=train.batch_size // train.accumulate, accumulate=1, compile="none")

        def prepare(form: NumberFormat) -> Run:
            step = TrialStep(replace(config, train=replace(tried, precision=form)), device)

            def run() -> Tensor:
                for k in range(step.begun, step.begun + step.cycle):
                    step.iteration(k)
                return torch.tensor(list(step.means.take().values()))

            return run

        what = ["train", method_of(config.model).name, asdict(config.model), tried.batch_size, torch.get_num_threads()]
        taken = choose(what, prepare)
    return replace(config, train=replace(train, precision=taken))


def synchronise(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
