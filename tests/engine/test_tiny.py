"""Presets from end to end: they render their faces, train, and leave a sheet and a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lomit.cli import main
from lomit.engine import checkpoint
from lomit.inference.weights import load_pretrained
from support.runs import log_lines


@pytest.mark.slow
def test_tiny_learns_to_reconstruct(tmp_path: Path) -> None:
    pytest.importorskip("dicebear", reason="the extra `avatars` is not installed")
    run = tmp_path / "run"
    assert main(["train", "tiny", "--out", str(run), "--data.cache-dir", str(tmp_path / "cache")]) == 0
    lines = [line for line in log_lines(run) if "G/x" in line]
    assert lines[-1]["step"] == 200
    for name in ("G/x", "G/cyc"):
        assert lines[-1][name] < 0.75 * lines[0][name], name
    assert lines[-1]["D/critic"] < 0, "D tells faces from translations"
    with Image.open(run / "samples" / "step_0000200.png") as sheet:
        assert sheet.width > 7 * 64, "seven columns at twice 32 pixels"
    best = checkpoint.pointed(run, "best")
    assert best is not None
    assert load_pretrained(best).config.image_size == 32


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_at_256_pixels_goes_through_every_update(tmp_path: Path) -> None:
    pytest.importorskip("dicebear", reason="the extra `avatars` is not installed")
    run = tmp_path / "run"
    words = ["--data.render-count", "60", "--data.cache-dir", str(tmp_path / "cache"), "--model.critic-steps", "1"]
    words += ["--train.steps", "3", "--train.batch-size", "2", "--train.decay-start", "3", "--train.log-every", "1"]
    assert main(["train", "avatars-256", *words, "--out", str(run)]) == 0
    lines = [line for line in log_lines(run) if "G/x" in line]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(line[name] is not None for line in lines for name in ("G/x", "G/cyc", "D/critic", "D/penalty"))
    latest = checkpoint.pointed(run, "latest")
    assert latest is not None
    assert load_pretrained(latest).config.image_size == 256
