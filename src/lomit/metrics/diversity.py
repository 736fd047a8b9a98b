"""Diversity: how much several outputs for one input differ from each other, by a distance of images or features.

StarGAN v2's protocol (Choi et al., 2020): ten outputs an input, the mean LPIPS distance over their 45 pairs, then the
mean over inputs.  Noise is diverse, too: read it beside a measure of quality.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

from lomit.errors import LomitError
from lomit.nn.blocks import float64

DIVERSITY = "diversity"
"""Name of the measure by `feature_distance`; the extractor's follows (`lomit.metrics.features.named`).  By LPIPS it is
called LPIPS-alex (`lomit.metrics.lpips`)."""


def feature_distance(first: Tensor, second: Tensor) -> Tensor:
    """Squared distance of feature vectors scaled to length 1, twice their cosine distance.

    It is what LPIPS takes of one layer, without its learned weights, and stands in where those are not to be had.
    ... x D each -> float64, ..., in [0, 4]; in [0, 2] for features that are not negative.
    """
    return (F.normalize(float64(first), dim=-1) - F.normalize(float64(second), dim=-1)).square().sum(-1)


def pair_mean(outputs: Tensor, distance: Callable[[Tensor, Tensor], Tensor] = feature_distance) -> Tensor:
    """Mean distance over all pairs of outputs of each input, M x T x ... -> float64, M; LomitError for T < 2.

    The distance takes images or features, M x ..., M x ... -> M.
    """
    if outputs.shape[1] < 2:
        raise LomitError(f"diversity needs two outputs of an input at least; there are {outputs.shape[1]}")
    pairs = combinations(outputs.unbind(1), 2)
    return torch.stack([float64(distance(first, second)) for first, second in pairs]).mean(0)
