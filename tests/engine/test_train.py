"""`lomit train` from the command line: starting, refusing, and what a run's folder holds."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from lomit.cli import main
from lomit.config import TrainConfig, to_dict
from lomit.engine.fabric import make_fabric
from lomit.engine.loop import Loop
from lomit.engine.train import read_run_config, train
from lomit.errors import LomitError
from lomit.models import presets
from lomit.models.base import Batch
from lomit.models.lomit.training import TrainableLomit
from support.runs import checkpoint_folder, leftovers, log_lines, write_config
from support.tiny import tiny_run

from .conftest import At


def lines(capsys: pytest.CaptureFixture[str]) -> tuple[list[str], list[str]]:
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


@pytest.mark.parametrize("argv", [["train", "--help"], ["train"]])
def test_help_lists_every_preset_with_its_line(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert main(argv) == 0
    out, _ = lines(capsys)
    for name, (description, _) in presets().items():
        assert [name, description] in [line.split(maxsplit=1) for line in out]
    paper = ("avatars", "celeba-hair-smile", "celeba-facialhair-gender", "celeba-makeup-lipstick", "celeba-all")
    for name in (*paper, "emotionet-aus"):
        assert {name, f"{name}-64"} <= set(presets())
    assert "tiny" in presets()


def test_a_presets_help_shows_its_own_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "celeba-makeup-lipstick-64", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for piece in ("--out", "--resume", "--data.root", "default: Heavy_Makeup Wearing_Lipstick", "--model.weights.r1"):
        assert piece in text


def test_options_change_the_presets_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Any] = []

    def record(config: Any, out: Path, resume: bool) -> Any:
        seen.append((config, out, resume))
        raise LomitError("seen")

    monkeypatch.setattr("lomit.engine.train.train", record)
    argv = ["train", "celeba-hair-smile", "--out", str(tmp_path / "run"), "--resume", "--data.root", "photos"]
    argv += ["--data.attributes", "Smiling", "Male", "--data.require-one-of", "--model.weights.r1", "0.5"]
    argv += ["--model.width", "12", "--train.lr", "2e-4", "--data.flip", "False", "--train.precision", "bfloat16"]
    assert main(argv) == 2
    ((config, out, resume),) = seen
    expected = presets()["celeba-hair-smile"][1]()
    assert (out, resume) == (tmp_path / "run", True)
    assert config.data == replace(
        expected.data, root="photos", attributes=("Smiling", "Male"), require_one_of=(), flip=False
    )
    assert config.train == replace(expected.train, lr=2e-4, precision="bfloat16")
    assert isinstance(expected.model, type(config.model))
    weights = replace(expected.model.weights, r1=0.5)
    assert config.model == replace(expected.model, width=12, weights=weights)


def test_a_run_leaves_weights_logs_and_a_sheet(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "run.json", tiny_run(data, sample_every=4))
    run = tmp_path / "run"
    assert main(["train", "--config", str(config), "--out", str(run)]) == 0
    out, _ = lines(capsys)
    assert "estimated peak memory" in out[0]
    assert out[1] == f"30 images to train on, 10 to validate; run in {run}"
    assert out[-1].startswith(f"finished at step 6; newest {checkpoint_folder(run, 6)}, best {run}")
    assert leftovers(run) == []
    assert read_run_config(run / "config.json") == read_run_config(config)
    logged = log_lines(run)
    assert {"D/loss", "D/critic", "D/penalty", "D/cls_r", "D/real", "D/fake", "lr"} <= set(logged[0])
    # Summed over both directions.
    assert logged[0]["D/critic"] == pytest.approx(2 * (logged[0]["D/fake"] - logged[0]["D/real"]), abs=1e-6)
    assert {"G/loss", "G/cyc", "G/R1", "mask/mean", "mask/std"} <= set(logged[1])
    assert "G/loss" not in logged[0], "the generator is updated in every second iteration"
    scores = [line for line in logged if "val/score" in line]
    assert [line["step"] for line in scores] == [3, 6]
    for step in (4, 6):
        with Image.open(run / "samples" / f"step_{step:07d}.png") as sheet:
            assert sheet.size[0] > 7 * 32, "seven columns, twice their size"
            assert sheet.size[1] > 8 * 32, "eight pairs"
            assert len(sheet.convert("RGB").getcolors(1 << 20) or []) > 100


def test_the_config_a_run_wrote_starts_the_same_run(data: Path, tmp_path: Path) -> None:
    config = tiny_run(data, steps=1)
    train(config, tmp_path / "one", quiet=True)
    again = read_run_config(tmp_path / "one" / "config.json")
    assert to_dict(again) == to_dict(config)


def as_json(run: Any) -> dict[str, Any]:
    return {"method": "lomit", **json.loads(json.dumps(to_dict(run)))}


def put(path: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    """Sets `a.b.c` in nested dicts."""

    def change(values: dict[str, Any]) -> Any:
        *parents, last = path.split(".")
        inner = values
        for name in parents:
            inner = inner[name]
        inner[last] = value
        return values

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("train.stpes", 3), "config.json.train: unknown key 'stpes' (did you mean 'steps'?)"),
        (put("trian", {}), "unknown key 'trian' (did you mean 'train'?)"),
        (put("model.weights.r4", 1.0), "unknown key 'r4' (did you mean 'r"),
        (put("model.widht", 4), "config.json: model: unknown key 'widht' (did you mean 'width'?)"),
        (put("train.steps", "many"), "train.steps: expected int, found 'many'"),
        (put("train.decay", "half"), "train.decay: 'half' is not one of halve, linear"),
        (put("train.betas", [0.5]), "train.betas: expected 2 values, found 1"),
        (put("data.image_size", 20), "data.image_size must be a multiple of 16"),
        (put("method", "lomitt"), "unknown method 'lomitt' (did you mean 'lomit'?)"),
        (put("data.attributes", []), "data.attributes is empty"),
        (put("data.attributes", ["Smilling", "Hat"]), "no attribute 'Smilling' (did you mean 'Smiling'?)"),
        (put("data.root", "/nowhere/at/all"), "/nowhere/at/all: no such folder or file"),
        (put("train.lr", float("nan")), "train.lr must be a finite number; it is nan"),
        (lambda values: [values], "config.json: expected an object with keys, found list"),
        (lambda values: values["data"], "needs the key 'method'"),
        (lambda values: {**values, "train": 3}, "config.json.train: expected an object with keys, found int"),
    ],
)
def test_a_wrong_config_is_one_line_that_says_what(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], Any],
    message: str,
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(change(as_json(tiny_run(data)))))
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "run")]) == 2
    _, err = lines(capsys)
    assert len(err) == 1
    assert message in err[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", [None, "", "{", "no json"])
def test_a_config_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None) -> None:
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "run")]) == 2
    _, err = lines(capsys)
    assert len(err) == 1
    assert (f"no such file: {path}" if text is None else f"{path} can't be read as JSON: ") in err[0]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["tinny", "--out", "x"], "unknown preset 'tinny' (did you mean 'tiny'?)"),
        (["tiny"], "--out"),
        (["tiny", "--out", "x", "--train.stpes", "3"], "--train.steps"),
        (["tiny", "--out", "x", "--train.steps", "many"], "--train.steps"),
        (["tiny", "--out", "x", "--train.steps", "0"], "train.steps must be at least 1; it is 0"),
        (["tiny", "--out", "x", "--train.lr", "nan"], "--train.lr must be a finite number; it is nan"),
        (["tiny", "--out", "x", "--model.weights.r1", "inf"], "--model.weights.r1 must be a finite number; it is inf"),
        (["tiny", "--out", "x", "--train.betas", "0", "nan"], "train.betas must lie in [0, 1); they are 0.0 and nan"),
        (["tiny", "--out", "x", "--data.crop", "-5"], "data.crop must be at least 1; it is -5"),
        (["tiny", "--out", "x", "--data.workers", "-1"], "data.workers must be at least 0; it is -1"),
        (["--config", "x.json"], "--out"),
        (["folder", "--out", "x", "--data.root", "."], "data.attributes is empty"),
        (["celeba-all", "--out", "x"], "set --data.root"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *argv]) == 2
    out, err = lines(capsys)
    assert out == []
    assert len(err) == 1
    assert message in err[0]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one step."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(tiny_run(data, steps=1), folder, quiet=True)
    return folder


def test_a_run_is_never_overwritten(data: Path, run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with pytest.raises(LomitError, match=r"holds a run already; go on with --resume or choose another --out"):
        train(tiny_run(data), run, quiet=True)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_where_nothing_is_saved_there_is_nothing_to_resume(data: Path, tmp_path: Path) -> None:
    with pytest.raises(LomitError, match="nothing to resume in .*; leave --resume out to start"):
        train(tiny_run(data), tmp_path / "run", resume=True, quiet=True)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("model", {"width": 5}, r"another model.width \(5; the run in .* has 4\)"),
        ("data", {"attributes": ("Hat", "Smiling")}, r"another (model|data).attributes"),
        ("data", {"attributes": ("Hat",)}, r"another (model|data).attributes"),
        ("data", {"image_size": 32}, r"another (model|data).image_size \(32; the run in .* has 16\)"),
        ("data", {"flip": False}, r"another data.flip \(False; the run in .* has True\)"),
    ],
)
def test_a_run_is_resumed_with_its_own_networks_and_labels(
    data: Path, run: Path, part: str, change: dict[str, Any], message: str
) -> None:
    config = tiny_run(data, steps=1)
    with pytest.raises(LomitError, match=message):
        train(replace(config, **{part: replace(getattr(config, part), **change)}), run, resume=True, quiet=True)


def test_a_batch_that_cannot_be_cut_is_refused(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six pairs on two processes are three each: not to be cut into two micro-batches."""
    from lightning_fabric import Fabric

    monkeypatch.setattr(Fabric, "world_size", 2)
    config = tiny_run(data, batch_size=6, accumulate=2)
    with pytest.raises(LomitError, match=r"multiple of the 2 process\(es\) times train.accumulate \(2\)"):
        train(config, tmp_path / "run", quiet=True)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[float]], None]:
    """Gives the checkpoints of the runs to come these scores, in order."""
    scores: list[float] = []
    current = {}

    def score(self: TrainableLomit, batch: Batch) -> dict[str, Tensor]:
        return {"score": torch.tensor(current["score"])}

    save = Loop._save

    def next_score(self: Loop, log: Any) -> None:
        current["score"] = scores.pop(0)
        save(self, log)

    monkeypatch.setattr(TrainableLomit, "score", score)
    monkeypatch.setattr(Loop, "_save", next_score)
    return scores.extend


def test_the_best_checkpoint_is_kept_beside_the_last(
    data: Path, tmp_path: Path, scored: Callable[[Sequence[float]], None]
) -> None:
    scored([5.0, 1.0, 3.0, float("nan"), 2.0, 4.0])
    run = tmp_path / "run"
    train(tiny_run(data, steps=3, save_every=1, keep=1), run, quiet=True)
    train(tiny_run(data, save_every=1, keep=1), run, resume=True, quiet=True)  # remembers what was best
    kept = sorted(p.name for p in (run / "checkpoints").iterdir())
    assert kept == ["best", "latest", "step_0000002", "step_0000006"]
    assert (run / "checkpoints" / "best").read_text() == "step_0000002"


def test_a_warm_up_has_no_best_checkpoint(
    data: Path, tmp_path: Path, scored: Callable[[Sequence[float]], None]
) -> None:
    scored([1.0, 1.0, 3.0, 2.0, 4.0])
    config = tiny_run(data, model={"warmup": 2}, save_every=1, keep=1)
    for steps, best in ((2, 2), (5, 4)):
        train(replace(config, train=replace(config.train, steps=steps)), tmp_path, resume=steps > 2, quiet=True)
        assert (tmp_path / "checkpoints" / "best").read_text() == f"step_{best:07d}"


def test_collapsed_masks_are_a_warning_on_screen_and_in_the_log(
    data: Path, tmp_path: Path, after_step: At, capsys: pytest.CaptureFixture[str]
) -> None:
    def collapse(loop: Loop) -> None:
        with torch.no_grad():
            loop.translator.get_parameter("generator.cosegmentation.A.2.bias").fill_(20)

    after_step(1, collapse)
    train(tiny_run(data, steps=2), tmp_path / "run", quiet=True)
    (warning,) = [line["warning"] for line in log_lines(tmp_path / "run") if "warning" in line]
    assert warning == "masks have collapsed to 1 (mean 1.000); try a larger model.weights.r3 or another seed"
    assert f"lomit: warning: step 2: {warning}" in capsys.readouterr().err


def test_the_clock_can_stop_a_run(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "run.json", tiny_run(data, max_minutes=1e-6))
    assert main(["train", "--config", str(config), "--out", str(tmp_path / "run")]) == 0
    assert "stopped at step 1: 1e-06 minutes are over; saved" in capsys.readouterr().out


def test_training_works_outside_the_main_thread(data: Path, tmp_path: Path) -> None:
    outcome = []
    thread = threading.Thread(
        target=lambda: outcome.append(train(tiny_run(data, steps=1), tmp_path / "run", quiet=True))
    )
    thread.start()
    thread.join()
    assert [o.step for o in outcome] == [1]


def test_a_run_takes_the_device_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr("lomit.engine.fabric.Fabric", lambda **given: made.append(given))
    monkeypatch.setattr("lomit.engine.fabric.usable_device", lambda name: None)
    for accelerator in ("auto", "cpu", "cuda", "cuda:1"):
        make_fabric(TrainConfig(accelerator=accelerator))
    here = "cuda" if torch.cuda.is_available() else "cpu"
    assert [given["accelerator"] for given in made] == [here, "cpu", "cuda", "cuda"]
    assert [given["devices"] for given in made] == [1, 1, 1, [1]]
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(LomitError, match="torchrun gives each process a GPU of its own"):
        make_fabric(TrainConfig(accelerator="cuda:1"))


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"WORLD_SIZE": ""}, None),
        ({"WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "", "LOCAL_RANK": "0"}, None),
        ({"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train"}, None),
        ({"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2"}, None),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', which is no number of processes; unset it, or start with torch"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0'"),
        ({"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "-1"}, "LOCAL_WORLD_SIZE is '-1'"),
    ],
)
def test_what_the_environment_says_of_processes(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], says: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if says is None:
        fabric = make_fabric(TrainConfig(accelerator="cpu"))
        assert (fabric.world_size, fabric.global_rank) == (1, 0)
    else:
        with pytest.raises(LomitError, match=says):
            make_fabric(TrainConfig(accelerator="cpu"))


def test_devices_that_are_none() -> None:
    with pytest.raises(LomitError, match=r"train.accelerator must be auto, cpu, mps, cuda or cuda:N; it is 'gpu'"):
        TrainConfig(accelerator="gpu")
    with pytest.raises(LomitError, match="no device 'cuda:99' here"):
        make_fabric(TrainConfig(accelerator="cuda:99"))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_images_reach_a_loss_as_they_are(precision: str) -> None:
    """Fabric's own plugin rounds them to bfloat16, which reconstruction losses would then aim at."""
    fabric = make_fabric(TrainConfig(precision=precision, accelerator="cpu"))  # type: ignore[arg-type]
    seen: list[Tensor] = []

    class Loss(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.extend([x, F.conv2d(x, self.weight)])
            return seen[1].mean()

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(2, 3, 3, 3))

    image = torch.rand(1, 3, 8, 8)
    total = fabric.setup_module(Loss())(image)
    assert torch.equal(seen[0], image)
    assert seen[0].dtype == total.dtype == torch.float32
    assert seen[1].dtype == (torch.float32 if precision == "float32" else torch.bfloat16)
