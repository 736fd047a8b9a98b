"""Checkpoints: safetensors and JSON, written whole or not at all.

A run folder holds `config.json` and `checkpoints/step_0000400/` with

- `model.safetensors` and `config.json`: the averaged generator, which `from_pretrained` loads as it is;
- `training.safetensors`: every network's weights and the optimisers' moments;
- `state.json`: the step and what else resuming needs.

`checkpoints/latest` and `checkpoints/best` name a folder each.  What else stands in `checkpoints/` is somebody else's
and is left alone (`lomit.inference.weights.checkpoints_in`).
"""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lomit.config import read_json
from lomit.engine.ema import Ema
from lomit.engine.phases import Runner, optimizers_of
from lomit.errors import LomitError, line_of
from lomit.inference.catalogue import CONFIG
from lomit.inference.weights import WEIGHTS, checkpoint_in, checkpoint_name, checkpoints_in, step_of
from lomit.models.base import Trainable
from lomit.models.registry import saved_config

TRAINING, STATE = "training.safetensors", "state.json"
_FILES = {TRAINING, STATE, WEIGHTS, CONFIG}
_PARTS = re.compile(r"\.(step_\d+|latest|best)\.part")
"""Names that only a killed run leaves."""
_NETWORKS = "translator."


def write_text(path: Path, text: str) -> None:
    """Writes a small file atomically: where it can't be written the old one stays and nothing else is left."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _optimizer_tensors(runners: Sequence[Runner]) -> dict[str, Tensor]:
    tensors = {}
    for name, optimizer in optimizers_of(runners).items():
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimizer.{name}.{index}.{key}"] = torch.as_tensor(value).contiguous()
    return tensors


def save(
    run: Path, step: int, translator: Trainable, ema: Ema, runners: Sequence[Runner], extra: dict[str, Any]
) -> Path:
    """Writes the checkpoint of `step` and points `latest` at it.

    LomitError where the disk is full or can't be written; what was saved before is untouched.
    """
    root = run / "checkpoints"
    final = root / checkpoint_name(step)
    temporary = root / f".{final.name}.part"
    try:
        root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        weights = {f"{_NETWORKS}{k}": v.contiguous() for k, v in translator.state_dict().items()}
        _write_tensors(temporary / TRAINING, weights | _optimizer_tensors(runners))
        averaged = {k: v.contiguous() for k, v in ema.module.state_dict().items()}
        _write_tensors(temporary / WEIGHTS, averaged)
        write_text(temporary / CONFIG, json.dumps(saved_config(translator.config), indent=1))
        write_text(temporary / STATE, json.dumps({"step": step, "ema_updates": ema.updates, **extra}, indent=1))
        _make_room(final)
        temporary.rename(final)
        write_text(root / "latest", final.name)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = "no space left" if _is_full(error) else str(error)
        raise LomitError(
            f"could not save step {step} in {root}: {reason}; what was saved before is intact - "
            "free some space and go on with --resume"
        ) from error
    return final


def _is_full(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "No space left" in str(error)


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    path.touch()
    mode = path.stat().st_mode
    save_file(_unshared(tensors), path)
    path.chmod(mode)  # save_file makes files that only their owner can read


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """safetensors refuses tensors that share memory (a style head used twice): each gets its own copy."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        if tensor.numel() and tensor.data_ptr() in seen:
            tensors[name] = tensor.clone()
        seen.add(tensor.data_ptr())
    return tensors


def prune(run: Path, keep: int) -> None:
    """Removes all but the newest `keep` checkpoints and the best one, and what a killed run left half-written."""
    root = run / "checkpoints"
    for part in (path for path in root.glob(".*.part") if _PARTS.fullmatch(path.name)):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
    best = pointed(run, "best")
    for old in checkpoints_in(root)[keep:]:
        if old != best and _is_own(old):
            shutil.rmtree(old)


def _is_own(folder: Path) -> bool:
    """Whether a folder holds nothing but what `save` writes."""
    return not folder.is_symlink() and folder.is_dir() and {path.name for path in folder.iterdir()} <= _FILES


def _make_room(final: Path) -> None:
    """Removes an earlier checkpoint of the same step; one that somebody put something into gets another name."""
    if _is_own(final):
        shutil.rmtree(final)
    elif os.path.lexists(final):
        others = (final.with_name(f"{final.name}_kept_{n}") for n in itertools.count(1))
        final.rename(next(other for other in others if not os.path.lexists(other)))


def pointed(run: Path, name: str) -> Path | None:
    """The checkpoint that `latest` or `best` names, None where there is none."""
    return checkpoint_in(run / "checkpoints", name)


def read_state(folder: Path) -> dict[str, Any]:
    """What `state.json` says: `step`, `ema_updates`, `best` (a score or None) and what else was saved with them.

    LomitError where it can't be read, or a value is missing or of a wrong kind.
    """
    state = {"best": None} | read_json(folder / STATE)
    for key in ("step", "ema_updates"):
        if type(state.get(key)) is not int or state[key] < 0:
            raise LomitError(f"{STATE} has no number of iterations under '{key}'")
    if step_of(folder) not in (None, state["step"]):
        raise LomitError(f"{STATE} is of step {state['step']}")
    best = state["best"]
    if best is not None and (type(best) not in (int, float) or math.isnan(best)):
        raise LomitError(f"{STATE} has no score under 'best'")
    return state


def networks_in(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The translator's own among the tensors of `TRAINING`, by their names in it."""
    return {k.removeprefix(_NETWORKS): v for k, v in tensors.items() if k.startswith(_NETWORKS)}


def load(folder: Path, translator: Trainable, ema: Ema, runners: Sequence[Runner]) -> dict[str, Any]:
    """Restores everything `save` wrote, in place, and returns the JSON state.

    LomitError where a file is missing, broken or of another shape.
    """
    try:
        state = read_state(folder)
        tensors = load_file(folder / TRAINING)
        translator.load_state_dict(networks_in(tensors))
        ema.module.load_state_dict(load_file(folder / WEIGHTS))
        ema.updates = state["ema_updates"]
        for name, optimizer in optimizers_of(runners).items():
            _load_optimizer(f"optimizer.{name}.", optimizer, tensors)
    except (LomitError, OSError, SafetensorError, ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
        raise LomitError(f"checkpoint {folder} can't be resumed: {line_of(error)}") from error
    return state


def _load_optimizer(prefix: str, optimizer: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    (group,) = optimizer.param_groups
    parameters = group["params"]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            index, key = name.removeprefix(prefix).split(".")
            parameter = parameters[int(index)]
            if tensor.shape == parameter.shape:
                # Moments keep their weight's memory layout (channels last): fused Adam walks both in memory order.
                tensor = torch.empty_like(parameter).copy_(tensor)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
