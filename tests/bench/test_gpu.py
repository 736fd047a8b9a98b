"""What a trace says of a GPU's work, and the work that an update asks for."""

from __future__ import annotations

import pytest
import torch

from benchmarks.communication import gradient_bytes
from benchmarks.options import preset_config
from benchmarks.rates import count_macs, iteration_macs, phase_macs
from benchmarks.step import StepOptions
from benchmarks.sweep import settings
from benchmarks.timing import timed
from benchmarks.trace import Activity, profile, read_trace
from lomit.engine.trial import TrialStep
from lomit.models import get_method


def event(cat: str, name: str, ts: float, dur: float) -> dict[str, object]:
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur}


def test_a_trace_is_counted_once_and_overlaps_are_not_added() -> None:
    trace = {
        "traceEvents": [
            event("kernel", "conv", 100, 50),
            event("kernel", "on another stream", 120, 60),
            event("gpu_memset", "Memset", 200, 10),
            event("gpu_user_annotation", "Optimizer.step", 100, 500),
            event("cuda_runtime", "cudaLaunchKernel", 10, 5),
            event("cuda_driver", "cuLaunchKernelEx", 20, 5),
            event("cuda_runtime", "cudaGraphLaunch", 30, 5),
            event("cuda_runtime", "cudaMemsetAsync", 40, 5),
            event("cuda_runtime", "cudaDeviceSynchronize", 50, 500),
            event("cpu_op", "aten::conv2d", 5, 100),
            {"ph": "i", "cat": "kernel", "name": "a mark", "ts": 0},
        ]
    }
    found = read_trace(trace, calls=2)
    assert (found.kernels, found.launches) == (1.5, 2.0)
    assert found.busy == pytest.approx(90e-6 / 2)
    assert found.idle_share(90e-6) == pytest.approx(0.5)
    assert Activity(1, 1, 2.0).idle_share(1.0) == 0


def test_without_a_gpu_there_is_no_activity() -> None:
    assert profile(lambda: None, torch.device("cpu")) is None
    assert timed(lambda: torch.randn(3), torch.device("cpu"), repeats=3) > 0


@pytest.mark.parametrize("preset", ["tiny", "stargan-tiny"])
def test_work_counted_without_values_is_what_the_step_does(preset: str) -> None:
    config = StepOptions(preset=preset, batch_size=2, threads=1).run_config()
    step = TrialStep(config, torch.device("cpu"))
    counted = phase_macs(config)
    for update in step.updates:
        assert count_macs(lambda update=update: step.update(update)) == counted[update.phase.name][0]
    assert iteration_macs(config) == sum(macs / every for macs, every in counted.values())


def test_a_sweep_begins_with_what_starts_at_once() -> None:
    rows = settings([8, 64], ["none", "graphs", "reduce-overhead"], ["bfloat16", "float32"])
    assert len(rows) == 12
    assert rows[:4] == [(8, "none", "bfloat16"), (64, "none", "bfloat16"), (8, "graphs", "bfloat16"),
                        (64, "graphs", "bfloat16")]  # fmt: skip
    assert [row[1:] for row in rows[4:6]] == [("reduce-overhead", "bfloat16")] * 2
    assert {row[2] for row in rows[6:]} == {"float32"}


def test_the_gradients_of_a_preset_are_its_weights() -> None:
    found = gradient_bytes(preset_config("celeba-hair-smile"))
    assert found == {"D": (4.0 * 44_753_861, 1), "G": (4.0 * 20_220_308, 5)}
    assert "celeba-all-w32-b64" in get_method("lomit").presets
