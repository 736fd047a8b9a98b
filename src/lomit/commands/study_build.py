"""`lomit study build`: makes the pictures and lists of a user study."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lomit.commands.groups import LabelledData, parse_label
from lomit.commands.options import parse
from lomit.config import DEMO_SEED
from lomit.errors import LomitError
from lomit.inference.pairs import SUFFIXES

INPUT, EXEMPLAR = ("Brown_Hair=1", "Smiling=0"), ("Blond_Hair=1", "Smiling=1")
"""The classes of the paper's study (section 5.4)."""


@dataclass
class StudyBuildOptions:
    """Build a user study: usage `lomit study build --models [LABEL=]MODEL ... --out DIR [OPTIONS]`.

    By default the paper's: each model's translations beside real images ("Which one looks more realistic?"), and the
    first model's beside each other one's (which has better applied the style, which has better kept the background).
    Faces are drawn by the seed from the test split of --data.root, or rendered.  Prints the owner's token, once.
    """

    models: tuple[str, ...] = ()
    """Models as `lomit translate --model` takes them, each as LABEL=MODEL or by its own name."""
    out: str | None = None
    """Folder to make."""
    data: LabelledData = field(default_factory=LabelledData)
    """Faces to translate; without a root they are rendered."""
    table: str | None = None
    """In place of models: CSV of translations made elsewhere; columns input, exemplar and one for each model."""
    real: str | None = None
    """With --table: folder of real images of the target class."""
    size: int | None = None
    """With --table: side of the pictures shown; by default the shorter side of the first translation."""
    input_label: tuple[str, ...] = INPUT
    """Class of the inputs."""
    exemplar_label: tuple[str, ...] = EXEMPLAR
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
    design: str | None = None
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
    device: str | None = None
    """cpu, cuda, cuda:1, ...; by default CUDA where there is one."""


def run_study_build(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return study_build(parse(StudyBuildOptions, argv, "lomit study build"))


def study_build(options: StudyBuildOptions) -> int:
    """Builds the folder and prints the owner's token.

    Raises:
        LomitError: for options, models, faces and folders that can't be used.
    """
    out = _check(options)
    of_input = dict(parse_label(options.input_label, "--input-label"))
    of_exemplar = dict(parse_label(options.exemplar_label, "--exemplar-label"))
    # Loads torch: not before the options are known to be right.
    from lomit.apps.study.build import build_study, default_blocks, own_blocks, read_entries, read_texts
    from lomit.apps.study.definition import StudyDefinition
    from lomit.apps.study.material import Material, TranslationTable, translated_faces

    texts = read_texts(options.title, options.contact, options.consent, options.completion_url)
    own = None if options.design is None else Path(options.design)
    entries = [] if own is None else read_entries(own)
    material: Material
    if options.table is not None:
        real = None if options.real is None else Path(options.real)
        material = TranslationTable(Path(options.table), real, options.size, SUFFIXES)
    else:
        data = None if options.data.root is None else options.data.config
        material = translated_faces(
            options.models, options.device, data, of_input, of_exemplar, options.pairs, options.seed
        )
    if own is None:
        blocks = default_blocks(material.models, options.comparisons, options.trials, options.checks, options.practice)
    else:
        blocks = own_blocks(entries, own, material.models, options.comparisons)
    study = StudyDefinition(
        material.models, blocks, options.lists, options.seed, material.size, texts, options.least_checks,
        options.external_id, material.facts, material.people,
    )  # fmt: skip
    sizes = material.facts.get("sizes", {})
    if len({*sizes.values()}) > 1:
        told = ", ".join(f"{name} {side}" for name, side in sizes.items())
        print(f"The models' sizes differ ({told}): all is shown at {study.size} pixels, the smaller less sharp.")
    owner = build_study(out, material, study, progress=print)
    kinds = ", ".join(f"{block.name} ({block.question})" for block in study.blocks)
    print(f"written to {out}: {', '.join(study.models)}; {kinds}; {study.lists} lists")
    if study.people:
        print("The pictures may show people: look up whether the terms of their data set allow showing them.")
    print(f"\nowner's token, told only now: {owner}\n")
    print(f"look at it:  lomit study preview {out} --out preview.html\nserve it:    lomit study serve {out}")
    return 0


def _check(options: StudyBuildOptions) -> Path:
    """What can be known to be wrong before anything is loaded; returns the folder to make."""
    if options.out is None:
        raise LomitError("give --out, the folder to make")
    if os.path.lexists(options.out):
        raise LomitError(f"{options.out} exists already; choose another --out (a study with answers is never replaced)")
    if options.table is None and not options.models:
        raise LomitError("give --models, or --table with translations made elsewhere; see lomit study build --help")
    if options.table is not None and options.models:
        raise LomitError("--table takes the place of --models; give one or the other")
    for name in ("real", "size"):
        if options.table is None and getattr(options, name) is not None:
            raise LomitError(f"--{name} goes with --table")
    for name, least in (("pairs", 1), ("trials", 1), ("checks", 0), ("practice", 0), ("seed", 0), ("size", 16)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise LomitError(f"--{name} must be at least {least}; it is {value}")
    if options.lists < 2 or options.lists % 2:
        raise LomitError(f"--lists must be even, at least 2 (they mirror each other); it is {options.lists}")
    if options.completion_url and not options.completion_url.startswith("https://"):
        raise LomitError(f"--completion-url must begin with https://; it is '{options.completion_url}'")
    return Path(options.out)
