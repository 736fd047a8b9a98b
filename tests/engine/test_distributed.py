"""Two processes under torchrun, on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lomit.engine import checkpoint
from lomit.engine.train import read_run_config
from support import two_processes
from support.runs import assert_same_tensors, checkpoint_folder, leftovers, log_lines, write_config
from support.tiny import tiny_run


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same four steps on two processes and on one."""
    folder = tmp_path_factory.mktemp("distributed")
    config = write_config(folder / "run.json", tiny_run(data, steps=4, save_every=2, accumulate=2, batch_size=8))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, two_processes.__file__, str(config), str(folder / "two")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("estimated peak memory") == 1
    assert "2 process(es)" in done.stdout
    two_processes.train_and_tell(read_run_config(config), folder / "one")
    return folder / "two", folder / "one"


def test_both_processes_end_with_the_same_weights(runs: tuple[Path, Path]) -> None:
    two, _ = runs
    assert_same_tensors(load_file(two / "rank_1.safetensors"), load_file(two / "rank_0.safetensors"))


def test_they_draw_disjoint_halves_of_the_batch(runs: tuple[Path, Path]) -> None:
    two, one = runs
    first, second = (json.loads((two / f"rank_{rank}.json").read_text()) for rank in (0, 1))
    whole = json.loads((one / "rank_0.json").read_text())
    assert len(whole) == 4
    for side in (0, 1):
        for step in range(4):
            assert first[step][side] + second[step][side] == whole[step][side]
        # Three batches of eight lie within one epoch of thirty images; the fourth begins the next one.
        epoch = [row for step in range(3) for row in whole[step][side]]
        assert len(set(epoch)) == 24


def test_the_weights_are_those_of_one_process_with_the_whole_batch(runs: tuple[Path, Path]) -> None:
    two, one = (load_file(run / "rank_0.safetensors") for run in runs)
    for name, tensor in one.items():
        assert tensor.dtype == torch.float64
        torch.testing.assert_close(two[name], tensor, rtol=1e-6, atol=1e-7, msg=name)


def test_one_process_writes(runs: tuple[Path, Path]) -> None:
    two, one = runs
    assert [line["step"] for line in log_lines(two)] == [line["step"] for line in log_lines(one)]
    assert leftovers(two) == []
    for step in (2, 4):
        saved = [load_file(checkpoint_folder(run, step) / "model.safetensors") for run in runs]
        for name, tensor in saved[1].items():
            torch.testing.assert_close(saved[0][name], tensor, rtol=1e-6, atol=1e-7, msg=name)
    assert json.loads((checkpoint.pointed(two, "latest") or two).joinpath("state.json").read_text())["world_size"] == 2
