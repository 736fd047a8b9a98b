"""The protocol on painted faces: a translator whose every pixel is known gets the numbers it must get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from lomit.data.folder import FolderSource
from lomit.errors import LomitError
from lomit.evaluation.pairs import draw_pairs
from lomit.evaluation.protocols.avatars import evaluate_rendered
from lomit.evaluation.settings import Outcome, Setting
from lomit.stats.bootstrap import Estimate
from support.painted import ATTRIBUTES, PLACES, Painter

MakeSetting = Callable[..., Setting]


def cell(outcome: Outcome, name: str, column: str) -> Estimate:
    """The estimate of the row of that name."""
    (row,) = (r for r in outcome.rows if r.name == name)
    return row.cells[column]


def value(outcome: Outcome, name: str, column: str) -> float:
    found = cell(outcome, name, column).value
    assert found is not None
    return found


def test_painter_that_does_everything_right(setting_for: MakeSetting) -> None:
    outcome = evaluate_rendered(setting_for(Painter()))
    for name in (*ATTRIBUTES, "changed, each", "every attribute, all at once"):
        assert value(outcome, name, "model") == 100
        assert value(outcome, name, "ceiling") == 100
    for name in (*ATTRIBUTES, "changed, each", "changed, all at once", "every attribute, all at once"):
        assert value(outcome, name, "floor") == 0
    for name in ("change outside target", "change outside target, above floor", "change outside all regions"):
        assert value(outcome, name, "model") == 0
    assert value(outcome, "SSIM outside target", "model") == pytest.approx(1)
    # Its masks are the true regions, averaged onto the grid.
    overlap = value(outcome, "IoU with target", "model")
    assert overlap == value(outcome, "IoU with target", "ceiling")
    assert overlap == value(outcome, "IoU with target", "ceiling 0/1")
    assert 0.7 < overlap < 1


def test_counts_are_those_of_the_pairs(setting_for: MakeSetting) -> None:
    setting = setting_for(Painter())
    outcome = evaluate_rendered(setting)
    cache = setting.cache
    pairs = draw_pairs(cache.labels, cache.subset("test"), 150, 0)
    for k, name in enumerate(ATTRIBUTES):
        differs = pairs.differs[:, k]
        assert cell(outcome, name, "model").samples == differs.sum()
        assert cell(outcome, name, "floor").people == len(np.unique(cache.identity[pairs.inputs[differs]]))
    hat_only = pairs.differs[:, :2].any(1) & ~pairs.differs[:, 2]
    assert cell(outcome, "IoU, pairs that differ in hat only", "model").samples == hat_only.sum()
    assert (
        cell(outcome, "IoU, pairs that differ in mouth only", "model").samples
        == (pairs.differs[:, 2] & ~pairs.differs[:, :2].any(1)).sum()
    )
    assert outcome.facts["people"] == len(np.unique(cache.identity[pairs.inputs]))


def test_floor_is_the_self_translation(setting_for: MakeSetting) -> None:
    outcome = evaluate_rendered(setting_for(Painter(brighten=9, haze=4)))
    names = ("change outside target", "change outside target, self (floor)", "change outside target, above floor")
    assert [value(outcome, name, "model") for name in names] == pytest.approx([13, 4, 9])
    assert value(outcome, "SSIM outside target", "model") < 1


def test_floor_without_masks_is_its_own(setting_for: MakeSetting) -> None:
    outcome = evaluate_rendered(setting_for(Painter(tint=6)))
    # An image does not differ from itself: the painter's own mask is empty.
    assert value(outcome, "change outside target, self (floor)", "model") == 0
    assert value(outcome, "change outside target, self (floor)", "m = 1") == pytest.approx(6, abs=0.05)


def test_change_of_what_was_to_stay_counts_as_background(setting_for: MakeSetting) -> None:
    setting = setting_for(Painter(stain=30))
    outcome = evaluate_rendered(setting)
    pairs = draw_pairs(setting.cache.labels, setting.cache.subset("test"), 150, 0)
    rows, columns = PLACES["mouth"]
    mouth = (rows.stop - rows.start) * (columns.stop - columns.start)
    hat = 9 * 18  # with its margin
    expected = np.where(pairs.differs[:, 2], 0, 30 * mouth / (32**2 - hat))
    assert value(outcome, "change outside target", "model") == pytest.approx(expected.mean())
    assert value(outcome, "SSIM outside target", "model") < 0.999
    assert value(outcome, "change outside all regions", "model") == 0


def test_labels_that_are_not_known_count_for_nothing(setting_for: MakeSetting) -> None:
    setting = setting_for(Painter())
    labels = setting.cache.labels.copy()
    labels[::2, 2] = -1
    outcome = evaluate_rendered(replace(setting, cache=replace(setting.cache, labels=labels)))
    assert value(outcome, "every attribute, each", "model") == 100
    assert value(outcome, "Smiling", "model") == 100
    # A mouth that is not known to differ is not in the target, but the painter changes it all the same.
    assert value(outcome, "change outside target", "model") > 0


def test_plain_adain_is_the_translation_under_masks_of_ones(setting_for: MakeSetting) -> None:
    """The painter then returns the exemplar: what changes is what the pair differs in, counted here by hand."""
    setting = setting_for(Painter())
    outcome = evaluate_rendered(setting)
    cache = setting.cache
    pairs = draw_pairs(cache.labels, cache.subset("test"), 150, 0)
    changes, areas = [], []
    for i, e, differs in zip(pairs.inputs, pairs.exemplars, pairs.differs, strict=True):
        outside, area = np.ones((32, 32), dtype=bool), 0
        for name, changed in (("hat", differs[:2].any()), ("mouth", differs[2])):
            rows, columns = PLACES[name]
            if changed:
                area += (rows.stop - rows.start) * (columns.stop - columns.start)
                # The margin at 32 pixels is one pixel.
                outside[max(0, rows.start - 1) : rows.stop + 1, columns.start - 1 : columns.stop + 1] = False
        difference = np.abs(cache.images[i].astype(float) - cache.images[e].astype(float)).mean(axis=0)
        changes.append(difference[outside].mean())
        areas.append(area / 32**2)
    assert value(outcome, "change outside target", "m = 1") == pytest.approx(np.mean(changes))
    assert value(outcome, "changed, each", "m = 1") == 100
    # The exemplar itself is a perfect reconstruction of itself.
    assert value(outcome, "change outside target, self (floor)", "m = 1") == 0
    assert value(outcome, "IoU with target", "m = 1") == pytest.approx(np.mean(areas))
    assert value(outcome, "mask area (ceiling: the region's)", "ceiling") == pytest.approx(np.mean(areas))
    assert value(outcome, "mask area (ceiling: the region's)", "m = 1") == 1


def test_a_method_without_masks_is_measured_without_them(setting_for: MakeSetting) -> None:
    outcome = evaluate_rendered(setting_for(Painter(has_masks=False)))
    assert {row.section for row in outcome.rows} == {"attribute accuracy, %", "background kept"}
    assert all("m = 1" not in row.cells for row in outcome.rows)
    assert value(outcome, "changed, each", "model") == 100


def test_batch_size_changes_nothing_and_the_seed_does(setting_for: MakeSetting) -> None:
    first, again, other = (
        evaluate_rendered(setting_for(Painter(brighten=3), 40, seed, batch))
        for seed, batch in ((1, 16), (1, 7), (2, 16))
    )
    assert first.rows == again.rows
    assert first.facts == again.facts
    assert first.facts["pairs_sha256"] != other.facts["pairs_sha256"]


def test_set_without_true_regions(setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = setting_for(Painter())
    monkeypatch.setattr(FolderSource, "regions", lambda self, index: {})
    with pytest.raises(LomitError, match=r"no true masks of \d+\.png; render the set with --regions"):
        evaluate_rendered(setting)
    setting.source.region_of = {}
    with pytest.raises(LomitError, match="no true masks for 'Red_Hat'; this protocol needs rendered faces"):
        evaluate_rendered(setting)


def test_set_without_a_test_split(setting_for: MakeSetting) -> None:
    setting = setting_for(Painter())
    setting = replace(setting, cache=replace(setting.cache, split=np.zeros_like(setting.cache.split)))
    with pytest.raises(LomitError, match="no image of the test split"):
        evaluate_rendered(setting)


def test_output_that_is_not_finite(setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    painter = Painter()
    monkeypatch.setattr(painter, "brighten", torch.tensor(float("nan")))
    with pytest.raises(LomitError, match="the model's output is not finite"):
        evaluate_rendered(setting_for(painter))
