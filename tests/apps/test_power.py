"""Power against the binomial distribution itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lomit.apps.study.power import Need, participants_needed, simulate_power
from lomit.errors import LomitError

scipy_stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize(
    ("share", "participants", "trials"), [(0.6, 10, 10), (0.7, 5, 8), (0.55, 30, 10), (0.35, 12, 5)]
)
def test_simulation_agrees_with_the_binomial_distribution(share: float, participants: int, trials: int) -> None:
    need, studies = Need(share, trials, 0.0, 0.05, 1), 20_000
    found = simulate_power(need, participants, studies, seed=0)
    # Summed here, too: over all numbers of hits whose exact test is significant.
    n = participants * trials
    significant = [k for k in range(n + 1) if scipy_stats.binomtest(k, n).pvalue <= 0.05]
    expected = sum(scipy_stats.binom.pmf(k, n, share) for k in significant)
    assert found.answers == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / studies))
    assert found.false == pytest.approx(sum(scipy_stats.binom.pmf(k, n, 0.5) for k in significant))
    assert found.false <= 0.05


def test_power_of_the_participants_test_agrees_with_the_noncentral_t() -> None:
    """With many answers each and a small spread the shares are nearly normal."""
    need = Need(0.53, 400, 0.05, 0.05, 1)
    deviation = math.sqrt(0.05**2 + (0.53 * 0.47 - 0.05**2) / 400)
    n = 20
    shift, critical = 0.03 / deviation * math.sqrt(n), scipy_stats.t.isf(0.025, n - 1)
    expected = scipy_stats.nct.sf(critical, n - 1, shift) + scipy_stats.nct.cdf(-critical, n - 1, shift)
    assert simulate_power(need, n, 20_000, seed=1).people == pytest.approx(expected, abs=0.015)


def test_spread_makes_the_binomial_test_cry_wolf() -> None:
    alike, apart = (simulate_power(Need(0.6, 20, spread, 0.05, 1), 20, 4_000, 0) for spread in (0.0, 0.2))
    assert alike.false <= 0.05
    assert apart.false > 0.2
    assert apart.people < alike.people


def test_the_spread_is_that_of_the_participants() -> None:
    from lomit.apps.study.power import _hits

    need = Need(0.6, 1_000, 0.1, 0.05, 1)
    shares = _hits(0.6, need, (1, 20_000), np.random.default_rng(0))[0] / 1_000
    assert shares.mean() == pytest.approx(0.6, abs=0.004)
    assert shares.std() == pytest.approx(math.sqrt(0.1**2 + 0.23 / 1_000), rel=0.03)


def test_the_number_is_the_smallest_that_is_enough() -> None:
    need = Need(0.65, 10, 0.1, 0.05, 1)
    best, tried = participants_needed(need, 0.8, 2_000, seed=0)
    assert best is not None
    by_number = {row.participants: min(row.answers, row.people) for row in tried}
    assert by_number[best.participants] >= 0.8
    assert by_number[best.participants - 1] < 0.8
    # Five times as large a correction needs more, a larger difference fewer.
    more, _ = participants_needed(Need(0.65, 10, 0.1, 0.05, 5), 0.8, 2_000, seed=0)
    fewer, _ = participants_needed(Need(0.75, 10, 0.1, 0.05, 1), 0.8, 2_000, seed=0)
    assert more is not None
    assert fewer is not None
    assert fewer.participants < best.participants < more.participants
    assert participants_needed(Need(0.501, 1, 0.0, 0.05, 1), 0.8, 200, 0, most=64)[0] is None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((0.5, 10, 0.1, 0.05, 1), "--share must lie in 0 to 1 and not be 0.5"),
        ((1.0, 10, 0.1, 0.05, 1), "--share"),
        ((0.6, 0, 0.1, 0.05, 1), "--trials and --tests must be at least 1"),
        ((0.6, 10, 0.5, 0.05, 1), "--spread must be at least 0 and below 0.49"),
        ((0.6, 10, -0.1, 0.05, 1), "--spread"),
        ((0.6, 10, 0.1, 1.0, 1), "--alpha"),
    ],
)
def test_impossible_needs_are_one_line(values: tuple, says: str) -> None:
    with pytest.raises(LomitError) as raised:
        Need(*values)
    assert says in str(raised.value)
