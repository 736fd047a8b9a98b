"""`lomit train`: a run from a preset or a config file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lomit.commands.options import parse, two_columns, usage
from lomit.config import DataConfig, RunConfig, TrainConfig
from lomit.errors import LomitError, did_you_mean
from lomit.models import methods, presets

RECOMMENDED = {
    "tiny": "what a run looks like: rendered faces of 32 pixels, two minutes of two cores",
    "folder-64": "your own images at 64 pixels, hours of a CPU; name --data.attributes",
    "celeba-all-quick": "CelebA, ten attributes at 128 pixels, ten minutes of a large GPU",
}
"""Presets to begin with."""


@dataclass
class Train:
    """Options of `lomit train PRESET`; a field `model`, the config of the preset's method, is added for each preset."""

    out: Path
    """Folder of the run: checkpoints, samples, logs."""
    resume: bool = False
    """Go on from the newest checkpoint in --out."""
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass
class FromFile:
    """Train a model from a config file."""

    config: Path
    """The file: the config.json of a run, or part of one."""
    out: Path
    """Folder of the run."""
    resume: bool = False
    """Go on from the newest checkpoint in --out."""


def run_train(argv: Sequence[str]) -> int:
    """Runs `lomit train PRESET|--config FILE --out DIR [OPTIONS]`.

    Returns:
        0, or 128 + the number of the signal that stopped the run (after saving).
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if not argv[0].startswith("-"):
        config, options = preset_config(argv)
        return _train(config, options.out, options.resume)
    from lomit.engine.train import read_run_config

    given = parse(FromFile, argv, "lomit train")
    return _train(read_run_config(given.config), given.out, given.resume)


def preset_config(argv: Sequence[str]) -> tuple[RunConfig, Train]:
    """The run that `lomit train PRESET --out DIR [OPTIONS]` means, given the words after `train`.  Raises LomitError
    for an unknown preset or option, or a wrong value.
    """
    name, *rest = argv
    known = presets()
    if name not in known:
        raise LomitError(f"unknown preset '{name}'{did_you_mean(name, known)}; `lomit train --help` lists them")
    description, make = known[name]
    config = make()
    kind = dataclasses.make_dataclass("Options", [("model", type(config.model))], bases=(Train,), kw_only=True)
    kind.__doc__ = f"{description[:1].upper()}{description[1:]}."

    def default(out: Any) -> Any:
        return kind(out=out, model=config.model, data=config.data, train=config.train)

    options: Any = parse(kind, rest, f"lomit train {name}", default)
    return RunConfig(options.model, options.data, options.train), options


def _overview() -> str:
    lines = [
        usage("usage: lomit train PRESET [--data.root DIR] --out DIR [--resume] [OPTIONS]"),
        usage("       lomit train --config FILE --out DIR [--resume]"),
        "",
        "to begin with:",
        *two_columns(RECOMMENDED),
    ]
    ours_first = sorted(methods().values(), key=lambda method: method.name != "lomit")
    for method in ours_first:
        lines += ["", f"{method.title}:", *two_columns({name: line for name, (line, _) in method.presets.items()})]
    return "\n".join([*lines, "", "`lomit train PRESET --help` lists every option with the preset's value."])


def _train(config: RunConfig, out: Path, resume: bool) -> int:
    from lomit.engine import checkpoint
    from lomit.engine.train import train

    outcome = train(config, out, resume)
    latest, best = checkpoint.pointed(out, "latest"), checkpoint.pointed(out, "best")
    if outcome.reason:
        line = f"stopped at step {outcome.step}: {outcome.reason}; saved {latest}; go on with --resume"
    else:
        line = f"finished at step {outcome.step}; newest {latest}, best {best}"
    if os.environ.get("RANK", "0") == "0":  # one line under torchrun too
        print(line)
    return 128 + outcome.signum if outcome.signum else 0
