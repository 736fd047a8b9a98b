"""`lomit report`: tables and figures of runs, models and evaluations as one page of HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lomit.commands.groups import Compute, LabelledData, check_file
from lomit.commands.options import positional
from lomit.config import DEMO_SEED
from lomit.errors import LomitError, at_least


@dataclass
class Report:
    """Tables and figures as one page.

    PATH is a training run, a model (also by name) or a folder with results of `lomit evaluate`, as [LABEL=]PATH; what
    has one label is one thing.  The page needs no other file and loads nothing.  What was not given is listed with the
    command that makes it.
    """

    inputs: tuple[str, ...] = field(metadata=positional("PATH ..."))
    """Runs, models and results."""
    out: Path
    """File to write."""
    title: str = "LOMIT report"
    """Title of the page."""
    data: LabelledData = field(default_factory=LabelledData)
    """Faces of the figures, from the test split; without a root those that the first run was trained on, or rendered
    ones."""
    columns: int = 8
    """Pairs in Figures 4, 5 and 9 to 11."""
    exemplars: int = 8
    """Exemplars in Figure 6."""
    codes: int = 240
    """Faces in Figure 8; 0 leaves it out."""
    edits: Path | None = None
    """JSON file of edited masks, for Figure 4 a' to c'."""
    study: Path | None = None
    """JSON file of a study's answers, for Figure 7."""
    seed: int = DEMO_SEED
    """Draws other faces and pairs."""
    overwrite: bool = False
    """Replace a page that is there."""
    compute: Compute = field(default_factory=Compute)

    def main(self) -> int:
        self._check()
        from lomit.images import write_bytes
        from lomit.report.build import Request, build
        from lomit.report.edits import read_edits
        from lomit.report.figure7 import read_study
        from lomit.report.inputs import collect

        items = collect(self.inputs)
        edits = [] if self.edits is None else read_edits(self.edits)
        study = None if self.study is None else read_study(self.study)
        device = str(self.compute.start())
        data = None if self.data.root is None else self.data.config(64)
        counts = self.columns, self.exemplars, self.codes
        content = build(Request(self.title, items, data, *counts, edits, study, self.seed, device)).encode()
        write_bytes(self.out, content, self.overwrite)
        print(f"written to {self.out} ({len(content) / 2**20:.1f} MiB, one file)")
        return 0

    def _check(self) -> None:
        """What can be known to be wrong before anything is read."""
        if not self.inputs:
            raise LomitError("nothing to report on: give training runs, models or results of lomit evaluate")
        at_least(1, columns=self.columns, exemplars=self.exemplars)
        at_least(0, codes=self.codes, seed=self.seed)
        check_file(self.out, self.overwrite, [self.edits, self.study, self.data.root, *self.data.extra_roots])
