"""Checkpoints: safetensors and JSON, written whole or not at all.

A run folder holds `config.json` and `checkpoints/step_0000400/` with

- `model.safetensors` and `config.json`: the averaged generator, which `from_pretrained` loads as it is;
- `training.safetensors`: every network's weights and the optimisers' moments;
- `state.json`: the step and what else resuming needs.

`checkpoints/latest` and `checkpoints/best` name a folder each.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lomit.engine.ema import Ema
from lomit.engine.phases import Runner, optimizers_of
from lomit.errors import LomitError, line_of
from lomit.models.base import Trainable
from lomit.models.registry import saved_config

TRAINING, STATE = "training.safetensors", "state.json"
_NETWORKS = "translator."


def folder_name(step: int) -> str:
    """Name of the checkpoint after `step` iterations."""
    return f"step_{step:07d}"


def write_text(path: Path, text: str) -> None:
    """Writes a small file atomically: where it can't be written the old one stays and nothing else is left."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("w") as file:
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

    Raises:
        LomitError: where the disk is full or can't be written; what was saved before is untouched.
    """
    root = run / "checkpoints"
    final, temporary = root / folder_name(step), root / f".{folder_name(step)}.part"
    try:
        root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        weights = {f"{_NETWORKS}{k}": v.contiguous() for k, v in translator.state_dict().items()}
        _write_tensors(temporary / TRAINING, weights | _optimizer_tensors(runners))
        averaged = {k: v.contiguous() for k, v in ema.module.state_dict().items()}
        _write_tensors(temporary / "model.safetensors", averaged)
        write_text(temporary / "config.json", json.dumps(saved_config(translator.config), indent=1))
        write_text(temporary / STATE, json.dumps({"step": step, "ema_updates": ema.updates, **extra}, indent=1))
        if final.exists():
            shutil.rmtree(final)
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
    for part in root.glob(".*.part"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
    # `latest` is the newest, except after somebody put an older one's name there to go on from it.
    pointers = (pointed(run, "latest"), pointed(run, "best"))
    for old in sorted(root.glob("step_*"))[:-keep]:
        if old not in pointers:
            shutil.rmtree(old)


def pointed(run: Path, name: str) -> Path | None:
    """The checkpoint that `latest` or `best` names, None where there is none."""
    pointer = run / "checkpoints" / name
    if not pointer.is_file():
        return None
    folder = pointer.parent / pointer.read_text().strip()
    return folder if folder.is_dir() else None


def networks_in(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The translator's own among the tensors of `TRAINING`, by their names in it."""
    return {k.removeprefix(_NETWORKS): v for k, v in tensors.items() if k.startswith(_NETWORKS)}


def load(folder: Path, translator: Trainable, ema: Ema, runners: Sequence[Runner]) -> dict[str, Any]:
    """Restores everything `save` wrote, in place.  Returns the JSON state.

    Raises:
        LomitError: where a file is missing, broken or of another shape.
    """
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
        tensors = load_file(folder / TRAINING)
        translator.load_state_dict(networks_in(tensors))
        ema.module.load_state_dict(load_file(folder / "model.safetensors"))
        ema.resume(state["ema_updates"])
        for name, optimizer in optimizers_of(runners).items():
            _load_optimizer(f"optimizer.{name}.", optimizer, tensors)
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise LomitError(
            f"checkpoint {folder} can't be resumed: {line_of(error)}; remove that folder and put the name of an older "
            f"one into {folder.parent / 'latest'}"
        ) from error
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
