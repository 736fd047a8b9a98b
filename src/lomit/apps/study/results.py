"""Answers beside the key: what was chosen, who is counted, how often; as rows, as CSV and for the owner's page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lomit.apps.study.definition import StudyDefinition, StudyFolder
from lomit.apps.study.design import REAL, SPOILT, Role, alternative
from lomit.apps.study.store import Answer, AnswerStore, Sort
from lomit.stats.estimate import MARK, wilson


@dataclass(frozen=True)
class Choice:
    """One answer with its meaning.

    Attributes:
        participant: number.
        list: of the participant.
        block, role: of the trial.
        pair: number of the pair of input and exemplar.
        chosen, other: what was chosen over what: a model's name, `real` or `spoilt`.
        answer: as it was given.
    """

    participant: int
    list: int
    block: str
    role: Role
    pair: int
    chosen: str
    other: str
    answer: Answer


@dataclass(frozen=True)
class Person:
    """One participant's answers.

    Attributes:
        id: number.
        finished: has answered everything.
        choices: all answers.
    """

    id: int
    finished: bool
    choices: tuple[Choice, ...]

    @property
    def checks(self) -> tuple[int, int]:
        """Attention checks answered rightly, and all of them that were answered."""
        found = [c for c in self.choices if c.role == "check"]
        return sum(c.other == SPOILT for c in found), len(found)

    def attentive(self, least: float) -> bool:
        """Whether at least this share of the attention checks was right; without any, yes."""
        right, all_ = self.checks
        return right >= least * all_ - 1e-9

    @property
    def main(self) -> list[Choice]:
        """The answers that count."""
        return [c for c in self.choices if c.role == "main"]


def people(folder: StudyFolder, store: AnswerStore, sort: Sort) -> list[Person]:
    """All who have answered anything, in the order they came."""
    # In this order: while the study is served, more may come between the two, and some may withdraw.
    answers = store.answers(sort)
    told = {p.id: p for p in store.participants(sort)}
    return [
        Person(who, told[who].state == "finished", tuple(_choices(folder, who, number, own)))
        for who, own in answers.items()
        if (number := told[who].list) is not None
    ]


def _choices(folder: StudyFolder, who: int, number: int, answers: Sequence[Answer]) -> Iterator[Choice]:
    for answer in answers:
        trial = folder.key.lists[number][answer.trial]
        chosen, other = (trial.left, trial.right) if answer.side == "left" else (trial.right, trial.left)
        pair = next(p.number for p in (chosen, other) if p.kind != REAL)
        yield Choice(who, number, trial.block, trial.role, pair, alternative(chosen), alternative(other), answer)


@dataclass(frozen=True)
class Question:
    """What is counted together: a block's question about two alternatives.

    Attributes:
        block: name of the block.
        question: what was asked.
        first, second: the alternatives; the share is the first's.  The second is `real` in a block about realism.
    """

    block: str
    question: str
    first: str
    second: str

    @property
    def chosen(self) -> str:
        """What the share is of, in words."""
        return f"{self.first} over {'a real image' if self.second == REAL else self.second}"


def questions(study: StudyDefinition) -> list[Question]:
    """Everything that a study counts."""
    found = []
    for block in study.blocks:
        sides = [(model, REAL) for model in study.models] if block.kind == "real" else block.comparisons
        found += [Question(block.name, block.question, first, second) for first, second in sides]
    return found


def tally(question: Question, person: Person) -> tuple[int, int]:
    """How often a participant chose the first alternative, and how often he or she was asked."""
    asked = [
        c for c in person.main if c.block == question.block and {c.chosen, c.other} == {question.first, question.second}
    ]
    return sum(c.chosen == question.first for c in asked), len(asked)


COLUMNS = (
    "participant", "simulated", "finished", "attentive", "list", "block", "role", "position", "pair", "chosen", "other",
    "side", "milliseconds", "means", "away",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def answers_csv(folder: StudyFolder, store: AnswerStore, sort: Sort, least: float | None = None) -> str:
    """All answers, one a row; nothing in it leads to a participant's link."""
    least = folder.study.least_checks if least is None else least
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for person in people(folder, store, sort):
        facts = [person.id, int(sort == "simulated"), int(person.finished), int(person.attentive(least))]
        for c in person.choices:
            a = c.answer
            row = [*facts, c.list, c.block, c.role, a.position, c.pair, c.chosen, c.other, a.side, a.rt, a.means]
            writer.writerow([_harmless(value) for value in (*row, int(a.away))])
    return out.getvalue()


def panel_csv(folder: StudyFolder, store: AnswerStore) -> str:
    """Whom a panel has to pay: its names, one a row, with what they did.

    A file of its own: no number or row in it leads to anybody's answers.
    """
    persons = {person.id: person for person in people(folder, store, "person")}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([folder.study.external_id, "finished", "answered", "questions", "attentive"])
    for name, who in store.named().items():
        assert who.list is not None
        answers, questions_ = len(store.answered(who.id)), len(folder.key.lists[who.list])
        attentive = who.id not in persons or persons[who.id].attentive(folder.study.least_checks)
        writer.writerow([name, int(who.state == "finished"), answers, questions_, int(attentive)])
    return out.getvalue()


def _harmless(value: Any) -> Any:
    """Spreadsheets run what begins like a formula; a model's name must not."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def progress(folder: StudyFolder, store: AnswerStore) -> dict[str, Any]:
    """Tables of the owner's page: who takes part, and the counts so far."""
    tables = []
    for sort, mark in (("person", ""), ("simulated", f" ({MARK})")):
        members = [p for p in store.participants(sort) if p.state != "withdrawn"]  # type: ignore[arg-type]
        if sort == "simulated" and not members:
            continue
        persons = people(folder, store, sort)  # type: ignore[arg-type]
        counted = [person for person in persons if person.attentive(folder.study.least_checks)]
        rows = [["invited", sum(p.state == "invited" for p in members)]]
        for number in range(folder.study.lists):
            own = [p for p in members if p.list == number]
            done = sum(p.state == "finished" for p in own)
            rows.append([f"list {number + 1}", f"{done} finished, {len(own) - done} at it"])
        rows.append(["excluded by attention checks", len(persons) - len(counted)])
        tables.append({"caption": f"Participants{mark}", "header": ["", ""], "rows": _texts(rows)})
        shares = []
        for question in questions(folder.study):
            counts = [tally(question, person) for person in counted]
            hits, asked = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
            low, high = wilson(hits, asked)
            share = f"{100 * hits / asked:.1f} % ({100 * low:.1f} to {100 * high:.1f})" if asked else "–"
            shares.append([question.question, question.chosen, share, asked])
        header = ["question", "chosen", "share, 95 % Wilson interval", "answers"]
        tables.append({"caption": f"Answers so far{mark}", "header": header, "rows": _texts(shares)})
    return {"tables": tables}


def _texts(rows: Sequence[Sequence[object]]) -> list[list[str]]:
    return [[str(cell) for cell in row] for row in rows]
