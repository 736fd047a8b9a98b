"""Kernel distance of two sets of features (Binkowski et al., 2018): unbiased, so it can be compared at any count.

The squared maximum mean discrepancy with the kernel k(x, y) = (x.y / D + 1)^3.  Being unbiased, it is around 0 and as
often below as above where the two sets come from one distribution.  Papers print it times 1,000.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lomit.errors import LomitError
from lomit.stats.estimate import Estimate
from lomit.stats.jackknife import jackknife

KID = "KID"
"""Name of the measure; the extractor's follows (`lomit.metrics.features.named`)."""


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x.y / D + 1)^3 of every pair: N x D, M x D -> float64, N x M."""
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def estimate(features: Tensor, people: Tensor, reference: Tensor, seed: int = 0) -> Estimate:
    """The unbiased squared discrepancy, with a jackknife interval over the people in the first set.

    Features are N x D, the reference is M x D and stays as it is; `people` are N numbers of the person each image
    shows, left out in groups that the seed draws.  Pairs of a sample with itself are left out.  Kernels are computed
    once; they take 8 (N^2 + M^2 + N M) bytes.  LomitError for fewer than two samples in either.
    """
    n, m = len(features), len(reference)
    if min(n, m) < 2:
        raise LomitError(f"KID needs two samples at least; there are {min(n, m)}")
    kxx, kyy = kernel(features, features).fill_diagonal_(0), kernel(reference, reference).fill_diagonal_(0)
    within_y, across = kyy.sum() / (m * (m - 1)), kernel(features, reference).mean(1)

    def without(rows: Tensor) -> float:
        kept = torch.zeros(n, dtype=torch.float64).index_fill_(0, rows, 1)
        within_x = kept @ kxx @ kept / (len(rows) * (len(rows) - 1))
        return float(within_x + within_y - 2 * across[rows].mean())

    return jackknife(without, people, seed)
