"""The numbers of an evaluation: as JSON, as tables that a person reads, and read back.

Programs agree on keys: a row's measure (`iou`), what it is of (`hair`, `gender`, a pair of domains; empty: everything)
and its columns (`COLUMNS`).  Headings, names and units are for people.
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from lomit import __version__
from lomit.config import from_dict, read_json
from lomit.errors import LomitError
from lomit.stats.bootstrap import RESAMPLES
from lomit.stats.estimate import LEVEL, NONE, Estimate, markdown_table

SCHEMA = 2
"""Raised when the layout of the JSON changes."""
RESULTS, TABLE = "results.json", "results.md"
"""An evaluation's files."""
MOST_DIGITS = 20
"""Digits of an integer that is read, and after the point of a number that is written."""
FLAGGED = "†"
"""Mark of a row that no claim can rest on."""
MEAN = "mean over domain pairs"
"""What the last row of a measure between domains is of."""
COLUMNS = {
    "model": "model",
    "plain": "m = 1",
    "self": "self (floor)",
    "above": "above floor",
    "floor": "floor",
    "ceiling": "ceiling",
    "ceiling_binary": "ceiling 0/1",
}
"""Key of a column -> its heading."""


@dataclass(frozen=True)
class Row:
    """One measure, for everything it was taken of.

    Attributes:
        measure: its key.
        section: heading that it stands under.
        name: what is measured, below that heading.
        cells: key of the column -> estimate.
        of: key of what it is of.
        unit: `%`, `0..255`, `nats` or empty for shares and indices.
        digits: worth reading, after the point.
        quoted: method -> a number that the paper prints, to be read beside ours.
        flag: why no claim can rest on the row; empty where nothing is known against it.
    """

    measure: str
    section: str
    name: str
    cells: Mapping[str, Estimate]
    of: str = ""
    unit: str = ""
    digits: int = 3
    quoted: Mapping[str, float] = field(default_factory=dict)
    flag: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Measure, and what it is of."""
        return self.measure, self.of

    @property
    def title(self) -> str:
        """The name, with the unit where the section does not say it, and a mark where there is a flag."""
        unit = f", {self.unit}" if self.unit and self.unit not in self.section else ""
        return f"{self.name}{unit}{f' {FLAGGED}' if self.flag else ''}"

    def text(self, column: str) -> str:
        """A column's number with its interval."""
        return self.cells[column].text(self.digits) if column in self.cells else NONE


@dataclass(frozen=True)
class Results:
    """One evaluation.

    Attributes:
        facts: what decides the numbers: protocol, model, classifier, data, seed, ...
        notes: how they are defined, one sentence or two each.
        rows: the numbers.
    """

    facts: Mapping[str, Any]
    notes: Sequence[str]
    rows: Sequence[Row]

    def fact(self, *path: str) -> Any:
        """A fact by the keys that lead to it; None where it is not told."""
        value: Any = self.facts
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def row(self, measure: str, of: str = "") -> Row | None:
        """The row of that key."""
        return next((row for row in self.rows if row.key == (measure, of)), None)

    @property
    def counts(self) -> tuple[str, str]:
        """What samples are, and what intervals resample."""
        return self.fact("counted") or "samples", self.fact("interval", "over") or "people"

    @property
    def draws(self) -> dict[str, str]:
        """What pairs were drawn for -> hash of their names."""
        found = self.fact("draws")
        names = found if isinstance(found, dict) else {}
        return {name: str(self.fact("draws", name, "pairs_sha256")) for name in names}

    def comparable(self, other: Results) -> bool:
        """Whether the numbers of both may stand in one table: protocol, data, draws and judges are the same."""
        judges = [(name, "sha256") for name in ("classifier", "inception", "lpips", "labels")]
        paths = ("protocol",), ("seed",), ("data", "name"), ("data", "split"), ("modes",), *judges
        if any(self.fact(*path) != other.fact(*path) for path in paths):
            return False
        return all(self.draws[name] == other.draws[name] for name in self.draws.keys() & other.draws.keys())

    def to_json(self) -> str:
        """Everything, with the versions; the same evaluation gives the same text."""
        versions = {"lomit": __version__, "torch": torch.__version__, "numpy": np.__version__}
        values = {"schema": SCHEMA, **self.facts, "versions": versions | {"python": platform.python_version()}}
        values |= {"notes": list(self.notes), "results": [dataclasses.asdict(row) for row in self.rows]}
        return json.dumps(values, indent=2, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """One table a section, in Markdown that also reads well in a terminal; no heading, no trailing newline."""
        parts = []
        for section in dict.fromkeys(row.section for row in self.rows):
            rows = [row for row in self.rows if row.section == section]
            columns = list(dict.fromkeys(column for row in rows for column in row.cells))
            quoted = list(dict.fromkeys(method for row in rows for method in row.quoted))
            heads = [*(COLUMNS[column] for column in columns), *(f"{method} (paper)" for method in quoted)]
            lines = [[section, *heads, *self.counts]]
            for row in rows:
                first = next(iter(row.cells.values()))
                theirs = [f"{row.quoted[m]:.{row.digits}f}" if m in row.quoted else NONE for m in quoted]
                ours = [row.text(column) for column in columns]
                lines.append([row.title, *ours, *theirs, str(first.samples), str(first.people)])
            parts.append(markdown_table(lines))
        flags = [f"{FLAGGED} {flag}" for flag in dict.fromkeys(row.flag for row in self.rows if row.flag)]
        parts.append("\n".join(f"- {note}" for note in (*flags, *self.notes)))
        return "\n\n".join(parts)


def interval_facts(over: str) -> dict[str, object]:
    """What the intervals are, for the facts; `over` is what they resample."""
    return {"level": LEVEL, "method": "percentile bootstrap", "over": over, "resamples": RESAMPLES}


def read_results(path: Path) -> Results:
    """Reads a results.json.

    Raises LomitError where it can't be read, is of another schema or not what `lomit evaluate` writes.
    """
    values = read_numbers(path)
    if values.get("schema") != SCHEMA:
        raise LomitError(f"{path} has the schema {values.get('schema')}; this lomit reads {SCHEMA}: evaluate again")
    entries, notes = values.pop("results", None), values.pop("notes", [])
    if not isinstance(entries, list) or not isinstance(notes, list):
        raise LomitError(f"{path} is not what lomit evaluate writes: it needs the lists 'results' and 'notes'")
    rows = []
    for k, entry in enumerate(entries, start=1):
        where = f"{path}: result {k}"
        row = from_dict(Row, entry, where)
        rows.append(row)
        if not row.cells:
            raise LomitError(f"{where} has no cells")
        if not 0 <= row.digits <= MOST_DIGITS:
            raise LomitError(f"{where}: 'digits' must lie between 0 and {MOST_DIGITS}, not {row.digits}")
        for column, estimate in row.cells.items():
            if column not in COLUMNS:
                raise LomitError(f"{path} has a column '{column}'; known: {', '.join(COLUMNS)}")
            if min(estimate.samples, estimate.people) < 0:
                raise LomitError(f"{where}.cells.{column}: 'samples' and 'people' must not be negative")
    return Results(values, [str(note) for note in notes], rows)


def read_numbers(path: Path) -> dict[str, Any]:
    """A JSON object from a file of results.

    Raises LomitError as `read_json`, and where it holds NaN or a number beyond all bounds.
    """

    def integer(text: str) -> int:
        if len(text) > MOST_DIGITS:
            raise ValueError(f"a number of {len(text)} digits; {MOST_DIGITS} are the most")
        return int(text)

    def finite(text: str) -> float:
        if not math.isfinite(value := float(text)):
            raise ValueError(f"{text[:MOST_DIGITS]} is too large")
        return value

    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number in JSON")

    return read_json(path, parse_int=integer, parse_float=finite, parse_constant=constant)
