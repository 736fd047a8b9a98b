"""Tables of the evaluations: Table 1, every measure side by side, ablations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lomit.config import ModelConfig
from lomit.evaluation.classes import METHODS, TABLE_1, papers_name
from lomit.evaluation.results import COLUMNS, FLAGGED, Results, Row
from lomit.models.lomit.config import LomitConfig
from lomit.models.lomit.presets import ablations_of
from lomit.report.parts import Cell, Content, Head, Notes, PagePart, PageTable, Paragraph, counted, number
from lomit.stats.estimate import NONE

Evaluations = Sequence[tuple[str, Results]]
"""Labels and results; a label may have several, of other protocols."""
OF_TABLE_1 = {"ca": "ca", "accuracy": "ca", "is": "is"}
"""Measures that belong into the table -> which of its two columns; `avatars` has the accuracy of single attributes."""
OURS = {"is": ("IS",), "ca": ("CA, %", "floor", "ceiling")}
"""Our columns for each of them."""

Scores = dict[str, Row]
"""`ca` or `is` -> the row of a class."""
TELLING = (("changed_each", ""), ("change_target_above", ""), ("ssim", ""), ("iou", ""), ("area", ""))
"""Columns of the ablations' table (measure, of): style moved, the rest kept, masks found."""


def classes_of(evaluations: Iterable[Results]) -> dict[str, Scores]:
    """The rows of one model that belong into Table 1, by the paper's name of the class; those of the protocol `table1`
    before others."""
    found: dict[str, Scores] = {}
    for results in sorted(evaluations, key=lambda results: results.fact("protocol") != "table1"):
        for row in results.rows:
            if row.measure in OF_TABLE_1:
                found.setdefault(papers_name(row.of), {}).setdefault(OF_TABLE_1[row.measure], row)
    return found


def table_1(evaluations: Evaluations) -> list[PagePart]:
    """The table with its notes; nothing where no evaluation has a row for it."""
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
    return [
        PageTable("Table 1: inception score (IS) and classification accuracy (CA)", header, rows),
        _table_1_notes(ours),
    ]


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


def _table_1_notes(ours: Mapping[str, Mapping[str, Scores]]) -> Notes:
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


def comparable(evaluations: Evaluations) -> list[dict[str, Results]]:
    """The evaluations in groups whose numbers may be compared, each a mapping from label to results."""
    groups: list[dict[str, Results]] = []
    for label, results in evaluations:
        for group in groups:
            if label not in group and all(results.comparable(other) for other in group.values()):
                group[label] = results
                break
        else:
            groups.append({label: results})
    return groups


def measures(evaluations: Evaluations) -> list[PagePart]:
    """All rows of all evaluations, one table for each group that can be compared."""
    groups, parts = comparable(evaluations), list[PagePart]()
    if len(groups) > 1:
        text = "Numbers in different tables can't be compared: protocol, pairs or classifier differ."
        parts.append(Paragraph((text,), "warning"))
    for group in groups:
        columns = _columns(group)
        sections: dict[str, dict[tuple[str, str], Row]] = {}
        for row in (row for results in group.values() for row in results.rows):
            sections.setdefault(row.section, {}).setdefault(row.key, row)
        rows: list[list[Content]] = []
        for section, found in sections.items():
            rows.append([section])
            for key, some in found.items():
                same = {label: results.row(*key) for label, results in group.items()}
                flagged = next((row for row in same.values() if row is not None and row.flag), some)
                rows.append([flagged.title, *(_cell(same[label], c) for label, c in columns), _counts(same, group)])
        header = ["measure", *(label if c == "model" else f"{label}: {COLUMNS[c]}" for label, c in columns), "of"]
        protocol = next(iter(group.values())).fact("protocol")
        parts.append(PageTable(f"{', '.join(group)} by the protocol {protocol}", [header], rows, "wrap"))
        flags = [f"{FLAGGED} {row.flag}" for results in group.values() for row in results.rows if row.flag]
        parts.append(Notes([*dict.fromkeys([*flags, *(note for r in group.values() for note in r.notes)])]))
    return parts


def ablations(evaluations: Evaluations, configs: Mapping[str, ModelConfig | None]) -> list[PagePart]:
    """A row for the full method and for each ablation that was evaluated beside it; nothing where none was.  `configs`
    has the labels' configs, where they are known.
    """
    parts: list[PagePart] = []
    for group in comparable(evaluations):
        known = {label: (r, c) for label, r in group.items() if isinstance(c := configs.get(label), LomitConfig)}
        entries = [(label, results, [a.description for a in ablations_of(c)]) for label, (results, c) in known.items()]
        if not any(changes for _, _, changes in entries):
            continue
        shown = {key: row for key in TELLING if (row := _first(r.row(*key) for r in group.values())) is not None}
        rows: list[list[Content]] = []
        for label, results, changes in sorted(entries, key=lambda entry: bool(entry[2])):
            variants = {"; ".join(changes) or "full": "model"}
            if not changes and any("plain" in row.cells for row in results.rows):
                variants["full, m = 1 given when translating"] = "plain"
            for variant, column in variants.items():
                found = {key: results.row(*key) for key in shown}
                rows.append([variant, label, *(_cell(row, column) for row in found.values()), _counts(found, group)])
        titles = [
            f"{row.section.partition(',')[0]}: {row.name}{f', {row.unit}' if row.unit else ''}"
            for row in shown.values()
        ]
        parts.append(
            PageTable(
                "Ablations: the full method and what one change does",
                [["variant", "model", *titles, "of"]],
                rows,
                "wrap",
            )
        )
    note = (
        "A row is a model of its own, trained with that one change, except where m = 1 is given to the full model. One "
        "run each: differences between runs of another seed are not in the intervals, which resample people."
    )
    return [*parts, Paragraph((note,), "notes")] if parts else []


def _columns(group: Mapping[str, Results]) -> list[tuple[str, str]]:
    """Label and column of each value in a row: every model first, then what each is held against."""
    found = {label: dict.fromkeys(c for row in r.rows for c in row.cells) for label, r in group.items()}
    models = [(label, "model") for label, columns in found.items() if "model" in columns]
    return models + [(label, column) for label, columns in found.items() for column in columns if column != "model"]


def _cell(row: Row | None, column: str) -> Content:
    return NONE if row is None else number(row.cells.get(column), row.digits)


def _counts(rows: Mapping[Any, Row | None], group: Mapping[str, Results]) -> str:
    over = next(iter(group.values())).counts[1]
    cells = (estimate for row in rows.values() if row is not None for estimate in row.cells.values())
    return next((counted(estimate, over) for estimate in cells), "")


def _first(rows: Iterable[Row | None]) -> Row | None:
    return next((row for row in rows if row is not None), None)
