"""What share of a training iteration several processes spend on summing their gradients.

    torchrun --standalone --nproc-per-node 2 -m benchmarks.communication --preset tiny

Every round runs the schedule's updates with and without the all-reduce, so that what slows the machine down for a while
slows both.  The processes use the GPUs there are, else the CPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

import torch

from benchmarks.options import preset_config
from benchmarks.timing import spread
from lomit.config import RunConfig
from lomit.engine.fabric import make_fabric
from lomit.engine.phases import make_runners, run_phase
from lomit.engine.trial import synchronise
from lomit.models import method_of


def measure(preset: str, batch_size: int, rounds: int) -> None:
    """Times a preset's iteration with `batch_size` pairs over all processes, and prints a line."""
    config = preset_config(preset)
    model, train = config.model, replace(config.train, batch_size=batch_size)
    fabric = make_fabric(train)
    fabric.launch()
    torch.manual_seed(train.seed)
    translator = method_of(model).build_trainable(model).to(fabric.device)
    runners = [runner for runner in make_runners(fabric, translator, train) if runner.phase.end is None]
    batch = translator.noise(batch_size // fabric.world_size, fabric.device)

    def seconds(runner: object, alone: bool) -> float:
        fabric.barrier()
        synchronise(fabric.device)
        started = time.perf_counter()
        with fabric.no_backward_sync(runner.module, enabled=alone):  # type: ignore[attr-defined]
            run_phase(fabric, translator, runner, [batch], train.lr)  # type: ignore[arg-type]
        synchronise(fabric.device)
        return time.perf_counter() - started

    rows = []
    for index in range(rounds + 1):
        together, alone = (
            sum(seconds(runner, without) / runner.phase.every for runner in runners) for without in (False, True)
        )
        if index:  # the first warms up
            rows.append((together, alone))
    if fabric.is_global_zero:
        shares = [1 - alone / together for together, alone in rows]
        sent = sum(size / every for size, every in gradient_bytes(config).values()) / 2**20
        noise_of = f"spread of the time {100 * spread([together for together, _ in rows]):.0f} %"
        print(
            f"{preset}, {fabric.world_size} processes, {batch_size // fabric.world_size} pairs each: "
            f"{1000 * statistics.median(t for t, _ in rows):.1f} ms an iteration, {sent:.1f} MiB of gradients, "
            f"communication {100 * statistics.median(shares):.0f} % "
            f"({100 * min(shares):.0f} to {100 * max(shares):.0f}; {noise_of})"
        )


def gradient_bytes(config: RunConfig) -> dict[str, tuple[float, int]]:
    """A run's phases: name -> (bytes of float32 gradients, every how many iterations they are sent)."""
    with torch.device("meta"):
        phases = method_of(config.model).build_trainable(config.model).phases()
    lasting = [phase for phase in phases if phase.end is None]
    return {phase.name: (4.0 * sum(p.numel() for p in phase.parameters()), phase.every) for phase in lasting}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tiny", help="preset of lomit train")
    parser.add_argument("--batch-size", type=int, default=8, help="pairs of an iteration, over all processes")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count")
    measure(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
