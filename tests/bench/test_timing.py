"""Interleaving, medians, ratios, counted work and the growth of a cost."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from benchmarks.r1 import growth
from benchmarks.rates import Yardstick, count_macs, rates
from benchmarks.timing import Timing, interleaved, peak_memory, spread
from lomit.losses.lomit import gradient_penalty
from lomit.nn.discriminators import PatchDiscriminator

CPU = torch.device("cpu")


def test_every_task_runs_once_in_every_round() -> None:
    calls: list[str] = []
    tasks = {"a": lambda: calls.append("a"), "b": lambda: (calls.append("b"), time.sleep(0.002))}
    timings = interleaved(tasks, rounds=3, device=CPU, warmup=2)
    assert calls == ["a", "b"] * 5
    assert [len(t.seconds) for t in timings.values()] == [3, 3]
    assert timings["b"].median >= 0.002 > timings["a"].median


def test_a_ratio_pairs_the_rounds() -> None:
    """The machine was slow in the second round; the ratio does not see it."""
    ours, plain = Timing((1.0, 10.0, 1.0)), Timing((2.0, 20.0, 2.0))
    assert ours.ratio(plain) == (2.0, 0.0)
    assert ours.spread > 1


def test_the_spread_is_half_the_distance_of_the_quartiles() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(1 / 3)
    assert spread([4.0]) == 0


def test_counted_work_is_the_layers_own() -> None:
    conv, linear = nn.Conv2d(8, 16, 3, padding=1), nn.Linear(20, 30)
    x, v = torch.randn(2, 8, 10, 10, requires_grad=True), torch.randn(5, 20)
    forward = 2 * 16 * 8 * 9 * 100
    assert count_macs(lambda: conv(x)) == forward
    # Backward: one such convolution for the input and one for the weight.
    assert count_macs(lambda: conv(x).sum().backward()) == 3 * forward
    assert count_macs(lambda: linear(v)) == 5 * 20 * 30


def test_the_work_of_a_gradient_penalty_is_four_passes() -> None:
    """Forward, transposed, and back through the transposed one to its input and its weight."""
    d = PatchDiscriminator(16, attributes=1, width=4)
    x = torch.randn(2, 3, 16, 16)
    forward = count_macs(lambda: d.trunk(x))
    penalty = count_macs(lambda: gradient_penalty(d.source_gradient(x)).backward())
    head = 2 * 9 * d.source_head.in_channels * 4  # 2 x 2 patches; its input of ones needs no gradient
    assert penalty == 4 * forward + 2 * head


def test_yardsticks_do_the_work_they_state() -> None:
    stick = Yardstick(CPU, torch.float32)
    for name, task in stick.tasks().items():
        assert count_macs(task) == stick.macs[name]
    assert rates({"a": 2e9}, {"a": 0.5}) == {"a": 4.0}


def test_peak_memory_sees_what_a_task_allocates() -> None:
    # 120 MB; wide bounds, because the system may take pages of the process back while the task runs.
    peak = peak_memory(lambda: torch.ones(30_000_000), CPU)
    assert peak is None or 60e6 < peak < 200e6
    small = peak_memory(lambda: torch.ones(10), CPU)
    assert small is None or small < 20e6


def test_growth_is_the_exponent_in_pixels() -> None:
    sides = [16, 32, 64, 128]
    assert growth(sides, [s**4 / 7 for s in sides]) == pytest.approx(2)
    assert growth(sides, [None, 5.0, 20.0, 80.0]) == pytest.approx(1)
    assert growth(sides, [None, None, None, 1.0]) is None
