"""95 % bootstrap intervals that resample people, not images.

Pictures of one person are alike; drawing them as if they were independent would make every interval too narrow.
So people are drawn with replacement, each with all of their samples.  Percentile intervals (Efron, 1979).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

RESAMPLES = 2_000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: the number over all samples; None where nothing counted.
        low, high: ends of its interval; None where fewer than two people counted.
        samples: how many samples (pairs, images) counted.
        people: how many people they show.
    """

    value: float | None
    low: float | None
    high: float | None
    samples: int
    people: int


def ratio(
    numerators: Tensor,
    denominators: Tensor,
    people: Tensor,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Estimate:
    """sum(numerators) / sum(denominators) over samples, and its interval over people.

    A mean of per-sample values is the case of denominators 1; a share of several decisions a sample that of
    counts.  A sample with denominator 0 does not count, whatever its numerator is, nan included.

    Args:
        numerators, denominators: N each.
        people: N numbers of the person each sample shows.
        seed: of the resampling; equal calls give equal results.
        resamples: how often people are drawn.
        level: coverage of the interval.
    """
    counts = denominators > 0
    both = torch.stack([numerators.double(), denominators.double()], dim=1)
    return of_sums(both[counts], people[counts], lambda sums: sums[:, 0] / sums[:, 1], seed, resamples, level)


def of_sums(
    values: Tensor,
    people: Tensor,
    function: Callable[[Tensor], Tensor],
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Estimate:
    """A function of sums over samples, and its interval over people.

    Args:
        values: N x D; a column of ones gives the number of samples, for means.
        people: N numbers of the person each sample shows.
        function: float64, R x D sums -> R values.
        seed, resamples, level: as for `ratio`.
    """
    _, person = np.unique(people.numpy(), return_inverse=True)
    if not len(values):
        return Estimate(None, None, None, 0, 0)
    n = int(person.max()) + 1
    values = values.double()
    value = float(function(values.sum(0, keepdim=True)))
    if n < 2:
        return Estimate(value, None, None, len(values), n)
    of_person = torch.zeros(n, values.shape[1], dtype=torch.float64).index_add_(0, torch.from_numpy(person), values)
    rng = np.random.default_rng(seed)
    drawn = torch.from_numpy(rng.multinomial(n, np.full(n, 1 / n), size=resamples)).double()
    return Estimate(value, *percentiles(function(drawn @ of_person), level), len(values), n)


def percentiles(values: Tensor, level: float = LEVEL) -> tuple[float | None, float | None]:
    """Ends of the interval of resampled values, R; those that are nan (nothing to count was drawn) have no say."""
    defined = values[~values.isnan()]
    if not len(defined):
        return None, None
    low, high = np.quantile(defined.numpy(), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean(values: Tensor, people: Tensor, seed: int = 0) -> Estimate:
    """Mean of per-sample values, nan where a sample does not count; see `ratio`."""
    return ratio(values, (~values.isnan()).double(), people, seed)
