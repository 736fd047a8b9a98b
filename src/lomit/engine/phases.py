"""The optimisers of a translator, one (distributed) wrapper for each of its phases, and the memory that they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from torch import Tensor, nn

from lomit.config import RunConfig, TrainConfig
from lomit.models.base import Batch, Objective, Optimizer, Phase, Trainable
from lomit.models.registry import Method

TensorLoss = Callable[[dict[str, Tensor]], Objective]
"""The tensors of a `Batch` by name -> the total and the named terms."""


class PhaseLoss(nn.Module):
    """A phase's loss as a module's forward, which is where Fabric and DDP hook in.

    Only the phase's own parameters require gradients while it is being wrapped and while it runs, so DDP reduces those
    alone and the other networks can't be touched.  A compiled function may take the place of `loss`.
    """

    loss: TensorLoss

    def __init__(self, translator: Trainable, phase: Phase) -> None:
        super().__init__()
        self.translator = translator
        self.loss = loss_of(phase)

    def forward(self, tensors: dict[str, Tensor]) -> Objective:
        return self.loss(tensors)


def loss_of(phase: Phase) -> TensorLoss:
    """A phase's loss as a function of tensors alone."""

    def loss(tensors: dict[str, Tensor]) -> Objective:
        return phase.loss(Batch.of(tensors))

    # torch.compile files what it compiled under a function's code, and torch 2.11 gave one phase another's loss.
    loss.__code__ = loss.__code__.replace(co_name=f"{phase.name}_loss")
    return loss


@dataclass
class Runner:
    """A phase, ready to run: its loss, that loss as Fabric wrapped it, and its optimisers by name.

    The factor on the learning rate stands in an optimiser's parameter group, as `lr_scale`.
    """

    phase: Phase
    loss: PhaseLoss
    module: _FabricModule
    optimizers: dict[str, torch.optim.Adam]

    def groups(self) -> list[dict[str, Any]]:
        """The parameter groups of its optimisers."""
        return [group for optimizer in self.optimizers.values() for group in optimizer.param_groups]

    def zero_grad(self) -> None:
        """Forgets the gradients of its parameters."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)


def learning_rate(config: TrainConfig, step: int) -> float:
    """The learning rate of iteration `step` (0-based); a function of the step alone, so resuming can't shift it."""
    past = step - config.decay_start
    if past < 0:
        return config.lr
    if config.decay == "linear":
        return config.lr * max(0.0, 1 - past / max(1, config.steps - config.decay_start))
    return float(config.lr * 0.5 ** (past // config.decay_every))


def only_require(translator: Trainable, phase: Phase) -> None:
    """Lets gradients reach the phase's parameters and no others."""
    translator.requires_grad_(False)
    for parameter in phase.parameters():
        parameter.requires_grad_(True)


def make_runners(fabric: Fabric, translator: Trainable, config: TrainConfig) -> list[Runner]:
    """Wraps each phase for the fabric's strategy and gives it its optimisers."""
    runners = []
    made: dict[str, tuple[Optimizer, torch.optim.Adam]] = {}
    for phase in translator.phases():
        only_require(translator, phase)
        loss = PhaseLoss(translator, phase)
        module = fabric.setup_module(loss)
        for wanted in phase.optimizers:
            if wanted.name not in made:
                made[wanted.name] = wanted, _adam(wanted, config)
            elif made[wanted.name][0] != wanted:
                raise ValueError(f"two optimisers of {type(translator).__name__} are called {wanted.name}")
        optimizers = {wanted.name: made[wanted.name][1] for wanted in phase.optimizers}
        runners.append(Runner(phase, loss, module, optimizers))
    return runners


def _adam(wanted: Optimizer, config: TrainConfig) -> torch.optim.Adam:
    return torch.optim.Adam(
        [{"params": wanted.parameters(), "lr_scale": wanted.lr_scale}],
        lr=config.lr * wanted.lr_scale,
        betas=config.betas,
        weight_decay=wanted.weight_decay,
        fused=True,
    )


def optimizers_of(runners: Sequence[Runner]) -> dict[str, torch.optim.Adam]:
    """Every optimiser by its name; those that phases share once."""
    return {name: optimizer for runner in runners for name, optimizer in runner.optimizers.items()}


def run_phase(
    fabric: Fabric, translator: Trainable, runner: Runner, micro_batches: Sequence[Batch], lr: float
) -> dict[str, Tensor]:
    """One update.  Returns the phase's terms, averaged over the micro-batches, and its total as `loss`."""
    set_learning_rate(runner, lr)
    return update(fabric, translator, runner, micro_batches)


def set_learning_rate(runner: Runner, lr: float) -> None:
    """Each optimiser's share of the configured learning rate; a captured update reads it from a tensor."""
    for group in runner.groups():
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr * group["lr_scale"])
        else:
            group["lr"] = lr * group["lr_scale"]


def update(fabric: Fabric, translator: Trainable, runner: Runner, micro_batches: Sequence[Batch]) -> dict[str, Tensor]:
    """`run_phase` at the learning rate that is set; nothing in it waits for a device."""
    only_require(translator, runner.phase)
    runner.zero_grad()
    terms: dict[str, Tensor] = {}
    parts = len(micro_batches)
    for i, batch in enumerate(micro_batches):
        with fabric.no_backward_sync(runner.module, enabled=i < parts - 1):
            total, named = runner.module(batch.tensors())
            fabric.backward(total if parts == 1 else total / parts)
        for name, value in {**named, "loss": total.detach()}.items():
            share = value if parts == 1 else value / parts
            terms[name] = terms[name] + share if name in terms else share
    if runner.phase.clip is not None:
        nn.utils.clip_grad_norm_(runner.phase.parameters(), runner.phase.clip)
    for optimizer in runner.optimizers.values():
        optimizer.step()
    return terms


def _bytes(module: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())


def estimate_peak(method: Method, config: RunConfig, world: int = 1) -> int:
    """Bytes at the peak of a training step on one device: weights, moments, average, gradients, saved activations.

    The loss of each phase runs once on the `meta` device while a hook adds up what autograd keeps for the
    backward pass; nothing is computed and nothing of that size is allocated.  Autocast has no effect there, so
    activations count as float32: with `bfloat16` the estimate lies above what is needed.
    """
    with torch.device("meta"):
        translator = method.build_trainable(config.model)
        batch = translator.noise(max(1, config.train.batch_size // config.train.accumulate // world))
    weights = _bytes(translator)
    activations = max(_saved_bytes(translator, i, batch) for i in range(len(translator.phases())))
    # Adam keeps two moments, gradients of one phase at a time are at most the weights, the average is a generator.
    return 4 * weights + _bytes(translator.generator) + activations


def _saved_bytes(translator: Trainable, index: int, batch: Batch) -> int:
    phase = translator.phases()[index]
    only_require(translator, phase)
    weights = {parameter.untyped_storage()._cdata for parameter in translator.parameters()}
    seen: dict[int, int] = {}
    keep: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            seen[storage._cdata] = storage.nbytes()
            keep.append(tensor)  # or its address could name another tensor later
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        phase.loss(batch)
    return sum(seen.values())
