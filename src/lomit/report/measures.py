"""Every measure of the evaluations side by side, and the table of ablations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lomit.config import ModelConfig
from lomit.evaluation.results import COLUMNS, FLAGGED, Results, Row
from lomit.models.lomit.ablations import ablations_of
from lomit.models.lomit.config import LomitConfig
from lomit.report.blocks import Block, Content, Notes, Paragraph, Table, counted, number
from lomit.stats.text import NONE

TELLING = (("changed_each", ""), ("change_target_above", ""), ("ssim", ""), ("iou", ""), ("area", ""))
"""Columns of the ablations' table (measure, of): style moved, the rest kept, masks found."""

Evaluations = Sequence[tuple[str, Results]]
"""Labels and results; a label may have several, of other protocols."""


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


def measures(evaluations: Evaluations) -> list[Block]:
    """All rows of all evaluations, one table for each group that can be compared."""
    groups, parts = comparable(evaluations), list[Block]()
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
        parts.append(Table(f"{', '.join(group)} by the protocol {protocol}", [header], rows, "wrap"))
        flags = [f"{FLAGGED} {row.flag}" for results in group.values() for row in results.rows if row.flag]
        parts.append(Notes([*dict.fromkeys([*flags, *(note for r in group.values() for note in r.notes)])]))
    return parts


def ablations(evaluations: Evaluations, configs: Mapping[str, ModelConfig | None]) -> list[Block]:
    """A row for the full method and for each ablation that was evaluated beside it; nothing where none was.

    Args:
        evaluations: what was measured.
        configs: label -> the config of what was evaluated; None where it is not known.
    """
    parts: list[Block] = []
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
            Table(
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
