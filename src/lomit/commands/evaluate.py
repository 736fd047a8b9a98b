"""`lomit evaluate`: measures a model and prints the numbers with their intervals."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from lomit.commands.groups import Compute, LabelledData, WritesJson
from lomit.commands.options import positional
from lomit.config import NumberFormat
from lomit.errors import LomitError, at_least
from lomit.evaluation.protocols import PROTOCOLS, EvaluatedSplit, EvaluationProtocol


@dataclass(kw_only=True)
class Evaluate(WritesJson, EvaluationProtocol):
    """Prints a table of what it finds on unseen faces; with --out it is kept as results.md and, with every definition,
    count and version, as results.json.  What is done is kept there, too: the same command takes up an evaluation that
    was stopped.
    """

    model: str = field(metadata=positional("MODEL"))
    """Name of a model (see `lomit models`), its folder, a checkpoint, a training run's folder or a Hub id."""
    data: LabelledData = field(default_factory=LabelledData)
    """Where the labelled faces are; --split says which part of them is used."""
    split: EvaluatedSplit = "test"
    """test: for claims; val: for choices on the way, as which checkpoint to keep, so that none is made on the test
    split."""
    seed: int = 0
    """Draws the pairs and the bootstrap; the same seed gives the same numbers."""
    batch_size: int = 16
    """Pairs in the network at a time."""
    precision: NumberFormat = "float32"
    """What the model's convolutions compute in; the results say so.  There is no auto: the command alone, not the
    machine, decides what is measured."""
    out: Path | None = None
    """Folder for results.json, results.md and what an unfinished run has done; without it numbers are only printed."""
    keep_images: bool = False
    """Keep the translated images as PNG in the --out folder, under images/."""
    json: Path | None = None
    """File for the results as JSON; `-` prints them in place of the table."""
    overwrite: bool = False
    """Replace results, and an unfinished evaluation with other settings, that are there."""
    compute: Compute = field(default_factory=Compute)

    def main(self) -> int:
        at_least(1, batch_size=self.batch_size)
        at_least(0, seed=self.seed)
        if self.out is None and self.keep_images:
            raise LomitError("--keep-images needs --out, the folder to keep them in")
        self.check()
        from lomit.evaluation.results import RESULTS, TABLE
        from lomit.evaluation.run import evaluate
        from lomit.evaluation.store import PARTS
        from lomit.inference.precision import usable_precision
        from lomit.inference.weights import find_model, load_pretrained

        if self.out is not None and not self.overwrite:
            # The table is written first: beside an unfinished evaluation it is that one's own.
            names = [RESULTS] if os.path.lexists(self.out / PARTS) else [RESULTS, TABLE]
            there = [name for name in names if os.path.lexists(self.out / name)]
            if there:
                raise LomitError(f"{self.out} holds {there[0]} already; choose another --out or add --overwrite")
        self.check_json([self.model, self.data.root, *self.data.extra_roots])
        device = self.compute.start()
        usable_precision(self.precision, device)
        # Found once: a run that goes on may have another newest checkpoint by the end.
        folder = find_model(self.model)
        translator = load_pretrained(folder, device)
        data = self.data.config(translator.config.image_size, translator.config.attributes)
        results, table = evaluate(
            self, translator, folder, data, device, split=self.split, seed=self.seed, batch_size=self.batch_size,
            precision=self.precision, out=self.out, keep_images=self.keep_images, overwrite=self.overwrite,
        )  # fmt: skip
        self.write_json(results.to_json())
        if not self.prints_json:
            print(table, end="" if self.out is None else "\n")
        if self.out is not None:
            self.say(f"written to {self.out}/{RESULTS} and {TABLE}")
        return 0


def _command(protocol: type[EvaluationProtocol]) -> type[Evaluate]:
    """The command of a protocol: its own options, then those of all."""
    doc = f"{protocol.__doc__}\n\n{Evaluate.__doc__}"
    made: type[Evaluate] = dataclass(type(protocol.__name__, (Evaluate, protocol), {"__doc__": doc}))
    return made


Avatars, Table1, StarganV2, Background, Masks = map(_command, PROTOCOLS.values())
