"""Fréchet distance of two sets of features (Heusel et al., 2017).

|mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) for the normal distributions with their means and covariances.  It is
biased: the fewer samples, the larger, by an amount that depends on the set (Binkowski et al., 2018).  Below some 10,000
samples, compare equal counts only and read KID beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lomit.errors import LomitError
from lomit.stats.estimate import Estimate
from lomit.stats.jackknife import jackknife

FID = "FID"
"""Name of the measure; the extractor's follows (`lomit.metrics.features.named`)."""
UNBIASED_FROM = 10_000
"""Samples below which a report says that the distance is biased."""

Moments = tuple[Tensor, Tensor]
"""Mean (D) and covariance (D x D), float64."""


def moments(features: Tensor) -> Moments:
    """Mean and covariance, divided by N - 1, of N x D features.  Raises LomitError for fewer than two samples."""
    if len(features) < 2:
        raise LomitError(f"FID needs two samples at least; there are {len(features)}")
    features = features.double()
    return features.mean(0), features.T.cov().reshape(features.shape[1], -1)


def distance(first: Moments, second: Moments) -> float:
    """The distance of two normal distributions, not negative but for rounding; the order does not matter."""
    (mu1, s1), (mu2, s2) = first, second
    # tr (S1 S2)^(1/2) is the sum of singular values of S1^(1/2) S2^(1/2).  Unlike the root of the product, these stay
    # accurate where a covariance is singular (fewer samples than features).
    overlap = torch.linalg.svdvals(_root(s1) @ _root(s2)).sum()
    return float((mu1 - mu2).square().sum() + s1.trace() + s2.trace() - 2 * overlap)


def estimate(features: Tensor, people: Tensor, reference: Tensor, seed: int = 0) -> Estimate:
    """The distance with a jackknife interval over the people in the first set; args as for `lomit.metrics.kid`."""
    fixed = moments(reference)
    return jackknife(lambda rows: distance(moments(features[rows]), fixed), people, seed)


def _root(s: Tensor) -> Tensor:
    """The symmetric square root of a covariance."""
    values, vectors = torch.linalg.eigh(s)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T
