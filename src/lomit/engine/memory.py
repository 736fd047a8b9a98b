"""How much memory a step will take, found by running it on tensors that have shapes but no values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lomit.config import RunConfig
from lomit.engine.phases import only_require
from lomit.models.base import Batch, Trainable
from lomit.models.registry import Method


def _bytes(module: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())


def estimate_peak(method: Method, config: RunConfig, world: int = 1) -> int:
    """Bytes at the peak of a training step on one device: weights, moments, average, gradients, saved activations.

    The loss of each phase runs once on the `meta` device while a hook adds up what autograd keeps for the
    backward pass; nothing is computed and nothing of that size is allocated.  Autocast has no effect there, so
    activations count as float32: with `bf16-mixed` the estimate lies above what is needed.
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
