"""From a run's config to a finished run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from lomit.config import DataConfig, RunConfig, TrainConfig, from_dict, read_json, to_dict
from lomit.data.cache import build_cache
from lomit.data.open import open_source
from lomit.engine import checkpoint, data_record
from lomit.engine.fabric import make_fabric
from lomit.engine.loop import Loop, Outcome
from lomit.engine.phases import estimate_peak
from lomit.engine.start import start_from
from lomit.engine.trial import settled
from lomit.errors import LomitError, line_of
from lomit.inference.weights import checkpoints_in, find_model
from lomit.models import Method, get_method, method_of, methods

FORMERLY = {"32-true": "float32", "bf16-mixed": "bfloat16"}
"""Precisions as earlier versions called them."""


def read_run_config(path: Path) -> RunConfig:
    """Reads a run's `config.json`; LomitError where it can't be read, or a key or value is wrong."""
    values = read_json(path)
    if isinstance(train := values.get("train"), dict) and (name := FORMERLY.get(str(train.get("precision")))):
        train["precision"] = name
    if "method" not in values:
        raise LomitError(f"{path}: needs the key 'method' (one of {', '.join(methods())})")
    method = get_method(values.pop("method"))
    model = from_dict(method.config, values.pop("model", {}), f"{path.name}: model")
    rest = from_dict(_Rest, values, path.name)
    return RunConfig(model, rest.data, rest.train)


@dataclass
class _Rest:
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def train(config: RunConfig, out: Path, resume: bool = False, quiet: bool = False) -> Outcome:
    """Trains a run, from nothing or from the newest checkpoint in `out` that can be read; `quiet`: no progress bar.

    `model.attributes` and `model.image_size` are taken from `data`.  LomitError for everything a user can mend.
    """
    began = time.monotonic()
    if not config.data.attributes:
        raise LomitError("data.attributes is empty: name the attributes to learn, e.g. --data.attributes Smiling Male")
    config = replace(
        config, model=replace(config.model, attributes=config.data.attributes, image_size=config.data.image_size)
    )
    method = method_of(config.model)
    _check_folder(out, resume, config, method)
    if not resume and config.train.init is not None:
        find_model(config.train.init)  # before anything is decoded
    if resume and config.train.precision == "auto":
        begun = read_run_config(out / "config.json").train.precision
        config = replace(config, train=replace(config.train, precision=begun))
    config = settled(config)
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
    with fabric.rank_zero_first():
        cache = build_cache(open_source(config.data), config.data, progress=not quiet)
    if not len(cache.subset("train")):
        raise LomitError(f"no image of {config.data.root} is left to train on; see data.require_one_of")
    with _alone(out, fabric.is_global_zero):
        checkpoints = _check_folder(out, resume, config, method)  # another run may have ended here meanwhile
        if fabric.is_global_zero:
            estimate = estimate_peak(method, config, world) / 2**30
            print(
                f"{method.name} on {fabric.device} in {config.train.precision}, {world} process(es); estimated peak "
                f"memory {estimate:.2f} GiB each"
            )
            changes = data_record.update(out, cache, resume)
            if changes:
                print(f"lomit: warning: {changes}", file=sys.stderr)
            saved = {"method": method.name, **to_dict(config)}
            checkpoint.write_text(out / "config.json", json.dumps(saved, indent=1) + "\n")
            counts = [len(cache.subset(split)) for split in ("train", "val")]
            print(f"{counts[0]} images to train on, {counts[1]} to validate; run in {out}")
        fabric.barrier()
        loop = Loop(fabric, method, config, cache, out)
        if resume:
            _resume(loop, checkpoints)
            if fabric.is_global_zero:
                print(f"resumed from step {loop.step}")
        elif config.train.init is not None:
            words = start_from(config.train.init, loop.translator, loop.ema)
            if fabric.is_global_zero:
                print(f"weights of {config.train.init}; {words}")
        sys.stdout.flush()
        return loop.run(quiet, began)


def _resume(loop: Loop, checkpoints: Sequence[Path]) -> None:
    """Goes on from the first of these that can be read, and says so where it is not the one that `latest` names."""
    root, errors = loop.folder / "checkpoints", []
    if checkpoint.pointed(loop.folder, "latest") is None:
        errors.append(f"{root / 'latest'} names no checkpoint")
    for folder in checkpoints:
        try:
            loop.resume(folder)
        except LomitError as error:
            errors.append(str(error))
            continue
        if errors:
            loop.say(f"{errors[0]}; going on from {folder}")
        return
    raise LomitError(f"{errors[-1]}; no other checkpoint in {root} can be, either; start a new run in another --out")


@contextmanager
def _alone(out: Path, main: bool) -> Iterator[None]:
    """Keeps a run's folder for one run; of its processes, the first one holds the lock."""
    lock = FileLock(out / ".lock", timeout=0)
    if main:
        try:
            out.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise LomitError(f"another run is writing to {out}; wait for its end or choose another --out") from None
        except (OSError, NotImplementedError) as error:
            raise LomitError(f"no run can be kept in {out} ({line_of(error)}); choose another --out") from error
    try:
        yield
    finally:
        lock.release()


def _check_folder(out: Path, resume: bool, config: RunConfig, method: Method) -> list[Path]:
    """The checkpoints to resume from, as `checkpoints_in`; none for a new run.

    LomitError where a new run would overwrite one, there is nothing to resume, or the configs differ.
    """
    checkpoints = checkpoints_in(out / "checkpoints")
    if not resume:
        if checkpoints:
            raise LomitError(f"{out} holds a run already; go on with --resume or choose another --out")
        return []
    if not checkpoints:
        raise LomitError(f"nothing to resume in {out}: no checkpoint there; leave --resume out to start")
    before = read_run_config(out / "config.json")
    if method_of(before.model) is not method:
        raise LomitError(f"{out} holds a run of {method_of(before.model).name}, not of {method.name}")
    for part in ("model", "data"):
        old, new = to_dict(getattr(before, part)), to_dict(getattr(config, part))
        free = {"root", "extra_roots", "kind", "workers", "cache_dir", "on_device"}
        changed = [k for k in old if k not in free and _plain(old[k]) != _plain(new.get(k))]
        if changed:
            key = changed[0]
            raise LomitError(
                f"--resume with another {part}.{key} ({new.get(key)}; the run in {out} has {old[key]}); "
                "use the run's value or start a new run"
            )
    return checkpoints


def _plain(value: Any) -> Any:
    """A value as JSON would give it back."""
    return json.loads(json.dumps(value))
