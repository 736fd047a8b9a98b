"""The protocols `background` and `masks` on painted faces, with true regions and with expected ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lomit.data.folder import FolderSource
from lomit.errors import LomitError
from lomit.evaluation.pairs import draw_pairs
from lomit.evaluation.photographs import draw_regions
from lomit.evaluation.protocols import AvatarsProtocol, BackgroundProtocol, MasksProtocol, Table1Protocol
from lomit.evaluation.settings import Setting
from support.painted import PLACES, SIZE, Painter, cell, value

MakeSetting = Callable[..., Setting]


# --- pairs that were chosen


def test_methods_of_other_attributes_get_the_same_pairs(setting_for: MakeSetting) -> None:
    """Pairs that differ in the smile and in no red hat; the model may know the smile alone."""
    full, alike = setting_for(Painter()), ("Red_Hat", "Blue_Hat")
    cache = full.cache
    one = replace(full, cache=replace(cache, labels=cache.labels[:, 2:], attributes=("Smiling",)))
    protocols = AvatarsProtocol(None, 20, alike, ("Smiling",)), BackgroundProtocol(20, alike, ("Smiling",))
    found = [protocol.run(setting) for protocol in protocols for setting in (full, one)]
    hashes = {f.facts["draws"]["pairs"]["pairs_sha256"] for f in found}  # type: ignore[index]
    assert len(hashes) == 1
    assert all("differ in at least one of Smiling and are alike in Red_Hat, Blue_Hat" in f.notes[0] for f in found)
    assert cell(found[0], "changed_each").samples == 20  # one attribute a pair
    of_class = Table1Protocol(None, 20, alike, ("Smiling",)).run(one)
    assert of_class.facts["draws"]["Smiling"]["pairs_sha256"] in hashes  # type: ignore[index]


def test_pairs_by_attributes_that_the_data_lacks(setting_for: MakeSetting) -> None:
    setting = setting_for(Painter())
    with pytest.raises(LomitError, match="--differ names none of the model's attributes .Red_Hat, Blue_Hat, Smiling."):
        AvatarsProtocol(None, 5, differ=("Male",)).run(setting)
    for options, option in (
        (AvatarsProtocol(None, 5, differ=("Smilin", "Smiling")), "differ"),
        (AvatarsProtocol(None, 5, ("Smilin",)), "alike"),
    ):
        with pytest.raises(LomitError, match=f"--{option}: the data has no attribute 'Smilin' .did you mean 'Smiling'"):
            options.run(setting)


# --- background and masks


def test_background_above_the_floor(setting_for: MakeSetting) -> None:
    findings = BackgroundProtocol(30).run(setting_for(Painter(brighten=9, haze=4)))
    for measure in ("change_target", "change_all"):
        found = [value(findings, measure, "", column) for column in ("model", "self", "above")]
        assert found == pytest.approx([13, 4, 9])
    assert "identity kept" not in {row.section for row in findings.rows}


def test_protocols_agree_with_each_other(setting_for: MakeSetting) -> None:
    setting = setting_for(Painter(stain=30))
    both, background, masks = (
        p.run(setting) for p in (AvatarsProtocol(None, 24), BackgroundProtocol(24), MasksProtocol(24))
    )
    for findings, keys in (
        (background, (("change_target", ""), ("ssim", ""))),
        (masks, (("iou", ""), ("iou", "hat"), ("soft_iou", "mouth"), ("area", ""), ("saturation", ""))),
    ):
        for key in keys:
            assert cell(findings, *key) == cell(both, *key)
    for column in ("plain", "ceiling", "ceiling_binary"):
        assert cell(masks, "iou", "", column) == cell(both, "iou", "", column)


def test_a_method_without_masks(setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lomit.evaluation.protocols.regional.method_of", lambda config: Painter)
    monkeypatch.setattr(Painter, "name", "painter", raising=False)
    setting = setting_for(Painter(has_masks=False))
    assert {row.section for row in BackgroundProtocol(20).run(setting).rows} == {"background kept"}
    with pytest.raises(LomitError, match="the method 'painter' has no masks to measure"):
        MasksProtocol(20).run(setting)


def face_points() -> np.ndarray:
    """68 landmarks of a frontal face, as shares: an ellipse of a jaw, and a mouth that covers the painted one."""
    p = np.zeros((68, 2))
    t = np.linspace(np.pi, 0, 17)
    p[:17] = np.stack([0.5 + 0.4 * np.cos(t), 0.35 + 0.6 * np.sin(t)], axis=1)
    p[17:27] = np.stack([np.linspace(0.25, 0.75, 10), np.full(10, 0.3)], axis=1)
    p[27:36] = [0.5, 0.5]
    p[36:48] = [0.5, 0.4]
    t = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    p[48:68] = np.stack([0.5 + 0.3 * np.cos(t), 0.75 + 0.15 * np.sin(t)], axis=1)
    return p


def photographs(setting: Setting, monkeypatch: pytest.MonkeyPatch, faceless: int = 4) -> Setting:
    """The painted faces as photographs: no true regions, landmarks that a stand-in finds in most of them."""
    monkeypatch.setattr(setting.source, "region_names", ())
    monkeypatch.setattr(FolderSource, "regions", lambda self, index: {})
    tests = setting.cache.subset("test")[:faceless]
    hidden = {np.asarray(setting.source.load(int(setting.cache.source_index[r]))).tobytes() for r in tests.tolist()}

    def find(image: Image.Image) -> np.ndarray | None:
        assert image.size == (2 * SIZE, 2 * SIZE)  # the file's own size, not the network's
        return None if np.asarray(image).tobytes() in hidden else face_points()

    cache = replace(setting.cache, attributes=("Black_Hair", "Blond_Hair", "Smiling"))
    return replace(setting, cache=cache, find_landmarks=find)


def drawn(name: str) -> np.ndarray:
    """Pixels of the network's size that a region touches, bool."""
    full = draw_regions(face_points(), 512)[name]
    return full.reshape(SIZE, 16, SIZE, 16).any(axis=(1, 3))


def test_photographs_are_measured_outside_of_regions_by_landmarks(
    setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = photographs(setting_for(Painter(stain=30)), monkeypatch)
    findings = BackgroundProtocol(40).run(setting)
    cache, pairs = setting.cache, draw_pairs(setting.cache.labels, setting.cache.subset("test"), 40, 0)
    faceless = set(cache.subset("test")[:4].tolist())
    stained = np.zeros((SIZE, SIZE), dtype=bool)
    stained[PLACES["mouth"]] = True
    expected = []
    for i, e, differs in zip(pairs.inputs, pairs.exemplars, pairs.differs, strict=True):
        if i in faceless:
            continue
        target = np.zeros((SIZE, SIZE), dtype=bool)
        for name, changed in (("hair", differs[:2].any()), ("mouth", differs[2])):
            target |= drawn(name) & changed
        grown = np.pad(target, 1)
        outside = ~np.logical_or.reduce([np.roll(grown, s, (0, 1)) for s in np.ndindex(3, 3)])[2:, 2:][:SIZE, :SIZE]
        before, painted = (cache.images[k].astype(float) for k in (i, e))
        after = before.copy()
        for place, changed in (("hat", differs[:2].any()), ("mouth", differs[2])):
            rows, columns = PLACES[place]
            if changed and np.abs(before - painted)[:, rows, columns].mean() > 0.2 * 127.5:
                after[:, rows, columns] = painted[:, rows, columns]
        after = (after + 30 * stained).clip(0, 255)
        expected.append(np.abs(after - before).mean(axis=0)[outside].mean())
    found = cell(findings, "change_target")
    assert found.samples == len(expected) < 40
    assert found.value == pytest.approx(np.mean(expected))
    assert findings.facts["regions"] == "expected"
    assert any(f"{40 - len(expected)} of 40 pairs do not count" in note for note in findings.notes)


def test_masks_on_photographs(setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = MasksProtocol(40).run(photographs(setting_for(Painter()), monkeypatch))
    share = draw_regions(face_points(), 512)["mouth"].reshape(SIZE, 16, SIZE, 16).mean(axis=(1, 3)) >= 0.5
    assert value(findings, "iou", "mouth", "plain") == pytest.approx(share.mean())
    assert cell(findings, "area", "", "ceiling").samples < 40
    assert cell(findings, "saturation").samples == 40
    assert cell(findings, "iou").samples < 40
    assert all("expected region" in row.name for row in findings.rows if "iou" in row.measure)


def test_kinds_of_regions_that_begin_with_the_same_one(
    setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gender moves hair and face: its pairs are not those of hair colours."""
    setting = photographs(setting_for(Painter()), monkeypatch, faceless=0)
    setting = replace(setting, cache=replace(setting.cache, attributes=("Black_Hair", "Male", "Smiling")))
    findings = MasksProtocol(40).run(setting)
    differs = draw_pairs(setting.cache.labels, setting.cache.subset("test"), 40, 0).differs
    for k, of in enumerate(("hair", "hair and face", "mouth")):
        alone = differs[:, k] & (differs.sum(1) == 1)
        assert cell(findings, "iou", of).samples == alone.sum() > 0
    assert len({row.key for row in findings.rows}) == len(findings.rows)


def test_identity_is_that_of_the_embedding(setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = photographs(setting_for(Painter(haze=5, brighten=10)), monkeypatch)

    def embed(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        assert before.dtype == after.dtype == torch.uint8
        return tuple(t[:, 0, 15, :1].double() / 100 for t in (before, after))  # type: ignore[return-value]

    findings = BackgroundProtocol(30).run(replace(setting, embed=embed))
    found = [value(findings, "identity", "", column) for column in ("model", "self", "above")]
    assert found == pytest.approx([0.15, 0.05, 0.1])
    assert value(findings, "same_person") == 100


def test_photographs_whose_regions_are_not_known(setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = photographs(setting_for(Painter()), monkeypatch)
    with pytest.raises(LomitError, match=r"need dlib \(pip install 'lomit\[faces\]'\) or --labels"):
        MasksProtocol(20).run(replace(setting, find_landmarks=None))
    cache = replace(setting.cache, attributes=("Black_Hair", "Blond_Hair", "Chubby"))
    with pytest.raises(LomitError, match="no region of a photograph is known for 'Chubby'"):
        BackgroundProtocol(20).run(replace(setting, cache=cache))


def test_regions_of_a_face() -> None:
    p = 0.25 + 0.5 * face_points()
    found = draw_regions(p, 256)
    # In shares of the side: brows at 0.4, ends of the jaw at 0.425, the chin at 0.725, so the hairline at 0.215.
    for row, *regions in (
        (0.1, "hair"), (0.25, "face", "hair"), (0.48, "face"), (0.62, "face", "facial_hair", "mouth"),
        (0.7, "face", "facial_hair", "mouth"), (0.75,),
    ):  # fmt: skip
        inside = {name for name, region in found.items() if region[round(row * 256), 128]}
        assert inside - {"nose"} == set(regions)
    assert found["hair"][round(0.6 * 256), round(0.24 * 256)]  # beside the jaw
    assert not any(region[250].any() for region in found.values())
    moved = draw_regions(p + np.array([0.125, 0]), 256)
    turned = draw_regions(np.stack([1 - p[:, 1], p[:, 0]], axis=1), 256)  # a quarter turn
    for name, region in found.items():
        assert (moved[name] ^ np.roll(region, 32, axis=1)).mean() < 0.01
        assert (turned[name] ^ np.rot90(region, -1)).mean() < 0.01
