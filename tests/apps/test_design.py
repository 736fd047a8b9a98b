"""The design of a study."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from lomit.apps.study.design import (
    REAL,
    Block,
    alternative,
    design,
    meetings,
    order,
    pairs_needed,
    paper_blocks,
    reals_needed,
)  # fmt: skip
from lomit.errors import LomitError

MODELS = ("ours", "DRIT", "MUNIT")
BLOCKS = paper_blocks(MODELS, "first")


def lists(seed: int = 0, count: int = 4, pairs: int = 100, reals: int = 200):
    return design(BLOCKS, MODELS, pairs, reals, count, seed)


def test_the_papers_counts() -> None:
    """30 real images and 10 translations a model; ten pairs of outputs for each two models and question."""
    for trials in lists():
        main = [t for t in trials if t.role == "main"]
        realism = [t for t in main if t.block == "realism"]
        shown = [p for t in realism for p in (t.left, t.right)]
        assert Counter(alternative(p) for p in shown) == {"ours": 10, "DRIT": 10, "MUNIT": 10, REAL: 30}
        assert len({p.number for p in shown if p.kind == "real"}) == 30
        for block in ("style", "background"):
            met = Counter(frozenset(map(alternative, (t.left, t.right))) for t in main if t.block == block)
            assert met == {frozenset(("ours", "DRIT")): 10, frozenset(("ours", "MUNIT")): 10}


def test_questions_are_the_papers() -> None:
    from lomit.report.figure7 import PAPER_COMPARISONS

    assert tuple(block.question for block in BLOCKS[1:]) == tuple(question for question, _ in PAPER_COMPARISONS)


def test_equal_seeds_give_equal_lists_and_others_do_not() -> None:
    assert lists(5) == lists(5)
    assert lists(5) != lists(6)


@pytest.mark.parametrize("seed", range(5))
def test_sides_are_balanced(seed: int) -> None:
    drawn = lists(seed)
    for trials in drawn:
        for block, model in ((b.name, m) for b in BLOCKS for m in MODELS):
            sides = [
                alternative(t.left) == model
                for t in trials
                if t.block == block and t.role == "main" and model in (alternative(t.left), alternative(t.right))
            ]
            assert abs(2 * sum(sides) - len(sides)) <= len(sides) % 2, (block, model)
    # Over a list and its mirror, every picture stands on the left as often as on the right.
    for first, second in zip(drawn[::2], drawn[1::2], strict=True):
        assert [t.mirrored() for t in first] == second


def test_sides_of_odd_numbers_differ_by_one_and_are_undone_by_the_mirror() -> None:
    blocks = [replace(b, trials=3) for b in BLOCKS]
    drawn = design(blocks, MODELS, 20, 60, 2, 0)
    left = [
        Counter(alternative(t.left) for t in trials if t.block == "realism" and t.role == "main") for trials in drawn
    ]
    assert all(abs(left[0][m] - left[1][m]) == 1 and left[0][m] + left[1][m] == 3 for m in MODELS)


def test_every_model_is_shown_with_the_same_pairs_and_context_is_of_the_pair() -> None:
    for trials in lists():
        numbers = {
            m: {p.number for t in trials if t.role == "main" for p in (t.left, t.right) if alternative(p) == m}
            for m in MODELS
        }
        assert numbers["ours"] == numbers["DRIT"] == numbers["MUNIT"]
        for t in trials:
            kinds = BLOCKS[[b.name for b in BLOCKS].index(t.block)].context
            assert tuple(p.kind for p in t.context) == kinds
            assert {p.number for p in t.context} <= {p.number for p in (t.left, t.right) if p.kind != "real"}


def test_practice_and_checks_use_pictures_of_their_own() -> None:
    for trials in lists():
        pairs = {role: set() for role in ("main", "practice", "check")}
        for t in trials:
            pairs[t.role] |= {p.number for p in (t.left, t.right) if p.kind != "real"}
        assert not pairs["main"] & (pairs["practice"] | pairs["check"])
        assert not pairs["practice"] & pairs["check"]
        checks = [t for t in trials if t.role == "check"]
        assert len(checks) == 6
        assert all((t.left.kind == "spoilt") != (t.right.kind == "spoilt") for t in checks)


def test_other_lists_show_other_pictures_as_far_as_they_reach() -> None:
    drawn = lists(count=4)
    shown = [{p for t in trials if t.role == "main" for p in t.pictures} for trials in drawn]
    assert shown[0] == shown[1]
    assert not shown[0] & shown[2]


def test_orders_are_each_participants_own_and_keep_blocks_together() -> None:
    (trials, _) = lists(count=2)
    orders = [order(trials, BLOCKS, 7, who) for who in range(1, 40)]
    assert len({tuple(o) for o in orders}) == len(orders)
    assert order(trials, BLOCKS, 7, 3) == orders[2]
    for sequence in orders:
        assert sorted(sequence) == list(range(len(trials)))
        roles = [(trials[k].block, trials[k].role == "practice") for k in sequence]
        runs = [r for i, r in enumerate(roles) if i == 0 or roles[i - 1] != r]
        assert runs == [(b.name, practice) for b in BLOCKS for practice in (True, False)]
    # An attention check may come anywhere in its block.
    places = {sequence.index(next(k for k, t in enumerate(trials) if t.role == "check")) for sequence in orders}
    assert len(places) > 10


def test_who_meets_whom() -> None:
    assert meetings(MODELS, "first") == (("ours", "DRIT"), ("ours", "MUNIT"))
    assert meetings(MODELS, "all") == (("ours", "DRIT"), ("ours", "MUNIT"), ("DRIT", "MUNIT"))
    assert [b.name for b in paper_blocks(("ours",), "first")] == ["realism"]


def test_needs_are_exact() -> None:
    pairs, reals = pairs_needed(BLOCKS), reals_needed(BLOCKS, MODELS)
    assert (pairs, reals) == (14, 34)
    design(BLOCKS, MODELS, pairs, reals, 2, 0)
    with pytest.raises(LomitError, match="a participant sees 14 pairs and .* gives 13 pairs"):
        design(BLOCKS, MODELS, pairs - 1, reals, 2, 0)
    with pytest.raises(LomitError, match="34 real images of others; .* and 33 real images beside 14"):
        design(BLOCKS, MODELS, pairs, reals - 1, 2, 0)
    for odd in (0, 1, 3):
        with pytest.raises(LomitError, match="must be even"):
            design(BLOCKS, MODELS, pairs, reals, odd, 0)


def test_blocks_of_ones_own() -> None:
    block = Block("same", "Which one shows the same person?", "models", ("input",), 3, (("DRIT", "MUNIT"),), 0, 0)
    (trials, _) = design([block], MODELS, 5, 0, 2, 0)
    assert len(trials) == 3
    assert all({alternative(t.left), alternative(t.right)} == {"DRIT", "MUNIT"} for t in trials)
    assert all(t.context[0].kind == "input" and len(t.context) == 1 for t in trials)
