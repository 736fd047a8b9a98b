"""`lomit reproduce`: smoke runs from nothing to the page, and what can be wrong."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from lomit.cli import main
from lomit.reproduce.costs import Cost

SMALL = ("--quick", "--device", "cpu", "--threads", "1")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOMIT_CACHE", str(tmp_path / "cache"))


def test_table1_from_nothing_to_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lomit.reproduce.costs.LONG", 0.0)  # each update is timed once
    monkeypatch.setattr("lomit.reproduce.experiments.QUICK_FACES", 120)
    out = tmp_path / "t"
    command = ["reproduce", "table1", "--out", str(out), *SMALL]
    assert main([*command, "--plan"]) == 0
    told = capsys.readouterr().out
    assert "| train/drit-rendered " in told
    assert "to go on this machine (cpu) if nothing else runs" in told
    assert not out.exists()

    assert main(command) == 0
    page = (out / "report.html").read_text()
    assert "Table 1: inception score" in page
    for label in ("LOMIT", "StarGAN", "MUNIT", "DRIT", "StarGAN v2"):
        assert label in page
        assert f"| {label}, rendered" in (out / "summary.md").read_text()
    states = {path.stem: json.loads(path.read_text()) for path in (out / "stages").iterdir()}
    assert len(states) == 13
    assert {record["state"] for record in states.values()} == {"finished"}
    capsys.readouterr()

    # The same command finds everything done; a stage whose record says otherwise is taken up where it was.
    weights = out / "models" / "munit-rendered" / "checkpoints" / "step_0000006" / "model.safetensors"
    before = weights.read_bytes()
    record = out / "stages" / "train-munit-rendered.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "state": "begun"}))
    assert main(command) == 0
    told = capsys.readouterr().out
    assert told.count("done before") == 12
    assert "resumed from step 6" in told
    assert weights.read_bytes() == before

    assert main([*command, "--steps", "12"]) == 2
    told = capsys.readouterr().err
    assert "the stage train/lomit-rendered made with other settings (--train.steps 6, now 12)" in told
    assert main(["reproduce", "rivals", "--out", str(out), *SMALL]) == 2
    assert "belongs to lomit reproduce table1; choose another --out" in capsys.readouterr().err


@pytest.mark.slow
def test_rivals_and_their_figure(tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert main(["reproduce", "rivals", "--out", str(out), *SMALL]) == 0
    text = (out / "summary.md").read_text()
    for row in ("CA-attr, %: Blond_Hair", "CIS-raw-attr, nats", "background kept: change outside target, above floor"):
        assert f"| {row}" in text
    assert (out / "figure.png").stat().st_size > 1_000
    hashes = {
        json.loads((out / "results" / f"{method}-avatars" / "results.json").read_text())["draws"]["pairs"][
            "pairs_sha256"
        ]
        for method in ("lomit", "stargan", "munit", "drit", "starganv2")
    }
    assert len(hashes) == 1


@pytest.mark.slow
def test_some_ablations(tmp_path: Path) -> None:
    out = tmp_path / "a"
    chosen = ("--variants", "full", "plain-adain")
    assert main(["reproduce", "ablations", "--out", str(out), *chosen, *SMALL]) == 0
    assert "| full" in (out / "summary.md").read_text()
    assert "plain AdaIN (m = 1)" in (out / "report.html").read_text()


def test_table1_passes_on_every_option_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for what in ("training", "translation"):  # 64 pixels take a minute
        monkeypatch.setattr(f"lomit.reproduce.costs.Costs._measure_{what}", lambda self, config: Cost(1.0, 1.0))
    faces = tmp_path / "faces"
    assert main(["data", "avatars", "--out", str(faces), "--count", "20", "--size", "32", "--regions", "none"]) == 0
    chosen = ["--data.kind", "avatars", "--data.crop", "30"]
    decoding = ["--data.workers", "1", "--data.cache-dir", str(tmp_path / "c")]
    out = tmp_path / "my runs"
    words = ["reproduce", "table1", "--out", str(out), "--data.root", str(faces), *chosen, *decoding]
    capsys.readouterr()
    assert main([*words, "--size", "64", "--methods", "munit", "--steps", "2", *SMALL[1:], "--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("measuring: "), "before it takes its time"
    commands = [line for line in lines if line.startswith("lomit ")]
    assert len(commands) > 3
    for line in commands:
        assert str(out) in shlex.split(line)[shlex.split(line).index("--out") + 1], "as a shell takes it"
        assert " ".join(["--data.root", str(faces), *chosen]) in line
        assert " ".join(decoding) in line


@pytest.mark.parametrize("chosen", [["munit"], ["drit", "stargan"]])
def test_the_methods_named_and_no_others(tmp_path: Path, capsys: pytest.CaptureFixture[str], chosen: list[str]) -> None:
    words = ["reproduce", "rivals", "--out", str(tmp_path / "r"), "--methods", *chosen]
    assert main([*words, *SMALL, "--plan"]) == 0
    told = capsys.readouterr().out
    trained = {line.split()[1] for line in told.splitlines() if line.startswith("| train/")}
    assert trained == {f"train/{method}" for method in chosen}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("table1",), "no data: set --data.root to a folder in CelebA's layout, or try --quick"),
        (("table1", "--quick", "--data.root", "x"), "--quick renders its own faces; leave out --data.root"),
        (("table1", "--quick", "--data.split", "paper"), "--quick renders its own faces; leave out --data.split"),
        (("rivals", "--minutes", "5", "--steps", "5"), "give --minutes or --steps, not both"),
        (("rivals", "--minutes", "0"), "--minutes must be positive; it is 0"),
        (("rivals", "--faces", "nowhere"), "--faces nowhere: no such folder; lomit data avatars makes one"),
        (("rivals", "--attribute", "Blond"), "no attribute 'Blond'"),
        (("ablations", "--variants", "no-r9"), "no variant 'no-r9'"),
        (("ablations", "--seed", "-1"), "--seed must be at least 0; it is -1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], line: str
) -> None:
    out = tmp_path / "x"
    assert main(["reproduce", *words, "--out", str(out), "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not out.exists()
