"""`lomit report RUN_OR_RESULTS...`: tables and figures of runs, models and evaluations as one page of HTML."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from lomit.commands.demo import SEED
from lomit.commands.labelled import LabelledData, usable_device
from lomit.commands.options import parse
from lomit.data.gallery import Faces, RenderedFaces, SourceFaces
from lomit.data.open import open_source
from lomit.errors import LomitError
from lomit.images import write_file
from lomit.report.build import Request, build
from lomit.report.edits import read_edits
from lomit.report.inputs import collect
from lomit.report.study import read_study


@dataclass
class ReportOptions:
    """Tables and figures as one page: usage `lomit report [LABEL=]PATH ... --out PAGE.html [OPTIONS]`.

    PATH is a training run, a model (also by name) or a folder with results of `lomit evaluate`; what has one label is
    one thing.  The page needs no other file and loads nothing.  What was not given is listed with the command that
    makes it.
    """

    inputs: tuple[str, ...] = ()
    """The paths, where they don't stand first; repeat the option for more."""
    out: str | None = None
    """File to write."""
    title: str = "LOMIT report"
    """Title of the page."""
    data: LabelledData = field(default_factory=LabelledData)
    """Faces of the figures, from the test split; without a root they are rendered."""
    columns: int = 8
    """Pairs in Figures 4, 5 and 9 to 11."""
    exemplars: int = 8
    """Exemplars in Figure 6."""
    codes: int = 240
    """Faces in Figure 8; 0 leaves it out."""
    edits: str | None = None
    """JSON file of edited masks, for Figure 4 a' to c'."""
    study: str | None = None
    """JSON file of a study's answers, for Figure 7."""
    seed: int = SEED
    """Draws other faces and pairs."""
    device: str | None = None
    """cpu, cuda, cuda:1, ...; by default CUDA where there is one."""
    overwrite: bool = False
    """Replace a page that is there."""


def run_report(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    words = list(takewhile(lambda word: not word.startswith("-"), argv))
    given = [part for word in words for part in ("--inputs", word)]
    return report(parse(ReportOptions, [*given, *argv[len(words) :]], "lomit report"))


def report(options: ReportOptions) -> int:
    """Builds the page, writes it and prints where it is.

    Raises:
        LomitError: for options and files that can't be used, before anything is translated where that can be known.
    """
    out = _check(options)
    items = collect(options.inputs)
    edits = read_edits(Path(options.edits)) if options.edits is not None else []
    study = read_study(Path(options.study)) if options.study is not None else None
    device = str(usable_device(options.device))

    def faces(size: int) -> Faces:
        if options.data.root is None:
            return RenderedFaces(options.seed, size)
        data = options.data.config(size)
        return SourceFaces(source, data, options.seed, Path(options.data.root).resolve().name)

    if options.data.root is not None:
        source = open_source(options.data.config(64))
    counts = options.columns, options.exemplars, options.codes
    text = build(Request(options.title, items, faces, *counts, edits, study, options.seed, device))
    content = text.encode()
    write_file(out, lambda file: file.write(content), options.overwrite)
    print(f"written to {out} ({len(content) / 2**20:.1f} MiB, one file)")
    return 0


def _check(options: ReportOptions) -> Path:
    """What can be known to be wrong before anything is read; returns the page's path."""
    if not options.inputs:
        raise LomitError("nothing to report on: give training runs, models or results of lomit evaluate")
    if options.out is None:
        raise LomitError("give --out, the HTML file to write")
    for name, least in (("columns", 1), ("exemplars", 1), ("codes", 0), ("seed", 0)):
        if getattr(options, name) < least:
            raise LomitError(f"--{name} must be at least {least}; it is {getattr(options, name)}")
    if Path(options.out).is_dir():
        raise LomitError(f"{options.out} is a folder; give the HTML file to write")
    if os.path.lexists(options.out) and not options.overwrite:
        raise LomitError(f"{options.out} exists already; add --overwrite to replace it")
    return Path(options.out)
