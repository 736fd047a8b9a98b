"""A training run whose result does not depend on how many processes share it; run by torchrun, and in one process.

`python two_processes.py CONFIG OUT` trains and leaves `rank_N.safetensors` (the weights of that process) and
`rank_N.json` (the rows it drew) in OUT.

Float64 lets runs be compared that add the same numbers in another order: Adam divides a gradient by its own size, so
in float32 one that is nothing but rounding would move its weight by a whole learning rate.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import save_file
from torch import Tensor

import lomit.engine.loop
import lomit.losses.lomit
from lomit.config import RunConfig
from lomit.engine.train import read_run_config, train


@contextmanager
def comparable() -> Iterator[None]:
    """Float64, and the penalty's points halfway: each process draws shares of its own."""
    load_batch, interpolate = lomit.engine.loop.load_batch, lomit.losses.lomit.interpolate_images

    def double_batch(*arguments: Any, **options: Any) -> dict[str, Tensor]:
        return {name: t.double() for name, t in load_batch(*arguments, **options).items()}

    def halfway(real: Tensor, fake: Tensor) -> Tensor:
        return interpolate(real, fake, real.new_full((len(real),), 0.5))

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with (
            mock.patch.object(lomit.engine.loop, "load_batch", double_batch),
            mock.patch.object(lomit.losses.lomit, "interpolate_images", halfway),
        ):
            yield
    finally:
        torch.set_default_dtype(before)


def train_and_tell(config: RunConfig, out: Path) -> None:
    """Trains and writes this process's weights and rows."""
    drawn: list[list[list[int]]] = []
    loops: list[lomit.engine.loop.Loop] = []
    iterate = lomit.engine.loop.Loop.iterate

    def spy(self: lomit.engine.loop.Loop) -> None:
        loops.append(self)
        drawn.append([side.tolist() for side in self.sampler.indices_at(self.step)])
        iterate(self)

    with comparable(), mock.patch.object(lomit.engine.loop.Loop, "iterate", spy):
        train(config, out, quiet=True)
    rank = int(os.environ.get("RANK", "0"))
    weights = {name: tensor.contiguous() for name, tensor in loops[-1].translator.state_dict().items()}
    save_file(weights, out / f"rank_{rank}.safetensors")
    (out / f"rank_{rank}.json").write_text(json.dumps(drawn))


if __name__ == "__main__":
    train_and_tell(read_run_config(Path(sys.argv[1])), Path(sys.argv[2]))
