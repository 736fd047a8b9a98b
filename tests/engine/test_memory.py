"""The estimate of the peak memory against a measured one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lomit.config import DataConfig, RunConfig, TrainConfig
from lomit.engine.phases import estimate_peak
from lomit.models import get_method
from support import measured_peak
from support.runs import write_config
from support.tiny import ATTRIBUTES, tiny_config

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads sizes from /proc")


def run_config(width: int = 16, d_width: int = 16, batch_size: int = 4, accumulate: int = 1) -> RunConfig:
    return RunConfig(
        tiny_config("lomit", width=width, d_width=d_width, image_size=64, res_blocks=2, mask_norm="group"),
        DataConfig(image_size=64, attributes=ATTRIBUTES),
        TrainConfig(batch_size=batch_size, accumulate=accumulate),
    )


def estimate(config: RunConfig, world: int = 1) -> int:
    return estimate_peak(get_method("lomit"), config, world)


@needs_proc
def test_the_estimate_is_within_a_factor_of_two_of_the_measured_peak(tmp_path: Path) -> None:
    """Where activations take the most, and where weights do."""
    configs = [run_config(16, 16, batch_size=4), run_config(4, 64, batch_size=1)]
    files = [str(write_config(tmp_path / f"{k}.json", config)) for k, config in enumerate(configs)]
    done = subprocess.run(
        [sys.executable, measured_peak.__file__, *files],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for config, measured in zip(configs, map(int, done.stdout.split()[-2:]), strict=True):
        assert measured > 100 * 2**20, "too small to tell from noise"
        assert 0.5 < estimate(config) / measured < 2, config.model


def test_it_grows_with_the_batch_and_shrinks_by_cutting_it() -> None:
    one, two = estimate(run_config(batch_size=4)), estimate(run_config(batch_size=8))
    assert 1.5 < two / one < 2
    assert estimate(run_config(batch_size=8, accumulate=2)) == one
    assert estimate(run_config(batch_size=8), world=2) == one


@needs_proc
def test_estimating_allocates_next_to_nothing() -> None:
    config = run_config()
    wide = replace(config, model=replace(config.model, width=512, d_width=256))  # type: ignore[call-arg]
    before = measured_peak.resident("VmHWM")
    assert estimate(wide) > 8 * 2**30
    assert measured_peak.resident("VmHWM") - before < 500 * 2**20
