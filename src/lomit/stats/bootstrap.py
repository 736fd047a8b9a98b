"""95 % bootstrap intervals that resample people, not images.

Pictures of one person are alike; drawing them as if they were independent would make every interval too narrow.
So people are drawn with replacement, each with all of their samples.  Percentile intervals (Efron, 1979).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lomit.stats.estimate import LEVEL, Estimate

RESAMPLES = 2_000


def ratio(numerators: Tensor, denominators: Tensor, people: Tensor, seed: int = 0) -> Estimate:
    """sum(numerators) / sum(denominators) over samples, and its interval over people.

    A sample with denominator 0 does not count, whatever its numerator is, nan included.

    Args:
        numerators, denominators: N each.
        people: N numbers of the person each sample shows.
        seed: of the resampling; equal calls give equal results.
    """
    counts = denominators > 0
    both = torch.stack([numerators.double(), denominators.double()], dim=1)
    return of_sums(both[counts], people[counts], lambda sums: sums[:, 0] / sums[:, 1], seed)


def mean(values: Tensor, people: Tensor, seed: int = 0) -> Estimate:
    """Mean of per-sample values, nan where a sample does not count; see `ratio`."""
    return ratio(values, (~values.isnan()).double(), people, seed)


def of_sums(values: Tensor, people: Tensor, function: Callable[[Tensor], Tensor], seed: int = 0) -> Estimate:
    """A function of sums over samples, and its interval over people.

    Args:
        values: N x D; a column of ones gives the number of samples, for means.
        people, seed: as for `ratio`.
        function: float64, R x D sums -> R values.
    """
    if not len(values):
        return Estimate(None, None, None, 0, 0)
    names, person = np.unique(people.numpy(), return_inverse=True)
    values = values.double()
    value, n = float(function(values.sum(0, keepdim=True))), len(names)
    if n < 2:
        return Estimate(value, None, None, len(values), n)
    of_person = torch.zeros(n, values.shape[1], dtype=torch.float64).index_add_(0, torch.from_numpy(person), values)
    return Estimate(value, *percentiles(function(draws(n, seed) @ of_person)), len(values), n)


def draws(people: int, seed: int) -> Tensor:
    """How often each person is drawn in each resample: float64, RESAMPLES x people."""
    drawn = np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), size=RESAMPLES)
    return torch.from_numpy(drawn).double()


def percentiles(values: Tensor) -> tuple[float | None, float | None]:
    """Ends of the interval of resampled values, R; those that are nan (nothing to count was drawn) have no say."""
    defined = values[~values.isnan()]
    if not len(defined):
        return None, None
    low, high = np.quantile(defined.numpy(), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
