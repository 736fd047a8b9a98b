"""A run's folder as users leave it: broken and foreign things in it, a second run, other data behind the same path."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lomit.cli import main
from lomit.config import RunConfig
from lomit.engine.loop import Loop
from lomit.engine.train import train
from lomit.errors import LomitError
from lomit.inference.weights import find_model
from support.runs import assert_same_tensors, checkpoint_folder, log_lines, saved_tensors, write_config
from support.tiny import tiny_run, write_folder

from .conftest import At


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints after 2, 4 and 6 steps."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(three(data), folder, quiet=True)
    return folder


def three(data: Path, steps: int = 6, keep: int = 3) -> RunConfig:
    return tiny_run(data, steps=steps, save_every=2, keep=keep)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def put(name: str, text: str | bytes) -> Callable[[Path], None]:
    """Writes a file in `checkpoints/`."""

    def write(checkpoints: Path) -> None:
        (checkpoints / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return write


def remove(name: str) -> Callable[[Path], None]:
    return lambda checkpoints: (checkpoints / name).unlink()


def emptied(checkpoints: Path) -> None:
    for path in (checkpoints / "step_0000006").iterdir():
        path.unlink()


def also(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(checkpoints: Path) -> None:
        for each in changes:
            each(checkpoints)

    return change


NO_LATEST = "latest names no checkpoint"
BROKEN = "step_0000006 can't be resumed: "
DAMAGES: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "no latest": (remove("latest"), 6, NO_LATEST),
    "latest is empty": (put("latest", ""), 6, NO_LATEST),
    "latest is no text": (put("latest", b"\xff\xfe\0"), 6, NO_LATEST),
    "latest dangles": (put("latest", "step_0000009"), 6, NO_LATEST),
    "latest names a path": (put("latest", "../checkpoints/step_0000002"), 6, NO_LATEST),
    "latest is a folder": (also(remove("latest"), lambda root: (root / "latest").mkdir()), 6, NO_LATEST),
    "weights cut off": (put("step_0000006/training.safetensors", b"half"), 4, BROKEN),
    "no average": (remove("step_0000006/model.safetensors"), 4, BROKEN),
    "no state": (remove("step_0000006/state.json"), 4, BROKEN),
    "state of a wrong kind": (put("step_0000006/state.json", "[]"), 4, BROKEN),
    "an empty folder": (emptied, 4, BROKEN),
    "two are broken": (also(emptied, put("step_0000004/state.json", "{}")), 2, BROKEN),
    "no latest, and the newest is broken": (also(remove("latest"), emptied), 4, NO_LATEST),
    "back at one that is broken": (
        also(put("latest", "step_0000004"), put("step_0000004/state.json", "")),
        2,
        "0000004",
    ),
}


@pytest.mark.parametrize(("damage", "step", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_broken_run_goes_on_from_the_newest_whole_state_and_says_so(
    data: Path,
    run: Path,
    finished: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    step: int,
    reason: str,
) -> None:
    damage(run / "checkpoints")
    with pytest.raises(LomitError, match="holds a run already; go on with --resume or choose another --out"):
        train(three(data), run, quiet=True)
    capsys.readouterr()
    train(three(data), run, resume=True, quiet=True)
    printed = capsys.readouterr()
    assert f"resumed from step {step}\n" in printed.out
    (line,) = printed.err.splitlines()
    assert reason in line
    assert line.endswith(f"; going on from {checkpoint_folder(run, step)}")
    assert_same_tensors(saved_tensors(run, 6), saved_tensors(finished, 6))
    assert log_lines(run) == log_lines(finished)


def test_where_no_state_is_whole_one_line_says_so_and_nothing_is_lost(data: Path, run: Path) -> None:
    for step in (2, 4, 6):
        (checkpoint_folder(run, step) / "state.json").write_text("{}")
    before = sorted((path, path.stat().st_mtime_ns) for path in (run / "checkpoints").rglob("*"))
    with pytest.raises(
        LomitError, match=r"can't be resumed: .*; no other .* can be, either; start a new run in another"
    ):
        train(three(data), run, resume=True, quiet=True)
    assert sorted((path, path.stat().st_mtime_ns) for path in (run / "checkpoints").rglob("*")) == before


def test_a_models_folder_is_found_by_the_same_rule(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert find_model(run) == find_model(run / "checkpoints") == checkpoint_folder(run, 6)
    (run / "checkpoints" / "latest").write_text("step_0000004")
    assert find_model(run) == checkpoint_folder(run, 4)
    (run / "checkpoints" / "latest").unlink()
    assert find_model(run) == checkpoint_folder(run, 6)
    assert not caplog.messages
    (checkpoint_folder(run, 6) / "model.safetensors").unlink()
    assert find_model(run) == checkpoint_folder(run, 4)
    assert caplog.messages == [
        f"{checkpoint_folder(run, 6)} holds no whole model: {checkpoint_folder(run, 4)} is taken"
    ]
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(LomitError, match="is not a model"):
        find_model(run)


def test_what_the_engine_did_not_write_is_left_alone(data: Path, run: Path, tmp_path: Path) -> None:
    root = run / "checkpoints"
    shutil.copytree(root / "step_0000004", root / "step_0000004_good")
    shutil.copytree(root / "step_0000004", root / "step_4")
    shutil.copytree(root / "step_0000004", tmp_path / "elsewhere")
    shutil.rmtree(root / "step_0000004")
    (root / "step_0000004").symlink_to(tmp_path / "elsewhere")
    (root / "step_0000001.txt").write_text("mine")
    (root / "step_0000003").write_text("mine")
    (root / ".notes.part").write_text("mine")
    (root / ".mine.part").mkdir()
    (root / "step_0000008").mkdir()
    (root / "step_0000008" / "notes.txt").write_text("mine")
    (root / "step_0000002" / "notes.txt").write_text("mine")
    train(three(data, steps=12, keep=1), run, resume=True, quiet=True)
    best = (root / "best").read_text()
    assert {path.name for path in root.iterdir()} == {
        *("best", "latest", "step_0000012", best, "step_0000004_good", "step_4", "step_0000004", "step_0000001.txt"),
        *("step_0000003", ".notes.part", ".mine.part", "step_0000008_kept_1", "step_0000002"),
    }
    assert (root / "step_0000008_kept_1" / "notes.txt").read_text() == "mine"
    assert len(list((tmp_path / "elsewhere").iterdir())) == 4


def test_a_copy_can_be_gone_back_to(data: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = run / "checkpoints"
    (root / "step_0000004").rename(root / "good")
    (root / "latest").write_text("good")
    train(three(data), run, resume=True, quiet=True)
    printed = capsys.readouterr()
    assert "resumed from step 4\n" in printed.out
    assert printed.err == ""


def test_the_fallback_outlives_the_saves_that_follow(data: Path, run: Path) -> None:
    """A broken state of a later step is none of the newest that are kept."""
    (checkpoint_folder(run, 6) / "training.safetensors").write_bytes(b"half")
    config = tiny_run(data, steps=5, save_every=5, keep=2)
    train(config, run, resume=True, quiet=True)
    assert {"step_0000004", "step_0000005"} <= {path.name for path in (run / "checkpoints").iterdir()}
    assert (run / "checkpoints" / "latest").read_text() == "step_0000005"


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_run_in_the_same_folder_is_refused(
    data: Path, tmp_path: Path, after_step: At, resume: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out, codes = write_config(tmp_path / "run.json", tiny_run(data)), tmp_path / "run", []

    def second(_: Loop) -> None:
        codes.append(main(["train", "--config", str(file), "--out", str(out), *(["--resume"] if resume else [])]))

    after_step(5 if resume else 2, second)  # the first checkpoint is that of step 3
    train(tiny_run(data), out, quiet=True)
    assert codes == [2]
    (line,) = capsys.readouterr().err.splitlines()
    assert f"another run is writing to {out}; wait for its end or choose another --out" in line
    assert [entry["step"] for entry in log_lines(out) if "lr" in entry] == [1, 2, 3, 4, 5, 6]
    assert train(tiny_run(data), out, resume=True, quiet=True).step == 6, "the folder is free again"


def test_a_run_that_ended_while_another_was_preparing_is_not_overwritten(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lomit.engine.train as module

    build = module.build_cache

    def slow(*arguments: object, **options: object) -> object:
        monkeypatch.setattr(module, "build_cache", build)
        train(tiny_run(data, steps=1), tmp_path / "run", quiet=True)
        return build(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "build_cache", slow)
    with pytest.raises(LomitError, match="holds a run already"):
        train(tiny_run(data), tmp_path / "run", quiet=True)
    assert [entry["step"] for entry in log_lines(tmp_path / "run") if "lr" in entry] == [1]


def test_a_folder_that_cannot_be_is_one_line(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(LomitError, match=r"no run can be kept in .*; choose another --out"):
            train(tiny_run(data), out, quiet=True)


def relabelled(root: Path) -> None:
    table = root / "attributes.csv"
    table.write_text(table.read_text().replace("000.png,0,0", "000.png,1,0").replace("035.png,1,1", "035.png,0,1"))


def repainted(root: Path) -> None:
    for name in ("000.png", "001.png", "035.png"):
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(root / "images" / name)


def shortened(root: Path) -> None:
    table = root / "attributes.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if not line.startswith("02")))


def grown(root: Path) -> None:
    shutil.copy(root / "images" / "000.png", root / "images" / "new.png")
    table = root / "attributes.csv"
    table.write_text(table.read_text() + "new.png,0,0,train\n")


def moved(root: Path) -> None:
    table = root / "attributes.csv"
    table.write_text(table.read_text().replace("000.png,0,0,train", "000.png,0,0,val"))


def all_of_it(root: Path) -> None:
    for change in (repainted, shortened, grown, moved):
        change(root)


CHANGES = {
    "pixels": (repainted, "3 with other pixels (64 are compared)"),
    "fewer": (shortened, "10 gone"),
    "more": (grown, "1 new"),
    "other splits": (moved, "1 in another split"),
    "all of it": (all_of_it, "10 gone, 1 new, 1 in another split, 3 with other pixels (64 are compared)"),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES)
def test_other_images_behind_the_same_path_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], None], said: str
) -> None:
    data = write_folder(tmp_path / "set")
    train(tiny_run(data, steps=1), tmp_path / "run", quiet=True)
    assert capsys.readouterr().err == ""
    change(data)
    train(tiny_run(data, steps=2), tmp_path / "run", resume=True, quiet=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"the images are not those that the run began with: {said}; it goes on with those of now" in line
    train(tiny_run(data, steps=3), tmp_path / "run", resume=True, quiet=True)
    assert capsys.readouterr().err == "", "it was said once"


def test_other_labels_behind_the_same_path_are_refused(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "set")
    train(tiny_run(data, steps=1), tmp_path / "run", quiet=True)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    relabelled(data)
    for _ in range(2):
        with pytest.raises(
            LomitError, match=r"other labels: 2 of 40 images have .*, such as 000\.png; .*--train\.init"
        ):
            train(tiny_run(data, steps=2), tmp_path / "run", resume=True, quiet=True)
    assert {path: path.read_bytes() for path in before} == before
    fresh = replace(tiny_run(data, steps=1), train=replace(tiny_run(data, steps=1).train, init=str(tmp_path / "run")))
    train(fresh, tmp_path / "new", quiet=True)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"images": [], "pixels": 3}', '{"images": {"000.png": 3}, "pixels": {}}']
)
def test_a_record_of_the_images_that_cannot_be_read_costs_a_line(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    record = run / "data.json"
    written = record.read_text()
    record.write_text(text)
    train(three(data), run, resume=True, quiet=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{record} can't be read, so it is not known whether the data is still the same" in line
    assert record.read_text() == written


def test_runs_of_earlier_releases_have_no_record_of_their_images(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "data.json").unlink()
    train(three(data), run, resume=True, quiet=True)
    assert capsys.readouterr().err == ""
    record = json.loads((run / "data.json").read_text())
    assert len(record["images"]) == 40
    assert record["images"]["035.png"] == ["val", 1, 1]
