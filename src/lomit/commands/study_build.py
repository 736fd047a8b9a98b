"""`lomit study build`: makes the pictures and lists of a user study."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lomit.commands.groups import Compute, LabelledData, parse_label
from lomit.commands.options import named
from lomit.config import DEMO_SEED
from lomit.errors import LomitError, at_least, within
from lomit.inference.pairs import SUFFIXES

INPUT, EXEMPLAR = ("Brown_Hair=1", "Smiling=0"), ("Blond_Hair=1", "Smiling=1")
"""The classes of the paper's study (section 5.4)."""


@dataclass
class StudyBuild:
    """Build a user study.

    By default the paper's: each model's translations beside real images ("Which one looks more realistic?"), and the
    first model's beside each other one's (which has better applied the style, which has better kept the background).
    Faces are drawn by the seed from the test split of --data.root, or rendered.  Prints the owner's token, once.
    """

    models: tuple[str, ...] = field(default=(), metadata=named("[LABEL=]MODEL ..."))
    """Models as `lomit translate --model` takes them, each with a label or by its own name."""
    out: Path = field(kw_only=True)
    """Folder to make."""
    data: LabelledData = field(default_factory=LabelledData)
    """Faces to translate; without a root they are rendered."""
    table: Path | None = None
    """In place of models: CSV of translations made elsewhere; columns input, exemplar and one for each model."""
    real: Path | None = None
    """With --table: folder of real images of the target class."""
    size: int | None = None
    """With --table: side of the pictures shown; by default the shorter side of the first translation."""
    input_label: tuple[str, ...] = field(default=INPUT, metadata=named("NAME=0|1 ..."))
    """Class of the inputs."""
    exemplar_label: tuple[str, ...] = field(default=EXEMPLAR, metadata=named("NAME=0|1 ..."))
    """Class of the exemplars and of the real images."""
    pairs: int = 100
    """Pairs of input and exemplar to draw from."""
    trials: int = 10
    """Questions of a participant about each model, or each two models, in a block."""
    comparisons: Literal["first", "all"] = "first"
    """Which models meet: the first each other one, or all each other."""
    checks: int = 2
    """Attention checks in a block."""
    practice: int = 2
    """Questions for practice before a block."""
    lists: int = 4
    """Lists that participants are spread over; every second one mirrors the one before."""
    design: Path | None = None
    """JSON file with blocks of your own; see docs/study.md."""
    seed: int = DEMO_SEED
    """Draws faces, lists and orders."""
    title: str | None = None
    """Title that participants see."""
    contact: str | None = None
    """Whom participants can ask, on the consent page."""
    consent: str | None = None
    """Text file for the consent page, paragraphs separated by empty lines."""
    least_checks: float = 0.8
    """Share of the attention checks that an included participant answers rightly."""
    external_id: str = ""
    """Parameter in the join link that a panel fills in, such as PROLIFIC_PID; it is stored then."""
    completion_url: str = ""
    """Link on the last page, for panels."""
    compute: Compute = field(default_factory=Compute)

    def main(self) -> int:
        self._check()
        of_input = dict(parse_label(self.input_label, "--input-label"))
        of_exemplar = dict(parse_label(self.exemplar_label, "--exemplar-label"))
        from lomit.apps.study.build import build_study, own_blocks, read_entries, read_texts
        from lomit.apps.study.definition import StudyDefinition
        from lomit.apps.study.design import paper_blocks
        from lomit.apps.study.material import Material, TranslationTable, translated_faces

        self.compute.set_threads()
        texts = read_texts(self.title, self.contact, self.consent, self.completion_url)
        own = self.design
        entries = [] if own is None else read_entries(own)
        material: Material
        if self.table is not None:
            material = TranslationTable(self.table, self.real, self.size, SUFFIXES)
        else:
            data = None if self.data.root is None else self.data.config
            material = translated_faces(
                self.models, self.compute.device, data, of_input, of_exemplar, self.pairs, self.seed
            )
        if own is None:
            blocks = paper_blocks(material.models, self.comparisons, self.trials, self.checks, self.practice)
        else:
            blocks = own_blocks(entries, own, material.models, self.comparisons)
        study = StudyDefinition(
            material.models, blocks, self.lists, self.seed, material.size, texts, self.least_checks,
            self.external_id, material.facts, material.people,
        )  # fmt: skip
        sizes = material.facts.get("sizes", {})
        if len({*sizes.values()}) > 1:
            sides = ", ".join(f"{name} {side}" for name, side in sizes.items())
            print(f"The models' sizes differ ({sides}): all is shown at {study.size} pixels, the smaller less sharp.")
        owner = build_study(self.out, material, study, progress=print)
        kinds = ", ".join(f"{block.name} ({block.question})" for block in study.blocks)
        print(f"written to {self.out}: {', '.join(study.models)}; {kinds}; {study.lists} lists")
        if study.people:
            print("The pictures may show people: look up whether the terms of their data set allow showing them.")
        print(f"\nowner's token, shown only now: {owner}\n")
        folder = shlex.quote(str(self.out))
        print(f"look at it:  lomit study preview {folder} --out preview.html\nserve it:    lomit study serve {folder}")
        return 0

    def _check(self) -> None:
        """What can be known to be wrong before anything is loaded."""
        from lomit.apps.study.definition import MOST_LISTS, MOST_MODELS, MOST_TRIALS

        if os.path.lexists(self.out):
            raise LomitError(
                f"{self.out} exists already; choose another --out (a study with answers is never replaced)"
            )
        if self.table is None and not self.models:
            raise LomitError("give --models, or --table with translations made elsewhere; see lomit study build --help")
        if self.table is not None and self.models:
            raise LomitError("--table takes the place of --models; give one or the other")
        if len(self.models) > MOST_MODELS:
            raise LomitError(f"--models takes {MOST_MODELS} at most; {len(self.models)} were given")
        for name in ("real", "size"):
            if self.table is None and getattr(self, name) is not None:
                raise LomitError(f"--{name} goes with --table")
        at_least(1, pairs=self.pairs)
        at_least(0, seed=self.seed)
        at_least(16, size=self.size)
        within(1, MOST_TRIALS, trials=self.trials)
        within(0, MOST_TRIALS, checks=self.checks, practice=self.practice)
        within(0, 1, least_checks=self.least_checks)
        if self.lists not in range(2, MOST_LISTS + 1, 2):
            raise LomitError(f"--lists must be even, 2 to {MOST_LISTS} (they mirror each other); it is {self.lists}")
        if self.external_id and not self.external_id.isidentifier():
            raise LomitError(f"--external-id must be a name such as PROLIFIC_PID; it is '{self.external_id}'")
        if self.completion_url and not self.completion_url.startswith("https://"):
            raise LomitError(f"--completion-url must begin with https://; it is '{self.completion_url}'")
