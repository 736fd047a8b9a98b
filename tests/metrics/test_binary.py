"""Accuracies and AUC with their intervals, against scikit-learn's and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lomit.metrics import binary


def answers(n: int = 400, people: int = 50) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    y = (torch.rand(n, generator=g) < 0.3).long()
    return torch.randn(n, generator=g) + 1.2 * y - 0.6, y, torch.randint(people, (n,), generator=g)


def test_values_are_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    s, y, people = answers()
    s = (4 * s).round() / 4  # with ties
    found = binary.auc_estimate(s, y, people)
    assert found.value == pytest.approx(metrics.roc_auc_score(y, s))
    balanced = binary.balanced_estimate(s, y, people)
    assert balanced.value == pytest.approx(metrics.balanced_accuracy_score(y, s > 0))
    assert (found.samples, found.people) == (400, 50)


def test_interval_is_that_of_resampled_people() -> None:
    """Against resampling the images themselves, person by person."""
    metrics = pytest.importorskip("sklearn.metrics")
    s, y, people = answers()
    rng, drawn = np.random.default_rng(1), []
    for _ in range(500):
        rows = torch.cat([torch.nonzero(people == p)[:, 0] for p in rng.integers(50, size=50).tolist()])
        z, of = s[rows], y[rows]
        drawn.append((metrics.roc_auc_score(of, z), metrics.balanced_accuracy_score(of, z > 0)))
    for estimate, values in zip(
        (binary.auc_estimate(s, y, people), binary.balanced_estimate(s, y, people)), np.array(drawn).T, strict=True
    ):
        assert (estimate.low, estimate.high) == pytest.approx(np.quantile(values, [0.025, 0.975]).tolist(), abs=0.012)


def test_what_is_not_annotated_takes_no_part_and_one_class_says_nothing() -> None:
    s, y, people = answers()
    more = torch.cat([s, torch.tensor([9.0])]), torch.cat([y, torch.tensor([-1])]), torch.cat([people, people[:1]])
    for estimate in (binary.auc_estimate, binary.balanced_estimate):
        assert estimate(*more) == estimate(s, y, people)
        nothing = estimate(s, torch.zeros_like(y), people)
        assert (nothing.value, nothing.low, nothing.samples, nothing.people) == (None, None, 400, 50)
    few = binary.auc_estimate(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert (few.value, few.low, few.high) == (1, 1, 1)  # sets of one class alone have no say


def test_area_under_the_curve_sees_only_the_order() -> None:
    s, y, people = answers()
    found = binary.auc_estimate(s, y, people).value
    assert found is not None
    assert binary.auc_estimate(torch.exp(3 * s), y, people).value == pytest.approx(found)
    assert binary.auc_estimate(-s, y, people).value == pytest.approx(1 - found)
    assert binary.auc_estimate(torch.zeros(400), y, people).value == 0.5
