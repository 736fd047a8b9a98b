"""Attribute accuracy counted by hand, and scores of a classifier against scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch

from lomit.errors import LomitError
from lomit.metrics import accuracy, binary

NAMES = ("Hair", "Smile")


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
    differs = accuracy.differing(torch.tensor([[0, 1], [0, -1]]), target)
    assert differs.tolist() == [[True, False], [False, False]]
    found = shares(right.int().tolist(), target.tolist(), differs.int().tolist())
    assert found["every attribute, each"] == (1, 1)
    assert found["every attribute, all at once"] == (1, 1)
    assert found["changed, all at once"] == (1, 1)


def test_untranslated_inputs_and_exemplars_bound_a_perfect_classifier() -> None:
    g = torch.Generator().manual_seed(0)
    y1, y2 = (torch.randint(2, (200, 2), generator=g) for _ in range(2))
    differs = accuracy.differing(y1, y2)
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

    def counted(classes: list[tuple[str, ...]], every: bool = False) -> dict[str, tuple[float, float]]:
        found = accuracy.class_tallies(right, target, differs, NAMES, classes, every)
        return {name: (n.sum().item(), d.sum().item()) for name, (n, d) in found.items()}

    assert counted([("Hair",), ("Hair", "Smile")]) == {"Hair": (3, 4), "Hair + Smile": (1, 3)}
    assert counted([("Hair", "Smile")], every=True) == {"Hair + Smile": (1, 2)}
    with pytest.raises(LomitError, match=r"unknown attribute 'Smil' \(did you mean 'Smile'\?\)"):
        counted([("Hair", "Smil")])


def test_classes_of_one_attribute_are_the_attributes_and_larger_ones_are_harder() -> None:
    g = torch.Generator().manual_seed(3)
    y1, y2 = (torch.randint(-1, 2, (300, 2), generator=g) for _ in range(2))
    right = accuracy.correct(torch.randn(300, 2, generator=g), y2)
    differs = accuracy.differing(y1, y2)
    single = accuracy.tallies(right, y2, differs, NAMES)
    found = accuracy.class_tallies(right, y2, differs, NAMES, [("Hair",), ("Smile",), ("Hair", "Smile")])
    for name in NAMES:
        for ours, theirs in zip(found[name], single[name], strict=True):
            torch.testing.assert_close(ours, theirs)
    numerator, denominator = found["Hair + Smile"]
    assert (numerator <= denominator).all()
    flipped = accuracy.class_tallies(right, y2, differs, NAMES, [("Smile", "Hair")])["Smile + Hair"]
    torch.testing.assert_close(flipped[0], numerator)
    # What an image that was not translated shows is never right.
    stays = accuracy.class_tallies((y1 == y2), y2, differs, NAMES, [("Hair", "Smile")])
    assert stays["Hair + Smile"][0].sum() == 0


@pytest.fixture
def scored() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(2)
    labels = (torch.rand(400, generator=g) < 0.2).long()
    scores = (labels + 0.8 * torch.randn(400, generator=g) - 0.5).mul(4).round().div(4)  # with many ties
    return scores, labels


def test_scores_are_scikit_learns(scored: tuple[torch.Tensor, torch.Tensor]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    scores, labels = scored
    y, said = labels.numpy(), (scores > 0).numpy()
    assert binary.accuracy(scores, labels) == pytest.approx(metrics.accuracy_score(y, said))
    assert binary.balanced_accuracy(scores, labels) == pytest.approx(metrics.balanced_accuracy_score(y, said))
    assert binary.auc(scores, labels) == pytest.approx(metrics.roc_auc_score(y, scores.numpy()))


def test_area_under_the_curve_sees_only_the_order(scored: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, labels = scored
    assert binary.auc(torch.exp(3 * scores), labels) == pytest.approx(binary.auc(scores, labels))
    assert binary.auc(-scores, labels) == pytest.approx(1 - binary.auc(scores, labels))
    assert binary.auc(torch.zeros(400), labels) == 0.5


def test_scores_leave_out_what_is_not_annotated(scored: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, labels = scored
    more = torch.cat([scores, torch.tensor([9.0, -9.0])]), torch.cat([labels, torch.tensor([-1, -1])])
    for score in (binary.accuracy, binary.balanced_accuracy, binary.auc):
        assert score(*more) == score(scores, labels)


def test_scores_of_an_empty_class_are_nan() -> None:
    scores, labels = torch.tensor([1.0, -1.0]), torch.tensor([1, 1])
    assert binary.accuracy(scores, labels) == 0.5
    assert math.isnan(binary.balanced_accuracy(scores, labels))
    assert math.isnan(binary.auc(scores, labels))
