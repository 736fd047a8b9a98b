"""Which pictures are compared, in which order and on which sides: the design of a study, drawn by a seed.

A design speaks of pictures by what they are (`Stimulus`), never by file, so it needs no image and no model.  Its lists
come in pairs that show the same comparisons with the sides exchanged: over both of them, every picture stands on the
left as often as on the right.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, cycle
from typing import Literal

import numpy as np

from lomit.errors import LomitError

Kind = Literal["real", "models"]
"""What a block compares: a translation with a real image of the target class, or the translations of two models."""
Context = Literal["input", "exemplar"]
StimulusKind = Literal["real", "input", "exemplar", "output", "spoilt"]
Role = Literal["practice", "main", "check"]
"""What a trial is for: getting used to it, the answer itself, or telling whether the participant attends."""
REAL, SPOILT = "real", "spoilt"
"""What stands beside the models as an alternative: a real image, and a picture with its tiles shuffled."""
RESERVED = frozenset({REAL, SPOILT})


@dataclass(frozen=True)
class Block:
    """One question, asked about many pairs of pictures.

    Attributes:
        name: short, unique within the study.
        question: what the participant reads above the two pictures.
        kind: what is compared.
        context: which pictures stand above the two, of `input` and `exemplar`.
        trials: comparisons of a participant, for each model (kind `real`) or each two models (kind `models`).
        comparisons: kind `models`: which two models meet.
        checks: attention checks among them: a translation, or a real image, beside a spoilt one.
        practice: trials before them whose answers don't count.
    """

    name: str
    question: str
    kind: Kind
    context: tuple[Context, ...] = ()
    trials: int = 10
    comparisons: tuple[tuple[str, str], ...] = ()
    checks: int = 2
    practice: int = 2


@dataclass(frozen=True, order=True)
class Stimulus:
    """What a picture is.

    Attributes:
        kind: `real`, `input`, `exemplar`, `output` or `spoilt` (an output with shuffled tiles).
        model: whose output, else empty.
        number: of the pair, or of the real image.
    """

    kind: StimulusKind
    model: str
    number: int


@dataclass(frozen=True)
class Trial:
    """One question about two pictures.

    Attributes:
        block: name of its block.
        role: what it is for.
        left, right: the two pictures.
        context: what stands above them.
    """

    block: str
    role: Role
    left: Stimulus
    right: Stimulus
    context: tuple[Stimulus, ...] = ()

    @property
    def pictures(self) -> tuple[Stimulus, ...]:
        """Everything it shows."""
        return (self.left, self.right, *self.context)

    def mirrored(self) -> Trial:
        """The same with the sides exchanged."""
        return Trial(self.block, self.role, self.right, self.left, self.context)


def alternative(picture: Stimulus) -> str:
    """What choosing this picture means: `real`, `spoilt` or the model's name."""
    return picture.model if picture.kind == "output" else picture.kind


def meetings(models: Sequence[str], which: Literal["first", "all"]) -> tuple[tuple[str, str], ...]:
    """Which two models meet: the first and each other one (the paper's), or all."""
    return tuple((models[0], m) for m in models[1:]) if which == "first" else tuple(combinations(models, 2))


def paper_blocks(
    models: Sequence[str], which: Literal["first", "all"], trials: int = 10, checks: int = 2, practice: int = 2
) -> tuple[Block, ...]:
    """The blocks of section 5.4: realism, and with two models or more the two questions of Figure 7 (b)."""
    realism = Block("realism", "Which one looks more realistic?", "real", (), trials, (), checks, practice)
    if len(models) < 2:
        return (realism,)
    met = meetings(models, which)
    shown: tuple[Context, ...] = ("input", "exemplar")
    style = "Which one has better applied the style to the image?"
    background = "Which one has better kept the background unchanged?"
    return (
        realism,
        Block("style", style, "models", shown, trials, met, checks, practice),
        Block("background", background, "models", shown, trials, met, checks, practice),
    )


def reals_needed(blocks: Sequence[Block], models: Sequence[str]) -> int:
    """Real images that one list shows; no participant sees one twice."""
    return sum(b.trials * len(models) + b.checks + b.practice for b in blocks if b.kind == "real")


def pairs_needed(blocks: Sequence[Block]) -> int:
    """Pairs that a list needs: in practice and in checks stand others than in the answers that count."""
    return max(b.trials for b in blocks) + max(b.checks + b.practice for b in blocks)


@dataclass(frozen=True)
class Room:
    """What a study can draw from.

    Attributes:
        pairs: pairs of input and exemplar to draw.
        reals: for each number of pairs from 0 to the most that there are: real images of the target class beside them.
        what: where they come from.
        chosen: `pairs` can be chosen; else they are given.
    """

    pairs: int
    reals: Sequence[int]
    what: str
    chosen: bool = True

    def fits(self, blocks: Sequence[Block], models: Sequence[str], pairs: int) -> bool:
        """Whether these blocks can be asked with so many pairs."""
        enough = pairs_needed(blocks) <= pairs < len(self.reals)
        return enough and self.reals[pairs] >= reals_needed(blocks, models)


def require_room(blocks: Sequence[Block], models: Sequence[str], room: Room) -> None:
    """Raises `LomitError` where there is too little to draw from; it says which numbers would fit."""
    if room.fits(blocks, models, room.pairs):
        return
    asked, there = f"{room.pairs} pairs were asked for; a" if room.chosen else "a", len(room.reals) - 1
    beside = min(room.pairs, there)
    line = (
        f"{asked} participant sees {pairs_needed(blocks)} pairs and {reals_needed(blocks, models)} real images of "
        f"others; {room.what} gives {there} pairs, and {room.reals[beside]} real images beside {beside} of them"
    )
    found = fitting(blocks, models, room)
    if found is None:
        raise LomitError(f"{line}: nothing fits, give more data or fewer models")
    pairs, trials, checks, practice = found
    numbers = f"--pairs {pairs} " if room.chosen else ""
    raise LomitError(
        f"{line}. These would fit: {numbers}--trials {trials} --checks {checks} --practice {practice} (blocks of "
        "--design: at most these)"
    )


def fitting(blocks: Sequence[Block], models: Sequence[str], room: Room) -> tuple[int, int, int, int] | None:
    """Pairs, and the most trials, checks and practice of a block, that fit; None where nothing does.

    Trials are given up first, then checks and practice.
    """
    most = min(room.pairs, len(room.reals) - 1)
    asked = [max(getattr(block, name) for block in blocks) for name in ("trials", "checks", "practice")]
    for less in range(max(asked[1:]) + 1):
        checks, practice = (max(0, count - less) for count in asked[1:])
        for trials in range(asked[0], 0, -1):
            fewer = [
                replace(
                    block, trials=min(block.trials, trials), checks=min(block.checks, checks),
                    practice=min(block.practice, practice),
                )
                for block in blocks
            ]  # fmt: skip
            # The more pairs, the fewer real images are left.
            needed = reals_needed(fewer, models)
            pairs = min(most, bisect_right(room.reals, -needed, key=lambda reals: -reals) - 1) if room.chosen else most
            if room.fits(fewer, models, pairs):
                return pairs, trials, checks, practice
    return None


def design(
    blocks: Sequence[Block], models: Sequence[str], pairs: int, reals: int, lists: int, seed: int
) -> list[list[Trial]]:
    """The lists: trials by block, in no order that matters yet (`order` gives each participant one).

    In a list every model is shown with the same pairs, so that none gets the easier faces; the next two lists go on
    with other pairs and real images as long as there are any.

    Raises LomitError where there are too few pairs or real images for a list, or `lists` is odd.

    Args:
        pairs, reals: how many pairs of input and exemplar there are, and how many real images of the target class.
        lists: an even number, since they come in mirrored twos.
        seed: equal calls give equal lists.
    """
    if lists < 2 or lists % 2:
        raise LomitError(f"the number of lists must be even, at least 2 (they mirror each other); it is {lists}")
    require_room(blocks, models, Room(pairs, (reals,) * (pairs + 1), "the material", False))
    rng = np.random.default_rng(seed)
    kept = max(block.checks + block.practice for block in blocks)
    order = rng.permutation(pairs).tolist()
    aside, main = order[:kept], cycle(order[kept:])
    photographs = cycle(rng.permutation(reals).tolist())
    found = []
    for _ in range(lists // 2):
        count = max(block.trials for block in blocks)
        numbers = [next(main) for _ in range(count)]
        trials: list[Trial] = []
        for block in blocks:
            trials += _block(block, models, numbers[: block.trials], aside, photographs, rng)
        found += [trials, [trial.mirrored() for trial in trials]]
    return found


def order(trials: Sequence[Trial], blocks: Sequence[Block], seed: int, participant: int) -> list[int]:
    """The order in which one participant sees a list: blocks as they are, practice first, the rest shuffled."""
    rng = np.random.default_rng([seed, participant])
    found: list[int] = []
    for block in blocks:
        own = [k for k, trial in enumerate(trials) if trial.block == block.name]
        practice = [k for k in own if trials[k].role == "practice"]
        rest = [k for k in own if trials[k].role != "practice"]
        found += practice + rng.permutation(rest).tolist()
    return [int(k) for k in found]


def _block(
    block: Block,
    models: Sequence[str],
    numbers: Sequence[int],
    aside: Sequence[int],
    photographs: Iterator[int],
    rng: np.random.Generator,
) -> list[Trial]:
    """A block's trials in one list."""
    trials: list[Trial] = []

    def add(role: Role, couples: Sequence[tuple[Stimulus, Stimulus]]) -> None:
        """With the first of each couple as often left as right."""
        # Which side gets one more of an odd number is left to chance; the mirrored list undoes it.
        left = np.arange(len(couples)) % 2 == rng.integers(2)
        for (a, b), first in zip(couples, rng.permutation(left).tolist(), strict=True):
            number = a.number if a.kind in ("output", "spoilt") else b.number
            context = tuple(Stimulus(kind, "", number) for kind in block.context)
            trials.append(Trial(block.name, role, *((a, b) if first else (b, a)), context))

    def real() -> Stimulus:
        return Stimulus("real", "", next(photographs))

    sides = [(model, REAL) for model in models] if block.kind == "real" else list(block.comparisons)

    def couple(side: tuple[str, str], number: int) -> tuple[Stimulus, Stimulus]:
        first, second = side
        return Stimulus("output", first, number), real() if second == REAL else Stimulus("output", second, number)

    practice, checks = aside[: block.practice], aside[block.practice : block.practice + block.checks]
    add("practice", [couple(sides[k % len(sides)], number) for k, number in enumerate(practice)])
    for side in sides:
        add("main", [couple(side, number) for number in numbers])
    add(
        "check",
        [
            (
                real() if block.kind == "real" else Stimulus("output", sides[k % len(sides)][0], number),
                Stimulus("spoilt", sides[k % len(sides)][0], number),
            )
            for k, number in enumerate(checks)
        ],
    )
    return trials
