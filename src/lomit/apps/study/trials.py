"""What a participant's browser is told, and what it may answer.

A trial is known outside by its position in the participant's own order, a picture by the position and its place.  So
nothing that is sent tells which trial of the list it is, which model a picture is of, or what is an attention check.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lomit.apps.study.definition import StudyFolder
from lomit.apps.study.design import Stimulus, Trial, order
from lomit.apps.study.store import Answer, Participant

MOST_MILLISECONDS = 24 * 3600 * 1000.0


def order_of(folder: StudyFolder, who: Participant) -> list[int]:
    """Position -> trial of the participant's list."""
    assert who.list is not None
    return order(folder.key.lists[who.list], folder.study.blocks, folder.study.seed, who.id)


def trials_json(folder: StudyFolder, who: Participant, answered: Sequence[int]) -> dict[str, Any]:
    """Everything that the page needs."""
    assert who.list is not None
    trials = folder.key.lists[who.list]
    study = folder.study
    return {
        "size": study.size,
        "instructions": study.texts.instructions,
        **progress_json(folder, who, answered),
        "trials": [
            {
                "question": study.block(trials[k].block).question,
                "part": [block.name for block in study.blocks].index(trials[k].block),
                "practice": trials[k].role == "practice",
                "context": list(study.block(trials[k].block).context),
            }
            for k in order_of(folder, who)
        ],
    }


def progress_json(folder: StudyFolder, who: Participant, answered: Sequence[int]) -> dict[str, Any]:
    """What is answered; and once all is, what comes last: thanks and link may hold the code for which a panel pays."""
    assert who.list is not None
    texts = folder.study.texts
    done = len(answered) == len(folder.key.lists[who.list])
    return {
        "answered": list(answered),
        "end": {"thanks": texts.thanks, "completion_url": texts.completion_url} if done else None,
    }


def picture_at(folder: StudyFolder, who: Participant, position: int, place: str) -> Stimulus | None:
    """The picture in a place (`left`, `right`, `input`, `exemplar`) of a trial; None where there is none."""
    assert who.list is not None
    sequence = order_of(folder, who)
    if not 0 <= position < len(sequence):
        return None
    return places(folder.key.lists[who.list][sequence[position]]).get(place)


def places(trial: Trial) -> dict[str, Stimulus]:
    """Place -> picture."""
    return {picture.kind: picture for picture in trial.context} | {"left": trial.left, "right": trial.right}


def received(folder: StudyFolder, who: Participant, body: dict[str, Any]) -> list[Answer] | None:
    """The answers in a request; None where it holds anything else."""
    entries = body.get("answers")
    sequence = order_of(folder, who)
    if not isinstance(entries, list) or not entries or len(entries) > len(sequence):
        return None
    found = [answer for entry in entries if (answer := _answer(entry, sequence)) is not None]
    return found if len(found) == len(entries) else None


def _answer(entry: Any, sequence: Sequence[int]) -> Answer | None:
    if not isinstance(entry, dict) or set(entry) != {"position", "side", "rt", "means", "away"}:
        return None
    position, side, rt, means, away = (entry[k] for k in ("position", "side", "rt", "means", "away"))
    right = (
        type(position) is int
        and 0 <= position < len(sequence)
        and side in ("left", "right")
        and type(rt) in (int, float)
        and math.isfinite(rt)
        and 0 <= rt <= MOST_MILLISECONDS
        and means in ("key", "pointer")
        and type(away) is bool
    )
    return Answer(sequence[position], position, side, round(float(rt), 1), means, away) if right else None
