"""The classes of Table 1: what facial hair is, and which classes a model knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lomit.errors import LomitError
from lomit.evaluation.classes import TABLE_1, papers_classes, parse_class

TEN = (
    *("Black_Hair", "Blond_Hair", "Brown_Hair", "Smiling", "Goatee", "Mustache", "No_Beard", "Male"),
    *("Heavy_Makeup", "Wearing_Lipstick"),
)


def test_facial_hair_is_any_of_beard_goatee_and_mustache() -> None:
    attributes = ("Mustache", "No_Beard", "Male", "Goatee")
    (facial_hair,) = (c for c in papers_classes(attributes) if c.name == "facial hair")
    #                   Mustache No_Beard Male Goatee -> facial hair
    cases = np.array([
        [0, 1, 1, 0, 0], [1, 1, 0, 0, 1], [0, 0, 1, 0, 1], [0, 1, 0, 1, 1], [1, 0, 1, 1, 1],
        [-1, 1, 0, 0, -1], [-1, 0, 0, 0, 1], [0, -1, 0, 0, -1], [0, -1, 1, 1, 1],
    ], dtype=np.int8)  # fmt: skip
    assert facial_hair.of_labels(cases[:, :4], attributes)[:, 0].tolist() == cases[:, 4].tolist()
    logits = torch.tensor([[-2.0, 3.0, 9.0, -1.0], [-2.0, -0.5, -9.0, -1.0], [4.0, 1.0, 0.0, 2.0]])
    assert facial_hair.of_logits(logits, attributes)[:, 0].tolist() == [-1.0, 0.5, 4.0]


def test_which_classes_a_model_knows() -> None:
    assert [c.name for c in papers_classes(TEN)] == list(TABLE_1)
    assert [c.name for c in papers_classes(("Facial_Hair", "Smiling"))] == ["facial hair"]
    assert [c.name for c in papers_classes(("Goatee", "Male", "No_Beard"))] == ["gender"]
    assert papers_classes(("Smiling",)) == ()


def test_classes_by_name() -> None:
    scored = parse_class("Smiling + facial hair", TEN)
    assert scored.name == "Smiling + facial hair"
    labels = np.array([[0, 0, 0, 1, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1, 0, 0]], dtype=np.int8)
    assert scored.of_labels(labels, TEN).tolist() == [[1, 1], [0, 0]]
    with pytest.raises(LomitError, match="no class 'Smilin' .did you mean 'Smiling'"):
        parse_class("Male+Smilin", TEN)
    with pytest.raises(LomitError, match="no class 'facial hair'"):
        parse_class("facial hair", ("Male", "Goatee"))


def test_what_the_paper_prints() -> None:
    """Sums of the columns of Table 1, added up apart from the code."""
    for method, score, accuracy in (("DRIT", 1.5341, 95.2), ("MUNIT", 1.0371, 232.3), ("LOMIT", 1.2884, 369.9)):
        rows = [printed[method] for printed in TABLE_1.values()]
        assert sum(r.score for r in rows) == pytest.approx(score)
        assert sum(r.accuracy for r in rows) == pytest.approx(accuracy)
