"""What a trace says of a GPU's work, and the model of several GPUs."""

from __future__ import annotations

import pytest
import torch

from lomit.bench.gpu import Activity, profile, read_trace
from lomit.bench.rates import count_macs, iteration_macs, phase_macs
from lomit.bench.scaling import Compute, Network, fit, last_that_pays, scale
from lomit.bench.step import Step
from lomit.bench.sweep import settings
from lomit.bench.timing import timed
from lomit.errors import LomitError
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
    from lomit.commands.bench import StepOptions

    config = StepOptions(preset=preset, batch_size=2, threads=1).run_config()
    step = Step(config, torch.device("cpu"))
    counted = phase_macs(config)
    for update in step.updates:
        assert count_macs(lambda update=update: step.update(update)) == counted[update.phase.name][0]
    assert iteration_macs(config) == sum(macs / every for macs, every in counted.values())


def test_a_sweep_begins_with_what_starts_at_once() -> None:
    rows = settings([8, 64], ["none", "graphs", "reduce-overhead"], ["bf16-mixed", "32-true"])
    assert len(rows) == 12
    assert rows[:4] == [(8, "none", "bf16-mixed"), (64, "none", "bf16-mixed"), (8, "graphs", "bf16-mixed"),
                        (64, "graphs", "bf16-mixed")]  # fmt: skip
    assert [row[1:] for row in rows[4:6]] == [("reduce-overhead", "bf16-mixed")] * 2
    assert {row[2] for row in rows[6:]} == {"32-true"}


SLOW = Network(per_node=4, within=100e9, between=10e9, within_latency=0.0, between_latency=0.0)


def test_an_all_reduce_by_hand() -> None:
    assert SLOW.all_reduce(8e9, 1) == 0
    # A ring sends 2 (n - 1) / n of the data.
    assert SLOW.all_reduce(8e9, 4) == pytest.approx(2 * 3 / 4 * 0.08)
    # Two nodes: the same within, and a quarter of the data between.
    assert SLOW.all_reduce(8e9, 8) == pytest.approx(2 * 3 / 4 * 0.08 + 2 * 1 / 2 * 0.2)
    late = Network(per_node=4, within=1e30, between=1e30, within_latency=1e-6, between_latency=1e-3)
    assert late.all_reduce(1.0, 16) == pytest.approx(6e-6 + 4e-3)


def test_computing_is_the_line_through_what_was_measured() -> None:
    assert fit([8, 32, 64], [0.012, 0.036, 0.068]) == Compute(pytest.approx(0.004), pytest.approx(0.001))
    # A step that grows faster than its batch has no negative part, and one that does not grow no negative slope.
    assert fit([1, 2], [1.0, 3.0]).fixed == 0
    assert fit([1, 2], [3.0, 1.0]).per_pair == 0
    with pytest.raises(LomitError, match="two batch sizes at least"):
        fit([8, 8], [1.0, 1.1])


def test_scaling_without_a_network_is_bound_by_the_fixed_part() -> None:
    free = Network(within=1e30, between=1e30, within_latency=0.0, between_latency=0.0)
    rows = scale([1, 3, 64], 64, Compute(0.01, 0.001), [(1e9, 1)], free)
    assert [row.gpus for row in rows] == [1, 64], "three GPUs can't share 64 pairs"
    assert rows[0].efficiency == pytest.approx(1)
    assert rows[1].compute == pytest.approx(0.011)
    assert rows[1].efficiency == pytest.approx(0.074 / 0.011 / 64)
    weak = scale([1, 64], 64, Compute(0.01, 0.001), [(1e9, 1)], free, weak=True)
    assert weak[1].efficiency == pytest.approx(1)
    assert weak[1].pairs == 64 * 64


def test_communication_counts_as_often_as_a_phase_runs_and_hides_behind_computing() -> None:
    (row,) = scale([4], 4, Compute(0.0, 0.01), [(8e9, 1), (8e9, 5)], SLOW, overlap=0.0)
    assert row.communicate == pytest.approx(0.12 * 1.2)
    (hidden,) = scale([4], 4, Compute(0.0, 0.01), [(8e9, 1), (8e9, 5)], SLOW, overlap=0.5)
    assert hidden.communicate == pytest.approx(0.12 * 1.2 - 0.005)
    assert hidden.pairs_per_second == pytest.approx(4 / (0.01 + hidden.communicate))


def test_where_doubling_stops_to_pay() -> None:
    rows = scale([1, 2, 4, 8, 16], 64, Compute(0.01, 0.001), [(1e8, 1)], SLOW)
    rates = {row.gpus: row.pairs_per_second for row in rows}
    last = last_that_pays(rows)
    assert all(rates[2 * n] / rates[n] >= 1.5 for n in (1, 2, 4, 8) if 2 * n <= last)
    assert last < 16
    assert rates[2 * last] / rates[last] < 1.5


def test_the_gradients_of_a_preset_are_its_weights() -> None:
    from lomit.commands.bench_gpus import gradient_bytes, preset_config

    found = gradient_bytes(preset_config("celeba-hair-smile"))
    assert found == {"D": (4.0 * 44_753_861, 1), "G": (4.0 * 20_220_308, 5)}
    assert "celeba-all-w32-b64" in get_method("lomit").presets
