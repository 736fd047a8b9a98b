"""What a run leaves behind, read back for comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from lomit.config import RunConfig, to_dict
from lomit.inference.weights import checkpoint_name
from lomit.models import method_of


def checkpoint_folder(run: Path, step: int) -> Path:
    return run / "checkpoints" / checkpoint_name(step)


def saved_tensors(run: Path, step: int) -> dict[str, torch.Tensor]:
    """Weights, optimiser moments and (under `average.`) the moving average after `step` iterations."""
    folder = checkpoint_folder(run, step)
    average = {f"average.{k}": v for k, v in load_file(folder / "model.safetensors").items()}
    return load_file(folder / "training.safetensors") | average


def log_lines(run: Path) -> list[dict[str, Any]]:
    """The log without what a clock decides."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "iterations_per_second"} for line in lines]


def leftovers(run: Path) -> list[Path]:
    """Half-written files and folders."""
    return [path for path in run.rglob("*") if ".part" in path.name]


def assert_same_tensors(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Equal to the bit."""
    assert actual.keys() == expected.keys()
    far = {n: (actual[n].double() - expected[n].double()).abs().max().item() for n in expected}
    different = {name: far[name] for name in expected if not torch.equal(actual[name], expected[name])}
    threads = torch.get_num_threads()
    assert not different, f"{len(different)} of {len(expected)} differ ({threads} threads), by at most: {different}"


def write_config(path: Path, config: RunConfig) -> Path:
    """A file for `lomit train --config`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"method": method_of(config.model).name, **to_dict(config)}))
    return path
