"""Options that benchmarks share, and how their results are shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lomit.commands.groups import Compute, WritesJson
from lomit.config import CompileMode, NumberFormat, RunConfig
from lomit.errors import LomitError, at_least, did_you_mean
from lomit.models import presets


@dataclass
class BenchOptions(WritesJson, Compute):
    """What every benchmark takes."""

    rounds: int = 5
    """Rounds that count; each runs everything once."""
    json: Path | None = None
    """File for the numbers; `-` prints them below the tables."""
    overwrite: bool = False
    """Replace a file that exists."""

    def start(self) -> torch.device:
        """Checks and applies what is common.

        Raises:
            LomitError: for a number or device that can't be, and where the file is in the way.
        """
        at_least(1, rounds=self.rounds)
        self.check_json()
        return super().start()

    def write(self, values: dict[str, Any]) -> None:
        """The numbers as JSON, where asked for."""
        self.write_json(values)
        self.overwrite = True  # of its own file, which a sweep writes again as it grows


@dataclass
class RunBenchOptions(BenchOptions):
    """What the benchmarks of a training run take."""

    preset: str = "avatars-64"
    """Preset of `lomit train` whose networks, sizes and schedule are taken."""
    batch_size: int | None = None
    """Pairs of an iteration; by default the preset's."""
    precision: NumberFormat | None = None
    """By default the preset's."""

    compile: CompileMode | None = None
    """How the step is sped up, as `--train.compile`; by default the preset's."""

    def run_config(self) -> RunConfig:
        """The preset's run with these sizes.

        Raises:
            LomitError: for an unknown preset or a size that can't be.
        """
        config = preset_config(self.preset)
        given = {"batch_size": self.batch_size, "precision": self.precision, "compile": self.compile}
        train = replace(config.train, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
        return replace(config, train=train)


def preset_config(name: str) -> RunConfig:
    """A preset's run, with the attributes and the image size that training would take from its data.

    Raises:
        LomitError: for an unknown one.
    """
    known = presets()
    if name not in known:
        raise LomitError(f"unknown preset '{name}'{did_you_mean(name, known)}; `lomit train --help` lists them")
    config = known[name][1]()
    attributes = config.data.attributes or ("attribute",)
    return replace(
        config,
        model=replace(config.model, attributes=attributes, image_size=config.data.image_size),
        data=replace(config.data, attributes=attributes),
    )


def facts_line(facts: dict[str, Any]) -> str:
    """Machine, sizes and numbers of parameters as one line."""
    parameters = facts.get("parameters", {})
    plain = [f"{k.replace('_', ' ')} {v}" for k, v in facts.items() if not isinstance(v, dict)]
    return ", ".join(plain + [f"{part} {count:,} parameters" for part, count in parameters.items()]) + "\n"


def mib(size: int | None) -> str:
    """Bytes in MiB."""
    return "–" if size is None else f"{size / 2**20:.1f}"
