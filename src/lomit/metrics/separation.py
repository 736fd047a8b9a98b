"""How well codes tell domains apart (paper, Figure 8): silhouette and a linear probe, computed on the codes.

Not on the t-SNE picture, whose clusters and distances are the embedding's (paper 7, Figure 8 shows the picture alone).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lomit.errors import LomitError, require
from lomit.stats import bootstrap
from lomit.stats.estimate import Estimate

ROUNDING = 1e-6
"""Codes whose spread is a smaller share of their length are the same code, rounded in float32 in several ways."""
FOLDS = 5
"""Parts of the cross-validation; people are never on both sides."""


@dataclass(frozen=True)
class Separation:
    """How far apart the domains lie in a space of codes.

    Attributes:
        silhouette: mean silhouette coefficient (Rousseeuw, 1987) of Euclidean distances, in [-1, 1]; around 0 where
            domains mix.
        probe: share of codes, in percent, that a logistic regression fitted to other people's puts into their domain.
        chance: what guessing the most frequent domain would give, in percent.
    """

    silhouette: Estimate
    probe: Estimate
    chance: float


def separation(codes: Tensor, domains: Tensor, people: Tensor, seed: int = 0) -> Separation:
    """Silhouette and cross-validated linear probe of codes, N x D.

    The interval of the silhouette resamples people with the distances as they are; equal calls give equal results.
    Raises LomitError without scikit-learn, for fewer than two domains, and for one with fewer than `FOLDS` people.

    Args:
        domains: N whole numbers, at least two different ones.
        people: N numbers of the person each code is of.
        seed: of the folds and of the bootstrap.
    """
    require("the linear probe", "metrics", "sklearn.linear_model")
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import silhouette_samples
    from sklearn.model_selection import StratifiedGroupKFold

    x, y, groups = coordinates(codes).numpy(), domains.numpy(), people.numpy()
    kinds, counts = np.unique(y, return_counts=True)
    if len(kinds) < 2:
        raise LomitError("a separation needs at least two domains")
    fewest = min(len(np.unique(groups[y == kind])) for kind in kinds)
    if fewest < FOLDS:
        who = "1 person" if fewest == 1 else f"{fewest} people"
        raise LomitError(f"a domain shows {who}; the linear probe needs at least {FOLDS} people in each")
    right = np.zeros(len(y))
    for train, test in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(x, y, groups):
        probe = LogisticRegression(max_iter=1_000).fit(x[train], y[train])
        right[test] = probe.predict(x[test]) == y[test]
    return Separation(
        bootstrap.mean(torch.from_numpy(silhouette_samples(x, y)), people, seed),
        bootstrap.mean(torch.from_numpy(100 * right), people, seed),
        100 * float(counts.max()) / len(y),
    )


def coordinates(codes: Tensor) -> Tensor:
    """The codes with mean 0 and mean squared length 1, in at most N coordinates: N x D -> float64, N x min(N, D).

    A rotation, and a factor for all: every distance keeps its ratio to every other, and a linear model with an L2
    penalty finds the same in a few hundred coordinates as in the 20,000 of a content code.

    Codes that are all the same (s_b where the masks are 1 everywhere) have only zeros.
    """
    whole = codes.double().cpu()
    x = whole - whole.mean(0)
    if x.square().sum() <= ROUNDING**2 * whole.square().sum():
        return torch.zeros_like(x[:, : len(x)])
    if x.shape[1] > len(x):
        values, vectors = torch.linalg.eigh(x @ x.T)
        x = vectors * values.clamp(min=0).sqrt()
    return x / x.square().sum(1).mean().sqrt()
