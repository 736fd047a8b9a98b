"""Whether a classifier's probabilities mean what they say, and the temperature that makes them (Guo et al., 2017).

The inception score reads probabilities, not decisions, and networks are surer than they are right.  Each attribute has
a temperature T of its own, and its logit is divided by T.  Decisions and the order of scores stay as they are.

T stays 1 unless another one makes the labels of held-out people likelier.  Where nearly all decisions are right,
Platt's targets ask for less certainty than is right: with 150 positives they want no probability above 151/152, and a
calibration error of 0.001 became one of 0.012.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lomit.stats import bootstrap
from lomit.stats.estimate import Estimate

BINS = 15
COLDEST, HOTTEST = 1e-2, 1e2
"""Temperatures are looked for between these."""


def calibrate(logits: Tensor, labels: Tensor, people: Tensor, seed: int = 0) -> dict[str, float | None]:
    """Chooses the temperature of one attribute, and says what it gains on held-out people.

    Args:
        logits, labels: as for `calibration_error`.
        people: N numbers of the person each image shows; halves and interval are drawn by the seed.

    Returns:
        `temperature`: what the logits are to be divided by; 1 unless the gain is above 0 by its whole interval.
        `temperature_asked`: that under which the labels are most likely (`fit_temperature`).
        `log_loss_gain` (`_low`, `_high`): nats by which it lowers the mean log loss of an image, cross-fitted over
        halves of the people.  `ece_before`, `ece_after`: calibration error, the latter with the temperature of the
        other half where one is used.  None where too little is annotated.
    """
    asked, before = fit_temperature(logits, labels), calibration_error(logits, labels)
    temperature, after, gain = 1.0, before, Estimate(None, None, None, 0, 0)
    fitted = cross_fitted(logits, labels, people, seed)
    if fitted is not None:
        gain = bootstrap.mean(log_loss(logits, labels) - log_loss(fitted, labels), people, seed)
        if gain.low is not None and gain.low > 0:
            temperature, after = asked, calibration_error(fitted, labels)
    known = bool((labels >= 0).any())
    return {
        "temperature": temperature,
        "temperature_asked": asked,
        "log_loss_gain": gain.value,
        "log_loss_gain_low": gain.low,
        "log_loss_gain_high": gain.high,
        "ece_before": before if known else None,
        "ece_after": after if known else None,
    }


def log_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """-log of the probability given to each label, nats, float64, N; nan where the label is -1 (not annotated)."""
    loss = F.binary_cross_entropy_with_logits(logits.double(), (labels == 1).double(), reduction="none")
    return torch.where(labels >= 0, loss, float("nan"))


def calibration_error(logits: Tensor, labels: Tensor) -> float:
    """Expected calibration error: |share of positives - mean probability| in 15 bins of equal width, by their counts.

    N logits and labels: 1 has it, 0 has not; -1 (not annotated) takes no part.  0..1; nan where nothing is annotated.
    """
    known = labels >= 0
    p, y = logits[known].double().sigmoid(), (labels[known] == 1).double()
    if not len(p):
        return float("nan")
    place = (p * BINS).long().clamp(max=BINS - 1)
    gap = torch.zeros(BINS, dtype=torch.float64).index_add_(0, place, y - p)
    return float(gap.abs().sum() / len(p))


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature under which the labels are most likely, in [0.01, 100]; 1 where nothing is annotated.

    Targets are Platt's (1999), 1 / (N_0 + 2) and (N_1 + 1) / (N_1 + 2) for 0 and 1: where every decision on the
    validation images is right, plain labels would ask for a temperature of 0.
    """
    known = labels >= 0
    z, has = logits[known].double(), labels[known] == 1
    positives, negatives = int(has.sum()), int((~has).sum())
    target = torch.where(has, (positives + 1) / (positives + 2), 1 / (negatives + 2)).double()
    if not z.any():
        return 1.0
    # The slope of the cross entropy in 1 / T, sum of z (sigmoid(z / T) - target), rises with 1 / T: bisection.
    low, high = np.log(1 / HOTTEST), np.log(1 / COLDEST)
    for _ in range(60):
        middle = (low + high) / 2
        if float((z * ((z * np.exp(middle)).sigmoid() - target)).sum()) < 0:
            low = middle
        else:
            high = middle
    return float(np.exp(-(low + high) / 2))


def cross_fitted(logits: Tensor, labels: Tensor, people: Tensor, seed: int = 0) -> Tensor | None:
    """Logits calibrated by the temperature of people other than those they show, to measure what calibration brings.

    Half of the people, drawn by the seed, give the temperature of the other half, and the other way round.  Args as for
    `calibrate`; returns float64, N, or None where one half has nothing annotated.
    """
    names, person = np.unique(people.numpy(), return_inverse=True)
    first = torch.from_numpy((np.random.default_rng(seed).permutation(len(names)) % 2 == 0)[person])
    calibrated = logits.double()
    for half in (first, ~first):
        if not (labels[~half] >= 0).any():
            return None
        calibrated = torch.where(half, calibrated / fit_temperature(logits[~half], labels[~half]), calibrated)
    return calibrated
