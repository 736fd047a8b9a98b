"""Checkpoints: written whole or not at all, read back exactly, refused when damaged."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lomit.config import TrainConfig
from lomit.engine import checkpoint
from lomit.engine.ema import Ema
from lomit.engine.phases import Runner, make_runners, optimizers_of, run_phase
from lomit.errors import LomitError
from lomit.inference.weights import load_pretrained
from lomit.models.base import Trainable
from support.runs import assert_same_tensors, checkpoint_folder, leftovers, saved_tensors
from support.tiny import random_batch, snapshot, tiny_trainable


class State:
    """A translator in training, with what is saved beside it."""

    def __init__(self, seed: int = 0, **options: Any) -> None:
        self.fabric = Fabric(accelerator="cpu", devices=1)
        self.translator: Trainable = tiny_trainable("lomit", seed=seed, **options)
        self.translator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = Ema(self.translator.generator, 0.9)
        self.runners: list[Runner] = make_runners(self.fabric, self.translator, TrainConfig())

    def step(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        for runner in self.runners:
            run_phase(self.fabric, self.translator, runner, [random_batch(seed=seed)], 1e-3)
        self.ema.update(self.translator.generator)

    def save(self, run: Path, step: int, **extra: Any) -> Path:
        return checkpoint.save(run, step, self.translator, self.ema, self.runners, extra)

    def load(self, folder: Path) -> dict[str, Any]:
        return checkpoint.load(folder, self.translator, self.ema, self.runners)

    def moments(self) -> list[dict[str, Tensor]]:
        """Adam's state of every parameter, in the order of the optimisers and their parameters."""
        optimizers = optimizers_of(self.runners).values()
        return [o.state[p] for o in optimizers for group in o.param_groups for p in group["params"]]


def after_two_steps() -> State:
    state = State()
    for seed in (1, 2):
        state.step(seed)
    return state


@pytest.fixture
def trained() -> State:
    return after_two_steps()


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("saved")
    after_two_steps().save(run, 2)
    return run


@pytest.fixture
def saved(saved_once: Path, tmp_path: Path) -> Path:
    """The checkpoint of two steps, to be damaged."""
    shutil.copytree(saved_once, tmp_path, dirs_exist_ok=True)
    return checkpoint_folder(tmp_path, 2)


def test_everything_comes_back(trained: State, tmp_path: Path) -> None:
    folder = trained.save(tmp_path, 2, best=0.25)
    assert folder == checkpoint_folder(tmp_path, 2)
    other = State(seed=9)
    other.step(7)  # has moments of its own, which must go
    state = other.load(folder)
    assert (state["step"], state["ema_updates"], state["best"]) == (2, 2, 0.25)
    assert_same_tensors(snapshot(other.translator), snapshot(trained.translator))
    assert_same_tensors(snapshot(other.ema.module), snapshot(trained.ema.module))
    for found, expected in zip(other.moments(), trained.moments(), strict=True):
        assert_same_tensors(found, expected)
    for one in (trained, other):
        one.step(3)
    assert_same_tensors(snapshot(other.translator), snapshot(trained.translator))
    assert_same_tensors(snapshot(other.ema.module), snapshot(trained.ema.module))


def test_moments_keep_the_memory_layout_of_their_weights(trained: State, tmp_path: Path) -> None:
    """Fused Adam walks weights and moments in memory order: moments laid out otherwise would go to other weights."""
    other = State(seed=9)
    other.load(trained.save(tmp_path, 2))
    layouts = set()
    for runner in other.runners:
        for parameter in runner.phase.parameters():
            for name in ("exp_avg", "exp_avg_sq"):
                assert runner.optimizers[runner.phase.name].state[parameter][name].stride() == parameter.stride()
            layouts.add(parameter.is_contiguous())
    assert layouts == {True, False}, "the test needs weights that are channels last"


def test_the_folder_is_a_model_that_from_pretrained_loads(trained: State, tmp_path: Path) -> None:
    folder = trained.save(tmp_path, 2)
    translator = load_pretrained(folder)
    assert_same_tensors(snapshot(translator.generator), snapshot(trained.ema.module))
    assert translator.config == trained.translator.config


def test_a_style_head_used_twice_is_saved(tmp_path: Path) -> None:
    state = State(shared_style_head=True)
    state.step()
    other = State(seed=9, shared_style_head=True)
    other.load(state.save(tmp_path, 1))
    assert_same_tensors(snapshot(other.translator), snapshot(state.translator))


def test_pointers_and_pruning(trained: State, tmp_path: Path) -> None:
    def names() -> list[str]:
        return sorted(p.name for p in (tmp_path / "checkpoints").iterdir() if p.is_dir())

    assert checkpoint.pointed(tmp_path, "latest") is None
    for step in range(1, 6):
        folder = trained.save(tmp_path, step)
        if step == 2:
            checkpoint.write_text(tmp_path / "checkpoints" / "best", folder.name)
        assert checkpoint.pointed(tmp_path, "latest") == folder
        checkpoint.prune(tmp_path, keep=2)
    assert names() == ["step_0000002", "step_0000004", "step_0000005"]
    assert checkpoint.pointed(tmp_path, "best") == checkpoint_folder(tmp_path, 2)
    # Somebody goes back to step 4, without removing 5, and the run saves 4 again.
    trained.save(tmp_path, 4)
    checkpoint.prune(tmp_path, keep=1)
    assert checkpoint.pointed(tmp_path, "latest") == checkpoint_folder(tmp_path, 4)


def test_pruning_removes_what_a_killed_run_left_half_written(trained: State, tmp_path: Path) -> None:
    trained.save(tmp_path, 1)
    root = tmp_path / "checkpoints"
    (root / ".step_0000002.part").mkdir()
    (root / ".step_0000002.part" / "training.safetensors").write_bytes(b"half")
    (root / ".latest.part").write_text("step_00")
    checkpoint.prune(tmp_path, keep=2)
    assert leftovers(tmp_path) == []
    assert checkpoint.pointed(tmp_path, "latest") == checkpoint_folder(tmp_path, 1)


def test_a_pointer_to_nothing_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "latest").write_text("step_0000009")
    assert checkpoint.pointed(tmp_path, "latest") is None


def fail_after_half_a_file(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def save_file(tensors: dict[str, Tensor], path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoint, "save_file", save_file)


def fail_at_small_files(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fsync(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fsync)


def fail_at_the_pointer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    write = checkpoint.write_text

    def write_text(path: Path, text: str) -> None:
        if path.name == "latest":
            raise error
        write(path, text)

    monkeypatch.setattr(checkpoint, "write_text", write_text)


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("fail", "error", "reason"),
    [
        (fail_after_half_a_file, FULL, "no space left"),
        (fail_after_half_a_file, SafetensorError("I/O error: No space left on device (os error 28)"), "no space left"),
        (fail_after_half_a_file, OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (fail_at_small_files, FULL, "no space left"),
        (fail_at_the_pointer, FULL, "no space left"),
    ],
)
def test_a_failed_save_leaves_the_last_one_alone(
    trained: State,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fail: Callable[[pytest.MonkeyPatch, Exception], None],
    error: Exception,
    reason: str,
) -> None:
    trained.save(tmp_path, 2)
    before = saved_tensors(tmp_path, 2)
    with monkeypatch.context() as patch:
        fail(patch, error)
        trained.step(3)
        with pytest.raises(LomitError, match=f"could not save step 3 in .*: .*{reason}.*go on with --resume"):
            trained.save(tmp_path, 3)
    assert leftovers(tmp_path) == []
    assert checkpoint.pointed(tmp_path, "latest") == checkpoint_folder(tmp_path, 2)
    assert_same_tensors(saved_tensors(tmp_path, 2), before)
    trained.save(tmp_path, 3)
    assert checkpoint.pointed(tmp_path, "latest") == checkpoint_folder(tmp_path, 3)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def written(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text) and None


def with_value(key: str, value: Any) -> Callable[[Path], None]:
    """Sets a key of the state; None drops it."""

    def change(path: Path) -> None:
        state = json.loads(path.read_text()) | {key: value}
        path.write_text(json.dumps({k: v for k, v in state.items() if v is not None}))

    return change


def other_tensor(name: str, shape: tuple[int, ...] = (1,)) -> Callable[[Path], None]:
    return lambda path: save_file(load_file(path) | {name: torch.zeros(shape)}, path)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("training.safetensors", truncate),
        ("training.safetensors", Path.unlink),
        ("model.safetensors", truncate),
        ("training.safetensors", other_tensor("optimizer.D.9999.exp_avg")),
        ("training.safetensors", other_tensor("optimizer.D.first.exp_avg")),
        ("training.safetensors", other_tensor("optimizer.D.0")),
        ("training.safetensors", other_tensor("translator.nothing")),
        ("model.safetensors", Path.unlink),
        ("model.safetensors", other_tensor("nothing")),
        ("state.json", truncate),
        ("state.json", written("[]")),
        ("state.json", written("3")),
        ("state.json", written("[" * 100_000)),
        ("state.json", lambda path: path.write_bytes(b"\xff\xfe")),
        ("state.json", with_value("ema_updates", None)),
        ("state.json", with_value("ema_updates", "2")),
        ("state.json", with_value("ema_updates", -1)),
        ("state.json", with_value("step", None)),
        ("state.json", with_value("step", 2.0)),
        ("state.json", with_value("step", True)),
        ("state.json", with_value("step", 3)),
        ("state.json", with_value("best", "0.5")),
        ("state.json", with_value("best", [0.5])),
        ("state.json", with_value("best", float("nan"))),
    ],
)
def test_a_half_written_checkpoint_is_named(saved: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(saved / name)
    with pytest.raises(LomitError) as error:
        State().load(saved)
    message = str(error.value)
    assert message.startswith(f"checkpoint {saved} can't be resumed: ")
    assert "\n" not in message


def test_a_checkpoint_of_another_shape_is_named(saved: Path) -> None:
    for other in (State(width=5), State(res_blocks=2)):
        with pytest.raises(LomitError, match=r"can't be resumed: Error\(s\) in loading state_dict"):
            other.load(saved)
