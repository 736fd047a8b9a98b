"""From answers to Figure 7: shares with intervals and tests, the ranking, who was excluded, how long answers took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lomit.apps.study.definition import StudyFolder
from lomit.apps.study.design import REAL
from lomit.apps.study.inference import (
    Ranking,
    bootstrap_shares,
    exact_binomial,
    holm,
    interval,
    ranked_people,
    share_test,
)  # fmt: skip
from lomit.apps.study.results import Person, Question, people, questions, tally
from lomit.apps.study.store import AnswerStore, Sort
from lomit.errors import LomitError, require
from lomit.stats.estimate import wilson

FORMAT = 1
"""Version of the counted answers that `lomit report --study` reads."""


@dataclass(frozen=True)
class Share:
    """How often the first of two alternatives was chosen.

    Attributes:
        question: what was counted.
        hits, asked: counts.
        wilson: 95 % interval that takes answers for independent.
        people: 95 % interval that resamples participants; None with fewer than two.
        p: of the exact binomial test that both are chosen alike; `p_holm` corrected for all questions of the study.
        p_people: of the t test of the participants' shares (None with fewer than two); `p_people_holm` corrected.
    """

    question: Question
    hits: int
    asked: int
    wilson: tuple[float, float]
    people: tuple[float, float] | None
    p: float
    p_holm: float
    p_people: float | None
    p_people_holm: float | None


@dataclass(frozen=True)
class Analysis:
    """Everything that a study says.

    Attributes:
        simulated: a program gave the answers.
        included, excluded: participants; the excluded failed the attention checks.
        unfinished: those of the included who have not answered everything; their answers count.
        least_checks: share of the checks that decided.
        shares: one for each question about two alternatives.
        rankings: block -> Bradley-Terry, where there are more than two alternatives.
        times: block -> quartiles of the response times in milliseconds, and how many they are from; times during which
            the page was hidden are left out.
    """

    simulated: bool
    included: Sequence[Person]
    excluded: Sequence[Person]
    unfinished: int
    least_checks: float
    shares: Sequence[Share]
    rankings: dict[str, Ranking]
    times: dict[str, tuple[float, float, float, int]]


def analyse(folder: StudyFolder, store: AnswerStore, sort: Sort, least: float | None = None, seed: int = 0) -> Analysis:
    """Analyses the answers of people, or those of a program; never both at once.  Raises LomitError where there are no
    answers, and where the extra is missing.

    Args:
        least: share of the attention checks that an included participant answered rightly; None: the study's own.
        seed: of the bootstrap.
    """
    require("analysing a study", "apps", "choix", "scipy")
    least = folder.study.least_checks if least is None else least
    everyone = people(folder, store, sort)
    if not everyone:
        other = "person" if sort == "simulated" else "simulated"
        hint = {"simulated": "; there are simulated ones: add --simulated", "person": "; leave out --simulated"}[other]
        raise LomitError(f"{folder.path} has no answers{hint if people(folder, store, other) else ' yet'}")  # type: ignore[arg-type]
    included = [person for person in everyone if person.attentive(least)]
    excluded = [person for person in everyone if not person.attentive(least)]
    if not included:
        raise LomitError(f"all {len(excluded)} participants failed the attention checks; see --least-checks")
    blocks, times = [block.name for block in folder.study.blocks], {}
    for block in blocks:
        known = [c.answer.rt for p in included for c in p.main if c.block == block and not c.answer.away]
        if known:
            low, middle, high = np.quantile(known, [0.25, 0.5, 0.75]).tolist()
            times[block] = low, middle, high, len(known)
    return Analysis(
        sort == "simulated", included, excluded, sum(not p.finished for p in included), least,
        _shares(questions(folder.study), included, seed),
        {block: found for block in blocks if (found := _ranking(block, included, seed)) is not None},
        times,
    )  # fmt: skip


def _shares(asked_about: Sequence[Question], included: Sequence[Person], seed: int) -> list[Share]:
    counts = np.array([[tally(question, person) for question in asked_about] for person in included])
    hits, asked = counts[..., 0], counts[..., 1]
    samples = bootstrap_shares(hits, asked, seed) if len(included) > 1 else None
    p = [exact_binomial(int(h), int(n)) for h, n in zip(hits.sum(0), asked.sum(0), strict=True)]
    p_people = [share_test(h, n) for h, n in zip(hits.T, asked.T, strict=True)]
    known = {k: value for k, value in enumerate(p_people) if value is not None}
    corrected = dict(zip(known, holm(list(known.values())), strict=True))
    return [
        Share(
            question, int(hits[:, k].sum()), int(asked[:, k].sum()),
            wilson(int(hits[:, k].sum()), int(asked[:, k].sum())),
            None if samples is None else interval(samples[:, k]),
            p[k], p_holm, p_people[k], corrected.get(k),
        )
        for k, (question, p_holm) in enumerate(zip(asked_about, holm(p), strict=True))
    ]  # fmt: skip


def _ranking(block: str, included: Sequence[Person], seed: int) -> Ranking | None:
    return ranked_people([Counter((c.chosen, c.other) for c in p.main if c.block == block) for p in included], seed)


def counted(analysis: Analysis) -> dict[str, Any]:
    """What `lomit report --study` reads: counts, and for each the interval that resamples participants."""
    realism, comparisons = [], []
    for share in analysis.shares:
        question, known = share.question, {"people": share.people, "p": share.p_people_holm}
        more = {name: value for name, value in known.items() if value is not None}
        if question.second == REAL:
            realism.append({"model": question.first, "chosen": share.hits, "shown": share.asked, **more})
        else:
            entry = {"question": question.question, "models": [question.first, question.second]}
            comparisons.append({**entry, "chosen": [share.hits, share.asked - share.hits], **more})
    return {
        "study": FORMAT,
        "simulated": analysis.simulated,
        "participants": len(analysis.included),
        "excluded": len(analysis.excluded),
        "realism": realism,
        "comparisons": comparisons,
    }
