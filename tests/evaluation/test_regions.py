"""True regions at a model's resolution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lomit.config import DataConfig
from lomit.data.open import open_source
from lomit.errors import LomitError
from lomit.evaluation.settings import Setting
from lomit.evaluation.truth import coverage, regions_of
from support.painted import PLACES, Painter


def test_regions_stand_where_they_were_painted(setting_for: Callable[..., Setting]) -> None:
    setting = setting_for(Painter())
    found = coverage(setting.source, setting.data, 5, [("hat",), ("mouth",), ("hat", "mouth")])
    expected = torch.zeros(2, 32, 32)
    for plane, (rows, columns) in zip(expected, PLACES.values(), strict=True):
        plane[rows, columns] = 1
    torch.testing.assert_close(found, torch.stack([*expected, expected.sum(0)]))


def test_pixels_hold_the_share_that_the_region_takes(painted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(DataConfig(str(painted)))
    full = np.random.default_rng(0).random((64, 64)) < 0.5
    monkeypatch.setattr(source, "regions", lambda index: {"hat": full})
    small = coverage(source, DataConfig(image_size=16), 0, [("hat",)])[0]
    torch.testing.assert_close(small, torch.from_numpy(full).float().view(16, 4, 16, 4).mean(dim=(1, 3)))
    cut = coverage(source, DataConfig(image_size=48, crop=48), 0, [("hat",)])[0]
    torch.testing.assert_close(cut, torch.from_numpy(full[8:56, 8:56]).float())
    with pytest.raises(LomitError, match="true masks don't follow faces that are cut out"):
        coverage(source, DataConfig(image_size=16, face_crop="dlib"), 0, [("hat",)])


def test_regions_of_attributes(painted: Path) -> None:
    source = open_source(DataConfig(str(painted)))
    assert regions_of(source, ["Smiling", "Blue_Hat", "Red_Hat"]) == ("hat", "mouth")
    assert regions_of(source, ["Smiling"]) == ("mouth",)
    with pytest.raises(LomitError, match="no true masks for 'Male'"):
        regions_of(source, ["Smiling", "Male"])
