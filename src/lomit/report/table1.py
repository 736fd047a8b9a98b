"""Table 1: inception score and classification accuracy, the paper's column beside ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lomit.evaluation.classes import TABLE_1
from lomit.evaluation.results import FLAGGED
from lomit.report.cells import NONE, cell
from lomit.report.markup import Content, Html, items, join, table, tag
from lomit.report.results import CEILING, FLOOR, MODEL, Results
from lomit.stats.bootstrap import Estimate

METHODS = ("DRIT", "MUNIT", "LOMIT")
KINDS = {
    "Facial_Hair": "facial hair",
    "Goatee": "facial hair",
    "Mustache": "facial hair",
    "No_Beard": "facial hair",
    "Male": "gender",
    "Heavy_Makeup": "makeup",
    "Wearing_Lipstick": "wearing lipstick",
}
"""Attribute -> the paper's name for what it is about (5.3: facial hair is any of beard, goatee and mustache)."""
_MEASURE = re.compile(r"(?<![\w-])(CA|IS-raw)(-[\w.-]*\w)?(?!\w)")


@dataclass
class Found:
    """What an evaluation says about one class.

    Attributes:
        scores: `IS-raw` or `CA` -> column (`model`, `floor`, `ceiling`) -> estimate.
        names: `IS-raw` or `CA` -> the measure's whole name, the classifier's included.
        flag: why no claim can rest on them; empty where nothing is known against them.
    """

    scores: dict[str, Mapping[str, Estimate]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    flag: str = ""


def paper_class(name: str) -> str:
    """`Goatee + Male` -> `facial hair + gender`; attributes that the paper does not score keep their names."""
    parts = (part.strip() for part in name.split("+"))
    return " + ".join(dict.fromkeys(KINDS.get(part, part) for part in parts))


def classes_of(evaluations: Iterable[Results]) -> dict[str, Found]:
    """The rows of one model that belong into Table 1, by class; those of the protocol `table1` before others.

    A row belongs there if its name or its section's holds a measure `CA` or `IS-raw`, with the classifier's name after
    a hyphen (`lomit.metrics.features.named`); what is left of the name is the class, its attributes joined by ` + `.
    The protocol `avatars` has CA of single attributes under `attribute accuracy`.
    """
    found: dict[str, Found] = {}
    for results in sorted(evaluations, key=lambda results: results.fact("protocol") != "table1"):
        for row in results.rows:
            if "standard deviation" in row.section:
                continue
            match = _MEASURE.search(row.name) or _MEASURE.search(row.section)
            if match is not None:
                measure, whole = match.group(1), match.group(0)
                name = _MEASURE.sub("", row.name).strip(" ,:()%")
            elif row.section.startswith("attribute accuracy") and row.name in (
                results.fact("model", "attributes") or ()
            ):
                measure, whole, name = "CA", "CA", row.name
            else:
                continue
            entry = found.setdefault(paper_class(name), Found())
            if measure not in entry.scores:
                entry.scores[measure], entry.names[measure] = row.cells, whole
                entry.flag = entry.flag or row.flag
    return found


def table_1(evaluations: Sequence[tuple[str, Results]]) -> Html | None:
    """The table with its notes; None where no evaluation has a row for it.

    Args:
        evaluations: labels and results; a label may have several.
    """
    labels = dict.fromkeys(label for label, _ in evaluations)
    ours = {label: classes_of(results for other, results in evaluations if other == label) for label in labels}
    ours = {label: classes for label, classes in ours.items() if classes}
    if not ours:
        return None
    classes = list(dict.fromkeys([*TABLE_1, *(name for found in ours.values() for name in found)]))
    shown = {label: _columns(found) for label, found in ours.items()}
    header = [tag("th", "class", scope="col", rowspan=2)]
    header += [tag("th", f"{method}, paper", scope="colgroup", colspan=2) for method in METHODS]
    header += [tag("th", label, scope="colgroup", colspan=len(shown[label])) for label in ours]
    below = [tag("th", text, scope="col") for _ in METHODS for text in ("IS", "CA, %")]
    below += [tag("th", text, scope="col") for columns in shown.values() for text in columns]
    rows = [
        [name, *_paper(name), *(c for label, found in ours.items() for c in _ours(found.get(name), shown[label]))]
        for name in classes
    ]
    head = join([tag("tr", *header), tag("tr", *below)])
    return join([table("Table 1: inception score (IS) and classification accuracy (CA)", head, rows), _notes(ours)])


def _paper(name: str) -> list[Content]:
    if name not in TABLE_1:
        return [NONE] * (2 * len(METHODS))
    cells: list[Content] = []
    for method in METHODS:
        printed = TABLE_1[name][method]
        spread = tag("span", f"std {printed.std:.2f}", class_="interval")
        cells += [join([f"{printed.score:.4f}", spread]), f"{printed.accuracy:.1f}"]
    return cells


def _columns(found: Mapping[str, Found]) -> list[str]:
    """What an evaluation has a number for."""
    measures = {measure for entry in found.values() for measure in entry.scores}
    return ["IS"] * ("IS-raw" in measures) + ["CA, %", "floor", "ceiling"] * ("CA" in measures)


def _ours(found: Found | None, columns: Sequence[str]) -> list[Content]:
    """Inception score, accuracy, and what bounds the accuracy, as far as there are columns for them."""
    scores = found.scores if found is not None else {}
    accuracy, inception = scores.get("CA", {}), scores.get("IS-raw", {})
    cells = {"IS": cell(inception.get(MODEL), 4, counts=True), "CA, %": cell(accuracy.get(MODEL), 1, counts=True)}
    if found is not None and found.flag:
        cells = {
            name: content if content == NONE else join([content, f" {FLAGGED}"]) for name, content in cells.items()
        }
    cells |= {"floor": _plain(accuracy.get(FLOOR)), "ceiling": _plain(accuracy.get(CEILING))}
    return [cells[column] for column in columns]


def _plain(estimate: Estimate | None) -> Content:
    return NONE if estimate is None or estimate.value is None else f"{estimate.value:.1f}"


def _notes(ours: Mapping[str, Mapping[str, Found]]) -> Html:
    measures = []
    for label, found in ours.items():
        names = list(dict.fromkeys(name for entry in found.values() for name in entry.names.values()))
        measures.append(f"{label}: {', '.join(names)}")
    flags = dict.fromkeys(f"{FLAGGED} {e.flag}" for found in ours.values() for e in found.values() if e.flag)
    return tag(
        "div",
        items([
            *flags,
            "The paper's columns are its Table 1 (CelebA, 2,000 test images; IS with its standard deviation over "
            "images). Its classifier and its data are not ours: they are context. Ours are to be held against the "
            "floor (the untranslated input), the ceiling (the exemplar itself) and the other methods on this page.",
            "IS: mean of KL(p(y|x) || p(y)) in nats, not exponentiated. CA: translations in which the classifier "
            "finds all of the exemplar's attributes of the class, over pairs that differ in it. Below a number: its "
            "95 % interval, which resamples people, and its counts.",
            f"Measures by their full names: {'; '.join(measures)}.",
        ]),
        class_="notes",
    )  # fmt: skip
