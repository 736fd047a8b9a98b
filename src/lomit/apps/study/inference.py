"""Statistics of choices between two alternatives: exact tests, correction, participants as the unit, ranking.

Answers of one person are alike, so a test that takes them for independent finds too much.  Beside the exact binomial
test of the answers therefore stand an interval that resamples participants and a test of the participants' shares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lomit.errors import LomitError

DRAWS = 10_000
"""Bootstrap samples."""


def require() -> None:
    """Raises `LomitError` where the extra is missing."""
    try:
        import choix  # noqa: F401
        import scipy  # noqa: F401
    except ImportError as error:
        raise LomitError(f"analysing a study needs the extra: pip install 'lomit[apps]' ({error})") from None


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


def share_test(hits: np.ndarray, asked: np.ndarray) -> float:
    """Two-sided p of Student's t test that the participants' mean share is one half.

    Args:
        hits, asked: of each participant, N; those who were asked nothing are left out.

    Returns:
        p; NaN with fewer than two participants.  Where all have one share there is no spread to compare with: then p is
        that of flipping signs, by which 2 of 2^N ways are as far off.
    """
    from scipy.stats import t

    shares = hits[asked > 0] / asked[asked > 0]
    if len(shares) < 2:
        return math.nan
    error = shares.std(ddof=1) / math.sqrt(len(shares))
    distance = abs(shares.mean() - 0.5)
    if error == 0:
        return 2.0 ** (1 - len(shares)) if distance > 0 else 1.0
    return float(2 * t.sf(distance / error, len(shares) - 1))


def bootstrap_shares(hits: np.ndarray, asked: np.ndarray, seed: int, draws: int = DRAWS) -> np.ndarray:
    """Shares in samples of participants.

    Args:
        hits, asked: counts, participants x questions; a sample takes all answers of a participant or none.
        seed: draws the samples.
        draws: how many.

    Returns:
        draws x questions; NaN where a sample holds no answer to a question.
    """
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(hits), np.full(len(hits), 1 / len(hits)), size=draws)
    with np.errstate(invalid="ignore"):
        return (weights @ hits) / (weights @ asked)


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
    """

    strengths: Mapping[str, float]
    regularised: bool


def bradley_terry(wins: Mapping[tuple[str, str], int]) -> Ranking | None:
    """A ranking from how often the first was chosen over the second.

    Returns:
        None with fewer than three alternatives, where two shares say it all, and where some never met, even through
        others.
    """
    import choix

    names = sorted({name for pair, count in wins.items() if count for name in pair})
    if len(names) < 3:
        return None
    number = {name: k for k, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=int)
    for (winner, loser), count in wins.items():
        if count:
            counts[number[winner], number[loser]] += count
    if not _connected(counts + counts.T):
        return None
    # The likelihood has a maximum only where each can be reached from each by "won against" (Ford, 1957).
    regularised = not (_connected(counts) and _connected(counts.T))
    found = choix.ilsr_pairwise_dense(counts, alpha=0.01 if regularised else 0.0, max_iter=10_000, tol=1e-9)
    found = found - found.mean()
    order = np.argsort(-found)
    return Ranking({names[k]: float(found[k]) for k in order}, regularised)


def _connected(counts: np.ndarray) -> bool:
    """Whether every one can be reached from the first."""
    seen, todo = {0}, [0]
    while todo:
        for other in np.flatnonzero(counts[todo.pop()]).tolist():
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return len(seen) == len(counts)
