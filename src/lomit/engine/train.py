"""`lomit train`: from a preset or a config file to a finished run."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from lomit.config import DataConfig, RunConfig, TrainConfig, from_dict, to_dict
from lomit.data.cache import build_cache
from lomit.data.open import open_source
from lomit.engine import checkpoint
from lomit.engine.loop import Loop, Outcome, write_run_config
from lomit.engine.memory import estimate_peak
from lomit.errors import LomitError, did_you_mean
from lomit.models import Method, get_method, method_of, methods


def presets() -> dict[str, tuple[str, Callable[[], RunConfig]]]:
    """Every method's presets: name -> (description, maker of the config)."""
    return {name: preset for method in methods().values() for name, preset in method.presets.items()}


def run_train(argv: Sequence[str]) -> int:
    """Runs `lomit train PRESET|--config FILE [options]`.  Returns the exit code."""
    known = presets()
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview(known))
        return 0 if argv else 2
    if argv[0].startswith("--config"):
        return _from_file(argv)
    name, *options = argv
    if name not in known:
        raise LomitError(f"unknown preset '{name}'{did_you_mean(name, known)}; `lomit train --help` lists them")
    config = known[name][1]()
    command = _parse(config, f"lomit train {name}", known[name][0], options)
    return _finish(train(command.config(), Path(command.out), command.resume), Path(command.out))


def _overview(known: dict[str, tuple[str, Callable[[], RunConfig]]]) -> str:
    width = max(map(len, known))
    lines = ["usage: lomit train PRESET --data.root DIR --out DIR [--resume] [options]"]
    lines += ["       lomit train --config FILE --out DIR [--resume]", "", "presets:"]
    lines += [f"  {name:{width}}  {description}" for name, (description, _) in known.items()]
    lines += ["", "`lomit train PRESET --help` lists every option with the preset's value."]
    return "\n".join(lines)


@dataclass
class _Command:
    """Options of one run; subclassed with the preset's own model config."""

    out: str
    """Folder of the run: checkpoints, samples, logs."""
    resume: bool = False
    """Go on from the newest checkpoint in `out`."""
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def config(self) -> RunConfig:
        return RunConfig(self.model, self.data, self.train)  # type: ignore[attr-defined]


def _parse(config: RunConfig, program: str, description: str, options: Sequence[str]) -> Any:
    try:
        import tyro
    except ImportError as error:
        raise LomitError(
            "options need tyro: pip install tyro; without it write the config as JSON and use --config FILE"
        ) from error
    command = dataclasses.make_dataclass(
        "Command", [("model", type(config.model), field(default_factory=lambda: config.model))], bases=(_Command,),
        kw_only=True,
    )  # fmt: skip
    command.__annotations__["model"] = type(config.model)
    default = command(out=tyro.MISSING, model=config.model, data=config.data, train=config.train)
    return tyro.cli(command, prog=program, description=description, args=list(options), default=default)


def _from_file(argv: Sequence[str]) -> int:
    """`--config FILE --out DIR [--resume]`, which needs no option parser."""
    import argparse

    parser = argparse.ArgumentParser(prog="lomit train", allow_abbrev=False)
    parser.add_argument("--config", required=True, help="config.json of a run, or one written by hand")
    parser.add_argument("--out", required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    arguments = parser.parse_args(list(argv))
    config = read_run_config(Path(arguments.config))
    return _finish(train(config, Path(arguments.out), arguments.resume), Path(arguments.out))


def read_run_config(path: Path) -> RunConfig:
    """Reads a run's `config.json`.

    Raises:
        LomitError: where the file is missing or no JSON, or a key or value is wrong.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LomitError(f"can't read the config {path}: {error}") from error
    if not isinstance(values, dict) or "method" not in values:
        raise LomitError(f"{path}: needs the key 'method' (one of {', '.join(methods())})")
    method = get_method(values.pop("method"))
    model = from_dict(method.config, values.pop("model", {}), f"{path.name}: model")
    rest = from_dict(_Rest, values, path.name)
    return RunConfig(model, rest.data, rest.train)


@dataclass
class _Rest:
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def _finish(outcome: Outcome, out: Path) -> int:
    saved = checkpoint.pointed(out, "latest")
    if outcome.reason:
        print(f"stopped at step {outcome.step}: {outcome.reason}; saved {saved}; go on with --resume")
        return 128 + outcome.signum if outcome.signum else 0
    print(f"finished at step {outcome.step}; newest {saved}, best {checkpoint.pointed(out, 'best')}")
    return 0


def train(config: RunConfig, out: Path, resume: bool = False, quiet: bool = False) -> Outcome:
    """Trains a run, from nothing or from its newest checkpoint.

    Args:
        config: the run; `model.attributes` and `model.image_size` are taken from `data`.
        out: folder of the run.
        resume: go on in `out`.
        quiet: no progress bar.

    Raises:
        LomitError: for everything a user can mend.
    """
    if not config.data.attributes:
        raise LomitError("data.attributes is empty: name the attributes to learn, e.g. --data.attributes Smiling Male")
    config = replace(
        config,
        model=replace(config.model, attributes=config.data.attributes, image_size=config.data.image_size),
    )
    method = method_of(config.model)
    latest = _check_folder(out, resume, config, method)
    fabric = make_fabric(config.train)
    fabric.launch()
    if config.train.threads is not None:
        torch.set_num_threads(config.train.threads)
    world = fabric.world_size
    if config.train.batch_size % (world * config.train.accumulate):
        raise LomitError(
            f"train.batch_size ({config.train.batch_size}) must be a multiple of the {world} process(es) times "
            f"train.accumulate ({config.train.accumulate})"
        )
    if fabric.is_global_zero:
        estimate = estimate_peak(method, config, world) / 2**30
        print(f"{method.name} on {fabric.device}, {world} process(es); estimated peak memory {estimate:.2f} GiB each")
    with fabric.rank_zero_first():
        cache = build_cache(open_source(config.data), config.data, progress=not quiet)
    _check_classes(cache.subset("train"), config)
    if fabric.is_global_zero:
        write_run_config(out, method, to_dict(config))
        print(f"{len(cache.subset('train'))} images to train on, {len(cache.subset('val'))} to validate; run in {out}")
    fabric.barrier()
    loop = Loop(fabric, method, config, cache, out)
    if latest is not None:
        loop.resume(latest)
        if fabric.is_global_zero:
            print(f"resumed from step {loop.step}")
    sys.stdout.flush()
    return loop.run(quiet)


def _check_classes(rows: Any, config: RunConfig) -> None:
    if len(rows) == 0:
        raise LomitError(f"no image of {config.data.root} is left to train on; see data.require_one_of")


def _check_folder(out: Path, resume: bool, config: RunConfig, method: Method) -> Path | None:
    """The checkpoint to resume, None for a new run.

    Raises:
        LomitError: where a new run would overwrite one, there is nothing to resume, or the configs differ.
    """
    latest = checkpoint.pointed(out, "latest")
    if not resume:
        if latest is not None:
            raise LomitError(f"{out} holds a run already; go on with --resume or choose another --out")
        return None
    if latest is None:
        raise LomitError(f"nothing to resume in {out}: no checkpoint there; leave --resume out to start")
    before = read_run_config(out / "config.json")
    if method_of(before.model) is not method:
        raise LomitError(f"{out} holds a run of {method_of(before.model).name}, not of {method.name}")
    for part in ("model", "data"):
        old, new = to_dict(getattr(before, part)), to_dict(getattr(config, part))
        free = {"root", "extra_roots", "kind", "workers", "cache_dir"}
        changed = [k for k in old if k not in free and _plain(old[k]) != _plain(new.get(k))]
        if changed:
            key = changed[0]
            raise LomitError(
                f"--resume with another {part}.{key} ({new.get(key)}; the run in {out} has {old[key]}); "
                "use the run's value or start a new run"
            )
    return latest


def _plain(value: Any) -> Any:
    """A value as JSON would give it back."""
    return json.loads(json.dumps(value))


def make_fabric(config: TrainConfig) -> Fabric:
    """Fabric for this machine: one process, or under `torchrun` as many as it started."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Fabric(accelerator=config.accelerator, devices=1, precision=config.precision)
    from lightning_fabric.strategies.ddp import DDPStrategy

    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    return Fabric(
        accelerator=config.accelerator,
        devices=local,
        num_nodes=world // local,
        precision=config.precision,
        strategy=DDPStrategy(broadcast_buffers=True),
    )
