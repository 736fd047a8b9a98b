"""How well a score tells two classes apart: balanced accuracy and area under the ROC curve, with intervals."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lomit.stats import bootstrap
from lomit.stats.estimate import Estimate

CHUNK = 512
"""Images with the attribute that are compared with all those without at a time."""


def balanced_estimate(scores: Tensor, labels: Tensor, people: Tensor, seed: int = 0) -> Estimate:
    """Balanced accuracy with its bootstrap interval; resampled sets that lack a class have no say in it.

    N scores, above 0 for the attribute; N labels, 1 has it, 0 has not, -1 (not annotated) takes no part; N numbers of
    the person each image shows.  The value is None where a class is empty.
    """
    s, y, who = _annotated(scores, labels, people)
    if y.all() or not y.any():
        return Estimate(None, None, None, len(y), len(who.unique()))
    right = (s > 0) == y
    sums = torch.stack([right & ~y, ~y, right & y, y], dim=1).double()
    return bootstrap.of_sums(sums, who, lambda s: (s[:, 0] / s[:, 1] + s[:, 2] / s[:, 3]) / 2, seed)


def auc_estimate(scores: Tensor, labels: Tensor, people: Tensor, seed: int = 0) -> Estimate:
    """Area under the ROC curve with its bootstrap interval; args and values as for `balanced_estimate`.

    It is the probability that an image with the attribute scores above one without, ties counting one half.  That
    statistic is a sum over pairs of people, so a resampled one is a quadratic form in how often each was drawn.
    """
    s, y, shown = _annotated(scores, labels, people)
    names, numbers = np.unique(shown.numpy(), return_inverse=True)
    person, n = torch.from_numpy(numbers), len(names)
    if y.all() or not y.any():
        return Estimate(None, None, None, len(y), n)
    having, lacking = (torch.bincount(person[side], minlength=n).double() for side in (y, ~y))
    wins = torch.zeros(n, n, dtype=torch.float64)
    columns = torch.nn.functional.one_hot(person[~y], n).double()
    for score, who in zip(s[y].split(CHUNK), person[y].split(CHUNK), strict=True):
        above = (score[:, None] > s[~y]).double() + 0.5 * (score[:, None] == s[~y]).double()
        wins.index_add_(0, who, above @ columns)

    def of_draws(drawn: Tensor) -> Tensor:
        return ((drawn @ wins) * drawn).sum(1) / ((drawn @ having) * (drawn @ lacking))

    value = float(of_draws(torch.ones(1, n, dtype=torch.float64)))
    low, high = bootstrap.percentiles(of_draws(bootstrap.draws(n, seed))) if n > 1 else (None, None)
    return Estimate(value, low, high, len(s), n)


def _annotated(scores: Tensor, labels: Tensor, people: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (float64), labels (bool) and people of the images that are annotated."""
    known = labels >= 0
    return scores[known].double(), labels[known] == 1, people[known]
