"""Participants that a program plays, to try a study out.

Their answers carry a mark and are never counted with people's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lomit.apps.study.definition import StudyFolder
from lomit.apps.study.design import REAL, SPOILT, alternative
from lomit.apps.study.store import Answer, AnswerStore, Side
from lomit.apps.study.trials import order_of
from lomit.errors import LomitError

MEDIAN_MS, SPREAD = 1_800.0, 0.5
"""Response times are log-normal around this median."""


def preference(strengths: Mapping[str, float], first: str, second: str) -> float:
    """How likely the first is chosen over the second (Bradley and Terry): whole pictures over spoilt ones always.

    `strengths`: alternative -> log strength; `real` and models that are not named have 0.
    """
    if SPOILT in (first, second):
        return float(second == SPOILT)
    return float(1 / (1 + np.exp(strengths.get(second, 0.0) - strengths.get(first, 0.0))))


def simulate(
    folder: StudyFolder,
    store: AnswerStore,
    participants: int,
    strengths: Mapping[str, float],
    careless: float,
    seed: int,
) -> None:
    """Adds simulated participants with all their answers; of them the share `careless` tosses coins.  Raises LomitError
    for a strength (see `preference`) of something that is not compared.
    """
    known = (*folder.study.models, REAL)
    for name in strengths:
        if name not in known:
            raise LomitError(f"'{name}' is not compared in this study; known: {', '.join(known)}")
    rng = np.random.default_rng(seed)
    for _ in range(participants):
        who = store.find(store.join("simulated"))
        assert who is not None
        assert who.list is not None
        trials = folder.key.lists[who.list]
        tosses = rng.random() < careless
        answers = []
        for position, number in enumerate(order_of(folder, who)):
            left, right = alternative(trials[number].left), alternative(trials[number].right)
            side: Side = "left" if rng.random() < (0.5 if tosses else preference(strengths, left, right)) else "right"
            time = round(float(rng.lognormal(np.log(MEDIAN_MS), SPREAD)), 1)
            answers.append(Answer(number, position, side, time, "key", False))
        store.add(who.id, answers)
