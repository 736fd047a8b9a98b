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
from lomit.evaluation.protocols import AvatarsProtocol
from lomit.evaluation.regions import TrueRegions
from lomit.evaluation.settings import Findings, Setting
from support.painted import ATTRIBUTES, PLACES, Painter, cell, value

MakeSetting = Callable[..., Setting]


def run(setting: Setting, pairs: int = 150) -> Findings:
    return AvatarsProtocol(None, pairs).run(setting)


def test_painter_that_does_everything_right(setting_for: MakeSetting) -> None:
    findings = run(setting_for(Painter()))
    for key in (*(("accuracy", name) for name in ATTRIBUTES), ("changed_each", ""), ("every_all", "")):
        assert value(findings, *key) == 100
        assert value(findings, *key, "ceiling") == 100
    for key in (
        *(("accuracy", name) for name in ATTRIBUTES),
        *((m, "") for m in ("changed_each", "changed_all", "every_all")),
    ):
        assert value(findings, *key, "floor") == 0
    for measure in ("change_target", "change_target_above", "change_all"):
        assert value(findings, measure) == 0
    assert value(findings, "ssim", "", "model") == pytest.approx(1)
    # Its masks are the true regions, averaged onto the grid.
    overlap = value(findings, "iou", "", "model")
    assert overlap == value(findings, "iou", "", "ceiling")
    assert overlap == value(findings, "iou", "", "ceiling_binary")
    assert 0.7 < overlap < 1


def test_counts_are_those_of_the_pairs(setting_for: MakeSetting) -> None:
    setting = setting_for(Painter())
    findings = run(setting)
    cache = setting.cache
    pairs = draw_pairs(cache.labels, cache.subset("test"), 150, 0)
    for k, name in enumerate(ATTRIBUTES):
        differs = pairs.differs[:, k]
        assert cell(findings, "accuracy", name).samples == differs.sum()
        assert cell(findings, "accuracy", name, "floor").people == len(np.unique(cache.identity[pairs.inputs[differs]]))
    hat_only = pairs.differs[:, :2].any(1) & ~pairs.differs[:, 2]
    assert cell(findings, "iou", "hat").samples == hat_only.sum()
    assert cell(findings, "iou", "mouth").samples == (pairs.differs[:, 2] & ~pairs.differs[:, :2].any(1)).sum()
    drawn = findings.facts["draws"]["pairs"]  # type: ignore[index]
    assert drawn["people"] == len(np.unique(cache.identity[pairs.inputs]))


def test_floor_is_the_self_translation(setting_for: MakeSetting) -> None:
    findings = run(setting_for(Painter(brighten=9, haze=4)))
    measures = ("change_target", "change_target_self", "change_target_above")
    assert [value(findings, measure) for measure in measures] == pytest.approx([13, 4, 9])
    assert value(findings, "ssim", "", "model") < 1


def test_floor_without_masks_is_its_own(setting_for: MakeSetting) -> None:
    findings = run(setting_for(Painter(tint=6)))
    # An image does not differ from itself: the painter's own mask is empty.
    assert value(findings, "change_target_self", "", "model") == 0
    assert value(findings, "change_target_self", "", "plain") == pytest.approx(6, abs=0.05)


def test_change_of_what_was_to_stay_counts_as_background(setting_for: MakeSetting) -> None:
    setting = setting_for(Painter(stain=30))
    findings = run(setting)
    pairs = draw_pairs(setting.cache.labels, setting.cache.subset("test"), 150, 0)
    rows, columns = PLACES["mouth"]
    mouth = (rows.stop - rows.start) * (columns.stop - columns.start)
    hat = 9 * 18  # with its margin
    expected = np.where(pairs.differs[:, 2], 0, 30 * mouth / (32**2 - hat))
    assert value(findings, "change_target", "", "model") == pytest.approx(expected.mean())
    assert value(findings, "ssim", "", "model") < 0.999
    assert value(findings, "change_all", "", "model") == 0


def test_labels_that_are_not_known_count_for_nothing(setting_for: MakeSetting) -> None:
    setting = setting_for(Painter())
    labels = setting.cache.labels.copy()
    labels[::2, 2] = -1
    findings = run(replace(setting, cache=replace(setting.cache, labels=labels)))
    assert value(findings, "every_each", "", "model") == 100
    assert value(findings, "accuracy", "Smiling", "model") == 100
    # A mouth that is not known to differ is not in the target, but the painter changes it all the same.
    assert value(findings, "change_target", "", "model") > 0


def test_plain_adain_is_the_translation_under_masks_of_ones(setting_for: MakeSetting) -> None:
    """The painter then returns the exemplar: what changes is what the pair differs in, counted here by hand."""
    setting = setting_for(Painter())
    findings = run(setting)
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
    assert value(findings, "change_target", "", "plain") == pytest.approx(np.mean(changes))
    assert value(findings, "changed_each", "", "plain") == 100
    # The exemplar itself is a perfect reconstruction of itself.
    assert value(findings, "change_target_self", "", "plain") == 0
    assert value(findings, "iou", "", "plain") == pytest.approx(np.mean(areas))
    assert value(findings, "area", "", "ceiling") == pytest.approx(np.mean(areas))
    for measure in ("area", "saturation"):  # those of a mask of everything are no news
        (row,) = (r for r in findings.rows if r.measure == measure)
        assert "plain" not in row.cells


def test_a_method_without_masks_is_measured_without_them(setting_for: MakeSetting) -> None:
    findings = run(setting_for(Painter(has_masks=False)))
    assert {row.section for row in findings.rows} == {"attribute accuracy, %", "background kept"}
    assert all("plain" not in row.cells for row in findings.rows)
    assert value(findings, "changed_each", "", "model") == 100


def test_batch_size_changes_nothing_and_the_seed_does(setting_for: MakeSetting) -> None:
    first, again, other = (
        run(setting_for(Painter(brighten=3), seed, batch), 40) for seed, batch in ((1, 16), (1, 7), (2, 16))
    )
    assert first.rows == again.rows
    assert first.facts == again.facts
    assert first.facts["draws"] != other.facts["draws"]


def test_pairs_that_differ_in_nothing_that_the_model_knows(setting_for: MakeSetting) -> None:
    full = setting_for(Painter())
    cache = replace(full.cache, labels=full.cache.labels[:, 2:], attributes=("Smiling",))
    findings = AvatarsProtocol(None, 60, differ=("Red_Hat", "Smiling")).run(replace(full, cache=cache))
    smiles = cell(findings, "accuracy", "Smiling").samples
    assert 0 < smiles < 60
    assert cell(findings, "iou").samples == smiles
    assert cell(findings, "change_target").samples == 60


def test_set_without_true_regions(setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = setting_for(Painter())
    built, init = [], TrueRegions.__init__
    monkeypatch.setattr(TrueRegions, "__init__", lambda self, setting: built.append(1) or init(self, setting))
    monkeypatch.setattr(FolderSource, "regions", lambda self, index: {})
    with pytest.raises(LomitError, match=r"no true masks of \d+\.png; render the set with --regions"):
        run(setting)
    assert len(built) == 1
    setting.source.region_of = {}
    with pytest.raises(LomitError, match="no true masks for 'Red_Hat'; this protocol needs rendered faces"):
        run(setting)


def test_set_without_a_test_split(setting_for: MakeSetting) -> None:
    setting = setting_for(Painter())
    setting = replace(setting, cache=replace(setting.cache, split=np.zeros_like(setting.cache.split)))
    with pytest.raises(LomitError, match="no image of the test split"):
        run(setting)


def test_output_that_is_not_finite(setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    painter = Painter()
    monkeypatch.setattr(painter, "brighten", torch.tensor(float("nan")))
    with pytest.raises(LomitError, match="the model's output is not finite"):
        run(setting_for(painter))
