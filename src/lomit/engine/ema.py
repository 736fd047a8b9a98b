"""Moving average of the generator: what is evaluated, saved and shipped."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lomit.models.base import Trainable


class Ema:
    """An exponential moving average of a generator, `module`, that warms up.

    The first update copies the generator; from then on the decay of the n-th is min(decay, n / (n + 9)), so that the
    first hundred updates of a short run don't drag the random start along.  Buffers (batch norm's statistics) are
    copied.  Whoever loads an average into `module` sets `updates`, how often it was updated.

    torch's `AveragedModel` keeps its count in a tensor, which makes every update wait for a GPU.
    """

    def __init__(self, generator: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.module = copy.deepcopy(generator).requires_grad_(False)

    @torch.no_grad()
    def update(self, generator: nn.Module) -> None:
        """Takes in the generator after one of its updates."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 9)) if self.updates > 1 else 0.0
        averaged: list[Tensor] = list(self.module.parameters())
        torch._foreach_lerp_(averaged, list[Tensor](generator.parameters()), 1 - decay)
        if buffers := list(self.module.buffers()):
            torch._foreach_copy_(buffers, list(generator.buffers()))

    @contextmanager
    def in_place_of(self, translator: Trainable) -> Iterator[None]:
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
