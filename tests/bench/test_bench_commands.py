"""`lomit bench`: tables with the ratio last, JSON, and the plain formulation as the yardstick of the fast step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

import benchmarks.sweep
import lomit
from benchmarks.plain_lomit import PlainLomit
from benchmarks.plain_step import plain_step
from lomit.cli import main
from lomit.config import RunConfig
from lomit.inference.weights import save_pretrained
from lomit.models.lomit.config import LomitConfig
from lomit.models.lomit.training import TrainableLomit
from support.tiny import tiny_translator

TINY = ["--preset", "tiny", "--rounds", "1", "--threads", "1", "--batch-size", "2", "--device", "cpu"]
STEP = ["step", *TINY, "--against", "plain"]


@pytest.fixture(autouse=True)
def quick_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without bfloat16 takes seconds for the whole one; tests/bench/test_timing.py has its arithmetic."""
    monkeypatch.setattr("benchmarks.rates.SMALL", (64, 1, 8, 8))


def test_step_against_plain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "step.json"
    assert main(["bench", *STEP, "--json", str(out)]) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("iteration against plain: ")
    found = json.loads(out.read_text())
    updates = found["updates"]
    assert set(updates) == {"D", "G", "iteration", "plain D", "plain G", "plain iteration"}
    # The schedule of `tiny`: both in every iteration.
    for prefix in ("", "plain "):
        work = {name: updates[prefix + name]["gmac"] for name in ("D", "G", "iteration")}
        assert work["iteration"] == pytest.approx(work["D"] + work["G"])
    assert updates["plain D"]["gmac"] > updates["D"]["gmac"]
    assert found["against_plain"]["median"] > 0
    assert found["batch_size"] == 2


def test_r1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r1.json"
    sides = ["--sides", "8", "24", "48"]
    argv = ["bench", "r1", *sides, "--channels", "8", "--rounds", "1", "--device", "cpu", "--limit-gib", "0.01"]
    assert main([*argv, "--json", str(out)]) == 0
    assert "24 x 24 against the matrix: " in capsys.readouterr().out.strip().splitlines()[-1]
    sizes = json.loads(out.read_text())["sizes"]
    assert [s["side"] for s in sizes] == [8, 24, 48]
    assert sizes[-1]["matrix"] is None, "three matrices of 48^4 floats take more than 0.01 GiB"


def test_data(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOMIT_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "data.json"
    assert main(["bench", "data", *TINY, "--count", "100", "--on-device", "yes", "--json", str(out)]) == 0
    assert "times as fast" in capsys.readouterr().out.strip().splitlines()[-1]
    found = json.loads(out.read_text())
    assert found["on_device"] is True
    assert found["ratio"]["median"] > 1


def test_translate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Times every path of a small model."""
    model, out = tmp_path / "model", tmp_path / "translate.json"
    save_pretrained(tiny_translator().eval(), model)
    argv = ["bench", "translate", "--model", str(model), "--batch-size", "2", "--rounds", "1", "--threads", "1"]
    assert main([*argv, "--json", str(out)]) == 0
    assert capsys.readouterr().out.strip().endswith("times as fast as plain eager")
    paths = {row["path"]: row for row in json.loads(out.read_text())["paths"]}
    assert set(paths) == {"plain", "eager", "ONNX"}
    assert paths["plain"]["ratio"] == 1
    assert paths["ONNX"]["mean_error"] < 1e-4


def test_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that fails keeps its row, and what was measured is on disk before the next one begins."""
    out = tmp_path / "sweep.json"
    real = benchmarks.sweep.measure

    def measure(config: RunConfig, device: torch.device, rounds: int) -> dict[str, Any]:
        done.append(len(json.loads(out.read_text())["rows"]))
        if config.train.batch_size == 3:
            raise RuntimeError("CUDA out of memory\nand more")
        return real(config, device, rounds)

    done: list[int] = []
    monkeypatch.setattr(benchmarks.sweep, "measure", measure)
    argv = ["bench", "sweep", *TINY, "--minutes", "30", "--precisions", "float32", "--json", str(out)]
    assert main([*argv, "--batch-sizes", "3", "2", "1"]) == 0
    printed = capsys.readouterr().out
    assert "3 pairs, none, float32: failed (CUDA out of memory)" in printed
    assert printed.strip().splitlines()[-1].startswith("best: --train.batch-size ")
    assert "(extrapolated)" in printed
    assert done == [0, 1, 2]
    rows = json.loads(out.read_text())["rows"]
    assert [row["batch_size"] for row in rows] == [3, 2, 1]
    assert rows[0]["error"] == "CUDA out of memory"
    row = rows[1]
    assert row["images_per_second"] == pytest.approx(4 / row["iteration"]["median_s"])
    assert row["paper_hours_extrapolated"] == pytest.approx(800_000 * row["iteration"]["median_s"] / 3600)
    assert row["gmac"] == pytest.approx(2 * rows[2]["gmac"])


def test_a_sweep_ends_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["bench", "sweep", *TINY, "--precisions", "float32", "--minutes", "1e-9"]
    assert main([*argv, "--batch-sizes", "2"]) == 1
    assert "1 of 1 settings not begun: 1e-09 minutes were over" in capsys.readouterr().out


@pytest.mark.cuda
def test_sweep_on_a_gpu(tmp_path: Path) -> None:
    out = tmp_path / "sweep.json"
    argv = ["bench", "sweep", "--preset", "tiny", "--batch-sizes", "8", "--rounds", "2", "--minutes", "1"]
    modes = ["--modes", "none", "graphs", "--precisions", "bfloat16"]
    assert main([*argv, *modes, "--json", str(out)]) == 0
    eager, graphs = json.loads(out.read_text())["rows"]
    assert graphs["said"] == []
    assert 0 < graphs["launches"] < eager["launches"]
    assert graphs["kernels"] > 10
    assert all(0 <= row["idle_share"] <= 1 and row["peak_bytes"] > 0 for row in (eager, graphs))


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["step", "--rounds", "0"], "--rounds must be at least 1"),
        (["sweep", "--batch-sizes", "0"], "--batch-sizes must be at least 1"),
        (["sweep", "--minutes", "0"], "--minutes must be positive; it is 0"),
        (["stpe"], "unknown benchmark 'stpe' (did you mean 'step'?)"),
        (["step", "--threads", "0"], "--threads must lie in 1 to 1024; it is 0"),
        (["step", "--preset", "tinny"], "unknown preset 'tinny' (did you mean 'tiny'?)"),
        (["step", "--device", "nonsense"], "no device 'nonsense' here"),
        (["translate", "--rounds", "0"], "--rounds must be at least 1"),
        (["translate", "--batch-size", "0"], "--batch-size must be at least 1"),
        (["translate", "--device", "nonsense"], "no device 'nonsense' here"),
        (["r1", "--sides", "0"], "must be at least 1"),
        (["data", "--count", "3"], "--count must be at least 100"),
        (["step", "--json", __file__], "exists already; add --overwrite to replace it"),
    ],
)
def test_bad_input(argv: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *argv]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["communication", "similarity"])
def test_modules_tell_their_options(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        import_module(f"benchmarks.{name}").main()
    assert ended.value.code == 0
    assert "usage: " in capsys.readouterr().out


def test_outside_a_checkout_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lomit, "__file__", str(tmp_path / "site" / "lomit" / "__init__.py"))
    monkeypatch.delitem(sys.modules, "benchmarks")
    assert main(["bench", "step"]) == 2
    assert "lomit bench needs a checkout of the repository" in capsys.readouterr().err


def test_from_any_folder_and_without_a_path_to_it(tmp_path: Path) -> None:
    """`benchmarks` lies on none of Python's paths there."""
    environment = {**os.environ, "PYTHONPATH": str(Path(lomit.__file__).parents[1])}
    quick = ["r1", "--sides", "8", "--channels", "2", "--rounds", "1", "--device", "cpu"]
    words = [sys.executable, "-m", "lomit", "bench", *quick]
    said = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert said.returncode == 0, said.stderr
    assert "8 x 8 against the matrix: " in said.stdout


@pytest.mark.parametrize("training", [True, False])
def test_the_yardstick_computes_what_the_oracle_computes(training: bool) -> None:
    """torch's layers give what the written-out ones give; batch norm only where both use running statistics."""
    norm = "group" if training else "batch"
    torch.manual_seed(0)
    config = LomitConfig(("a", "b"), 16, width=2, d_width=3, res_blocks=1, mask_convs=2, mask_norm=norm)  # type: ignore[arg-type]
    yardstick = plain_step(TrainableLomit(config).double(), training)
    oracle = PlainLomit(yardstick.tensors, yardstick.choices)
    generator = torch.Generator().manual_seed(1)
    x1, x2 = (2 * torch.rand(2, 3, 16, 16, generator=generator, dtype=torch.float64) - 1 for _ in range(2))
    labels = (torch.tensor([[1.0, 0.0], [1.0, -1.0]]).double(), torch.tensor([[0.0, 0.0], [1.0, 1.0]]).double())
    torch.testing.assert_close(
        yardstick.generator_total((x1, x2), labels), oracle.generator_total((x1, x2), labels), rtol=1e-9, atol=1e-9
    )
    alphas = torch.tensor([0.2, 0.9]).double(), torch.tensor([0.5, 0.1]).double()
    torch.testing.assert_close(
        yardstick.discriminator_total((x1, x2), labels, alphas),
        oracle.discriminator_total((x1, x2), labels, alphas),
        rtol=1e-9,
        atol=1e-9,
    )


def changed(tensors: dict[str, torch.Tensor], before: dict[str, torch.Tensor]) -> set[str]:
    return {n.split(".")[0] for n, t in tensors.items() if t.requires_grad and not torch.equal(t, before[n])}


def test_the_plain_step_trains() -> None:
    torch.manual_seed(0)
    config = LomitConfig(("a",), 16, width=2, d_width=3, res_blocks=1, mask_convs=2)
    yardstick = plain_step(TrainableLomit(config))
    x = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    y = torch.ones(2, 1), torch.zeros(2, 1)
    before = {n: t.clone() for n, t in yardstick.tensors.items()}
    yardstick.discriminator_step(x, y)
    assert changed(yardstick.tensors, before) == {"discriminator"}
    yardstick.generator_step(x, y)
    assert changed(yardstick.tensors, before) == {"discriminator", "generator"}


@pytest.mark.parametrize("method", ["stargan", "munit", "drit", "starganv2"])
def test_a_rivals_step_against_its_plain_one(method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset, out = f"{method}-tiny", tmp_path / "step.json"
    assert main(["bench", *STEP, "--preset", preset, "--json", str(out)]) == 0
    assert capsys.readouterr().out.strip().splitlines()[-1].startswith("iteration against plain: ")
    updates = json.loads(out.read_text())["updates"]
    assert 0 < updates["iteration"]["gmac"] < updates["plain iteration"]["gmac"]
