"""Many files in a row: one that can't be used stops none of the others, and what failed is listed last."""

from __future__ import annotations

import sys
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from lomit.config import Precision
from lomit.errors import LomitError
from lomit.inference.pairs import Job

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What holds for every job of `lomit.inference.worker`; the fields are options of `lomit translate`.

    Attributes:
        label: (attribute, 0 or 1); empty: none is given.
        only: attributes to move; empty: the method decides.
        random: number of random styles, or None; `seed` draws them.
        threads: CPU threads of each process; None: as `SpareCores` chooses, or the cores shared out to `processes`.
    """

    model: str
    out: Path
    device: str | None = None
    save_masks: bool = False
    steps: int | None = None
    gif: bool = False
    composite: bool = False
    overwrite: bool = False
    label: tuple[tuple[str, float], ...] = ()
    only: tuple[str, ...] = ()
    random: int | None = None
    seed: int = 0
    threads: int | None = None
    compile: bool = False
    precision: Precision = "float32"

    @property
    def endings(self) -> list[str]:
        """What follows a job's name in every file that it writes."""
        endings = [f"{step}.png" for step in step_names(self.steps)] if self.steps else [".png"]
        endings += [".gif"] if self.gif else []
        return endings + (["_input-mask.png", "_exemplar-mask.png"] if self.save_masks else [])


def step_names(steps: int) -> list[str]:
    """`_step-01`, `_step-02`, ..."""
    digits = max(2, len(str(steps)))
    return [f"_step-{step:0{digits}d}" for step in range(1, steps + 1)]


@dataclass
class JobOutcome:
    """What became of a job: how many files were written and, of a photograph, how many faces translated.  Or the `bad`
    file that can't be used, and why not.
    """

    job: Job
    written: int = 0
    bad: Path | None = None
    error: str = ""
    faces: int = 0


@dataclass
class Tally:
    """What became of all jobs; `failed` holds each bad file, or row of a table, with its error."""

    done: int = 0
    written: int = 0
    faces: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def close(self, what: str) -> int:
        """Lists what failed (`what`, in the singular) on standard error; returns 1 where something did, else 0."""
        if not self.failed:
            return 0
        sys.stdout.flush()
        print(f"lomit: {count(len(self.failed), what)} failed:", file=sys.stderr)
        for error in self.failed.values():
            print(f"  {error}", file=sys.stderr)
        return 1


def run_batch(
    outcomes: Generator[JobOutcome, None, None], total: int, unit: str, by_row: bool, named: Collection[Path] = ()
) -> Tally:
    """Goes through all outcomes under a progress bar that counts `unit`s.

    Args:
        outcomes: of the jobs, in order; closed when an error ends the loop, so that no thread works on.
        by_row: every failed job is listed, with its name as the row of a table; else every bad file is, once.
        named: files that every job needs, or that are the only one: where they are bad, nothing goes on.

    Raises:
        LomitError: for a bad file out of `named`.
    """
    tally = Tally()
    from tqdm import tqdm  # here, so that no `--help` loads it

    with closing(outcomes), tqdm(total=total, unit=unit, disable=None if total > 1 else True) as bar:
        for outcome in outcomes:
            bar.update()
            if outcome.bad is None:
                tally.done += 1
                tally.written += outcome.written
                tally.faces += outcome.faces
            elif outcome.bad in named:
                raise LomitError(outcome.error)
            elif by_row:
                tally.failed[outcome.job.name] = f"row {outcome.job.name}: {outcome.error}"
            else:
                tally.failed[str(outcome.bad)] = outcome.error
    return tally


def count(number: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` items."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
