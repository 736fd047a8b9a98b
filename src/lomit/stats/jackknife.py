"""95 % intervals that leave people out, for measures that a bootstrap would bias.

The distances between sets of images (FID, KID) grow when an image occurs twice, and a bootstrap draws many images
twice: its interval would lie above the value.  So people are left out a group at a time (delete-a-group jackknife,
Kott, 2001), and nothing is drawn twice.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from lomit.stats.estimate import LEVEL, Estimate

GROUPS = 50
"""Groups that people are put into; fewer where there are fewer people."""


def jackknife(statistic: Callable[[Tensor], float], people: Tensor, seed: int = 0, groups: int = GROUPS) -> Estimate:
    """The statistic of all samples, plus and minus a normal quantile of its jackknife standard error.

    Without an interval where leaving people out would leave one sample, of which no distance of sets is known.

    Args:
        statistic: rows (int64, increasing) of the samples to use -> its value on them.
        people: N numbers of the person each sample shows.
        seed: puts people into groups; equal calls give equal results.
        groups: how many at most, of nearly equal numbers of people.
    """
    names, person = np.unique(people.numpy(), return_inverse=True)
    n = len(names)
    value = statistic(torch.arange(len(people)))
    if n < 2:
        return Estimate(value, None, None, len(people), n)
    count = min(groups, n)
    group = (np.random.default_rng(seed).permutation(n) % count)[person]
    kept = [torch.from_numpy(np.flatnonzero(group != g)) for g in range(count)]
    if min(map(len, kept)) < 2:
        return Estimate(value, None, None, len(people), n)
    partial = np.array([statistic(rows) for rows in kept])
    error = float(np.sqrt((count - 1) / count * ((partial - partial.mean()) ** 2).sum()))
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    return Estimate(value, value - half, value + half, len(people), n)
