"""Every measure of the evaluations side by side, and the table of ablations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lomit.config import ModelConfig
from lomit.evaluation.results import FLAGGED, Row
from lomit.models.lomit.ablations import ablations_of
from lomit.models.lomit.config import LomitConfig
from lomit.report.cells import cell, sample_count
from lomit.report.markup import Content, Html, items, join, paragraph, table, tag
from lomit.report.results import MODEL, PLAIN, Results
from lomit.stats.bootstrap import Estimate

TELLING = (
    ("attribute accuracy, %", "changed, each"),
    ("background kept", "change outside target, above floor"),
    ("background kept", "SSIM outside target"),
    ("masks", "IoU with target"),
    ("masks", "mask area (ceiling: the region's)"),
)
"""Columns of the ablations' table (section, name): style moved, the rest kept, masks found."""


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


def measures(evaluations: Evaluations) -> Html:
    """All rows of all evaluations, one table for each group that can be compared."""
    groups = comparable(evaluations)
    parts: list[Content] = []
    if len(groups) > 1:
        parts.append(
            paragraph(
                "Numbers in different tables can't be compared: protocol, pairs or classifier differ.", class_="warning"
            )
        )
    for group in groups:
        first = next(iter(group.values()))
        columns = _columns(group)
        rows: list[list[Content]] = []
        for section, names in _sections(group.values()).items():
            rows.append([section])
            for name in names:
                found = {label: _find(results, section, name) for label, results in group.items()}
                some = next(row for row in found.values() if row is not None)
                told = f"{name}, {some.unit}" if some.unit and some.unit not in section else name
                flag = next((row.flag for row in found.values() if row is not None and row.flag), "")
                rows.append([
                    f"{told} {FLAGGED}" if flag else told,
                    *(cell(_cell(found[label], column), some.digits) for label, column in columns),
                    _counts(found.values()),
                ])  # fmt: skip
        header = ["measure", *(label if column == MODEL else f"{label}: {column}" for label, column in columns), "of"]
        caption = f"{', '.join(group)} by the protocol {first.fact('protocol')}"
        parts.append(table(caption, [header], rows, class_="wrap"))
        flags = [f"{FLAGGED} {row.flag}" for results in group.values() for row in results.rows if row.flag]
        notes = dict.fromkeys([*flags, *(note for results in group.values() for note in results.notes)])
        parts.append(tag("div", items(notes), class_="notes"))
    return join(parts)


def ablations(evaluations: Evaluations, configs: Mapping[str, ModelConfig | None]) -> Html | None:
    """A row for the full method and for each ablation that was evaluated beside it; None where none was.

    Args:
        evaluations: what was measured.
        configs: label -> the config of what was evaluated; None where it is not known.
    """
    parts: list[Content] = []
    for group in comparable(evaluations):
        known = {label: (r, c) for label, r in group.items() if isinstance(c := configs.get(label), LomitConfig)}
        entries = [(label, results, [a.description for a in ablations_of(c)]) for label, (results, c) in known.items()]
        if not any(changes for _, _, changes in entries):
            continue
        found = {key for results in group.values() for row in results.rows if (key := (row.section, row.name))}
        wanted = [key for key in TELLING if key in found]
        rows: list[list[Content]] = []
        for label, results, changes in sorted(entries, key=lambda entry: bool(entry[2])):
            rows.append(_ablated("; ".join(changes) or "full", label, results, wanted, MODEL))
            if not changes and any(PLAIN in row.cells for row in results.rows):
                rows.append(_ablated("full, m = 1 given when translating", label, results, wanted, PLAIN))
        header = ["variant", "model", *(_named(group, key) for key in wanted), "of"]
        parts.append(table("Ablations: the full method and what one change does", [header], rows, class_="wrap"))
    if not parts:
        return None
    parts.append(
        paragraph(
            "A row is a model of its own, trained with that one change, except where m = 1 is given to the full "
            "model. One run each: differences between runs of another seed are not in the intervals, which resample "
            "people.",
            class_="notes",
        )
    )
    return join(parts)


def _ablated(
    variant: str, label: str, results: Results, wanted: Sequence[tuple[str, str]], column: str
) -> list[Content]:
    rows = [_find(results, *key) for key in wanted]
    values = [cell(_cell(row, column), row.digits if row is not None else 0) for row in rows]
    return [variant, label, *values, _counts(rows)]


def _named(group: Mapping[str, Results], key: tuple[str, str]) -> str:
    row = next(row for results in group.values() if (row := _find(results, *key)) is not None)
    section = row.section.partition(",")[0]
    return f"{section}: {row.name}{f', {row.unit}' if row.unit else ''}"


def _sections(evaluations: Iterable[Results]) -> dict[str, list[str]]:
    """Section -> names of its measures, in the order in which they first stand."""
    found: dict[str, dict[str, None]] = {}
    for results in evaluations:
        for row in results.rows:
            found.setdefault(row.section, {})[row.name] = None
    return {section: list(names) for section, names in found.items()}


def _columns(group: Mapping[str, Results]) -> list[tuple[str, str]]:
    """Label and column of each value in a row: every model first, then what each is held against."""
    found = {label: list(dict.fromkeys(c for row in r.rows for c in row.cells)) for label, r in group.items()}
    models = [(label, MODEL) for label, columns in found.items() if MODEL in columns]
    return models + [(label, column) for label, columns in found.items() for column in columns if column != MODEL]


def _find(results: Results, section: str, name: str) -> Row | None:
    return next((row for row in results.rows if (row.section, row.name) == (section, name)), None)


def _cell(row: Row | None, column: str) -> Estimate | None:
    return None if row is None else row.cells.get(column)


def _counts(rows: Iterable[Row | None]) -> str:
    cells = (estimate for row in rows if row is not None for estimate in row.cells.values())
    return next((sample_count(estimate) for estimate in cells), "")
