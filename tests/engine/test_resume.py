"""A run that was stopped and resumed is the run that was never stopped, to the bit."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import lomit.engine.loop
from lomit.config import RunConfig
from lomit.engine.train import train
from support.runs import assert_same_tensors, checkpoint_folder, log_lines, saved_tensors
from support.tiny import real_methods, tiny_run

from .conftest import At

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "plain": ({}, {}, "lomit"),
    "accumulated, linear decay": ({"accumulate": 2, "decay": "linear", "decay_start": 2}, {}, "lomit"),
    "halving, batch norm": ({"decay_start": 2, "decay_every": 2}, {"mask_norm": "batch"}, "lomit"),
    "bfloat16, no average": ({"precision": "bfloat16", "ema": 0.0}, {"critic_steps": 1}, "lomit"),
    "after a warm-up": ({}, {"warmup": 2, "critic_steps": 1}, "lomit"),
    "in a warm-up": ({}, {"warmup": 4, "critic_steps": 1}, "lomit"),
    **{name: ({}, {}, name) for name in sorted(real_methods()) if name != "lomit"},
}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, torch.Tensor]]:
    """(step, images of the pair) of every training batch, in order."""
    batches: list[tuple[int, torch.Tensor]] = []
    load = lomit.engine.loop.load_batch

    def spy(cache: Any, sampler: Any, step: int, device: Any, flip: bool) -> Any:
        batch = load(cache, sampler, step, device, flip)
        if sampler.batch_size == 4:  # the validation sampler draws eight
            batches.append((step, torch.cat([batch["x1"], batch["x2"]]).clone()))
        return batch

    monkeypatch.setattr(lomit.engine.loop, "load_batch", spy)
    return batches


def stop(_: object) -> None:
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(("options", "model", "method"), CASES.values(), ids=CASES)
def test_three_and_three_steps_are_six(
    options: dict[str, Any],
    model: dict[str, Any],
    method: str,
    data: Path,
    tmp_path: Path,
    after_step: At,
    drawn: list[tuple[int, torch.Tensor]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tiny_run(data, method, model, **options)
    train(config, tmp_path / "whole", quiet=True)
    uninterrupted, drawn[:] = list(drawn), []
    after_step(3, stop)
    assert train(config, tmp_path / "parts", quiet=True).step == 3
    assert "resumed" not in capsys.readouterr().out
    torch.manual_seed(12345)  # another process would have another random state
    assert train(config, tmp_path / "parts", resume=True, quiet=True).step == 6
    assert "resumed from step 3\n" in capsys.readouterr().out

    assert [step for step, _ in drawn] == [step for step, _ in uninterrupted] == list(range(6))
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(drawn, uninterrupted, strict=True))
    for step in (3, 6):
        assert_same_tensors(saved_tensors(tmp_path / "parts", step), saved_tensors(tmp_path / "whole", step))
        states = [
            json.loads((checkpoint_folder(tmp_path / run, step) / "state.json").read_text())
            for run in ("parts", "whole")
        ]
        assert states[0] == states[1]
    lines = log_lines(tmp_path / "parts")
    assert lines == log_lines(tmp_path / "whole")
    assert [line["step"] for line in lines if "lr" in line] == [1, 2, 3, 4, 5, 6]


def test_the_moments_of_every_weight_are_kept_and_the_run_moves(data: Path, tmp_path: Path) -> None:
    """What the comparison above compares is not empty or constant."""
    train(tiny_run(data), tmp_path / "run", quiet=True)
    first, last = saved_tensors(tmp_path / "run", 3), saved_tensors(tmp_path / "run", 6)
    groups = ("translator.generator.", "translator.discriminator.", "average.", "optimizer.D.", "optimizer.G.")
    for group in groups:
        names = [name for name in last if name.startswith(group)]
        assert names
        assert any(not torch.equal(first[name], last[name]) for name in names), group
    weights = [name for name in last if name.startswith("translator.")]
    for kind in ("exp_avg", "exp_avg_sq", "step"):
        assert len([n for n in last if n.startswith("optimizer.") and n.endswith(f".{kind}")]) == len(weights)
    assert last["optimizer.D.0.step"] == 6
    assert last["optimizer.G.0.step"] == 3


def test_log_lines_after_the_last_checkpoint_of_a_killed_run_are_dropped(
    data: Path, tmp_path: Path, after_step: At
) -> None:
    config = tiny_run(data)

    def die(_: object) -> None:
        raise SystemExit(9)

    after_step(5, die)
    with pytest.raises(SystemExit):
        train(config, tmp_path / "killed", quiet=True)
    assert log_lines(tmp_path / "killed")[-1]["step"] == 4
    with (tmp_path / "killed" / "log.jsonl").open("a") as file:
        file.write('{"step": 5, "D/lo')  # cut off in the middle of a line
    train(config, tmp_path / "killed", resume=True, quiet=True)
    train(config, tmp_path / "whole", quiet=True)
    assert log_lines(tmp_path / "killed") == log_lines(tmp_path / "whole")
    assert_same_tensors(saved_tensors(tmp_path / "killed", 6), saved_tensors(tmp_path / "whole", 6))


def test_a_finished_run_can_be_prolonged_and_its_data_moved(data: Path, tmp_path: Path) -> None:
    config = tiny_run(data, steps=3)
    train(config, tmp_path / "run", quiet=True)
    assert train(config, tmp_path / "run", resume=True, quiet=True).step == 3
    moved = data.rename(data.with_name("moved"))
    try:
        longer = RunConfig(config.model, replace(config.data, root=str(moved)), replace(config.train, steps=6))
        assert train(longer, tmp_path / "run", resume=True, quiet=True).step == 6
    finally:
        moved.rename(data)
    train(tiny_run(data), tmp_path / "whole", quiet=True)
    assert_same_tensors(saved_tensors(tmp_path / "run", 6), saved_tensors(tmp_path / "whole", 6))
