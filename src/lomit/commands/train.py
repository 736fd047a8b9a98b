"""`lomit train`: a run from a preset or a config file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lomit.commands.options import parse
from lomit.config import DataConfig, RunConfig, TrainConfig
from lomit.errors import LomitError, did_you_mean
from lomit.models import presets


@dataclass
class RunOptions:
    """Where a run lives."""

    out: str
    """Folder of the run: checkpoints, samples, logs."""
    resume: bool = False
    """Go on from the newest checkpoint in `out`."""


@dataclass
class FileOptions(RunOptions):
    """Options of `lomit train --config FILE`."""

    config: str = ""
    """The `config.json` of a run, or one written by hand."""


@dataclass
class PresetOptions(RunOptions):
    """Options of `lomit train PRESET`; a field `model` of the preset's method is added for each preset."""

    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def run_train(argv: Sequence[str]) -> int:
    """Runs `lomit train PRESET|--config FILE --out DIR [options]`.

    Returns:
        0, or 128 + the number of the signal that stopped the run (after saving).
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0
    options: Any
    if argv[0].startswith("-"):
        from lomit.engine.train import read_run_config

        options = _file_options(argv)
        return _train(read_run_config(Path(options.config)), options)
    return _train(*preset_config(argv))


def preset_config(argv: Sequence[str]) -> tuple[RunConfig, RunOptions]:
    """The run that `lomit train PRESET --out DIR [OPTIONS]` means, given the words after `train`.

    Raises:
        LomitError: for an unknown preset or option, or a wrong value.
    """
    name, *rest = argv
    known = presets()
    if name not in known:
        raise LomitError(f"unknown preset '{name}'{did_you_mean(name, known)}; `lomit train --help` lists them")
    description, make = known[name]
    options = _preset_options(make(), rest, name, description)
    return RunConfig(options.model, options.data, options.train), options


def _overview() -> str:
    known = presets()
    width = max(map(len, known))
    return "\n".join(
        [
            "usage: lomit train PRESET [--data.root DIR] --out DIR [--resume] [OPTIONS]",
            "       lomit train --config FILE --out DIR [--resume]",
            "",
            "presets:",
            *(f"  {name:{width}}  {description}" for name, (description, _) in known.items()),
            "",
            "`lomit train PRESET --help` lists every option with the preset's value.",
        ]
    )


def _file_options(argv: Sequence[str]) -> FileOptions:
    """Parsed without tyro, so that a machine without it can train from a config file."""
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> Any:
            raise LomitError(f"{message}; see lomit train --help")

    parser = Parser(prog="lomit train", allow_abbrev=False, add_help=False)
    parser.add_argument("--config", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--resume", action="store_true")
    return FileOptions(**vars(parser.parse_args(list(argv))))


def _preset_options(config: RunConfig, argv: Sequence[str], name: str, description: str) -> Any:
    """`PresetOptions` with the preset's values as defaults, and its method's own model config."""
    options = dataclasses.make_dataclass(
        "Options", [("model", type(config.model), field())], bases=(PresetOptions,), kw_only=True
    )
    options.__doc__ = f"{description}."

    def default(out: Any) -> Any:
        return options(out=out, model=config.model, data=config.data, train=config.train)

    return parse(options, argv, f"lomit train {name}", default, repeat=False)


def _train(config: RunConfig, options: RunOptions) -> int:
    from lomit.engine import checkpoint
    from lomit.engine.train import train

    out = Path(options.out)
    outcome = train(config, out, options.resume)
    latest, best = checkpoint.pointed(out, "latest"), checkpoint.pointed(out, "best")
    if outcome.reason:
        line = f"stopped at step {outcome.step}: {outcome.reason}; saved {latest}; go on with --resume"
    else:
        line = f"finished at step {outcome.step}; newest {latest}, best {best}"
    if os.environ.get("RANK", "0") == "0":  # one line under torchrun too
        print(line)
    return 128 + outcome.signum if outcome.signum else 0
