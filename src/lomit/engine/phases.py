"""One optimiser and one (distributed) wrapper for each phase of a translator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from torch import Tensor, nn

from lomit.config import TrainConfig
from lomit.models.base import Batch, Phase, Translator

TensorLoss = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]
"""x1, x2, y1, y2 of a `Batch` -> the total and the named terms."""


class PhaseLoss(nn.Module):
    """A phase's loss as a module's forward, which is where Fabric and DDP hook in.

    Only the phase's own parameters require gradients while it is being wrapped and while it runs, so DDP
    reduces those alone and the other networks can't be touched.

    Attributes:
        loss: what `forward` calls; a compiled function may take its place.
    """

    loss: TensorLoss

    def __init__(self, translator: Translator, phase: Phase) -> None:
        super().__init__()
        self.translator = translator
        self.loss = loss_of(phase)

    def forward(self, x1: Tensor, x2: Tensor, y1: Tensor, y2: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return self.loss(x1, x2, y1, y2)


def loss_of(phase: Phase) -> TensorLoss:
    """A phase's loss as a function of tensors alone."""

    def loss(x1: Tensor, x2: Tensor, y1: Tensor, y2: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return phase.loss(Batch(x1, x2, y1, y2))

    # torch.compile files what it compiled under a function's code, and torch 2.11 gave one phase another's loss.
    loss.__code__ = loss.__code__.replace(co_name=f"{phase.name}_loss")
    return loss


@dataclass
class Runner:
    """A phase, ready to run: its loss, that loss as Fabric wrapped it, and its optimiser."""

    phase: Phase
    loss: PhaseLoss
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
        loss = PhaseLoss(translator, phase)
        module = fabric.setup_module(loss)
        optimizer = torch.optim.Adam(
            phase.parameters(),
            lr=config.lr * phase.lr_scale,
            betas=config.betas,
            weight_decay=phase.weight_decay,
            fused=True,
        )
        runners.append(Runner(phase, loss, module, optimizer))
    return runners


def run_phase(
    fabric: Fabric, translator: Translator, runner: Runner, micro_batches: Sequence[Batch], lr: float
) -> dict[str, Tensor]:
    """One update.  Returns the phase's terms, averaged over the micro-batches, and its total as `loss`."""
    set_learning_rate(runner, lr)
    return update(fabric, translator, runner, micro_batches)


def set_learning_rate(runner: Runner, lr: float) -> None:
    """The phase's share of the configured learning rate; a captured update reads it from a tensor."""
    for group in runner.optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr * runner.phase.lr_scale)
        else:
            group["lr"] = lr * runner.phase.lr_scale


def update(fabric: Fabric, translator: Translator, runner: Runner, micro_batches: Sequence[Batch]) -> dict[str, Tensor]:
    """`run_phase` at the learning rate that is set; nothing in it waits for a device."""
    only_require(translator, runner.phase)
    runner.optimizer.zero_grad(set_to_none=True)
    terms: dict[str, Tensor] = {}
    parts = len(micro_batches)
    for i, batch in enumerate(micro_batches):
        with fabric.no_backward_sync(runner.module, enabled=i < parts - 1):
            total, named = runner.module(batch.x1, batch.x2, batch.y1, batch.y2)
            fabric.backward(total if parts == 1 else total / parts)
        for name, value in {**named, "loss": total.detach()}.items():
            share = value if parts == 1 else value / parts
            terms[name] = terms[name] + share if name in terms else share
    if runner.phase.clip is not None:
        nn.utils.clip_grad_norm_(runner.phase.parameters(), runner.phase.clip)
    runner.optimizer.step()
    return terms
