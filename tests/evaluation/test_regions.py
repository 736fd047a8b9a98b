"""True regions at a model's resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from lomit.data.decode import Geometry
from lomit.data.folder import FolderSource
from lomit.errors import LomitError
from lomit.evaluation.photographs import averaged
from lomit.evaluation.regions import TrueRegions
from lomit.evaluation.settings import Setting
from support.painted import PLACES, Painter


def test_regions_stand_where_they_were_painted(setting_for: Callable[..., Setting]) -> None:
    regions = TrueRegions(setting_for(Painter()))
    assert regions.region_of == {"Red_Hat": ("hat",), "Blue_Hat": ("hat",), "Smiling": ("mouth",)}
    found = regions.unions(5, [("hat",), ("mouth",), ("hat", "mouth")])
    expected = torch.zeros(2, 32, 32)
    for plane, (rows, columns) in zip(expected, PLACES.values(), strict=True):
        plane[rows, columns] = 1
    torch.testing.assert_close(found, torch.stack([*expected, expected.sum(0)]))
    target, everywhere = regions.targets(np.array([5, 6]), np.array([[True, False, False], [True, False, True]]))
    torch.testing.assert_close(target[:, 0], torch.stack([expected[0], expected.sum(0)]))
    torch.testing.assert_close(everywhere[:, 0], expected.sum(0).expand(2, 32, 32))


def test_pixels_hold_the_share_that_the_region_takes() -> None:
    full = np.random.default_rng(0).random((64, 64)) < 0.5
    small = torch.from_numpy(averaged(full, Geometry(16, None, None, "none")))
    torch.testing.assert_close(small, torch.from_numpy(full).float().view(16, 4, 16, 4).mean(dim=(1, 3)))
    cut = averaged(full, Geometry(48, 48, None, "none"))
    np.testing.assert_array_equal(cut, full[8:56, 8:56])


def test_regions_that_are_not_there(setting_for: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch) -> None:
    setting = setting_for(Painter())
    with pytest.raises(LomitError, match="true masks don't follow faces that are cut out"):
        TrueRegions(replace(setting, data=replace(setting.data, face_crop="dlib")))
    with pytest.raises(LomitError, match="no true masks for 'Male'"):
        TrueRegions(replace(setting, cache=replace(setting.cache, attributes=("Smiling", "Male"))))
    monkeypatch.setattr(FolderSource, "regions", lambda self, index: {})
    with pytest.raises(LomitError, match=r"no true masks of 005\.png; render the set with --regions"):
        TrueRegions(setting).unions(5, [("hat",)])
