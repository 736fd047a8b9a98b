"""`python measured_peak.py CONFIG...`: prints by how many bytes two training steps on noise make a process grow."""

from __future__ import annotations

import sys
from multiprocessing import get_context
from pathlib import Path

from lightning_fabric import Fabric

from lomit.config import RunConfig
from lomit.engine.ema import Ema
from lomit.engine.phases import make_runners, run_phase
from lomit.engine.train import read_run_config
from lomit.models import method_of
from support.tiny import random_batch, tiny_run


def resident(line: str = "VmRSS") -> int:
    """Resident size of this process in bytes: now (`VmRSS`) or at its largest so far (`VmHWM`)."""
    text = next(t for t in Path("/proc/self/status").read_text().splitlines() if t.startswith(line))
    return int(text.split()[1]) * 1024


def train(config: RunConfig, iterations: int) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    translator = method_of(config.model).build_trainable(config.model)
    ema = Ema(translator.generator, config.train.ema)
    runners = make_runners(fabric, translator, config.train)
    for seed in range(iterations):
        batch = random_batch(config.model.image_size, config.train.batch_size, len(config.model.attributes), seed)
        for runner in runners:
            run_phase(fabric, translator, runner, [batch], config.train.lr)
        ema.update(translator.generator)


def growth(config: str) -> int:
    """In bytes, of a process that has done nothing else yet."""
    train(tiny_run(Path("unused")), 1)  # loads what any step needs
    before = resident()
    train(read_run_config(Path(config)), 2)
    return resident("VmHWM") - before


if __name__ == "__main__":
    # A process for each config, forked after the imports, which take longer than the steps.
    with get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        print(*pool.map(growth, sys.argv[1:], chunksize=1))
