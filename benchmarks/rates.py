"""What the machine can do, measured in the same run, and what the networks ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lomit.config import RunConfig
from lomit.models.registry import method_of

LARGE, SMALL = (8192, 64, 256, 64), (1024, 4, 64, 64)
"""On a GPU and on a CPU: the matrices' side; images, channels and side of the convolution."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Yardstick:
    """A square matrix product and a 3 x 3 convolution, large enough to be bound by arithmetic.

    Args:
        device: where.
        dtype: of the operands.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        n, batch, channels, side = LARGE if device.type == "cuda" else SMALL
        self.a, self.b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        image = torch.randn(batch, channels, side, side, device=device).to(dtype)
        self.image = image.to(memory_format=torch.channels_last)
        kernel = torch.randn(channels, channels, 3, 3, device=device).to(dtype)
        self.kernel = kernel.to(memory_format=torch.channels_last)
        self.macs = {"GEMM": float(n) ** 3, "convolution": float(batch * channels**2 * 9 * side**2)}

    def tasks(self) -> dict[str, Callable[[], object]]:
        """Name -> one run; `macs` has the multiply-adds of each."""
        return {
            "GEMM": lambda: self.a @ self.b,
            "convolution": lambda: F.conv2d(self.image, self.kernel, padding=1),
        }


class _Counter(TorchDispatchMode):
    """Adds up torch's own operation counts.  `FlopCounterMode` also tracks modules, which a penalty's inner
    `autograd.grad` breaks."""

    flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=out)
        return out


def count_macs(task: Callable[[], object]) -> float:
    """Multiply-adds of the matrix products and convolutions that a call really runs, forward and backward."""
    with _Counter() as counter:
        task()
    return counter.flops / 2


def phase_macs(config: RunConfig) -> dict[str, tuple[float, int]]:
    """A run's phases that never end: name -> (multiply-adds of an update, every how many iterations it runs).

    Counted on tensors that have shapes but no values, so it says the same of every way to run the update.
    """
    with torch.device("meta"):
        translator = method_of(config.model).build_trainable(config.model)
        batch = translator.noise(config.train.batch_size)
    found = {}
    for phase in translator.phases():
        if phase.end is not None:
            continue
        translator.requires_grad_(False)
        for parameter in phase.parameters():
            parameter.requires_grad_(True)
        found[phase.name] = count_macs(lambda phase=phase: phase.loss(batch)[0].backward()), phase.every  # type: ignore[misc]
    return found


def iteration_macs(config: RunConfig) -> float:
    """Multiply-adds of the schedule's mean iteration."""
    return sum(macs / every for macs, every in phase_macs(config).values())


def describe(device: torch.device) -> dict[str, str | int]:
    """The machine, as far as it matters for a speed."""
    facts: dict[str, str | int] = {"device": str(device), "torch": torch.__version__}
    if device.type == "cuda":
        facts["name"] = torch.cuda.get_device_name(device)
    else:
        facts["threads"] = torch.get_num_threads()
        facts["capability"] = torch.backends.cpu.get_cpu_capability()
    return facts


def rates(macs: Mapping[str, float], seconds: Mapping[str, float]) -> dict[str, float]:
    """GMAC/s of tasks with known work."""
    return {name: work / seconds[name] / 1e9 for name, work in macs.items()}
