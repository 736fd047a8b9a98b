"""`lomit reproduce table1|rivals|ablations`: from nothing to a page, in stages that are resumed where they stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lomit.commands.groups import Compute, LabelledData
from lomit.commands.options import parse
from lomit.errors import LomitError, at_least

if TYPE_CHECKING:
    from lomit.config import RunConfig
    from lomit.reproduce.experiments import Experiment, Setup


@dataclass
class Stages(Compute):
    """What is computed, for how long, and where it is kept."""

    out: Path = field(kw_only=True)
    """Folder for everything: faces, models, results, page.  The same command goes on with what lies in it."""
    minutes: float | None = None
    """Minutes of computing for each model: processor time on a CPU, elapsed time on a GPU.  How many iterations
    fit is measured once, and the schedule's shape kept."""
    steps: int | None = None
    """Iterations for each model, in place of minutes."""
    pairs: int = 1_000
    """Pairs of each evaluation."""
    seed: int = 0
    """Of faces, runs, draws and bootstrap."""
    classifier: str | None = None
    """Folder of an attribute classifier that is there already; by default one is trained, or that of the package taken
    for rendered faces."""
    plan: bool = False
    """Only say what would be done and how long it takes, and leave the folder alone."""
    quick: bool = False
    """A smoke run: a few faces of 32 pixels, networks of a few thousand weights, a few iterations each.  Its numbers
    mean nothing."""
    overwrite: bool = False
    """Make stages again that were made with other settings."""

    def run(self, name: str, make: Callable[[Setup], Experiment], minutes: float | None, **given: Any) -> int:
        """Runs an experiment; see `lomit.reproduce.run.reproduce`.

        `minutes` are for each model, where neither minutes nor steps are given; None: the presets' schedules.
        """
        if self.minutes is not None and self.steps is not None:
            raise LomitError("give --minutes or --steps, not both")
        at_least(1, steps=self.steps, pairs=self.pairs)
        at_least(0, seed=self.seed)
        if self.minutes is not None and self.minutes <= 0:
            raise LomitError(f"--minutes must be positive; it is {self.minutes:g}")
        from lomit.reproduce.run import reproduce

        return reproduce(
            name,
            make,
            self.out.expanduser().resolve(),
            self.start(),
            self.threads,
            _config_of,
            _call,
            plan=self.plan,
            overwrite=self.overwrite,
            minutes=self.minutes or (None if self.steps else minutes),
            steps=self.steps,
            pairs=self.pairs,
            seed=self.seed,
            classifier=self.classifier,
            quick=self.quick,
            **given,
        )


@dataclass
class ReproduceTable1:
    """The paper's Table 1 on photographs: classifier, every method's models, their evaluation, the page.

    Without minutes or steps each model is trained for its preset's whole schedule.  --plan tells how long that takes.
    """

    stages: Stages
    data: LabelledData = field(default_factory=LabelledData)
    """CelebA, or a part of it."""
    size: Literal[128, 64] = 128
    """Side of the images in pixels; 64 takes narrow networks with a short schedule."""
    methods: tuple[str, ...] = ()
    """Methods, such as lomit; by default all."""

    def main(self) -> int:
        faces, decoding = self.data.words()
        if self.data.root is None and not self.stages.quick:
            raise LomitError(
                "no data: set --data.root to a folder in CelebA's layout, or try --quick, which renders faces"
            )
        if self.stages.quick and faces:
            raise LomitError(f"--quick renders its own faces; leave out {faces[0]}")
        from lomit.data.open import open_source
        from lomit.data.source import TRAIN
        from lomit.reproduce.experiments import table1

        given: dict[str, Any] = {"size": self.size, "faces": faces, "decoding": decoding}
        if faces:
            given["images"] = int((open_source(self.data.config(64)).split == TRAIN).sum())
        return self.stages.run("table1", lambda setup: table1(setup, self.methods), None, **given)


@dataclass
class ReproduceRivals:
    """LOMIT and its rivals on rendered faces, with an equal budget (30 minutes unless given) and on the same pairs."""

    stages: Stages
    attribute: str = "Blond_Hair"
    """What the domains of a method with domains differ in: Blond_Hair, Smiling or Facial_Hair."""
    methods: tuple[str, ...] = ()
    """Methods, such as lomit; by default all."""
    faces: Path | None = None
    """Folder of `lomit data avatars` with the test part's regions; by default 10,000 faces are rendered."""

    def main(self) -> int:
        given = _rendered(self.faces)
        from lomit.reproduce.experiments import rivals

        return self.stages.run("rivals", lambda setup: rivals(setup, self.methods, self.attribute), 30.0, **given)


@dataclass
class ReproduceAblations:
    """LOMIT on rendered faces with one part taken away at a time (25 minutes each unless given)."""

    stages: Stages
    variants: tuple[str, ...] = ()
    """full, full-again (another seed) and ablations as in the presets' names; by default all."""
    faces: Path | None = None
    """Folder of `lomit data avatars` with the test part's regions; by default 10,000 faces are rendered."""

    def main(self) -> int:
        given = _rendered(self.faces)
        from lomit.reproduce.experiments import ablations

        return self.stages.run("ablations", lambda setup: ablations(setup, self.variants), 25.0, **given)


def _rendered(folder: Path | None) -> dict[str, Any]:
    if folder is None:
        return {}
    path = folder.expanduser().resolve()
    if not path.is_dir():
        raise LomitError(f"--faces {folder}: no such folder; lomit data avatars makes one")
    return {"faces": ("--data.root", str(path))}


def _config_of(argv: Sequence[str]) -> RunConfig:
    """As `lomit train` would fill it in."""
    from lomit.commands.train import preset_config

    config, _ = preset_config(argv)
    config.model.attributes, config.model.image_size = config.data.attributes, config.data.image_size
    return config


def _call(words: Sequence[str]) -> int:
    """Runs a command that a stage consists of."""
    from lomit.commands import evaluate
    from lomit.commands.classifier import ClassifierTrain
    from lomit.commands.data import DataAvatars
    from lomit.commands.report import Report
    from lomit.commands.train import run_train

    if words[0] == "train":
        return run_train(words[1:])
    commands: dict[str, type[Any]] = {
        "report": Report,
        "classifier train": ClassifierTrain,
        "data avatars": DataAvatars,
        "evaluate avatars": evaluate.Avatars,
        "evaluate table1": evaluate.Table1,
        "evaluate starganv2": evaluate.StarganV2,
    }
    name = words[0] if words[0] in commands else " ".join(words[:2])
    code: int = parse(commands[name], words[len(name.split()) :], f"lomit {name}").main()
    return code
