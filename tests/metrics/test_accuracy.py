"""Attribute accuracy and that of classes, counted by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from lomit.metrics import accuracy

NAMES = ("Hair", "Smile")


def differing(y1: Tensor, y2: Tensor) -> Tensor:
    return (y1 >= 0) & (y2 >= 0) & (y1 != y2)


def shares(right: list[list[int]], target: list[list[int]], differs: list[list[int]]) -> dict[str, tuple[float, float]]:
    found = accuracy.tallies(
        torch.tensor(right, dtype=torch.bool), torch.tensor(target), torch.tensor(differs, dtype=torch.bool), NAMES
    )
    return {name: (n.sum().item(), d.sum().item()) for name, (n, d) in found.items()}


def test_each_number_counts_what_its_name_says() -> None:
    right = [[1, 1], [1, 0], [0, 1], [0, 0]]
    target = [[1, 0], [0, 1], [1, 1], [0, 0]]
    differs = [[1, 1], [1, 0], [1, 1], [0, 1]]
    assert shares(right, target, differs) == {
        "Hair": (2, 3),
        "Smile": (2, 3),
        "changed, each": (4, 6),  # decisions, not pairs
        "changed, all at once": (2, 4),  # the second pair's smile was not to change
        "every attribute, each": (4, 8),
        "every attribute, all at once": (1, 4),
    }


def test_what_is_not_annotated_takes_no_part() -> None:
    logits = torch.tensor([[3.0, -3.0], [3.0, -3.0]])
    target = torch.tensor([[1, -1], [-1, -1]])
    right = accuracy.correct(logits, target)
    assert right.tolist() == [[True, False], [False, False]]
    differs = differing(torch.tensor([[0, 1], [0, -1]]), target)
    found = shares(right.int().tolist(), target.tolist(), differs.int().tolist())
    assert found["every attribute, each"] == (1, 1)
    assert found["every attribute, all at once"] == (1, 1)
    assert found["changed, all at once"] == (1, 1)


def test_untranslated_inputs_and_exemplars_bound_a_perfect_classifier() -> None:
    g = torch.Generator().manual_seed(0)
    y1, y2 = (torch.randint(2, (200, 2), generator=g) for _ in range(2))
    differs = differing(y1, y2)
    for shown, expected in ((y1, 0.0), (y2, 1.0)):
        right = accuracy.correct(2.0 * shown - 1, y2)
        for name, (numerator, denominator) in accuracy.tallies(right, y2, differs, NAMES).items():
            if not name.startswith("every"):
                assert numerator.sum() / denominator.sum() == expected


def test_pairs_and_attributes_may_come_in_any_order() -> None:
    g = torch.Generator().manual_seed(1)
    right, differs = (torch.rand(50, 2, generator=g) < p for p in (0.7, 0.5))
    target = torch.randint(2, (50, 2), generator=g)
    order = torch.randperm(50, generator=g)
    first = accuracy.tallies(right, target, differs, NAMES)
    second = accuracy.tallies(right[order].flip(1), target[order].flip(1), differs[order].flip(1), NAMES[::-1])
    for name, (numerator, denominator) in first.items():
        torch.testing.assert_close(numerator[order], second[name][0])
        torch.testing.assert_close(denominator[order], second[name][1])


def test_combined_classes_are_right_all_at_once() -> None:
    right = torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1], [1, 1]], dtype=torch.bool)
    target = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0], [1, -1]])
    differs = torch.tensor([[1, 1], [1, 0], [1, 1], [0, 0], [1, 0]], dtype=torch.bool)

    numerator, denominator = accuracy.class_tally(right, target, differs)
    assert (numerator.sum(), denominator.sum()) == (1, 3)
    numerator, denominator = accuracy.class_tally(*(t[:, :1] for t in (right, target, differs)))
    assert (numerator.sum(), denominator.sum()) == (3, 4)


def test_classes_of_one_attribute_are_the_attributes_and_larger_ones_are_harder() -> None:
    g = torch.Generator().manual_seed(3)
    y1, y2 = (torch.randint(-1, 2, (300, 2), generator=g) for _ in range(2))
    right = accuracy.correct(torch.randn(300, 2, generator=g), y2)
    differs = differing(y1, y2)
    single = accuracy.tallies(right, y2, differs, NAMES)
    for k, name in enumerate(NAMES):
        found = accuracy.class_tally(right[:, k : k + 1], y2[:, k : k + 1], differs[:, k : k + 1])
        for ours, theirs in zip(found, single[name], strict=True):
            torch.testing.assert_close(ours, theirs)
    numerator, denominator = accuracy.class_tally(right, y2, differs)
    assert (numerator <= denominator).all()
    torch.testing.assert_close(accuracy.class_tally(right.flip(1), y2.flip(1), differs.flip(1))[0], numerator)
    # What an image that was not translated shows is never right.
    assert accuracy.class_tally(y1 == y2, y2, differs)[0].sum() == 0
