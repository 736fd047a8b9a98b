"""`lomit bench step|r1|data|translate`: speeds as tables, their ratio last, and as JSON."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from lomit.bench.data import measure_data
from lomit.bench.plain import plain_formulation
from lomit.bench.r1 import R1Speed, growth, measure_r1
from lomit.bench.rates import describe
from lomit.bench.step import StepSpeed, measure_step
from lomit.bench.timing import Timing
from lomit.bench.translate import measure as measure_translate
from lomit.commands.bench_gpus import preset_config, run_sweep
from lomit.commands.export import calibration_images
from lomit.commands.options import parse
from lomit.config import CompileMode, DataConfig, Precision, RunConfig
from lomit.data.cache import Cache, build_cache
from lomit.data.open import open_source
from lomit.data.sampling import keep_resident
from lomit.errors import LomitError
from lomit.export.graph import require_onnx
from lomit.export.write import export_model
from lomit.inference.device import usable_device
from lomit.stats.text import markdown_table
from lomit.weights import load_pretrained

R1_SIDES = (16, 32, 64, 128, 256)


@dataclass
class BenchOptions:
    """What every benchmark takes."""

    device: str | None = None
    """cpu, cuda, ...; by default CUDA where there is one."""
    threads: int | None = None
    """CPU threads; by default PyTorch's choice."""
    rounds: int = 5
    """Rounds that count; each runs everything once."""
    json: str | None = None
    """File for the numbers."""

    def prepare(self) -> torch.device:
        """Checks and applies what is common.

        Raises:
            LomitError: for a number or device that can't be.
        """
        if self.rounds < 1:
            raise LomitError(f"--rounds must be at least 1; it is {self.rounds}")
        if self.threads is not None:
            if self.threads < 1:
                raise LomitError(f"--threads must be at least 1; it is {self.threads}")
            torch.set_num_threads(self.threads)
        if self.json is not None and not Path(self.json).resolve().parent.is_dir():
            raise LomitError(f"--json {self.json}: there is no folder {Path(self.json).parent}")
        return usable_device(self.device)

    def write(self, values: dict[str, Any]) -> None:
        """The numbers as JSON, where asked for."""
        if self.json is not None:
            Path(self.json).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


@dataclass
class RunBenchOptions(BenchOptions):
    """What the benchmarks of a training run take."""

    preset: str = "avatars-64"
    """Preset of `lomit train` whose networks, sizes and schedule are taken."""
    batch_size: int | None = None
    """Pairs of an iteration; by default the preset's."""
    precision: Precision | None = None
    """By default the preset's."""

    compile: CompileMode | None = None
    """How the step is sped up, as `--train.compile`; by default the preset's."""

    def run_config(self) -> RunConfig:
        """The preset's run with these sizes.

        Raises:
            LomitError: for an unknown preset or a size that can't be.
        """
        config = preset_config(self.preset)
        attributes = config.data.attributes or ("attribute",)
        given = {"batch_size": self.batch_size, "precision": self.precision, "compile": self.compile}
        return RunConfig(
            model=replace(config.model, attributes=attributes, image_size=config.data.image_size),
            data=replace(config.data, attributes=attributes),
            train=replace(config.train, **{k: v for k, v in given.items() if v is not None}),  # type: ignore[arg-type]
        )


@dataclass
class StepOptions(RunBenchOptions):
    """Time the training step: D's update, the generator's, and the mean iteration of the schedule."""

    against: Literal["nothing", "plain"] = "nothing"
    """`plain`: time the plain formulation beside it (needs a checkout)."""
    sweep: bool = False
    """Time the mean iteration at every setting below; the JSON file is written after each."""
    batch_sizes: tuple[int, ...] = ()
    """Of the sweep; repeat the option for more. By default 8, 32, 64."""
    modes: tuple[CompileMode, ...] = ()
    """Of the sweep; by default none, graphs, reduce-overhead (on a CPU: none)."""
    precisions: tuple[Precision, ...] = ()
    """Of the sweep; by default bf16-mixed, 32-true (tf32 on a GPU)."""
    minutes: float = 3.0
    """After which the sweep begins no other setting."""


@dataclass
class DataOptions(RunBenchOptions):
    """Compare how fast the cache gives batches with how fast the step uses them up."""

    root: str | None = None
    """Folder or pack file of images; by default faces are rendered."""
    count: int = 500
    """Faces to render where there is no root."""
    on_device: Literal["auto", "yes", "no"] = "auto"
    """Keep the images in the device's memory, as training does."""


@dataclass
class R1Options(BenchOptions):
    """Time R1 (Eq. 13) by sorting against its N x N matrix, forward and backward."""

    sides: tuple[int, ...] = ()
    """Side of the masks; repeat the option for more. By default 16, 32, 64, 128, 256."""
    channels: int = 256
    """Channels of the content code."""
    batch: int = 1
    """Masks at once."""
    limit_gib: float = 4.0
    """The matrix is left out where it would take more memory."""


@dataclass
class TranslateOptions(BenchOptions):
    """Compare the ways to translate: plain, eager, compiled, and on a CPU ONNX in float32 and int8."""

    model: str = "avatars"
    """Name of a model (see `lomit models`), its folder or a training run."""
    batch_size: int = 8
    """Pairs in a batch."""
    compile: bool = False
    """Time the compiled path too; it needs a C++ compiler and some minutes."""
    against: Literal["stacked", "plain"] = "stacked"
    """The yardstick: `stacked` computes nothing twice; `plain` is the plain formulation, each direction on its own
    (needs a checkout)."""
    images: str | None = None
    """Folder of images to translate and to calibrate int8 with; by default faces are rendered."""


def run_bench_step(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(StepOptions, argv, "lomit bench step")
    device = options.prepare()
    if options.sweep:
        modes: tuple[CompileMode, ...] = ("none", "graphs", "reduce-overhead") if device.type == "cuda" else ("none",)
        return run_sweep(
            options.run_config(), device, options.batch_sizes or (8, 32, 64), options.modes or modes,
            options.precisions or ("bf16-mixed", "32-true"), options.minutes, options.rounds,
            None if options.json is None else Path(options.json),
        )  # fmt: skip
    speed = measure_step(options.run_config(), device, options.rounds, options.against == "plain")
    marks = speed.yardsticks
    best = marks["convolution bfloat16" if "bf16" in speed.facts["precision"] else "convolution float32"]
    rows = [["update", "median ms", "spread %", "images/s", "GMAC", "GMAC/s", "of conv rate %", "peak MiB"]]
    for name, numbers in speed.phases.items():
        # The plain formulation computes in float32, so its rate is held against that of a float32 convolution.
        mark = marks["convolution float32"] if name.startswith("plain ") else best
        rows.append([
            name,
            f"{1000 * numbers['timing'].median:.1f}",
            f"{100 * numbers['timing'].spread:.1f}",
            f"{numbers['images_per_second']:.1f}",
            f"{numbers['gmac']:.2f}",
            f"{numbers['gmac_per_second']:.1f}",
            f"{100 * numbers['gmac_per_second'] / mark:.0f}",
            _mib(numbers["peak_bytes"]),
        ])  # fmt: skip
    print(_facts(speed.facts))
    print(markdown_table(rows))
    print("\nthis machine, same run: " + ", ".join(f"{name} {rate:.0f} GMAC/s" for name, rate in marks.items()))
    iteration = speed.phases["iteration"]["timing"]
    if device.type == "cuda":
        steps = options.run_config().train.steps
        print(f"{steps} iterations would take {steps * iteration.median / 3600:.2f} h (extrapolated)")
    if speed.ratio is not None:
        print(f"iteration against plain: {speed.ratio[0]:.2f} times as fast (spread {100 * speed.ratio[1]:.1f} %)")
    options.write(_step_json(speed))
    return 0


def run_bench_r1(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(R1Options, argv, "lomit bench r1")
    device = options.prepare()
    sides = sorted(set(options.sides or R1_SIDES))
    if min(*sides, options.channels, options.batch) < 1:
        raise LomitError("--sides, --channels and --batch must be at least 1")
    found = measure_r1(sides, options.channels, options.batch, device, options.rounds, options.limit_gib * 2**30)
    rows = [["mask", "pixels", "ms", "matrix ms", "times as fast", "MiB", "matrix MiB"]]
    for f in found:
        rows.append([
            f"{f.side} x {f.side}",
            str(f.side**2),
            f"{1000 * f.ours.median:.2f}",
            "–" if f.matrix is None else f"{1000 * f.matrix.median:.2f}",
            "–" if f.ratio is None else f"{f.ratio[0]:.2f} (spread {100 * f.ratio[1]:.0f} %)",
            _mib(f.our_bytes),
            "–" if f.matrix is None else _mib(f.matrix_bytes),
        ])  # fmt: skip
    print(f"{device}, {options.channels} channels, batch {options.batch}, forward and backward, float32")
    print(markdown_table(rows))
    exponents = _exponents(found)
    print("\ngrowth with the pixels, N^a over the largest three sizes: " + ", ".join(exponents))
    last = next((f for f in reversed(found) if f.ratio is not None), None)
    if last is not None and last.ratio is not None:
        print(f"{last.side} x {last.side} against the matrix: {last.ratio[0]:.2f} times as fast")
    options.write({"device": str(device), "channels": options.channels, "sizes": [_r1_json(f) for f in found]})
    return 0


def run_bench_data(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(DataOptions, argv, "lomit bench data")
    device = options.prepare()
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
    print(_facts(speed.facts))
    print(markdown_table(rows))
    print(f"\nloading against computing: {speed.ratio[0]:.1f} times as fast (spread {100 * speed.ratio[1]:.1f} %)")
    options.write({
        **speed.facts,
        "load": speed.load.to_json(),
        "iteration": speed.iteration.to_json(),
        "ratio": {"median": speed.ratio[0], "spread": speed.ratio[1]},
    })  # fmt: skip
    return 0


def run_bench_translate(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(TranslateOptions, argv, "lomit bench translate")
    device = options.prepare()
    if options.batch_size < 1:
        raise LomitError(f"--batch-size must be at least 1; it is {options.batch_size}")
    exports = ("ONNX float32", "ONNX int8") if device.type == "cpu" else ()
    if exports:
        require_onnx()
    translator = load_pretrained(options.model).to(device)
    images = calibration_images(options.images, max(64, 2 * options.batch_size), translator.config.image_size)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name.replace(' ', '-')}.onnx" for name in exports}
        left_out = {}
        for name, file in list(files.items()):
            try:
                export_model(translator, file, images=images, int8=name.endswith("int8"))
            except LomitError as error:  # int8 that is not exact enough is not shipped, so not timed either
                if name.endswith("float32"):
                    raise
                left_out[name] = str(error)
                del files[name]
        half = len(images) // 2
        rows = measure_translate(
            translator,
            exported=files,
            compiled=options.compile,
            plain=plain_formulation(translator, training=False).translation if options.against == "plain" else None,
            images=(images[:half], images[half:]),
            batch_size=options.batch_size,
            rounds=options.rounds,
        )
    table = [["path", "median ms", "images/s", "mean error /255", "largest /255", "against plain"]]
    for row in rows:
        table.append([
            row.path,
            f"{1000 * row.seconds:.1f}",
            f"{row.images_per_second:.1f}",
            f"{255 * row.mean_error:.3f}",
            f"{255 * row.largest_error:.2f}",
            f"{row.ratio:.2f}",
        ])  # fmt: skip
    facts = {**describe(device), "model": options.model, "batch_size": options.batch_size, "rounds": options.rounds}
    print(_facts(facts))
    print(markdown_table(table))
    for name, why in left_out.items():
        print(f"{name} left out: {why}")
    print("\n" + ", ".join(f"{row.path} {row.ratio:.2f}" for row in rows[1:]) + " times as fast as plain eager")
    options.write({**facts, "paths": [vars(row) for row in rows], "left_out": left_out})
    return 0


def _cache(options: DataOptions, config: RunConfig) -> Cache:
    """Decoded images of the given root, or rendered faces, at the run's size and with all labels there are."""
    if options.root is None:
        if options.count < 100:
            raise LomitError(f"--count must be at least 100; it is {options.count}")
        data = DataConfig(kind="avatars", render_count=options.count, image_size=config.data.image_size)
    else:
        data = DataConfig(root=options.root, image_size=config.data.image_size)
    cache = build_cache(open_source(data), data)
    # The run's networks expect its number of labels; what they are does not matter to a speed.
    wanted = len(config.model.attributes)
    cache.labels = cache.labels[:, [i % cache.labels.shape[1] for i in range(wanted)]]
    return cache


def _facts(facts: dict[str, Any]) -> str:
    parameters = facts.get("parameters", {})
    plain = [f"{k.replace('_', ' ')} {v}" for k, v in facts.items() if not isinstance(v, dict)]
    return ", ".join(plain + [f"{part} {count:,} parameters" for part, count in parameters.items()]) + "\n"


def _mib(size: int | None) -> str:
    return "–" if size is None else f"{size / 2**20:.1f}"


def _exponents(found: Sequence[R1Speed]) -> list[str]:
    sides = [f.side for f in found]
    series: dict[str, list[float | None]] = {
        "time": [f.ours.median for f in found],
        "matrix time": [f.matrix.median if f.matrix else None for f in found],
        "memory": [f.our_bytes for f in found],
        "matrix memory": [f.matrix_bytes for f in found],
    }
    values = {name: growth(sides, values) for name, values in series.items()}
    return [f"{name} {a:.2f}" for name, a in values.items() if a is not None]


def _json(value: Any) -> Any:
    return value.to_json() if isinstance(value, Timing) else value


def _step_json(speed: StepSpeed) -> dict[str, Any]:
    ratio = None if speed.ratio is None else {"median": speed.ratio[0], "spread": speed.ratio[1]}
    phases = {name: {k: _json(v) for k, v in numbers.items()} for name, numbers in speed.phases.items()}
    return {**speed.facts, "updates": phases, "gmac_per_second": speed.yardsticks, "against_plain": ratio}


def _r1_json(found: R1Speed) -> dict[str, Any]:
    return {
        "side": found.side,
        "ours": found.ours.to_json(),
        "matrix": found.matrix and found.matrix.to_json(),
        "our_bytes": found.our_bytes,
        "matrix_bytes": found.matrix_bytes,
    }
