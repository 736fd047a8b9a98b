"""Pairs: they differ, none is drawn twice, all are equally likely, and the seed decides."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lomit.errors import LomitError
from lomit.evaluation import pairs as module
from lomit.evaluation.pairs import draw_pairs
from lomit.evaluation.settings import translate
from lomit.models.base import Guide, Translation


def labels(count: int = 60, attributes: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(-1, 2, (count, attributes)).astype(np.int8)


def test_pairs_differ_and_are_drawn_once() -> None:
    y, rows = labels(), np.arange(10, 50)
    drawn = draw_pairs(y, rows, 300, seed=1)
    assert len(drawn) == 300
    assert set(drawn.inputs) | set(drawn.exemplars) <= set(rows.tolist())
    assert len({*zip(drawn.inputs.tolist(), drawn.exemplars.tolist(), strict=True)}) == 300
    assert drawn.differs.any(1).all()
    for i, e, differs in zip(drawn.inputs, drawn.exemplars, drawn.differs, strict=True):
        assert differs.tolist() == [a != b and a >= 0 and b >= 0 for a, b in zip(y[i], y[e], strict=True)]


def test_every_pair_is_as_likely_as_another() -> None:
    y = np.array([[0], [1], [1]], dtype=np.int8)
    seen = np.zeros((3, 3))
    for seed in range(2000):
        drawn = draw_pairs(y, np.arange(3), 1, seed)
        seen[drawn.inputs[0], drawn.exemplars[0]] += 1
    possible = np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]], dtype=bool)
    assert (seen[~possible] == 0).all()
    assert (np.abs(seen[possible] - 500) < 5 * np.sqrt(500 * 0.75)).all()


def test_pairs_differ_and_agree_as_they_are_told() -> None:
    y, rows = labels(), np.arange(60)
    drawn = draw_pairs(y, rows, 40, seed=0, differ=y[:, :1], alike=y[:, 1:2])
    for i, e in zip(drawn.inputs, drawn.exemplars, strict=True):
        assert {y[i, 0], y[e, 0]} == {0, 1}
        assert y[i, 1] == y[e, 1] >= 0
    # What else a method knows changes nothing about which pairs they are.
    again = draw_pairs(y[:, :1], rows, 40, seed=0, differ=y[:, :1], alike=y[:, 1:2])
    np.testing.assert_array_equal(again.inputs, drawn.inputs)
    np.testing.assert_array_equal(again.exemplars, drawn.exemplars)
    assert again.differs.shape == (40, 1)


def test_the_seed_decides() -> None:
    first, again, other = (draw_pairs(labels(), np.arange(60), 20, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.inputs, again.inputs)
    np.testing.assert_array_equal(first.exemplars, again.exemplars)
    assert not np.array_equal(first.inputs, other.inputs)


def test_large_sets_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_IMAGES", 20)
    drawn = draw_pairs(labels(), np.arange(60), 100, seed=0)
    assert len({*drawn.inputs, *drawn.exemplars}) <= 20
    assert drawn.differs.any(1).all()


def test_too_few_pairs() -> None:
    y = np.array([[0], [0], [1]], dtype=np.int8)
    assert len(draw_pairs(y, np.arange(3), 4, seed=0)) == 4
    with pytest.raises(LomitError, match="5 pairs were asked for, but only 4 pairs of the 3 images differ"):
        draw_pairs(y, np.arange(3), 5, seed=0)


def test_every_method_is_told_the_same_and_what_is_to_be_moved() -> None:
    """To a method whose masks go by names, the difference of both labels is named; what isn't annotated never is."""
    given: list[Guide] = []

    class Recorder:
        def translate(self, x: torch.Tensor, guide: Guide) -> Translation:
            given.append(guide)
            return Translation(x, None)

    x, y = torch.zeros(2, 3, 16, 16), torch.tensor([[1, 0, -1], [0, 1, 1]], dtype=torch.int8)
    y_input = torch.tensor([[0, 0, 1], [0, -1, 0]], dtype=torch.int8)
    setting = SimpleNamespace(translator=Recorder(), precision="float32", device=torch.device("cpu"))
    translate(setting, x, x, y, y_input)  # type: ignore[arg-type]
    (guide,) = given
    assert guide.moved is not None
    assert guide.label is not None
    assert guide.source is not None
    assert guide.moved.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert guide.label.tolist() == [[1, 0, 0], [0, 1, 1]]
    assert guide.source.tolist() == [[0, 0, 1], [0, 0, 0]]
