"""Whether the data feeds the step: batches a second from the cache against iterations a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from lomit.bench.step import Step
from lomit.bench.timing import Timing, interleaved
from lomit.config import RunConfig
from lomit.data.cache import Cache
from lomit.data.sampling import load_batch


@dataclass(frozen=True)
class DataSpeed:
    """Batches loaded and iterations computed, interleaved.

    Attributes:
        facts: sizes.
        load: one batch of pairs from the cache to the device.
        iteration: one iteration of the schedule, without loading.
        ratio: how many times faster loading is (median, spread).
    """

    facts: dict[str, Any]
    load: Timing
    iteration: Timing
    ratio: tuple[float, float]


def measure_data(config: RunConfig, cache: Cache, device: torch.device, rounds: int) -> DataSpeed:
    """Times the loading of shuffled batches beside the updates that use them up.

    Args:
        config: the run; `model.attributes` and `model.image_size` must be filled.
        cache: decoded images.
        device: where the batches go.
        rounds: rounds that count; each loads 20 batches.
    """
    step = Step(config, device)
    sampler = step.translator.sampler(cache.labels, cache.subset("train"), config.train.batch_size, seed=0)
    counter = iter(range(10**9))

    def load() -> None:
        for _ in range(20):
            load_batch(cache, sampler, next(counter), device, config.data.flip)

    step.settle()
    tasks = {update.phase.name: (lambda update=update: step.update(update)) for update in step.updates}  # type: ignore[misc]
    timings = interleaved({"load": load, **tasks}, rounds, device)
    loads = Timing(tuple(t / 20 for t in timings["load"].seconds))
    every = {runner.phase.name: runner.phase.every for runner in step.runners}
    rows = zip(*(timings[name].seconds for name in tasks), strict=True)
    iteration = Timing(tuple(sum(t / every[n] for n, t in zip(tasks, row, strict=True)) for row in rows))
    facts = {
        "images": len(cache),
        "image_size": config.model.image_size,
        "batch_size": config.train.batch_size,
        "on_device": cache.resident is not None,
        "torch": torch.__version__,
        "device": str(device),
    }
    return DataSpeed(facts, loads, iteration, loads.ratio(iteration))
