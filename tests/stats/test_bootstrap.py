"""Intervals against scipy's bootstrap and closed forms; people, not samples, are what is resampled."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lomit.stats.bootstrap import mean, ratio
from lomit.stats.estimate import Estimate


def sample(n: int = 300, seed: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).gamma(2.0, size=n))


def test_mean_interval_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = sample()
    ours = mean(values, torch.arange(300))
    theirs = stats.bootstrap(
        (values.numpy(),), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean().item())
    # The ends of an interval of 2,000 resamples stray by a few per cent of its width.
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.06 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.06 * width)


def test_width_is_that_of_the_normal_approximation() -> None:
    values = sample(2000)
    estimate = mean(values, torch.arange(2000))
    assert estimate.high is not None
    assert estimate.low is not None
    expected = 2 * 1.96 * values.std().item() / math.sqrt(2000)
    assert estimate.high - estimate.low == pytest.approx(expected, rel=0.08)


def test_more_samples_of_the_same_people_do_not_narrow_the_interval() -> None:
    values, people = sample(), torch.arange(300)
    once, five_times = mean(values, people), mean(values.repeat(5), people.repeat(5))
    assert five_times.samples == 5 * once.samples
    assert five_times.people == once.people
    assert (five_times.value, five_times.low, five_times.high) == pytest.approx((once.value, once.low, once.high))
    as_if_independent = mean(values.repeat(5), torch.arange(1500))
    assert as_if_independent.high - as_if_independent.low < 0.6 * (once.high - once.low)  # type: ignore[operator]


def test_order_and_numbering_of_people_in_the_same_order_do_not_matter() -> None:
    values, people = sample(), torch.arange(300) // 3
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    first, second = mean(values, people), mean(values[order], people[order] * 7 + 100)
    assert (first.value, first.low, first.high) == pytest.approx((second.value, second.low, second.high))


def test_ratio_is_of_sums_and_not_a_mean_of_ratios() -> None:
    estimate = ratio(torch.tensor([1.0, 0.0, 3.0]), torch.tensor([1.0, 2.0, 5.0]), torch.tensor([0, 1, 2]))
    assert estimate.value == pytest.approx(4 / 8)


def test_interval_of_a_ratio_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    people = torch.arange(60).repeat_interleave(4)
    covered = 0
    for trial in range(200):
        share = np.clip(0.7 + 0.2 * rng.standard_normal(60), 0, 1).repeat(4)
        decisions = torch.from_numpy((rng.random(240) < share).astype(float))
        estimate = ratio(decisions, torch.ones(240), people, seed=trial)
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= np.clip(0.7 + 0.2 * rng.standard_normal(100_000), 0, 1).mean() <= estimate.high
    assert 0.9 <= covered / 200 <= 0.985


def test_what_does_not_count_changes_nothing() -> None:
    values, people = sample(50), torch.arange(50) // 2
    padded = torch.cat([values, torch.full((20,), float("nan"), dtype=torch.float64)])
    assert mean(padded, torch.cat([people, torch.arange(500, 520)])) == mean(values, people)


def test_nothing_to_count_and_one_person() -> None:
    nan = torch.full((3,), float("nan"))
    assert mean(nan, torch.arange(3)) == Estimate(None, None, None, 0, 0)
    assert mean(torch.tensor([1.0, 2.0]), torch.tensor([5, 5])) == Estimate(1.5, None, None, 2, 1)


def test_same_seed_same_interval() -> None:
    values, people = sample(40), torch.arange(40)
    assert mean(values, people, seed=1) == mean(values, people, seed=1)
    assert mean(values, people, seed=1).low != mean(values, people, seed=2).low
