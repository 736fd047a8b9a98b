"""One optimiser and one (distributed) wrapper for each phase of a translator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from torch import Tensor, nn

from lomit.config import TrainConfig
from lomit.models.base import Batch, Phase, Translator


class _PhaseLoss(nn.Module):
    """A phase's loss as a module's forward, which is where Fabric and DDP hook in.

    Only the phase's own parameters require gradients while it is being wrapped and while it runs, so DDP
    reduces those alone and the other networks can't be touched.
    """

    def __init__(self, translator: Translator, phase: Phase) -> None:
        super().__init__()
        self.translator = translator
        self.loss = phase.loss

    def forward(self, x1: Tensor, x2: Tensor, y1: Tensor, y2: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return self.loss(Batch(x1, x2, y1, y2))


@dataclass
class Runner:
    """A phase, ready to run: its wrapped loss and its optimiser."""

    phase: Phase
    module: _FabricModule
    optimizer: torch.optim.Adam


def learning_rate(config: TrainConfig, step: int) -> float:
    """The learning rate of iteration `step` (0-based); a function of the step alone, so resuming can't shift it."""
    past = step - config.decay_start
    if past < 0:
        return config.lr
    if config.decay == "linear":
        return config.lr * max(0.0, 1 - past / max(1, config.steps - config.decay_start))
    return float(config.lr * 0.5 ** (past // config.decay_every))


def only_require(translator: Translator, phase: Phase) -> None:
    """Lets gradients reach the phase's parameters and no others."""
    translator.requires_grad_(False)
    for parameter in phase.parameters():
        parameter.requires_grad_(True)


def make_runners(fabric: Fabric, translator: Translator, config: TrainConfig) -> list[Runner]:
    """Wraps each phase for the fabric's strategy and gives it its own Adam."""
    runners = []
    for phase in translator.phases():
        only_require(translator, phase)
        module = fabric.setup_module(_PhaseLoss(translator, phase))
        optimizer = torch.optim.Adam(
            phase.parameters(),
            lr=config.lr * phase.lr_scale,
            betas=config.betas,
            weight_decay=phase.weight_decay,
            fused=True,
        )
        runners.append(Runner(phase, module, optimizer))
    return runners


def run_phase(
    fabric: Fabric, translator: Translator, runner: Runner, micro_batches: Sequence[Batch], lr: float
) -> dict[str, Tensor]:
    """One update.  Returns the phase's terms, averaged over the micro-batches, and its total as `loss`."""
    only_require(translator, runner.phase)
    runner.optimizer.zero_grad(set_to_none=True)
    terms: dict[str, Tensor] = {}
    parts = len(micro_batches)
    for i, batch in enumerate(micro_batches):
        with fabric.no_backward_sync(runner.module, enabled=i < parts - 1):
            total, named = runner.module(batch.x1, batch.x2, batch.y1, batch.y2)
            fabric.backward(total / parts)
        for name, value in {**named, "loss": total.detach()}.items():
            terms[name] = terms.get(name, torch.zeros_like(value)) + value / parts
    if runner.phase.clip is not None:
        nn.utils.clip_grad_norm_(runner.phase.parameters(), runner.phase.clip)
    for group in runner.optimizer.param_groups:
        group["lr"] = lr * runner.phase.lr_scale
    runner.optimizer.step()
    return terms
