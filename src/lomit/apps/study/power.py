"""How many participants a study needs, by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lomit.errors import LomitError

FALSE_ALARMS = (
    "The binomial test takes the answers of one person for independent, which they are not at this spread: it sees "
    "differences where there are none (last column). Go by the test of the participants."
)
CELLS = 4_000_000
"""Simulated participants at a time, to bound the memory."""


@dataclass(frozen=True)
class Need:
    """What is looked for.

    Attributes:
        share: how often the first of two alternatives is really chosen, in (0, 1), not 1/2.
        trials: questions of a participant about these two.
        spread: standard deviation of the participants' own shares around it; 0: all are alike.
        alpha: level of the two-sided test.
        tests: how many questions are corrected for; the first one of Holm's procedure is tested at alpha / tests.
    """

    share: float
    trials: int
    spread: float
    alpha: float
    tests: int

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or self.share == 0.5:
            raise LomitError(
                f"--share must lie in 0 to 1 and not be 0.5, where there is nothing to find; it is {self.share:g}"
            )
        if self.trials < 1 or self.tests < 1:
            raise LomitError("--trials and --tests must be at least 1")
        if not 0 < self.alpha < 1:
            raise LomitError(f"--alpha must lie in 0 to 1; it is {self.alpha:g}")
        if not 0 <= self.spread < self.widest:
            raise LomitError(
                f"--spread must be at least 0 and below {self.widest:.3g}, the most that shares around {self.share:g} "
                f"can have; it is {self.spread:g}"
            )

    @property
    def widest(self) -> float:
        """Standard deviation of shares that are all 0 or 1."""
        return float(np.sqrt(self.share * (1 - self.share)))

    @property
    def level(self) -> float:
        """Of one test."""
        return self.alpha / self.tests


@dataclass(frozen=True)
class Power:
    """How often a study of this size finds the difference.

    Attributes:
        participants: how many.
        answers: power of the exact binomial test, which takes all answers for independent.
        people: power of the t test of the participants' shares; 0 with one participant.
        false: how often the binomial test finds a difference where there is none but participants differ by `spread`;
            it should be the level.
    """

    participants: int
    answers: float
    people: float
    false: float


def simulate_power(need: Need, participants: int, studies: int, seed: int) -> Power:
    """Power by so many simulated studies of so many participants; equal seeds give equal results.

    A participant's own share comes from a beta distribution with the mean and the spread asked for.
    """
    from scipy.stats import binom, t

    rng = np.random.default_rng([seed, participants])
    rejected = _rejections(participants * need.trials, need.level)
    found = np.zeros(3)
    step = max(1, CELLS // participants)
    for start in range(0, studies, step):
        count = min(step, studies - start)
        hits = _hits(need.share, need, (count, participants), rng)
        found[0] += rejected[hits.sum(1)].sum()
        null = _hits(0.5, need, (count, participants), rng) if need.spread else None
        found[2] += 0 if null is None else rejected[null.sum(1)].sum()
        if participants > 1:
            shares = hits / need.trials
            distance, error = np.abs(shares.mean(1) - 0.5), shares.std(1, ddof=1) / np.sqrt(participants)
            critical = t.isf(need.level / 2, participants - 1)
            # Without any spread: as in the analysis, the sign test of `inference.share_test`.
            alike = (distance > 0) & (2.0 ** (1 - participants) <= need.level)
            found[1] += np.where(error > 0, distance > critical * error, alike).sum()
    answers, people, false = found / studies
    if not need.spread:
        false = binom.pmf(np.flatnonzero(rejected), participants * need.trials, 0.5).sum()
    return Power(participants, float(answers), float(people), float(false))


def _hits(mean: float, need: Need, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """How often each participant of each study chooses the first."""
    p: float | np.ndarray = mean
    if need.spread:
        # Variance of a beta distribution: mean (1 - mean) / (a + b + 1).
        total = mean * (1 - mean) / need.spread**2 - 1
        p = rng.beta(mean * total, (1 - mean) * total, shape)
    return rng.binomial(need.trials, p, shape)


def _rejections(answers: int, level: float) -> np.ndarray:
    """Whether the exact two-sided binomial test rejects one half, for each possible number of hits."""
    from scipy.stats import binom

    # Under one half the distribution is symmetric: the two-sided p is twice the smaller tail, at most 1.
    hits = np.arange(answers + 1)
    return 2 * binom.cdf(np.minimum(hits, answers - hits), answers, 0.5) <= level


def participants_needed(
    need: Need, power: float, studies: int, seed: int, most: int = 2_000
) -> tuple[Power | None, list[Power]]:
    """The smallest number of participants with which both tests reach a power.

    Doubles the number until it is enough, then halves the interval; power grows with the number but for the steps of
    the binomial test, which are small.

    Returns:
        What was found, None where `most` are not enough; and all that was simulated, by number.
    """
    if not 0 < power < 1:
        raise LomitError(f"--power must lie in 0 to 1; it is {power:g}")
    tried: dict[int, Power] = {}

    def enough(participants: int) -> bool:
        if participants not in tried:
            tried[participants] = simulate_power(need, participants, studies, seed)
        return min(tried[participants].answers, tried[participants].people) >= power

    low, high = 1, 2
    while not enough(high):
        if high >= most:
            return None, [tried[n] for n in sorted(tried)]
        low, high = high, min(most, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return tried[high], [tried[n] for n in sorted(tried)]


def power_table(need: Need, tried: Sequence[Power]) -> str:
    """What was simulated, one number of participants a line."""
    lines = [
        f"share {need.share:g}, {need.trials} questions each, spread {need.spread:g}, "
        f"level {need.alpha:g} / {need.tests}",
        "",
        "participants  power, answers  power, participants  false alarms, answers",
    ]
    for row in tried:
        answers, people, false = (100 * share for share in (row.answers, row.people, row.false))
        lines.append(f"{row.participants:12d} {answers:13.1f} % {people:18.1f} % {false:20.1f} %")
    return "\n".join(lines)
