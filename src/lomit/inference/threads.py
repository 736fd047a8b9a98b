"""How many threads a network runs in: as many as other programs leave cores for."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

AGAIN = 1.0
"""Seconds after which the load is looked at again."""
LEAST = 0.1
"""Seconds that the load is watched for before the first choice; the kernel counts it in hundredths."""
SLACK = 0.25
"""Share of a core that others may take before it counts as theirs."""


CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Load:
    """What the cores of this process have done, counted from any moment on.

    Attributes:
        time: seconds.
        cores: cores that it may run on.
        quota: cores that it may use at once, on average; infinite without a limit.
        busy: core-seconds that these cores have worked for anyone.
        own: core-seconds that this process has taken.
    """

    time: float
    cores: int
    quota: float
    busy: float
    own: float


def read_load() -> Load | None:
    """The load now; None where the kernel is not Linux, or doesn't tell."""
    affinity = getattr(os, "sched_getaffinity", None)
    if affinity is None:
        return None
    try:
        cores = affinity(0)
        lines = Path("/proc/stat").read_text("utf-8").partition("intr")[0].splitlines()
        ticks = os.sysconf("SC_CLK_TCK")
        busy = 0.0
        for line in lines:
            name, *counts = line.split()
            if name != "cpu" and int(name.removeprefix("cpu")) in cores:
                user, nice, system, _, _, irq, softirq, steal = map(int, counts[:8])
                busy += (user + nice + system + irq + softirq + steal) / ticks
        return Load(time.monotonic(), len(cores), _quota(), busy, time.process_time())
    except (OSError, ValueError):
        return None


def _quota() -> float:
    """The strictest limit of the control groups (version 2) that the process is in, in cores."""
    try:
        group = next(line[3:] for line in CGROUP.read_text("utf-8").splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return math.inf
    limits = [math.inf]
    for folder in (Path(group), *Path(group).parents):
        try:
            quota, period = (CGROUPS / folder.relative_to("/") / "cpu.max").read_text("utf-8").split()
            limits.append(int(quota) / int(period))
        except (OSError, ValueError):  # the root group has no such file; "max" is no number
            continue
    return min(limits)


class SpareCores:
    """Keeps torch's threads to the cores that other programs leave free, and looks at the load again each second.

    A layer ends when its last thread has ended.  A thread whose core another program uses is waited for, while the
    others spin: two threads beside one busy program take many times as long as one thread (docs/performance.md).

    `OMP_NUM_THREADS` is the user's word and stays; so do the threads where the kernel doesn't tell its load.

    Args:
        read: gives the load.
        now: gives the time, in seconds, as `Load.time` counts it.
        wait: waits for so many seconds.
    """

    def __init__(
        self,
        read: Callable[[], Load | None] = read_load,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._read, self._now, self._wait = read, now, wait
        self._last = None if "OMP_NUM_THREADS" in os.environ else read()
        self._most = self._threads = 0

    def fit(self) -> None:
        """Sets the threads of whoever calls, by the load since the last choice where that is a second ago."""
        import torch  # here, so that the load is watched while torch is loaded

        if self._last is None:
            return
        elapsed = self._now() - self._last.time
        if not self._threads:
            self._most = torch.get_num_threads()
            if self._most > 1 and elapsed < LEAST:
                self._wait(LEAST - elapsed)
        if not self._threads or elapsed >= AGAIN:
            self._choose(self._last)
        # Torch keeps the number for each thread of Python on its own.
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)

    def _choose(self, last: Load) -> None:
        load = self._read() or last
        others = (load.busy - last.busy - (load.own - last.own)) / max(load.time - last.time, 1e-9)
        free = min(load.cores - others + SLACK, load.quota)
        self._last, self._threads = load, max(1, min(self._most, math.floor(free)))
