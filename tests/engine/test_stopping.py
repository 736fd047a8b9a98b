"""How a run ends before its time, and that nothing saved is lost: signals, divergence, a full disk."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lomit.cli import main
from lomit.engine import checkpoint
from lomit.engine.loop import Loop
from lomit.engine.train import train
from support.runs import assert_same_tensors, checkpoint_folder, leftovers, saved_tensors, write_config
from support.tiny import tiny_run

from .conftest import At


def command(config: Path, run: Path, *more: str) -> list[str]:
    return ["train", "--config", str(config), "--out", str(run), *more]


@pytest.fixture(autouse=True)
def usual_handlers() -> Iterator[None]:
    """As in a terminal: tests run as a shell's background job would find SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits_with_its_number(
    signum: signal.Signals, data: Path, tmp_path: Path, after_step: At, capsys: pytest.CaptureFixture[str]
) -> None:
    config, run = write_config(tmp_path / "run.json", tiny_run(data, save_every=100)), tmp_path / "run"
    handlers = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    after_step(4, lambda _: signal.raise_signal(signum))
    assert main(command(config, run)) == 128 + signum
    out = capsys.readouterr().out
    assert f"stopped at step 4: {signum.name} received; saved {checkpoint_folder(run, 4)}; go on with --resume" in out
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert main(command(config, run, "--resume")) == 0
    assert "resumed from step 4\n" in capsys.readouterr().out


def test_an_ignored_signal_stays_ignored(data: Path, tmp_path: Path, after_step: At) -> None:
    config, run = write_config(tmp_path / "run.json", tiny_run(data)), tmp_path / "run"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    after_step(4, lambda _: signal.raise_signal(signal.SIGINT))
    assert main(command(config, run)) == 0


def test_a_second_signal_does_not_wait(
    data: Path, tmp_path: Path, after_step: At, capsys: pytest.CaptureFixture[str]
) -> None:
    config, run = write_config(tmp_path / "run.json", tiny_run(data)), tmp_path / "run"

    def twice(_: Loop) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    after_step(4, twice)
    assert main(command(config, run)) == 130
    assert "lomit: interrupted" in capsys.readouterr().err
    assert checkpoint.pointed(run, "latest") == checkpoint_folder(run, 3)


def test_sigterm_from_outside_and_going_on(data: Path, tmp_path: Path) -> None:
    """A whole process, killed at whatever step it is, ends where the uninterrupted run ends."""
    # Two threads in both processes, however many processors each of them finds: sums in other parts round otherwise.
    config = tiny_run(data, steps=100_000, save_every=100_000, log_every=2, threads=2)
    file, run = write_config(tmp_path / "run.json", config), tmp_path / "run"
    log = run / "log.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "lomit", *command(file, run)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        while process.poll() is None and not (log.is_file() and log.read_text()):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "SIGTERM received; saved" in out
    latest = checkpoint.pointed(run, "latest")
    assert latest is not None
    step = int(latest.name.removeprefix("step_"))
    assert 0 < step < 100_000
    assert "Traceback" not in err
    config.train.steps = step + 2
    train(config, run, resume=True, quiet=True)
    train(config, tmp_path / "whole", quiet=True)
    assert_same_tensors(saved_tensors(run, step + 2), saved_tensors(tmp_path / "whole", step + 2))


def poison(loop: Loop) -> None:
    """One weight of the discriminator becomes NaN."""
    with torch.no_grad():
        loop.translator.get_parameter("discriminator.source_head.weight")[0, 0, 0, 0] = float("nan")


def test_nan_in_a_loss_stops_and_names_the_last_good_state(
    data: Path, tmp_path: Path, after_step: At, capsys: pytest.CaptureFixture[str]
) -> None:
    config, run = write_config(tmp_path / "run.json", tiny_run(data)), tmp_path / "run"
    after_step(4, poison)
    assert main(command(config, run)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lomit: error: D/critic became NaN or infinite before step 5; ")
    assert f"the last good state is {checkpoint_folder(run, 3)}; go on from it with --resume and a smaller" in line
    assert main(command(config, run, "--resume")) == 0


def test_a_broken_state_is_not_saved_between_two_log_lines(
    data: Path, tmp_path: Path, after_step: At, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "run.json", tiny_run(data, save_every=2, log_every=100))
    run = tmp_path / "run"
    after_step(3, poison)
    assert main(command(config, run)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"a weight became NaN or infinite before step 4; the last good state is {checkpoint_folder(run, 2)}" in line
    assert checkpoint.pointed(run, "latest") == checkpoint_folder(run, 2)
    assert all(torch.isfinite(t).all() for t in saved_tensors(run, 2).values())


def test_nan_before_the_first_checkpoint(
    data: Path, tmp_path: Path, after_step: At, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "run.json", tiny_run(data))
    after_step(1, poison)
    assert main(command(config, tmp_path / "run")) == 2
    assert "the last good state is none (nothing was saved yet)" in capsys.readouterr().err


def test_a_full_disk_stops_the_run_and_costs_nothing_that_was_saved(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, run = write_config(tmp_path / "run.json", tiny_run(data)), tmp_path / "run"
    save_file = checkpoint.save_file

    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        if "0000006" in str(path) and path.name == "model.safetensors":
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save_file(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        assert main(command(config, run)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "could not save step 6" in line
    assert "no space left; what was saved before is intact - free some space and go on with --resume" in line
    assert leftovers(run) == []
    assert checkpoint.pointed(run, "latest") == checkpoint_folder(run, 3)
    assert main(command(config, run, "--resume")) == 0
    whole = tmp_path / "whole"
    assert main(command(config, whole)) == 0
    assert_same_tensors(saved_tensors(run, 6), saved_tensors(whole, 6))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    except FileNotFoundError:
        pytest.skip("no mount command")
    if done.returncode:
        pytest.skip(f"can't mount a small file system: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("free", [0, 40_000, 200_000])
def test_a_disk_that_really_is_full(
    free: int, data: Path, tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With nothing, with room for the log and with room for some of the files of a checkpoint."""
    first = write_config(tmp_path / "first.json", tiny_run(data, steps=3))
    config, run = write_config(tmp_path / "run.json", tiny_run(data)), small_disk / "run"
    assert main(command(first, run)) == 0
    before = saved_tensors(run, 3)
    size = sum(p.stat().st_size for p in checkpoint_folder(run, 3).iterdir())
    assert size > free, "a checkpoint must not fit"
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        room = os.statvfs(small_disk)
        file.write(b"\0" * max(0, room.f_bavail * room.f_frsize - free))
    capsys.readouterr()
    assert main(command(config, run, "--resume")) == 2
    err = capsys.readouterr().err
    assert "no space left" in err
    assert "Traceback" not in err
    assert leftovers(run) == []
    assert checkpoint.pointed(run, "latest") == checkpoint_folder(run, 3)
    assert_same_tensors(saved_tensors(run, 3), before)
    filler.unlink()
    assert main(command(config, run, "--resume")) == 0
    assert checkpoint.pointed(run, "latest") == checkpoint_folder(run, 6)
