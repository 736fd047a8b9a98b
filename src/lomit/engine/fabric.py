"""Fabric, set up for a run: device, processes, precision."""

from __future__ import annotations

import os
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.plugins.precision import MixedPrecision as FabricMixedPrecision

from lomit.config import TrainConfig
from lomit.errors import LomitError
from lomit.inference.device import usable_device
from lomit.inference.precision import usable_precision


class MixedPrecision(FabricMixedPrecision):
    """Convolutions in bfloat16 by autocast; Fabric's plugin would round the images, too, which losses compare with."""

    def convert_input(self, data: Any) -> Any:
        """What a phase is given, as it is."""
        return data


def make_fabric(config: TrainConfig) -> Fabric:
    """Fabric for this machine: one process, or under `torchrun` as many as it started.

    The precision is settled (`lomit.engine.trial.settled`).  LomitError where there is no such device or it has no
    bfloat16, for a numbered one under `torchrun`, and where the environment holds a number of processes that is none.
    """
    kind, _, index = config.accelerator.partition(":")
    if kind == "auto":  # Fabric's own would be a Mac's GPU, where there is one
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    on_gpu = kind == "cuda" and torch.cuda.is_available()
    if on_gpu:
        # Shapes never change, so the fastest convolution is worth looking for; what autocast leaves in float32
        # (linear layers of a float32 run) goes through tf32 as cuDNN's convolutions do anyway.
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    world = processes()
    # A scheduler's variables say how many processes a job may have, not that it started them: only torchrun's count.
    plugins: list[Any] = [TorchElasticEnvironment() if TorchElasticEnvironment.detect() else LightningEnvironment()]
    if config.precision == "bfloat16":
        plugins.append(MixedPrecision("bf16-mixed", kind))
    if world == 1:
        device = usable_device(None if config.accelerator == "auto" else config.accelerator)
        usable_precision(config.precision, device)
        return Fabric(accelerator=kind, devices=[int(index)] if index else 1, plugins=plugins)
    if index:
        raise LomitError("torchrun gives each process a GPU of its own; leave the number out of --train.accelerator")
    from lightning_fabric.strategies.ddp import DDPStrategy

    local = min(_processes("LOCAL_WORLD_SIZE", world), world)
    return Fabric(accelerator=kind, devices=local, num_nodes=world // local, plugins=plugins, strategy=DDPStrategy())


def processes() -> int:
    """How many processes `torchrun` started; 1 without it."""
    return _processes("WORLD_SIZE", 1)


def _processes(name: str, default: int) -> int:
    """The number of processes that a variable of `torchrun` says; an empty one says none."""
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise LomitError(f"{name} is '{text}', which is no number of processes; unset it, or start with torchrun")
    return int(text)
