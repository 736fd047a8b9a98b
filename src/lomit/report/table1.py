"""Table 1: inception score and classification accuracy, the paper's column beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lomit.evaluation.classes import METHODS, TABLE_1, papers_name
from lomit.evaluation.results import FLAGGED, Results, Row
from lomit.report.blocks import Block, Cell, Content, Head, Notes, Table, counted, number
from lomit.stats.text import NONE

MEASURES = {"ca": "ca", "accuracy": "ca", "is": "is"}
"""Measures that belong into the table -> which of its two columns; `avatars` has the accuracy of single attributes."""
OURS = {"is": ("IS",), "ca": ("CA, %", "floor", "ceiling")}
"""Our columns for each of them."""

Scores = dict[str, Row]
"""`ca` or `is` -> the row of a class."""


def classes_of(evaluations: Iterable[Results]) -> dict[str, Scores]:
    """The rows of one model that belong into Table 1, by the paper's name of the class; those of the protocol `table1`
    before others."""
    found: dict[str, Scores] = {}
    for results in sorted(evaluations, key=lambda results: results.fact("protocol") != "table1"):
        for row in results.rows:
            if row.measure in MEASURES:
                found.setdefault(papers_name(row.of), {}).setdefault(MEASURES[row.measure], row)
    return found


def table_1(evaluations: Sequence[tuple[str, Results]]) -> list[Block]:
    """The table with its notes; nothing where no evaluation has a row for it.

    Args:
        evaluations: labels and results; a label may have several.
    """
    labels = dict.fromkeys(label for label, _ in evaluations)
    found = {label: classes_of(results for other, results in evaluations if other == label) for label in labels}
    ours = {label: classes for label, classes in found.items() if classes}
    if not ours:
        return []
    over = {label: next(r.counts[1] for other, r in evaluations if other == label) for label in ours}
    columns = {label: [m for m in OURS if any(m in s for s in classes.values())] for label, classes in ours.items()}
    header: list[list[Head | str]] = [
        [
            Head("class", rows=2),
            *(Head(f"{method}, paper", 2) for method in METHODS),
            *(Head(label, sum(len(OURS[m]) for m in measures)) for label, measures in columns.items()),
        ],
        [
            *(text for _ in METHODS for text in ("IS", "CA, %")),
            *(text for measures in columns.values() for m in measures for text in OURS[m]),
        ],
    ]
    rows: list[list[Content]] = []
    for name in dict.fromkeys([*TABLE_1, *(name for classes in ours.values() for name in classes)]):
        cells = [
            c for label in ours for m in columns[label] for c in _ours(ours[label].get(name, {}).get(m), m, over[label])
        ]
        rows.append([name, *_paper(name), *cells])
    return [Table("Table 1: inception score (IS) and classification accuracy (CA)", header, rows), _notes(ours)]


def _paper(name: str) -> list[Content]:
    if name not in TABLE_1:
        return [NONE] * (2 * len(METHODS))
    printed = TABLE_1[name].values()
    return [c for p in printed for c in (Cell(f"{p.score:.4f}", (f"std {p.std:.2f}",)), f"{p.accuracy:.1f}")]


def _ours(row: Row | None, measure: str, over: str) -> list[Content]:
    """The score; for the accuracy also what bounds it."""
    if row is None or "model" not in row.cells:
        return [NONE] * len(OURS[measure])
    found, mark = row.cells["model"], f" {FLAGGED}" if row.flag else ""
    cells = [number(found, row.digits, (counted(found, over),), mark)]
    bounds = (row.cells.get(column) for column in OURS[measure][1:])
    return [*cells, *(NONE if b is None or b.value is None else f"{b.value:.{row.digits}f}" for b in bounds)]


def _notes(ours: Mapping[str, Mapping[str, Scores]]) -> Notes:
    rows = {label: [row for scores in classes.values() for row in scores.values()] for label, classes in ours.items()}
    flags = dict.fromkeys(f"{FLAGGED} {row.flag}" for found in rows.values() for row in found if row.flag)
    sections = (f"{label}: {', '.join(dict.fromkeys(row.section for row in found))}" for label, found in rows.items())
    return Notes([
        *flags,
        "The paper's columns are its Table 1 (CelebA, 2,000 test images; IS with its standard deviation over images). "
        "Its classifier and its data are not ours: they are context. Ours are to be held against the floor (the "
        "untranslated input), the ceiling (the exemplar itself) and the other methods on this page.",
        "IS: mean of KL(p(y|x) || p(y)) in nats, not exponentiated. CA: translations in which the classifier finds all "
        "of the exemplar's attributes of the class, over pairs that differ in it. Below a number: its 95 % interval, "
        "which resamples people where they are known, and its counts.",
        f"Measures by their full names: {'; '.join(sections)}.",
    ])  # fmt: skip
