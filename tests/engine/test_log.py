"""Numbers of a run: their means, and the file that survives kills."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import lomit.engine.checkpoint
from lomit.engine.log import Means, RunLog


def test_means_since_the_last_look() -> None:
    means = Means()
    for value in (1.0, 2.0, 6.0):
        means.add("D", {"loss": torch.tensor(value)})
    means.add("G", {"loss": torch.tensor(4.0), "mask/mean": torch.tensor(0.5)})
    assert means.take() == {"D/loss": 3.0, "G/loss": 4.0, "mask/mean": 0.5}
    assert means.take() == {}
    means.add("D", {"loss": torch.tensor(7.0)})
    assert means.take() == {"D/loss": 7.0}


def read(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def write(folder: Path, steps: range, after: int = 0) -> None:
    log = RunLog(folder, after)
    for step in steps:
        log.write(step, {"D/loss": float(step)})
    log.close()


def test_a_resumed_log_keeps_the_lines_up_to_its_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, range(1, 6))
    write(tmp_path, range(4, 8), after=3)
    assert [line["step"] for line in read(tmp_path)] == [1, 2, 3, 4, 5, 6, 7]


def test_a_new_run_starts_a_new_log(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4))
    write(tmp_path, range(1, 3))
    assert [line["step"] for line in read(tmp_path)] == [1, 2]


@pytest.mark.parametrize("tail", ['{"step": 3, "D/l', '{"step": 3, "D/loss": 3.0}', "garbage", "[]", '{"other": 1}'])
def test_what_a_kill_left_of_a_line_does_not_join_the_next_one(tmp_path: Path, tail: str) -> None:
    write(tmp_path, range(1, 3))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(tail)
    write(tmp_path, range(4, 5), after=3)
    assert [line["step"] for line in read(tmp_path)] == ([1, 2, 3, 4] if tail.endswith("3.0}") else [1, 2, 4])


def test_every_line_is_json_even_where_a_value_is_not_finite(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.write(1, {"a": float("nan"), "b": float("inf"), "c": 0.5, "warning": "text"})
    log.close()
    assert read(tmp_path) == [{"step": 1, "a": None, "b": None, "c": 0.5, "warning": "text"}]


def test_a_full_disk_does_not_cost_the_old_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, range(1, 6))
    before = (tmp_path / "log.jsonl").read_text()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lomit.engine.checkpoint.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        RunLog(tmp_path, after=3)
    assert (tmp_path / "log.jsonl").read_text() == before
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []


def test_tensorboard_gets_numbers_and_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="the extra `train` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(tmp_path, range(1, 4))
    log = RunLog(tmp_path, after=3)
    log.show(3, Image.new("L", (12, 8), 200))
    with monkeypatch.context() as full:
        full.setattr("lomit.engine.log._ROOM", 2**62)
        log.show(4, Image.new("L", (12, 8), 200))
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("D/loss")] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    (shown,) = events.Images("samples")
    assert (shown.step, shown.width, shown.height) == (3, 12, 8)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("ImportError('no protobuf')", []),
        (
            "TypeError('Descriptors cannot be created directly.\\nIf this call')",
            ["no tensorboard/ is written, since it can't be imported: Descriptors cannot be created directly."],
        ),
        ("AttributeError()", ["no tensorboard/ is written, since it can't be imported: AttributeError"]),
    ],
)
def test_a_tensorboard_that_cannot_be_imported_costs_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, raised: str, said: list[str]
) -> None:
    for name in [name for name in sys.modules if "tensorboard" in name.split(".")]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "tensorboard.py").write_text(f"raise {raised}\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "run").mkdir()
    write(tmp_path / "run", range(1, 4))
    assert caplog.messages == said
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["log.jsonl"]
