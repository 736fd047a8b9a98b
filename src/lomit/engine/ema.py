"""Moving average of the generator: what is evaluated, saved and shipped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from lomit.models.base import Translator

TensorList = tuple[Tensor, ...] | list[Tensor]


class Ema:
    """An exponential moving average that warms up.

    The first update copies the generator; from then on the decay of the n-th is min(decay, n / (n + 9)), so that
    the first hundred updates of a short run don't drag the random start along.  Buffers (batch norm's statistics)
    are copied.

    Args:
        generator: the module to follow.
        decay: in [0, 1); 0 copies the generator.
    """

    def __init__(self, generator: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._averaged = AveragedModel(generator, multi_avg_fn=self._average)
        self._averaged.requires_grad_(False)

    @property
    def module(self) -> nn.Module:
        """The averaged generator."""
        return self._averaged.module

    @torch.no_grad()
    def _average(self, averaged: TensorList, current: TensorList, _: Tensor | int) -> None:
        decay = min(self.decay, self.updates / (self.updates + 9))
        torch._foreach_lerp_(averaged, current, 1 - decay)

    def update(self, generator: nn.Module) -> None:
        """Takes in the generator after one of its updates."""
        self.updates += 1
        self._averaged.update_parameters(generator)

    def resume(self, updates: int) -> None:
        """Goes on after `updates` updates whose average was loaded into `module`."""
        self.updates = updates
        self._averaged.n_averaged.fill_(updates)

    @contextmanager
    def in_place_of(self, translator: Translator) -> Iterator[None]:
        """The translator works with the averaged generator, in eval mode, and without gradients inside."""
        current, training = translator.generator, translator.training
        translator.generator = self.module
        translator.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            translator.generator = current
            translator.train(training)
            self.module.train()
