"""Inception scores against torchmetrics, scipy and closed forms; what must not matter does not."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lomit.errors import LomitError
from lomit.metrics import inception_score
from lomit.metrics.inception_score import divergences, joint_table


def raw(table: Tensor) -> float:
    return float(divergences(table).mean())


def exponentiated(table: Tensor) -> float:
    return math.exp(raw(table))


def probabilities(n: int = 60, k: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_table_holds_every_pattern() -> None:
    p = probabilities(5, 3)
    table = joint_table(p)
    for number, pattern in enumerate(itertools.product((0, 1), repeat=3)):
        bits = pattern[::-1]  # bit k of the number is attribute k
        expected = torch.ones(5, dtype=torch.float64)
        for k in range(3):
            expected = expected * (p[:, k] if bits[k] else 1 - p[:, k])
        torch.testing.assert_close(table[:, number], expected)
    torch.testing.assert_close(table.sum(1), torch.ones(5, dtype=torch.float64))


def test_divergences_are_scipys_entropies() -> None:
    stats = pytest.importorskip("scipy.stats")
    table = joint_table(probabilities())
    expected = [stats.entropy(row, table.mean(0).numpy()) for row in table.numpy()]
    np.testing.assert_allclose(divergences(table).numpy(), expected)
    assert raw(table) == pytest.approx(np.mean(expected))


@pytest.mark.filterwarnings("ignore::UserWarning")  # torchmetrics, of its buffer and of the deviation of one split
def test_score_is_torchmetrics() -> None:
    image = pytest.importorskip("torchmetrics.image.inception")
    logits = 3 * torch.randn(50, 1, generator=torch.Generator().manual_seed(1))
    theirs = image.InceptionScore(feature=nn.Identity(), splits=1)
    theirs.update(torch.cat([torch.zeros_like(logits), logits], dim=1))  # the softmax of (0, z) is the sigmoid of z
    assert exponentiated(joint_table(logits.sigmoid())) == pytest.approx(float(theirs.compute()[0]), rel=1e-5)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_sure_and_evenly_spread_gives_the_most(k: int) -> None:
    patterns = torch.tensor(list(itertools.product((0.0, 1.0), repeat=k)))
    table = joint_table(patterns.repeat(4, 1))
    assert raw(table) == pytest.approx(k * math.log(2))
    assert exponentiated(table) == pytest.approx(2**k)


def test_equal_images_give_nothing() -> None:
    for p in (0.0, 0.3, 1.0):
        table = joint_table(torch.full((10, 2), p))
        assert raw(table) == pytest.approx(0, abs=1e-12)
        assert exponentiated(table) == pytest.approx(1)


def test_order_of_images_and_attributes_and_which_value_is_called_yes_do_not_matter() -> None:
    p = probabilities(k=3)
    order = torch.randperm(len(p), generator=torch.Generator().manual_seed(0))
    for other in (p[order], p[:, [2, 0, 1]], 1 - p):
        assert raw(joint_table(other)) == pytest.approx(raw(joint_table(p)))


def test_attributes_that_go_together_are_seen_in_the_joint_table_alone() -> None:
    yes = torch.tensor([[1.0], [0.0]]).repeat(10, 1)
    assert raw(joint_table(torch.cat([yes, yes], dim=1))) == pytest.approx(math.log(2))
    constant = torch.full_like(yes, 0.4)
    assert raw(joint_table(torch.cat([yes, constant], dim=1))) == pytest.approx(math.log(2))


def test_conditional_score_takes_the_marginal_of_each_input() -> None:
    table = joint_table(probabilities(24)).view(4, 6, 4)
    each = [raw(of_input) for of_input in table]
    assert len(set(each)) == 4
    assert raw(table) == pytest.approx(sum(each) / 4)
    assert raw(table[:1]) == pytest.approx(raw(table[0]))
    # Inputs that differ, each with equal translations: diverse over inputs, not given one.
    same = joint_table(torch.tensor([[[0.0]], [[1.0]]]).expand(2, 5, 1))
    assert raw(same) == 0
    assert raw(same.flatten(0, 1)) == pytest.approx(math.log(2))


def test_intervals_hold_the_score() -> None:
    table, people = joint_table(probabilities(200, 1)), torch.arange(200) // 2
    nats, exp = (inception_score.estimate(table, people, exponential) for exponential in (False, True))
    assert nats.value == pytest.approx(raw(table))
    assert exp.value == pytest.approx(exponentiated(table))
    assert nats.low is not None
    assert nats.high is not None
    assert nats.low < raw(table) < nats.high
    assert (exp.low, exp.high) == pytest.approx((math.exp(nats.low), math.exp(nats.high)))
    assert (nats.samples, nats.people) == (200, 100)
    # p(y) of each resample: of two people who differ, half of the resamples show only one and score 0.
    two = inception_score.estimate(joint_table(torch.tensor([[0.0], [1.0]])), torch.tensor([0, 1]))
    assert (two.low, two.value, two.high) == pytest.approx((0, math.log(2), math.log(2)))
    p = torch.rand(100, 5, 2, generator=torch.Generator().manual_seed(0))  # more inputs than are scored at once
    conditional = inception_score.conditional_estimate(p, torch.arange(100))
    assert conditional.value == pytest.approx(raw(joint_table(p)))
    assert (conditional.samples, conditional.people) == (100, 100)


def test_too_many_attributes() -> None:
    with pytest.raises(LomitError, match="may have 12 attributes; this one has 13"):
        joint_table(torch.zeros(1, 13))
