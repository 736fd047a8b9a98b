"""Options that benchmarks share, and how their results are shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lomit.config import CompileMode, Precision, RunConfig
from lomit.errors import LomitError, did_you_mean
from lomit.inference.device import usable_device
from lomit.models import presets


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


def preset_config(name: str) -> RunConfig:
    """A preset's run.

    Raises:
        LomitError: for an unknown one.
    """
    known = presets()
    if name not in known:
        raise LomitError(f"unknown preset '{name}'{did_you_mean(name, known)}; `lomit train --help` lists them")
    return known[name][1]()


def facts_line(facts: dict[str, Any]) -> str:
    """Machine, sizes and numbers of parameters as one line."""
    parameters = facts.get("parameters", {})
    plain = [f"{k.replace('_', ' ')} {v}" for k, v in facts.items() if not isinstance(v, dict)]
    return ", ".join(plain + [f"{part} {count:,} parameters" for part, count in parameters.items()]) + "\n"


def mib(size: int | None) -> str:
    """Bytes in MiB."""
    return "–" if size is None else f"{size / 2**20:.1f}"
