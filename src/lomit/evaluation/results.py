"""Numbers with their intervals as JSON and as a table that a person reads."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lomit import __version__
from lomit.stats.bootstrap import LEVEL, RESAMPLES, Estimate

SCHEMA = 1
"""Raised when the layout of the JSON changes."""
FLAGGED = "†"
"""Mark of a row that no claim can rest on."""


@dataclass(frozen=True)
class Row:
    """One measure, for everything it was taken of.

    Attributes:
        section: heading that it stands under.
        name: what is measured.
        unit: `%`, `0..255` or empty for shares and indices.
        digits: after the point, in the table.
        cells: column (`model`, `m = 1`, `floor`, `ceiling`) -> estimate.
        quoted: column -> a number that somebody else published, to be read beside ours.
        flag: why no claim can rest on the row; empty where nothing is known against it.
    """

    section: str
    name: str
    unit: str
    digits: int
    cells: dict[str, Estimate]
    quoted: dict[str, float] = field(default_factory=dict)
    flag: str = ""


@dataclass
class Report:
    """What an evaluation found.

    Attributes:
        facts: what decides the numbers: protocol, model, classifier, data, seed, ...
        notes: how they are defined, one sentence or two each.
        rows: the numbers.
        counted: what the samples of a number are, for the table's heading.
    """

    facts: dict[str, Any]
    notes: Sequence[str]
    rows: list[Row] = field(default_factory=list)
    counted: str = "pairs"

    def to_json(self) -> str:
        """Everything, with the versions; the same evaluation gives the same text."""
        versions = {"lomit": __version__, "torch": torch.__version__, "numpy": np.__version__}
        versions["python"] = platform.python_version()
        values = {
            "schema": SCHEMA,
            **self.facts,
            "interval": {"level": LEVEL, "method": "percentile bootstrap over people", "resamples": RESAMPLES},
            "versions": versions,
            "notes": list(self.notes),
            "results": [
                {
                    "section": row.section,
                    "name": row.name,
                    "unit": row.unit,
                    **{column: dataclasses.asdict(cell) for column, cell in row.cells.items()},
                    **({"quoted": row.quoted} if row.quoted else {}),
                    **({"flag": row.flag} if row.flag else {}),
                }
                for row in self.rows
            ],
        }
        return json.dumps(values, indent=2, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """One table a section, in Markdown that also reads well in a terminal; no heading, no trailing newline."""
        parts = []
        for section in dict.fromkeys(row.section for row in self.rows):
            rows = [row for row in self.rows if row.section == section]
            columns = list(dict.fromkeys(column for row in rows for column in row.cells))
            quoted = list(dict.fromkeys(column for row in rows for column in row.quoted))
            lines = [[section, *columns, *quoted, self.counted, "people"]]
            for row in rows:
                first = next(iter(row.cells.values()))
                name = f"{row.name}, {row.unit}" if row.unit and row.unit not in section else row.name
                lines.append([
                    f"{name} {FLAGGED}" if row.flag else name,
                    *(_cell(row.cells.get(column), row.digits) for column in columns),
                    *(f"{row.quoted[column]:.{row.digits}f}" if column in row.quoted else "–" for column in quoted),
                    str(first.samples),
                    str(first.people),
                ])  # fmt: skip
            parts.append(markdown_table(lines))
        flags = [f"{FLAGGED} {flag}" for flag in dict.fromkeys(row.flag for row in self.rows if row.flag)]
        parts.append("\n".join(f"- {note}" for note in (*flags, *self.notes)))
        return "\n\n".join(parts)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first being the header, with every column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def _cell(estimate: Estimate | None, digits: int) -> str:
    if estimate is None or estimate.value is None:
        return "–"
    value = f"{estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
