"""Calibration against torchmetrics and scipy's minimiser; temperatures of other people."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lomit.classifier.calibration import calibrate, calibration_error, cross_fitted, fit_temperature, log_loss


def answers(n: int = 600, factor: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits that are right as often as they say, times a factor."""
    g = torch.Generator().manual_seed(seed)
    z = 2 * torch.randn(n, generator=g, dtype=torch.float64)
    labels = (torch.rand(n, generator=g) < z.sigmoid()).long()
    return factor * z, labels


def test_error_is_torchmetrics() -> None:
    theirs = pytest.importorskip("torchmetrics.functional.classification")
    z, y = answers(factor=2.5)
    expected = theirs.binary_calibration_error(z.sigmoid().float(), y, n_bins=15, norm="l1")
    assert calibration_error(z, y) == pytest.approx(float(expected), abs=1e-5)


def test_error_by_hand() -> None:
    z = torch.tensor([0.9, 0.9, 0.1, 0.1]).logit()
    assert calibration_error(z, torch.tensor([1, 0, 0, 0])) == pytest.approx((0.4 * 2 + 0.1 * 2) / 4)
    assert calibration_error(torch.tensor([100.0, -100.0]), torch.tensor([1, 0])) == pytest.approx(0)
    assert calibration_error(torch.tensor([100.0, -100.0]), torch.tensor([0, 1])) == pytest.approx(1)


def test_temperature_is_what_scipy_finds() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    z, y = answers(factor=3.0)
    n1 = int(y.sum())
    target = np.where(y == 1, (n1 + 1) / (n1 + 2), 1 / (len(y) - n1 + 2))

    def entropy(t: float) -> float:
        a = z.numpy() / t
        return float((np.logaddexp(0, a) - target * a).sum())

    expected = optimize.minimize_scalar(entropy, bounds=(0.1, 20), method="bounded", options={"xatol": 1e-8}).x
    assert fit_temperature(z, y) == pytest.approx(expected, rel=1e-4)
    assert expected == pytest.approx(3, rel=0.25)


def test_temperature_follows_the_scale_and_ignores_the_sign() -> None:
    z, y = answers()
    assert fit_temperature(5 * z, y) == pytest.approx(5 * fit_temperature(z, y), rel=1e-6)
    assert fit_temperature(-z, 1 - y) == pytest.approx(fit_temperature(z, y), rel=1e-6)


def test_calibration_lowers_the_error_of_the_overconfident() -> None:
    z, y = answers(factor=4.0)
    assert calibration_error(z / fit_temperature(z, y), y) < 0.5 * calibration_error(z, y)


def test_decisions_that_are_all_right_do_not_freeze_it() -> None:
    y = torch.tensor([1, 0]).repeat(20)
    z = (2.0 * y - 1) * 50
    t = fit_temperature(z, y)
    assert (50 / t) == pytest.approx(math.log(21), rel=1e-3)  # Platt's targets are 21/22 and 1/22
    assert fit_temperature(1e-9 * z, y) == pytest.approx(0.01)  # the ends of where it is looked for
    assert fit_temperature(z, 1 - y) == pytest.approx(100)


def test_what_is_not_annotated_takes_no_part() -> None:
    z, y = answers(50)
    more_z, more_y = torch.cat([z, torch.tensor([9.0, -9.0])]), torch.cat([y, torch.tensor([-1, -1])])
    assert calibration_error(more_z, more_y) == calibration_error(z, y)
    assert fit_temperature(more_z, more_y) == fit_temperature(z, y)
    nothing = torch.full_like(y, -1)
    assert math.isnan(calibration_error(z, nothing))
    assert fit_temperature(z, nothing) == 1
    assert fit_temperature(torch.zeros(50), y) == 1


def test_people_have_no_say_in_their_own_temperature() -> None:
    (z, y), people = answers(200, 3.0), torch.arange(200) // 4
    before = cross_fitted(z, y, people)
    assert before is not None
    factors = (before / z).view(50, 4)
    torch.testing.assert_close(factors, factors[:, :1].expand(50, 4))  # one temperature a person
    assert len({round(f, 9) for f in factors[:, 0].tolist()}) == 2
    mine = (before / z - before[0] / z[0]).abs() < 1e-9
    assert mine.sum() == 100
    after = cross_fitted(z, torch.where(mine, 1 - y, y), people)
    assert after is not None
    torch.testing.assert_close(after[mine], before[mine])
    assert not torch.isclose(after[~mine], before[~mine]).any()


def test_half_of_the_people_without_annotation() -> None:
    z, y = answers(2)
    assert cross_fitted(z, torch.tensor([1, -1]), torch.tensor([0, 1])) is None
    assert cross_fitted(z, y, torch.tensor([3, 3])) is None


def test_log_loss_is_minus_the_log_of_the_probability() -> None:
    z, y = torch.tensor([2.0, 2.0, -1.0, 5.0]), torch.tensor([1, 0, 0, -1])
    p = z.sigmoid()
    expected = torch.stack([-p[0].log(), -(1 - p[1]).log(), -(1 - p[2]).log()]).double()
    torch.testing.assert_close(log_loss(z, y)[:3], expected, atol=1e-6, rtol=0)
    assert log_loss(z, y)[3].isnan()


def test_temperature_is_used_where_it_helps_other_people() -> None:
    z, y = answers(factor=4.0)
    found = calibrate(z, y, torch.arange(len(z)) // 2)
    assert found["temperature"] == found["temperature_asked"] == fit_temperature(z, y)
    assert found["log_loss_gain_low"] > 0  # type: ignore[operator]
    assert found["ece_after"] < 0.5 * found["ece_before"]  # type: ignore[operator]


def test_temperature_stays_1_where_nothing_is_gained() -> None:
    """As of a classifier that is right nearly always: Platt's targets alone would make its answers too unsure."""
    y = torch.tensor([1, 0]).repeat(150)
    z = (2.0 * y - 1) * (7 + 3 * torch.rand(300, generator=torch.Generator().manual_seed(0)))
    found = calibrate(z, y, torch.arange(300))
    assert found["temperature_asked"] > 1.5  # type: ignore[operator]
    fitted = cross_fitted(z, y, torch.arange(300))
    assert fitted is not None
    assert calibration_error(fitted, y) > 5 * calibration_error(z, y)
    assert found["temperature"] == 1
    assert found["ece_after"] == found["ece_before"]
    # Well calibrated answers ask for about 1, which changes nothing that could be measured.
    assert calibrate(*answers(), torch.arange(600))["temperature"] == 1


def test_temperature_stays_1_where_people_are_too_few_to_tell() -> None:
    z, y = answers(2, factor=4.0)
    alone = calibrate(z, y, torch.tensor([3, 3]))
    assert (alone["temperature"], alone["log_loss_gain"]) == (1, None)
    nothing = calibrate(z, torch.full_like(y, -1), torch.arange(2))
    assert (nothing["temperature"], nothing["ece_before"]) == (1, None)
