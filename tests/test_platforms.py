"""Other systems than the one that tests run on, as far as they can be imitated: Windows, and a Mac's GPU (mps)."""

from __future__ import annotations

import ast
import errno
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import lomit
from lomit import cli
from lomit.apps import web
from lomit.config import TrainConfig
from lomit.engine.fabric import make_fabric
from lomit.errors import LomitError
from lomit.inference.device import usable_device
from lomit.nn.blocks import float64

ROOT = Path(lomit.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
UNIX = {"fcntl", "resource", "pwd", "grp", "termios", "pty"}
"""Modules that Windows lacks."""
UNIX_CALLS = {"fork", "mkfifo", "getuid", "geteuid", "getpgid", "killpg", "statvfs", "sched_getaffinity", "nice"}
"""Functions of `os` that it lacks, or Macs."""
MEASURING = ("metrics", "evaluation", "engine")
"""Packages that see tensors on the device and count in float64."""
ON_CPU = {
    # What is in float64 there has come to the CPU before: scores of features and tables, and what a store has kept.
    "metrics/binary.py", "metrics/fid.py", "metrics/inception_score.py", "metrics/kid.py",
    "metrics/separation.py",
    "evaluation/protocols/table1.py", "evaluation/store.py",
}  # fmt: skip


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id, node


def is_text(called: str, call: ast.Call) -> bool:
    """Whether a call opens a file as text: `open` with a mode that is one, or a method that says so."""
    if called in ("read_text", "write_text"):
        return True
    function = call.func
    position = 0 if isinstance(function, ast.Attribute) else 1
    mode = call.args[position] if len(call.args) > position else None
    if isinstance(function, ast.Attribute) and mode is None:
        return False  # of an image, an archive, a browser
    return called == "open" and (mode is None or (isinstance(mode, ast.Constant) and str(mode.value) in "rwaxr+w+a+"))


@pytest.mark.parametrize("file", FILES, ids=name)
def test_no_text_file_has_the_systems_encoding(file: Path) -> None:
    for called, call in calls(file):
        own = name(file) == "engine/checkpoint.py" or "checkpoint.write_text" in ast.unparse(call)
        if called == "write_text" and (own or isinstance(call.func, ast.Name)):
            continue  # `lomit.engine.checkpoint.write_text`, which is UTF-8
        if is_text(called, call):
            said = {keyword.arg for keyword in call.keywords}
            given = [each.value for each in call.args if isinstance(each, ast.Constant)]
            assert "encoding" in said or "utf-8" in given, f"line {call.lineno}: {ast.unparse(call)}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_nothing_is_used_that_windows_lacks(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert not UNIX & {alias.name for alias in node.names}, f"line {node.lineno}"
        elif isinstance(node, ast.ImportFrom):
            assert node.module not in UNIX, f"line {node.lineno}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr not in UNIX_CALLS, f"line {node.lineno}: os.{node.attr}"


@pytest.mark.parametrize("file", [f for f in FILES if name(f).startswith(MEASURING)], ids=name)
def test_what_is_on_the_device_goes_to_float64_by_a_way_that_mps_has(file: Path) -> None:
    if name(file) not in ON_CPU:
        lines = [call.lineno for called, call in calls(file) if called == "double"]
        assert lines == [], "take lomit.nn.blocks.float64"


def test_float64_leaves_mps_first() -> None:
    class OnMps:
        """A tensor of a device that has no float64."""

        device = SimpleNamespace(type="mps")

        def cpu(self) -> torch.Tensor:
            return torch.tensor([1.5])

        def double(self) -> torch.Tensor:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    found: Any = float64(OnMps())  # type: ignore[arg-type]
    assert (found.tolist(), found.dtype) == ([1.5], torch.float64)
    here = torch.ones(2, device="meta")
    assert float64(here).device.type == "meta"


def test_a_macs_gpu_is_taken_where_it_is_named_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_fabric.accelerators.mps import MPSAccelerator

    if not torch.backends.mps.is_available():
        with pytest.raises(LomitError, match="no device 'mps' here; give cpu, cuda .* or mps on a Mac"):
            usable_device("mps")
        with pytest.raises(LomitError, match="no device 'mps' here"):
            make_fabric(TrainConfig(accelerator="mps"))
    zeros = torch.zeros
    monkeypatch.setattr("torch.zeros", lambda *shape, device: zeros(*shape))
    assert usable_device("mps").type == "mps"
    monkeypatch.undo()
    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert make_fabric(TrainConfig(accelerator="auto")).device.type == "cpu"
    assert usable_device(None).type == "cpu"


def test_a_port_is_held_alone_where_reusing_would_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with web.listening("127.0.0.1", 0) as bound:
        assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    # Stands for the option that Windows alone has.
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_KEEPALIVE, raising=False)
    with web.listening("127.0.0.1", 0) as bound:
        assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def test_servers_end_by_ctrl_c_while_they_sleep(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("time.sleep", sleep)
    try:
        web.until_interrupted()
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(slept) == 3
    assert capsys.readouterr().out == "\nended; nothing was kept\n"


def test_a_pipe_that_windows_calls_invalid_is_a_closed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(argv: list[str]) -> int:
        raise OSError(errno.EINVAL, "Invalid argument", *([] if not argv else [argv[0]]))

    ended: list[int] = []
    monkeypatch.setattr(cli, "_unread", lambda: ended.append(141) or 141)
    monkeypatch.setattr(cli, "_run", lambda target, argv, prog: write(argv))
    with pytest.raises(OSError, match="Invalid argument"):
        cli.main(["models"])
    monkeypatch.setattr(sys, "platform", "win32")
    assert cli.main(["models"]) == 141
    assert ended == [141]
    with pytest.raises(OSError, match="Invalid argument"):
        cli.main(["models", "a file"])
