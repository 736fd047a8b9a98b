"""Statistics of choices between two alternatives: exact tests, correction, participants as the unit, ranking.

Answers of one person are alike, so a test that takes them for independent finds too much.  Beside the exact binomial
test of the answers therefore stand an interval that resamples participants and a test of the participants' shares.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

DRAWS = 10_000
"""Bootstrap samples of shares."""
RANKING_DRAWS = 1_000
"""Bootstrap samples of a ranking, each of which is fitted."""


def exact_binomial(hits: int, trials: int) -> float:
    """Two-sided p of a share of one half; 1 without trials."""
    from scipy.stats import binomtest

    return float(binomtest(hits, trials, 0.5).pvalue) if trials else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm, 1979): the chance of any false one is at most the level."""
    ordered = sorted(range(len(p)), key=lambda k: p[k])
    corrected, highest = [0.0] * len(p), 0.0
    for rank, k in enumerate(ordered):
        highest = max(highest, min(1.0, (len(p) - rank) * p[k]))
        corrected[k] = highest
    return corrected


def share_test(hits: np.ndarray, asked: np.ndarray) -> float | None:
    """Two-sided p of Student's t test that the participants' mean share is one half.

    Args:
        hits, asked: of each participant, N; those who were asked nothing are left out.

    Returns:
        p; None with fewer than two participants.  Where all have one share there is no spread to compare with: then p
        is that of flipping signs, by which 2 of 2^N ways are as far off.
    """
    from scipy.stats import t

    shares = hits[asked > 0] / asked[asked > 0]
    if len(shares) < 2:
        return None
    error = shares.std(ddof=1) / math.sqrt(len(shares))
    distance = abs(shares.mean() - 0.5)
    if error == 0:
        return 2.0 ** (1 - len(shares)) if distance > 0 else 1.0
    return float(2 * t.sf(distance / error, len(shares) - 1))


def bootstrap_shares(hits: np.ndarray, asked: np.ndarray, seed: int, draws: int = DRAWS) -> np.ndarray:
    """Shares in samples of participants.

    Args:
        hits, asked: counts, participants x questions; a sample takes all answers of a participant or none.

    Returns:
        draws x questions; NaN where a sample holds no answer to a question.
    """
    weights = _resampled(len(hits), seed, draws)
    with np.errstate(invalid="ignore"):
        return (weights @ hits) / (weights @ asked)


def _resampled(people: int, seed: int, draws: int) -> np.ndarray:
    """How often each of the people is drawn in each sample with replacement, draws x people."""
    return np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), size=draws)


def interval(samples: np.ndarray) -> tuple[float, float] | None:
    """The middle 95 % of samples; None where there are too few."""
    known = samples[~np.isnan(samples)]
    if len(known) < len(samples) / 2 or not len(known):
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Ranking:
    """Strengths by the model of Bradley and Terry (1952): how likely one is chosen over another.

    Attributes:
        strengths: alternative -> log strength, mean 0; strongest first.
        regularised: one alternative always won or lost against all, so that the estimate is a penalised one.
        people: alternative -> 95 % interval of its log strength that resamples participants; empty where there is none.
    """

    strengths: Mapping[str, float]
    regularised: bool
    people: Mapping[str, tuple[float, float]] = field(default_factory=dict)


Wins = Mapping[tuple[str, str], int]
"""How often the first was chosen over the second."""


def bradley_terry(wins: Wins) -> Ranking | None:
    """A ranking from choices; None with fewer than three alternatives, where two shares say it all, and where some
    never met, even through others.
    """
    names = sorted({name for pair, count in wins.items() if count for name in pair})
    if len(names) < 3:
        return None
    fitted = _strengths(_matrix(wins, names))
    if fitted is None:
        return None
    found, regularised = fitted
    order = np.argsort(-found)
    return Ranking({names[k]: float(found[k]) for k in order}, regularised)


def ranked_people(people: Sequence[Wins], seed: int, draws: int = RANKING_DRAWS) -> Ranking | None:
    """The ranking of all participants' choices, with intervals that resample participants.

    As `bradley_terry`; without intervals where there are fewer than two participants, or most samples give none.
    """
    total: Counter[tuple[str, str]] = Counter()
    for wins in people:
        total.update(wins)
    ranking = bradley_terry(total)
    if ranking is None or len(people) < 2:
        return ranking
    names = list(ranking.strengths)
    counts = np.array([_matrix(wins, names) for wins in people])
    weights = _resampled(len(people), seed, draws)
    samples = np.full((draws, len(names)), math.nan)
    start = np.array(list(ranking.strengths.values()))
    for sample, sampled in zip(samples, np.tensordot(weights, counts, 1), strict=True):
        fitted = _strengths(sampled, start, 1e-5)
        if fitted is not None:
            sample[:] = fitted[0]
    found = {name: interval(samples[:, k]) for k, name in enumerate(names)}
    return replace(ranking, people={name: two for name, two in found.items() if two is not None})


def _matrix(wins: Wins, names: Sequence[str]) -> np.ndarray:
    """Counts, winner x loser."""
    counts = np.zeros((len(names), len(names)), dtype=int)
    for (winner, loser), count in wins.items():
        if count:
            counts[names.index(winner), names.index(loser)] += count
    return counts


def _strengths(
    counts: np.ndarray, start: np.ndarray | None = None, tolerance: float = 1e-9
) -> tuple[np.ndarray, bool] | None:
    """Log strengths with mean 0, and whether they are penalised; None where some never met, even through others."""
    import choix
    from scipy.sparse.csgraph import connected_components

    if connected_components(counts, connection="weak", return_labels=False) > 1:
        return None
    # The likelihood has a maximum only where each can be reached from each by "won against" (Ford, 1957).
    regularised = connected_components(counts, connection="strong", return_labels=False) > 1
    alpha = 0.01 if regularised else 0.0
    found = choix.ilsr_pairwise_dense(counts, alpha=alpha, initial_params=start, max_iter=10_000, tol=tolerance)
    return found - found.mean(), regularised
