"""Jackknife intervals against the closed form of a mean; people are what is left out."""

from __future__ import annotations

import math

import pytest
import torch

from lomit.stats.estimate import Estimate
from lomit.stats.jackknife import jackknife

VALUES = torch.randn(90, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def mean_of(values: torch.Tensor):  # type: ignore[no-untyped-def]
    return lambda rows: float(values[rows].mean())


def test_interval_of_a_mean() -> None:
    found = jackknife(mean_of(VALUES), torch.arange(90), groups=90)
    half = 1.959964 * VALUES.std().item() / math.sqrt(90)
    mean = VALUES.mean().item()
    assert (found.low, found.value, found.high) == pytest.approx((mean - half, mean, mean + half))
    assert (found.samples, found.people) == (90, 90)


def test_fewer_groups_say_about_the_same() -> None:
    all_of_them, some = (jackknife(mean_of(VALUES), torch.arange(90), groups=g) for g in (90, 30))
    assert some.high - some.low == pytest.approx(all_of_them.high - all_of_them.low, rel=0.4)  # type: ignore[operator]


def test_more_samples_of_the_same_people_do_not_narrow_the_interval() -> None:
    once = jackknife(mean_of(VALUES), torch.arange(90))
    five_times = jackknife(mean_of(VALUES.repeat(5)), torch.arange(90).repeat(5) * 3)
    assert (five_times.low, five_times.high) == pytest.approx((once.low, once.high))
    assert five_times.people == once.people


def test_sets_that_would_leave_one_sample_have_no_interval() -> None:
    """FID and KID of one image are not known."""

    def of_two(rows: torch.Tensor) -> float:
        assert len(rows) >= 2
        return 1.0

    for people in ([0, 1], [0, 0, 1]):
        assert jackknife(of_two, torch.tensor(people)) == Estimate(1.0, None, None, len(people), 2)
    assert jackknife(of_two, torch.tensor([0, 0, 1, 1])).low is not None


def test_one_person_has_no_interval() -> None:
    assert jackknife(mean_of(VALUES), torch.zeros(90)) == Estimate(VALUES.mean().item(), None, None, 90, 1)
