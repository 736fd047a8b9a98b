"""Figure 7: the user study, from answers that were given.

The answers are one JSON file of counts:

    {
      "study": 1,
      "simulated": false,
      "participants": 12,
      "realism": [{"model": "ours", "chosen": 31, "shown": 120}],
      "comparisons": [
        {"question": "Which one has better applied the style?", "models": ["ours", "DRIT"], "chosen": [80, 40]}
      ]
    }

`realism`: how often a translation was taken for more realistic than the photograph beside it.  `simulated` must be
told: answers of a program are marked wherever they stand.  `lomit study analyse` writes such a file, and adds to each
entry `people`, the share's 95 % interval (0..1) over participants, and `p`, of the test that both are chosen alike,
participants being the unit, corrected for the number of questions; and `excluded`, how many participants do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lomit.errors import LomitError
from lomit.report.markup import Content, Html, join, paragraph, table, tag
from lomit.report.results import count, number, read_json
from lomit.stats.proportions import MARK, wilson

PAPER_REALISM = (("LOMIT", 25.6), ("DRIT", 12.3), ("MUNIT", 11.5))
"""Share of translations taken for more realistic than a photograph, in percent (the paper's Figure 7 a)."""
PAPER_COMPARISONS = (
    ("Which one has better applied the style to the image?", ((67.7, 32.3), (66.3, 33.7))),
    ("Which one has better kept the background unchanged?", ((95.7, 4.3), (96.7, 3.2))),
)
"""LOMIT against a rival, in percent (Figure 7 b); which row is DRIT and which MUNIT is lost in the paper's text."""
_PEOPLE: dict[str, int | None] = {"participants": None, "excluded": 0}
"""Numbers of participants in the file; what they are where they are not told."""


@dataclass(frozen=True)
class OverPeople:
    """What takes answers of one participant for alike, where it was told.

    Attributes:
        interval: 95 % interval of the share, in [0, 1].
        p: of the test that both are chosen alike.
    """

    interval: tuple[float, float] | None = None
    p: float | None = None


@dataclass(frozen=True)
class Realism:
    """How often a model's translations were chosen over a photograph."""

    model: str
    chosen: int
    shown: int
    people: OverPeople = OverPeople()


@dataclass(frozen=True)
class Comparison:
    """One question about two models: how many answers each of them got."""

    question: str
    models: tuple[str, str]
    chosen: tuple[int, int]
    people: OverPeople = OverPeople()


@dataclass(frozen=True)
class Study:
    """Counted answers.

    Attributes:
        simulated: a program gave them.
        participants: how many are counted.
        realism: each model beside photographs.
        comparisons: questions about two models.
        excluded: how many took part beside them and are not counted.
    """

    simulated: bool
    participants: int
    realism: Sequence[Realism]
    comparisons: Sequence[Comparison]
    excluded: int = 0


def read_study(path: Path) -> Study:
    """Reads the JSON file.

    Raises:
        LomitError: where it is not as described above, or does not say whether its answers are simulated.
    """
    values = read_json(path)
    if values.get("study") != 1:
        raise LomitError(f"{path}: 'study' must be 1, the version of the format")
    if not isinstance(values.get("simulated"), bool):
        raise LomitError(f"{path}: 'simulated' must be true or false: say whether people gave the answers")
    realism = [_realism(e, f"{path}: realism {k}") for k, e in enumerate(_list(values, "realism", path), start=1)]
    entries = enumerate(_list(values, "comparisons", path), start=1)
    comparisons = [_comparison(entry, f"{path}: comparison {k}") for k, entry in entries]
    participants, excluded = (count(values.get(k, least), f"{path}: {k}") for k, least in _PEOPLE.items())
    return Study(values["simulated"], participants, realism, comparisons, excluded)


def _list(values: dict[str, Any], key: str, path: Path) -> list[Any]:
    entries = values.get(key, [])
    if not isinstance(entries, list):
        raise LomitError(f"{path}: '{key}' must be a list")
    return entries


def _over_people(entry: dict[str, Any], where: str) -> OverPeople:
    two, p = entry.get("people"), entry.get("p")
    if two is not None and (not isinstance(two, list) or len(two) != 2):
        raise LomitError(f"{where}: 'people' must be the two ends of an interval")
    ends = None if two is None else [number(end, f"{where}, 'people'", 0, 1) for end in two]
    return OverPeople(
        None if ends is None else (ends[0], ends[1]), None if p is None else number(p, f"{where}, 'p'", 0, 1)
    )


def _realism(entry: Any, where: str) -> Realism:
    if not isinstance(entry, dict) or not isinstance(entry.get("model"), str):
        raise LomitError(f"{where} needs 'model', 'chosen' and 'shown'")
    chosen, shown = count(entry.get("chosen"), f"{where}, 'chosen'"), count(entry.get("shown"), f"{where}, 'shown'")
    if chosen > shown:
        raise LomitError(f"{where}: chosen {chosen} times, but shown only {shown} times")
    return Realism(entry["model"], chosen, shown, _over_people(entry, where))


def _comparison(entry: Any, where: str) -> Comparison:
    if not isinstance(entry, dict) or not isinstance(entry.get("question"), str):
        raise LomitError(f"{where} needs 'question', 'models' and 'chosen'")
    models, chosen = entry.get("models"), entry.get("chosen")
    if not isinstance(models, list) or len(models) != 2 or not all(isinstance(name, str) for name in models):
        raise LomitError(f"{where}: 'models' must be two names")
    if not isinstance(chosen, list) or len(chosen) != 2:
        raise LomitError(f"{where}: 'chosen' must be two counts")
    first, second = (count(value, f"{where}, 'chosen'") for value in chosen)
    return Comparison(entry["question"], (models[0], models[1]), (first, second), _over_people(entry, where))


def figure_7(study: Study) -> Html:
    """Our answers beside the paper's."""
    over_people = [*(r.people for r in study.realism), *(c.people for c in study.comparisons)]
    told = any(people != OverPeople() for people in over_people)

    def row(name: Content, hits: int, answers: int, people: OverPeople) -> list[Content]:
        return [name, _share(hits, answers), *(_people(people) if told else []), str(answers)]

    def paper(name: str, value: str) -> list[Content]:
        return [name, value, *(["–", "–"] if told else []), "–"]

    rows: list[list[Content]] = [["Realism: chosen over a photograph, %"]]
    rows += [row(_named(study, r.model), r.chosen, r.shown, r.people) for r in study.realism]
    rows += [paper(f"{model}, paper", f"{value:.1f}") for model, value in PAPER_REALISM]
    for question in dict.fromkeys([*(c.question for c in study.comparisons), *(q for q, _ in PAPER_COMPARISONS)]):
        rows.append([f"{question} (%)"])
        for c in (c for c in study.comparisons if c.question == question):
            rows.append(row(_named(study, f"{c.models[0]} : {c.models[1]}"), c.chosen[0], sum(c.chosen), c.people))
        for ours, theirs in dict(PAPER_COMPARISONS).get(question, ()):
            rows.append(paper("LOMIT : a rival, paper", f"{ours:.1f} : {theirs:.1f}"))
    marks = [tag("strong", f"These answers are {MARK}. ", class_="simulated")] if study.simulated else []
    who = f"{study.participants} {'simulated participants' if study.simulated else 'participants'}"
    who += f"; {study.excluded} more are not counted." if study.excluded else "."
    header: list[Content] = ["", "share", *(["over participants", "p"] if told else []), "answers"]
    return join([
        paragraph(*marks, who, class_="warning" if study.simulated else None),
        table("Figure 7: user study", [header], rows),
        paragraph(
            "Below a share: its 95 % Wilson interval, of the first model where two are compared; answers of one "
            "person are counted as independent. "
            + (
                "Over participants: the 95 % interval that resamples people, and p of the test that both are chosen "
                "alike, with people as the unit, corrected for the number of questions. "
                if told
                else ""
            )
            + "The paper's text does not tell which row of a question is DRIT and which MUNIT.",
            class_="notes",
        ),
    ])  # fmt: skip


def _people(people: OverPeople) -> list[Content]:
    """Two cells."""
    two = people.interval
    p = "–" if people.p is None else "< 0.0001" if people.p < 0.0001 else f"{people.p:.4f}"
    return ["–" if two is None else f"{100 * two[0]:.1f} to {100 * two[1]:.1f}", p]


def _named(study: Study, model: str) -> Content:
    return join([model, tag("span", MARK, class_="interval simulated")]) if study.simulated else model


def _share(hits: int, trials: int) -> Content:
    if not trials:
        return "–"
    low, high = wilson(hits, trials)
    return join([f"{100 * hits / trials:.1f}", tag("span", f"{100 * low:.1f} to {100 * high:.1f}", class_="interval")])
