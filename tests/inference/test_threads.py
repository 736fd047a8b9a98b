"""Threads by what other programs leave free, on loads that the tests make up, and on this machine's own."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lomit import Predictor
from lomit.inference import threads
from lomit.inference.threads import AGAIN, LEAST, Load, SpareCores, read_load

CORES = 4


@pytest.fixture(autouse=True)
def four_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine of four cores, whatever this one has; the number is put back after each test."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(CORES)


class Machine:
    """Four cores, whose time passes when it is told to."""

    def __init__(self, quota: float = math.inf) -> None:
        self.load, self.quota = Load(100.0, CORES, quota, 5000.0, 70.0), quota
        self.others = 0.0

    def passes(self, seconds: float, own: float = 1.0) -> None:
        """Seconds in which `others` cores work for other programs, and `own` for this one."""
        before = self.load
        self.load = Load(
            before.time + seconds, CORES, self.quota,
            before.busy + seconds * (self.others + own), before.own + seconds * own,
        )  # fmt: skip

    def cores(self) -> SpareCores:
        return SpareCores(lambda: self.load, lambda: self.load.time, self.passes)


@pytest.mark.parametrize(
    ("others", "quota", "expected"),
    [
        (0.0, math.inf, 4),
        (0.2, math.inf, 4),  # a quarter of a core is nobody's
        (0.4, math.inf, 3),
        (1.0, math.inf, 3),
        (2.9, math.inf, 1),
        (9.0, math.inf, 1),  # one always works
        (0.0, 2.5, 2),
        (0.0, 0.5, 1),
        (2.0, 2.5, 2),  # what others take is no part of the quota
    ],
)
def test_threads_are_what_others_and_the_quota_leave(others: float, quota: float, expected: int) -> None:
    machine = Machine(quota)
    machine.others = others
    cores = machine.cores()
    machine.passes(0.5)
    cores.fit()
    assert torch.get_num_threads() == expected


def test_never_more_threads_than_torch_had() -> None:
    torch.set_num_threads(2)
    machine = Machine()
    cores = machine.cores()
    machine.passes(0.5)
    cores.fit()
    assert torch.get_num_threads() == 2


def test_the_load_is_watched_before_the_first_choice() -> None:
    machine = Machine()
    machine.others = 2.0
    cores = machine.cores()
    cores.fit()
    assert machine.load.time == pytest.approx(100 + LEAST)
    assert torch.get_num_threads() == 2


def test_threads_follow_the_load_once_a_second() -> None:
    machine = Machine()
    cores = machine.cores()
    machine.passes(0.5)
    cores.fit()
    machine.others = 2.0
    machine.passes(0.9 * AGAIN, own=2.0)
    cores.fit()
    assert torch.get_num_threads() == 4
    machine.passes(0.2 * AGAIN, own=2.0)
    cores.fit()
    assert torch.get_num_threads() == 2
    machine.others = 0.0
    machine.passes(AGAIN)
    cores.fit()
    assert torch.get_num_threads() == 4


def test_another_thread_of_python_gets_the_number_too() -> None:
    machine = Machine()
    machine.others = 2.0
    cores = machine.cores()
    machine.passes(0.5)
    cores.fit()
    found: list[int] = []

    def other() -> None:
        torch.set_num_threads(CORES)
        cores.fit()
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found == [2]


def test_the_users_word_and_an_unknown_load_leave_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = SpareCores(lambda: None)
    silent.fit()
    assert torch.get_num_threads() == CORES
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    machine = Machine()
    machine.others = 3.0
    cores = machine.cores()
    machine.passes(0.5)
    cores.fit()
    assert torch.get_num_threads() == CORES


def test_no_load_where_the_kernel_is_not_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert read_load() is None


@pytest.mark.skipif(sys.platform != "linux", reason="the load is read from /proc")
def test_this_process_is_told_from_others() -> None:
    """A busy loop of our own is in `busy` and in `own` alike."""
    before = read_load()
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    after = read_load()
    assert before is not None
    assert after is not None
    assert after.cores == len(os.sched_getaffinity(0))
    own = after.own - before.own
    assert 0 < own <= 0.4
    assert after.busy - before.busy >= own - 0.05


def test_the_strictest_quota_of_the_groups_above_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups a/b/c of which a may use 1.5 cores, b three and c as many as it likes."""
    groups = tmp_path / "sys/fs/cgroup"
    (groups / "a/b/c").mkdir(parents=True)
    for folder, limit in (("a", "150000 100000"), ("a/b", "300000 100000"), ("a/b/c", "max 100000")):
        (groups / folder / "cpu.max").write_text(limit + "\n")
    (tmp_path / "group").write_text("1:name=systemd:/x\n0::/a/b/c\n")
    monkeypatch.setattr(threads, "CGROUP", tmp_path / "group")
    monkeypatch.setattr(threads, "CGROUPS", groups)
    assert threads._quota() == 1.5
    (tmp_path / "group").write_text("0::/\n")
    assert threads._quota() == math.inf


def test_a_predictor_fits_its_threads_before_each_call() -> None:
    machine = Machine()
    cores = machine.cores()
    machine.passes(0.5)
    predictor = Predictor.from_pretrained("avatars", "cpu", threads=cores)
    image = Image.fromarray(np.full((64, 64, 3), 128, dtype=np.uint8))
    calls = [
        lambda: predictor.translate(image, image),
        lambda: predictor.edit(image, image),
        lambda: predictor.interpolate(image, image, 2),
    ]
    for call in calls:
        machine.others = 3.0
        machine.passes(AGAIN)
        call()
        assert torch.get_num_threads() == 1
        machine.others = 0.0
        machine.passes(AGAIN)
        call()
        assert torch.get_num_threads() == CORES
