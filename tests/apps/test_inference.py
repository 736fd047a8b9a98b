"""Statistics against closed forms, other programs and simulation."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from lomit.apps.study.inference import (
    bootstrap_shares,
    bradley_terry,
    exact_binomial,
    holm,
    interval,
    ranked_people,
    share_test,
)  # fmt: skip

scipy_stats = pytest.importorskip("scipy.stats")
pytest.importorskip("choix")


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (5, 10), (9, 10), (33, 100), (60, 100), (0, 30)])
def test_binomial_is_the_sum_of_what_is_as_unlikely(hits: int, trials: int) -> None:
    chances = [math.comb(trials, k) / 2**trials for k in range(trials + 1)]
    expected = sum(c for c in chances if c <= chances[hits] * (1 + 1e-9))
    assert exact_binomial(hits, trials) == pytest.approx(expected, rel=1e-9)


def test_binomial_of_nothing_is_one() -> None:
    assert exact_binomial(0, 0) == 1


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1, each at least the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    assert holm([0.2]) == [0.2]


def test_holm_keeps_the_level_for_all_together() -> None:
    rng = np.random.default_rng(0)
    wrong = np.mean([min(holm(rng.random(7).tolist())) < 0.05 for _ in range(4_000)])
    assert wrong == pytest.approx(0.05, abs=0.012)


def test_t_test_is_scipys_over_participants() -> None:
    rng = np.random.default_rng(1)
    asked = rng.integers(1, 12, 20)
    hits = rng.binomial(asked, 0.6)
    expected = scipy_stats.ttest_1samp(hits / asked, 0.5).pvalue
    assert share_test(hits, asked) == pytest.approx(expected)
    # Who was asked nothing changes nothing.
    assert share_test(np.append(hits, 0), np.append(asked, 0)) == pytest.approx(expected)


def test_t_test_without_spread_counts_signs() -> None:
    for n in (2, 5, 9):
        flips = [abs(sum(s)) == n for s in product((-1, 1), repeat=n)]
        assert share_test(np.full(n, 7), np.full(n, 10)) == pytest.approx(np.mean(flips))
    assert share_test(np.full(3, 5), np.full(3, 10)) == 1
    assert share_test(np.array([3]), np.array([10])) is None


def test_bootstrap_resamples_participants_whole() -> None:
    """Two questions that a participant always answers alike stay alike; the spread is that of participants."""
    rng = np.random.default_rng(2)
    shares = rng.beta(6, 4, 40)
    hits = rng.binomial(10, shares)
    two = np.stack([hits, hits], axis=1)
    samples = bootstrap_shares(two, np.full((40, 2), 10), seed=0, draws=4_000)
    assert (samples[:, 0] == samples[:, 1]).all()
    expected = (hits / 10).std() / math.sqrt(40)
    assert samples[:, 0].std() == pytest.approx(expected, rel=0.05)
    # Wider than if all answers were independent.
    assert samples[:, 0].std() > 1.2 * math.sqrt(0.24 / 400)


def test_bootstrap_is_seeded_and_knows_what_was_not_asked() -> None:
    hits, asked = np.array([[1, 0], [2, 0], [0, 0]]), np.array([[3, 0], [3, 0], [3, 0]])
    first, second = (bootstrap_shares(hits, asked, seed=4, draws=50) for _ in range(2))
    assert np.array_equal(first, second, equal_nan=True)
    assert np.isnan(first[:, 1]).all()
    assert interval(first[:, 1]) is None
    assert interval(first[:, 0]) is not None


@pytest.mark.parametrize("spread", [0.0, 0.15])
def test_bootstrap_covers_the_true_share(spread: float) -> None:
    rng = np.random.default_rng(3)
    covered = []
    for k in range(200):
        p = np.full(40, 0.65) if not spread else rng.beta(0.65 * 9, 0.35 * 9, 40)
        hits = rng.binomial(10, p)
        found = interval(bootstrap_shares(hits[:, None], np.full((40, 1), 10), k, 300)[:, 0])
        assert found is not None
        covered.append(found[0] <= 0.65 <= found[1])
    assert np.mean(covered) == pytest.approx(0.94, abs=0.04)


def test_bradley_terry_solves_its_equations() -> None:
    """At the maximum, wins are what the strengths let expect."""
    wins = {("a", "b"): 30, ("b", "a"): 10, ("b", "c"): 25, ("c", "b"): 15, ("a", "c"): 33, ("c", "a"): 7}
    ranking = bradley_terry(wins)
    assert ranking is not None
    assert not ranking.regularised
    assert list(ranking.strengths) == ["a", "b", "c"]
    assert sum(ranking.strengths.values()) == pytest.approx(0, abs=1e-9)
    for one in "abc":
        won = sum(count for (winner, _), count in wins.items() if winner == one)
        expected = sum(
            (wins[one, other] + wins[other, one]) / (1 + math.exp(ranking.strengths[other] - ranking.strengths[one]))
            for other in "abc"
            if other != one
        )
        assert won == pytest.approx(expected, abs=1e-3)


def test_bradley_terry_recovers_strengths() -> None:
    rng = np.random.default_rng(5)
    true = {"a": 0.8, "b": 0.1, "c": -0.3, "d": -0.6}
    wins: dict[tuple[str, str], int] = {}
    for first, second in [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")]:
        p = 1 / (1 + math.exp(true[second] - true[first]))
        won = int(rng.binomial(4_000, p))
        wins |= {(first, second): won, (second, first): 4_000 - won}
    ranking = bradley_terry(wins)
    assert ranking is not None
    for name, strength in true.items():
        assert ranking.strengths[name] == pytest.approx(strength, abs=0.1)


def people_who_choose(true: dict[str, float], pairs: list, people: int, trials: int, spread: float, seed: int) -> list:
    """Wins of participants whose own strengths lie around the true ones."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(people):
        own = {name: strength + spread * rng.standard_normal() for name, strength in true.items()}
        wins = {}
        for first, second in pairs:
            won = int(rng.binomial(trials, 1 / (1 + math.exp(own[second] - own[first]))))
            wins |= {(first, second): won, (second, first): trials - won}
        found.append(wins)
    return found


def test_rankings_intervals_are_those_of_the_estimate_over_new_participants() -> None:
    """With answers that are independent, the inverse Fisher information is the estimate's variance."""
    true, pairs = {"a": 0.7, "b": 0.0, "c": -0.7}, [("a", "b"), ("b", "c"), ("a", "c")]
    people = people_who_choose(true, pairs, 300, 10, 0.0, seed=6)
    ranking = ranked_people(people, seed=0)
    assert ranking is not None
    assert list(ranking.people) == ["a", "b", "c"]
    strengths = np.array(list(ranking.strengths.values()))
    p = 1 / (1 + np.exp(strengths[None] - strengths[:, None]))
    information = -3_000 * p * (1 - p)
    np.fill_diagonal(information, 0)
    np.fill_diagonal(information, -information.sum(1))
    errors = np.sqrt(np.diag(np.linalg.pinv(information)))
    for name, error in zip(ranking.strengths, errors, strict=True):
        low, high = ranking.people[name]
        assert low < ranking.strengths[name] < high
        assert high - low == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert ranked_people(people, seed=0) == ranking
    # People who differ are worth fewer answers.
    other = ranked_people(people_who_choose(true, pairs, 300, 10, 1.0, seed=6), seed=0)
    assert other is not None
    for name, (low, high) in ranking.people.items():
        assert other.people[name][1] - other.people[name][0] > 1.3 * (high - low)


def test_rankings_without_enough_people_have_no_intervals() -> None:
    wins = {("a", "b"): 3, ("b", "a"): 2, ("b", "c"): 4, ("c", "b"): 1}
    alone = ranked_people([wins], seed=0)
    assert alone == bradley_terry(wins)
    assert alone is not None
    assert alone.people == {}
    assert ranked_people([{("a", "b"): 3}, {("b", "a"): 1}], seed=0) is None
    assert ranked_people([], seed=0) is None


def test_bradley_terry_says_where_it_is_penalised_or_impossible() -> None:
    always = bradley_terry({("a", "b"): 5, ("a", "c"): 5, ("b", "c"): 3, ("c", "b"): 2})
    assert always is not None
    assert always.regularised
    assert next(iter(always.strengths)) == "a"
    assert bradley_terry({("a", "b"): 5, ("b", "a"): 3}) is None
    assert bradley_terry({("a", "b"): 5, ("b", "a"): 3, ("c", "d"): 1, ("d", "c"): 1}) is None
    assert bradley_terry({}) is None
