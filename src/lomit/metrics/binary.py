"""How well a score tells two classes apart: accuracy, balanced accuracy, area under the ROC curve."""

from __future__ import annotations

import torch
from torch import Tensor


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """Share of right decisions at the threshold 0.

    Args:
        scores: N, above 0 decides for the attribute.
        labels: N, 1 has it, 0 has not; -1 (not annotated) takes no part.

    Returns:
        A share in [0, 1]; nan where nothing is annotated.
    """
    known = labels >= 0
    return float(((scores > 0) == (labels == 1))[known].double().mean())


def balanced_accuracy(scores: Tensor, labels: Tensor) -> float:
    """Mean of the shares of right decisions among those with and those without; nan where a class is empty.

    Args and range as for `accuracy`.
    """
    right = ((scores > 0) == (labels == 1)).double()
    return float(torch.stack([right[labels == value].mean() for value in (0, 1)]).mean())


def auc(scores: Tensor, labels: Tensor) -> float:
    """Area under the ROC curve: the probability that an image with the attribute scores above one without.

    Computed as the Mann-Whitney statistic, ties counting one half.  Args and range as for `accuracy`; nan where
    a class is empty.
    """
    positive, negative = (scores[labels == value].double().contiguous() for value in (1, 0))
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = negative.sort().values
    below = torch.searchsorted(ordered, positive, right=False) + torch.searchsorted(ordered, positive, right=True)
    return float(below.double().sum() / 2 / (len(positive) * len(negative)))
