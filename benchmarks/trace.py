"""What a GPU was given to do: kernels, launches and the time in which it had nothing to do, from a profiler's trace."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

WORK = ("kernel", "gpu_memcpy", "gpu_memset")
"""Categories of a trace's events that occupy the GPU."""


@dataclass(frozen=True)
class Activity:
    """What one call put on the GPU.

    Attributes:
        kernels: kernels, copies and fills that ran.
        launches: calls by which the host started them; a graph is one.
        busy: seconds in which at least one of them ran.
    """

    kernels: float
    launches: float
    busy: float

    def idle_share(self, seconds: float) -> float:
        """Share of a call's time, measured without the profiler, in which nothing ran; 0 to 1."""
        return max(0.0, 1 - self.busy / seconds)


def profile(task: Callable[[], object], device: torch.device, calls: int = 1) -> Activity | None:
    """The mean activity of a call; None where there is no GPU."""
    if device.type != "cuda":
        return None
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    torch.cuda.synchronize(device)
    with torch.profiler.profile(activities=activities) as found:
        for _ in range(calls):
            task()
        torch.cuda.synchronize(device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        found.export_chrome_trace(str(path))
        return read_trace(json.loads(path.read_text(encoding="utf-8")), calls)


def read_trace(trace: dict[str, Any], calls: int = 1) -> Activity:
    """The activity in a trace of `calls` calls, in Chrome's format (times in microseconds)."""
    events = [e for e in trace["traceEvents"] if e.get("ph") == "X"]
    work = [e for e in events if e.get("cat") in WORK]
    launches = [e for e in events if e.get("cat") in ("cuda_runtime", "cuda_driver") and _launches(e["name"])]
    spans = sorted((float(e["ts"]), float(e["ts"]) + float(e["dur"])) for e in work)
    busy, reached = 0.0, float("-inf")
    for start, end in spans:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return Activity(len(work) / calls, len(launches) / calls, busy / 1e6 / calls)


def _launches(name: str) -> bool:
    return any(part in name for part in ("LaunchKernel", "GraphLaunch", "Memcpy", "Memset"))
