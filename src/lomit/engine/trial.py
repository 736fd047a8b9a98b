"""A training step on noise, to be timed: `lomit reproduce` plans with it, `lomit bench` compares with it."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from lomit.config import RunConfig
from lomit.engine.ema import Ema
from lomit.engine.fabric import make_fabric
from lomit.engine.log import Means
from lomit.engine.phases import lay_out, make_runners
from lomit.engine.updates import WARM_UP, Update, iteration, make_updates
from lomit.models.registry import method_of


class TrialStep:
    """A translator with all that an update needs, on noise; `ending` keeps phases that end after a while, too."""

    def __init__(self, config: RunConfig, device: torch.device, ending: bool = False) -> None:
        self.fabric = make_fabric(replace(config.train, accelerator=str(device)))
        torch.manual_seed(config.train.seed)
        self.translator = lay_out(method_of(config.model).build_trainable(config.model), device)
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


def synchronise(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
