"""`--train.precision auto`: which format a run is begun in, and that it goes on in that."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lomit.config import NumberFormat, RunConfig
from lomit.engine import trial
from lomit.engine.train import read_run_config, train
from lomit.engine.trial import TrialStep, settled
from lomit.inference import precision
from support.runs import checkpoint_folder
from support.tiny import tiny_run


class Timed(TrialStep):
    """A trial whose iterations take as long, and lose as much, as the test says."""

    seconds: dict[NumberFormat, float]
    time = 0.0
    loss = 0.0

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        super().__init__(config, device)
        assert config.train.precision != "auto"
        self.form: NumberFormat = config.train.precision

    def iteration(self, step: int) -> None:
        super().iteration(step)
        Timed.time += self.seconds[self.form]
        self.means.add("lost", {"loss": torch.tensor(self.loss if self.form == "bfloat16" else 0.0)})


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Timed]:
    """On a CPU with bfloat16, which is twice as fast there."""
    monkeypatch.setenv("LOMIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(precision, "in_hardware", lambda: True)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: Timed.time)  # type: ignore[attr-defined]
    monkeypatch.setattr(Timed, "seconds", {"float32": 1.0, "bfloat16": 0.5}, raising=False)
    monkeypatch.setattr(trial, "TrialStep", Timed)
    return Timed


def taken(run: Path) -> str:
    said = json.loads((run / "config.json").read_text())["train"]["precision"]
    assert isinstance(said, str)
    return said


def test_a_run_is_begun_and_goes_on_in_what_was_faster(
    timed: type[Timed], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, config = tmp_path / "run", tiny_run(data, steps=3, precision="auto")
    train(config, run, quiet=True)
    assert taken(run) == "bfloat16"
    assert "lomit on cpu in bfloat16, 1 process(es)" in capsys.readouterr().out
    monkeypatch.setattr(precision, "in_hardware", lambda: False)
    train(tiny_run(data, steps=6, precision="auto"), run, resume=True, quiet=True)
    assert taken(run) == "bfloat16"


@pytest.mark.parametrize("bad", [{"seconds": {"float32": 1.0, "bfloat16": 1.5}}, {"loss": math.nan}])
def test_what_is_slower_or_fails_is_not_taken(
    bad: dict[str, Any], timed: type[Timed], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bad.items():
        monkeypatch.setattr(timed, name, value)
    assert settled(tiny_run(data, precision="auto")).train.precision == "float32"


@pytest.mark.usefixtures("timed")
def test_several_processes_try_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert settled(tiny_run(data, precision="auto")).train.precision == "float32"


def test_without_hardware_auto_is_float32_to_the_bit(data: Path, tmp_path: Path) -> None:
    for form in ("auto", "float32"):
        train(tiny_run(data, steps=2, precision=form), tmp_path / form, quiet=True)
    assert taken(tmp_path / "auto") == "float32"
    one, other = (
        (checkpoint_folder(tmp_path / form, 2) / "model.safetensors").read_bytes() for form in ("auto", "float32")
    )
    assert one == other


@pytest.mark.parametrize(("before", "now"), [("32-true", "float32"), ("bf16-mixed", "bfloat16")])
def test_runs_of_earlier_versions_are_read(before: str, now: str, data: Path, tmp_path: Path) -> None:
    train(tiny_run(data, steps=1), tmp_path, quiet=True)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"precision": "float32"', f'"precision": "{before}"'))
    assert read_run_config(path).train.precision == now
