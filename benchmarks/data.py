"""Whether the data feeds the step: batches a second from the cache against iterations a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from benchmarks.options import RunBenchOptions, facts_line
from benchmarks.timing import Timing, interleaved
from lomit.commands.options import parse
from lomit.config import DataConfig, RunConfig
from lomit.data.cache import Cache, build_cache
from lomit.data.open import open_source
from lomit.data.sampling import keep_resident, load_batch
from lomit.engine.trial import TrialStep
from lomit.errors import at_least
from lomit.stats.estimate import markdown_table


@dataclass
class DataOptions(RunBenchOptions):
    """Compare how fast the cache gives batches with how fast the step uses them up."""

    root: str | None = None
    """Folder or pack file of images; by default faces are rendered."""
    count: int = 500
    """Faces to render where there is no root."""
    on_device: Literal["auto", "yes", "no"] = "auto"
    """Keep the images in the device's memory, as training does."""


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
    step = TrialStep(config, device)
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


def run(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(DataOptions, argv, "lomit bench data")
    device = options.start()
    config = options.run_config()
    cache = _cache(options, config)
    keep_resident(cache, device, options.on_device)
    speed = measure_data(config, cache, device, options.rounds)
    batch = config.train.batch_size
    rows = [["what", "median ms", "spread %", "images/s"]]
    for name, timing in (("load a batch", speed.load), ("compute an iteration", speed.iteration)):
        rows.append([
            name, f"{1000 * timing.median:.2f}", f"{100 * timing.spread:.1f}", f"{2 * batch / timing.median:.0f}"
        ])  # fmt: skip
    print(facts_line(speed.facts))
    print(markdown_table(rows))
    print(f"\nloading against computing: {speed.ratio[0]:.1f} times as fast (spread {100 * speed.ratio[1]:.1f} %)")
    options.write({
        **speed.facts,
        "load": speed.load.to_json(),
        "iteration": speed.iteration.to_json(),
        "ratio": {"median": speed.ratio[0], "spread": speed.ratio[1]},
    })  # fmt: skip
    return 0


def _cache(options: DataOptions, config: RunConfig) -> Cache:
    """Decoded images of the given root, or rendered faces, at the run's size and with all labels there are."""
    if options.root is None:
        at_least(100, count=options.count)
        data = DataConfig(kind="avatars", render_count=options.count, image_size=config.data.image_size)
    else:
        data = DataConfig(root=options.root, image_size=config.data.image_size)
    cache = build_cache(open_source(data), data)
    # The run's networks expect its number of labels; what they are does not matter to a speed.
    wanted = len(config.model.attributes)
    cache.labels = cache.labels[:, [i % cache.labels.shape[1] for i in range(wanted)]]
    return cache
