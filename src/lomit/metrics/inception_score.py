"""Inception score (Salimans et al., 2016) from a classifier's probabilities, raw and exponentiated, and MUNIT's
conditional form (Huang et al., 2018).

The raw score is the mean over images of KL(p(y|x) || p(y)) in nats, p(y) being the mean of p(y|x).  It is what Table 1
of the paper can only be (0.14 to 0.38: the exponential is at least 1); the exponentiated one is what Salimans et al.
define.  Both are high where each image is clear and the images differ.

A classifier of attributes answers with independent sigmoids, not with one softmax.  What y is, is therefore chosen by
the class that is scored: for one attribute y is whether an image has it, two values; for a combined class of K
attributes y is the whole pattern, 2^K values, p(y|x) being the product over the attributes (`joint_table`).  p(y) is
the mean of these tables, not a product: that the attributes go together in a set of images is seen.  The raw score lies
in [0, K ln 2].
"""

from __future__ import annotations

import torch
from torch import Tensor

from lomit.errors import LomitError
from lomit.stats import bootstrap
from lomit.stats.estimate import Estimate

RAW, EXPONENTIATED, CONDITIONAL = "IS-raw", "IS-exp", "CIS-raw"
"""Names of the measures; the classifier's name follows (`lomit.metrics.features.named`)."""
INPUTS_AT_ONCE = 64
MOST_ATTRIBUTES = 12
"""A combined class has at most so many: the table doubles with each."""


def joint_table(p: Tensor) -> Tensor:
    """Probabilities of every pattern of K attributes that are independent given the image, float64.

    ... x K in [0, 1] -> ... x 2^K; in pattern number n the k-th attribute is bit k of n.  LomitError for more than 12
    attributes.
    """
    if p.shape[-1] > MOST_ATTRIBUTES:
        raise LomitError(f"a combined class may have {MOST_ATTRIBUTES} attributes; this one has {p.shape[-1]}")
    table = torch.ones(*p.shape[:-1], 1, dtype=torch.float64, device=p.device)
    for q in p.double().split(1, dim=-1):
        table = torch.cat([table * (1 - q), table * q], dim=-1)
    return table


def divergences(table: Tensor) -> Tensor:
    """KL(p(y|x) || p(y)) of each image, in nats: float64, ... x N, not negative.

    p(y) is the mean of the table p(y|x), ... x N x C, over the N images.  With M x T x C, T translations of each of M
    inputs, it is taken per input, which gives MUNIT's conditional score.
    """
    table = table.double()
    marginal = table.mean(dim=-2, keepdim=True)
    # Rounding can leave equal tables a little below 0.
    return (torch.xlogy(table, table) - torch.xlogy(table, marginal)).sum(-1).clamp_min(0)


def estimate(table: Tensor, people: Tensor, exponential: bool = False, seed: int = 0) -> Estimate:
    """The score, raw or exponential, with its bootstrap interval over people; p(y) is anew from each resampled set.

    Uses that the mean of KL(p(y|x) || p(y)) is H(p(y)) - mean H(p(y|x)), a function of two means.  A small set of
    images has a p(y) that fits it, so resampled scores lie a little lower than the value.  The table p(y|x) is N x C,
    `people` are N numbers of the person each image shows.
    """

    def score(sums: Tensor) -> Tensor:
        means = sums[:, :-1] / sums[:, -1:]
        nats = _entropy(means[:, :-1]) - means[:, -1]
        return nats.exp() if exponential else nats

    table = table.double().cpu()
    columns = [table, _entropy(table)[:, None], torch.ones(len(table), 1, dtype=torch.float64)]
    return bootstrap.of_sums(torch.cat(columns, dim=1), people, score, seed)


def spread_estimate(table: Tensor, people: Tensor, seed: int = 0) -> Estimate:
    """Standard deviation over images of KL(p(y|x) || p(y)); args as for `estimate`, and p(y) is of the whole set."""
    kl = divergences(table)
    sums = torch.stack([kl, kl.square(), torch.ones_like(kl)], dim=1)

    def std(s: Tensor) -> Tensor:
        return (s[:, 1] / s[:, 2] - (s[:, 0] / s[:, 2]).square()).clamp_min(0).sqrt()

    return bootstrap.of_sums(sums, people, std, seed)


def conditional_estimate(p: Tensor, people: Tensor, seed: int = 0) -> Estimate:
    """The conditional score, raw, with its bootstrap interval over the people in the inputs, M numbers.

    `p` is the probability of each attribute in T translations of each of M inputs, M x T x K; y is their pattern.
    """
    # In parts: the patterns of twelve attributes are 4,096 numbers an image.
    scores = [divergences(joint_table(part)).mean(dim=-1) for part in p.split(INPUTS_AT_ONCE)]
    return bootstrap.mean(torch.cat(scores).cpu(), people, seed)


def _entropy(p: Tensor) -> Tensor:
    """-sum p ln p over the last axis."""
    return -torch.xlogy(p, p).sum(-1)
