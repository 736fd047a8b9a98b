"""Stages: each done once, taken up where it was stopped, never mixed with those of other settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from lomit.errors import LomitError
from lomit.reproduce.stages import STAGES, Ledger, Stage


class Commands:
    """Remembers what was called; each call writes the stage's file, unless it is told to fail."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.codes: dict[str, int] = {}
        self.raises: dict[str, Exception] = {}

    def __call__(self, words: Sequence[str]) -> int:
        self.calls.append(list(words))
        if words[0] in self.raises:
            raise self.raises.pop(words[0])
        code = self.codes.pop(words[0], 0)
        if code == 0:
            Path(words[words.index("--out") + 1]).write_text("made")
        return code

    @property
    def names(self) -> list[str]:
        return [words[0] for words in self.calls]


def stages(out: Path, steps: int = 10) -> list[Stage]:
    return [
        Stage("faces", ("render", "--out", str(out / "faces")), out / "faces", complete=out / "faces"),
        Stage(
            "train/a", ("train", "--steps", str(steps), "--out", str(out / "a")), out / "a", ("--threads", "1"),
            ("faces",), resumed=lambda: ("--resume",) if (out / "checkpoint").exists() else (),
        ),
        Stage("report", ("report", "--out", str(out / "page")), out / "page", after=("faces", "train/a")),
    ]  # fmt: skip


def run(out: Path, commands: Commands, **changes: int) -> tuple[int, list[str]]:
    said: list[str] = []
    return Ledger(out, stages(out, **changes)).run(commands, said.append), said


def test_every_stage_runs_once(tmp_path: Path) -> None:
    commands = Commands()
    code, said = run(tmp_path, commands)
    assert code == 0
    assert commands.names == ["render", "train", "report"]
    assert commands.calls[1] == ["train", "--steps", "10", "--out", str(tmp_path / "a"), "--threads", "1"]
    assert said[1] == f"[2/3] train/a: lomit train --steps 10 --out {tmp_path / 'a'} --threads 1"
    code, said = run(tmp_path, commands)
    assert (code, len(commands.calls)) == (0, 3)
    assert said == ["[1/3] faces: done before", "[2/3] train/a: done before", "[3/3] report: done before"]
    record = json.loads((tmp_path / STAGES / "train-a.json").read_text())
    assert (record["state"], record["attempts"]) == ("finished", 1)
    assert record["settings"]["words"] == ["train", "--steps", "10", "--out", "OUT/a"]


def test_a_stopped_stage_is_taken_up(tmp_path: Path) -> None:
    commands = Commands()
    commands.codes["train"] = 143
    code, said = run(tmp_path, commands)
    assert code == 143
    assert said[-1] == "stopped in the stage train/a; the same command goes on from there"
    ledger = Ledger(tmp_path, stages(tmp_path))
    assert [ledger.state(stage) for stage in ledger.stages] == ["finished", "begun", "to do"]
    # Without a checkpoint it starts anew; with one it goes on.
    commands.codes["train"] = 143
    run(tmp_path, commands)
    assert "--resume" not in commands.calls[-1]
    (tmp_path / "checkpoint").touch()
    assert run(tmp_path, commands)[0] == 0
    assert commands.calls[-2][-1] == "--resume"
    assert commands.names == ["render", "train", "train", "train", "report"]


def test_time_of_all_attempts_is_kept(tmp_path: Path) -> None:
    commands = Commands()
    commands.raises["train"] = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, commands)
    ledger = Ledger(tmp_path, stages(tmp_path))
    first = ledger.read("train/a")
    assert first is not None
    assert (first.state, first.attempts) == ("begun", 1)
    assert first.seconds > 0
    run(tmp_path, commands)
    second = ledger.read("train/a")
    assert second is not None
    assert second.seconds > first.seconds
    assert second.attempts == 2


def test_what_was_complete_when_the_process_was_killed_is_not_made_again(tmp_path: Path) -> None:
    """Between the command's end and the record's writing."""
    commands = Commands()
    commands.raises["render"] = RuntimeError("killed")
    with pytest.raises(RuntimeError):
        run(tmp_path, commands)
    (tmp_path / "faces").write_text("made")
    assert run(tmp_path, commands)[0] == 0
    assert commands.names == ["render", "train", "report"]


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    commands = Commands()
    run(tmp_path, commands)
    other = Ledger(tmp_path, stages(tmp_path, steps=20))
    with pytest.raises(LomitError, match=r"stage train/a made with other settings \(--steps 10, now 20\)"):
        other.check(overwrite=False)
    assert [other.state(stage) for stage in other.stages] == ["finished", "other settings", "other settings"]
    other.check(overwrite=True)
    assert (tmp_path / "faces").exists()
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "page").exists()
    assert run(tmp_path, commands, steps=20)[0] == 0
    assert commands.names == ["render", "train", "report", "train", "report"]


def test_how_a_stage_is_run_decides_nothing(tmp_path: Path) -> None:
    commands = Commands()
    run(tmp_path, commands)
    others = [replace(stage, how=("--threads", "8")) for stage in stages(tmp_path)]
    ledger = Ledger(tmp_path, others)
    ledger.check(overwrite=False)
    assert {ledger.state(stage) for stage in others} == {"finished"}


def test_the_folder_may_be_moved(tmp_path: Path) -> None:
    commands = Commands()
    run(tmp_path / "here", commands)
    (tmp_path / "here").rename(tmp_path / "there")
    code, said = run(tmp_path / "there", commands)
    assert code == 0
    assert all("done before" in line for line in said)


def test_two_at_once_and_damaged_records(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(LomitError, match="another lomit reproduce is at work in"):
        run(tmp_path, Commands())
    run(tmp_path, Commands())
    (tmp_path / STAGES / "faces.json").write_text("{")
    with pytest.raises(LomitError, match=r"faces\.json can't be read as JSON: .*; remove it to run"):
        run(tmp_path, Commands())
