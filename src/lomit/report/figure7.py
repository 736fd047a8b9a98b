"""Figure 7: the user study, from a file of counts; docs/report.md has its form.

`lomit study analyse` writes such a file, and adds to each entry `people`, the share's 95 % interval (0..1) over
participants, and `p`, of the test that both are chosen alike, participants being the unit, corrected for the number of
questions; and `excluded`, how many participants do not count.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from lomit.config import from_dict
from lomit.errors import LomitError
from lomit.evaluation.results import read_numbers
from lomit.report.parts import Cell, Content, PagePart, PageTable, Paragraph, between
from lomit.stats.estimate import MARK, NONE, wilson

PAPER_REALISM = (("LOMIT", 25.6), ("DRIT", 12.3), ("MUNIT", 11.5))
"""Share of translations taken for more realistic than a photograph, in percent (the paper's Figure 7 a)."""
PAPER_COMPARISONS = (
    ("Which one has better applied the style to the image?", ((67.7, 32.3), (66.3, 33.7))),
    ("Which one has better kept the background unchanged?", ((95.7, 4.3), (96.7, 3.2))),
)
"""LOMIT against a rival, in percent (Figure 7 b); which row is DRIT and which MUNIT is lost in the paper's text."""


@dataclass(frozen=True)
class OverPeople:
    """What takes answers of one participant for alike; see above.  None: it was not computed."""

    people: tuple[float, float] | None = None
    p: float | None = None

    def __post_init__(self) -> None:
        shares = (*(self.people or ()), *(() if self.p is None else (self.p,)))
        if not all(0 <= share <= 1 for share in shares):
            raise LomitError(f"'people' and 'p' must lie between 0 and 1, not {', '.join(f'{s:g}' for s in shares)}")


@dataclass(frozen=True, kw_only=True)
class Realism(OverPeople):
    """How often a model's translations were chosen over a photograph."""

    model: str
    chosen: int
    shown: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.chosen <= self.shown:
            raise LomitError(
                f"'{self.model}' can't be chosen {self.chosen} times where it was shown {self.shown} times"
            )


@dataclass(frozen=True, kw_only=True)
class Comparison(OverPeople):
    """One question about two models: how many answers each of them got."""

    question: str
    models: tuple[str, str]
    chosen: tuple[int, int]

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.chosen) < 0:
            raise LomitError(f"'chosen' must not be negative, as it is of {' and '.join(self.models)}")


@dataclass(frozen=True, kw_only=True)
class StudyCounts:
    """The file."""

    simulated: bool
    participants: int
    realism: tuple[Realism, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    excluded: int = 0

    def __post_init__(self) -> None:
        if min(self.participants, self.excluded) < 0:
            raise LomitError("'participants' and 'excluded' must not be negative")


def read_study(path: Path) -> StudyCounts:
    """Reads the JSON file.  Raises LomitError where it is not as described above, or does not say whether its answers
    are simulated.
    """
    values = read_numbers(path)
    if values.get("study") != 1:
        raise LomitError(f"{path}: 'study' must be 1, the version of the format")
    if not isinstance(values.get("simulated"), bool):
        raise LomitError(f"{path}: 'simulated' must be true or false: say whether people gave the answers")
    known = {f.name for f in dataclasses.fields(StudyCounts)}  # an analysis holds more
    return from_dict(StudyCounts, {key: value for key, value in values.items() if key in known}, str(path))


def figure_7(study: StudyCounts) -> list[PagePart]:
    """Our answers beside the paper's."""
    analysed = any(a.people is not None or a.p is not None for a in (*study.realism, *study.comparisons))

    def row(name: str, hits: int, answers: int, over: OverPeople) -> list[Content]:
        named = Cell(name, (MARK,), "simulated") if study.simulated else name
        return [named, _share(hits, answers), *(_over_people(over) if analysed else []), str(answers)]

    def paper(name: str, value: str) -> list[Content]:
        return [name, value, *([NONE, NONE] if analysed else []), NONE]

    rows: list[list[Content]] = [["Realism: chosen over a photograph, %"]]
    rows += [row(r.model, r.chosen, r.shown, r) for r in study.realism]
    rows += [paper(f"{model}, paper", f"{value:.1f}") for model, value in PAPER_REALISM]
    for question in dict.fromkeys([*(c.question for c in study.comparisons), *(q for q, _ in PAPER_COMPARISONS)]):
        rows.append([f"{question} (%)"])
        for c in (c for c in study.comparisons if c.question == question):
            rows.append(row(f"{c.models[0]} : {c.models[1]}", c.chosen[0], sum(c.chosen), c))
        for ours, theirs in dict(PAPER_COMPARISONS).get(question, ()):
            rows.append(paper("LOMIT : a rival, paper", f"{ours:.1f} : {theirs:.1f}"))
    mark = f"These answers are {MARK}." if study.simulated else ""
    who = f"{study.participants} {'simulated participants' if study.simulated else 'participants'}"
    who += f"; {study.excluded} more are not counted." if study.excluded else "."
    header = ["", "share", *(["over participants", "p"] if analysed else []), "answers"]
    note = (
        "Below a share: its 95 % Wilson interval, of the first model where two are compared; answers of one person are "
        "counted as independent. "
    )
    if analysed:
        note += (
            "Over participants: the 95 % interval that resamples people, and p of the test that both are chosen alike, "
            "with people as the unit, corrected for the number of questions. "
        )
    note += "The paper's text does not tell which row of a question is DRIT and which MUNIT."
    return [
        Paragraph((who,), "warning" if study.simulated else "", mark),
        PageTable("Figure 7: user study", [header], rows),
        Paragraph((note,), "notes"),
    ]


def _over_people(over: OverPeople) -> list[Content]:
    """Two cells."""
    p = NONE if over.p is None else "< 0.0001" if over.p < 0.0001 else f"{over.p:.4f}"
    return [NONE if over.people is None else _percent(over.people), p]


def _share(hits: int, trials: int) -> Content:
    return Cell(f"{100 * hits / trials:.1f}", (_percent(wilson(hits, trials)),)) if trials else NONE


def _percent(ends: tuple[float, float]) -> str:
    return between(100 * ends[0], 100 * ends[1], 1)
