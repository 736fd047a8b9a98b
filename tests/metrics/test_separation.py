"""Silhouette and linear probe on codes whose answer is known."""

from __future__ import annotations

import sys

import pytest
import torch

from lomit.errors import LomitError
from lomit.metrics.separation import coordinates, separation


def clusters(apart: float, dimensions: int = 6, each: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes of two domains whose means lie `apart` standard deviations from each other; two codes a person."""
    generator = torch.Generator().manual_seed(0)
    domains = torch.arange(2).repeat_interleave(each)
    codes = torch.randn(2 * each, dimensions, generator=generator)
    codes[:, 0] += apart * domains
    return codes, domains, torch.arange(2 * each) // 2


def test_silhouettes_by_hand() -> None:
    pytest.importorskip("sklearn")
    codes = torch.tensor([[0.0], [1.0]] * 5 + [[10.0], [11.0]] * 5)
    found = separation(codes, torch.arange(2).repeat_interleave(10), torch.arange(20))
    # To its own domain 5 / 9; to the other 10.5 for those at the ends, 9.5 for those between.
    assert found.silhouette.value == pytest.approx(1 - (5 / 9) * (1 / 10.5 + 1 / 9.5) / 2)
    same = separation(torch.zeros(20, 2), torch.arange(2).repeat_interleave(10), torch.arange(20))
    assert same.silhouette.value == 0


@pytest.mark.parametrize("dimensions", [6, 300])
def test_far_apart_and_mixed(dimensions: int) -> None:
    pytest.importorskip("sklearn")
    apart = separation(*clusters(1000.0, dimensions))
    assert apart.probe.value == 100
    assert apart.silhouette.value == pytest.approx(1.0, abs=0.05)
    assert apart.probe.samples == 80
    assert apart.probe.people == 40
    mixed = separation(*clusters(0.0, dimensions))
    assert mixed.chance == 50
    assert mixed.probe.low is not None
    assert mixed.probe.high is not None
    assert mixed.probe.low < 55
    assert mixed.probe.high > 45
    assert mixed.silhouette.value == pytest.approx(0.0, abs=0.02)


def test_scale_place_and_rotation_do_not_matter() -> None:
    pytest.importorskip("sklearn")
    codes, domains, people = clusters(1.5)
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))
    first, second = separation(codes, domains, people), separation(7 * codes @ turn + 3, domains, people)
    assert first.probe == second.probe
    assert first.silhouette.value == pytest.approx(second.silhouette.value, abs=1e-5)


def test_few_coordinates_keep_every_distance() -> None:
    codes = torch.randn(20, 500, generator=torch.Generator().manual_seed(0))
    small = coordinates(codes)
    assert small.shape == (20, 20)
    before = torch.cdist(codes.double(), codes.double())
    ratio = torch.cdist(small, small)[before > 0] / before[before > 0]
    assert ratio.max() - ratio.min() < 1e-9


@pytest.mark.parametrize("entries", [2, 500])
def test_codes_that_differ_by_rounding_are_the_same(entries: int) -> None:
    codes = 3 + torch.randn(1, entries, generator=torch.Generator().manual_seed(0)).repeat(20, 1)
    rounded = codes * (1 + 1e-7 * torch.randn(20, entries, generator=torch.Generator().manual_seed(1)))
    for same in (codes, rounded, torch.zeros(20, entries)):
        assert coordinates(same).shape == (20, min(20, entries))
        assert not coordinates(same).any()
    assert coordinates(codes + 1e-3 * torch.eye(20, entries)).any()


def test_too_little_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    codes, domains, people = clusters(1.0)
    with pytest.raises(LomitError, match="at least two domains"):
        separation(codes, torch.zeros(80, dtype=torch.long), people)
    for count, who in ((1, "1 person"), (2, "2 people")):
        with pytest.raises(LomitError, match=f"a domain shows {who}; the linear probe needs at least 5 people in each"):
            separation(codes, domains, torch.arange(80) % count)
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(LomitError, match=r"pip install 'lomit\[metrics\]'"):
        separation(codes, domains, people)
