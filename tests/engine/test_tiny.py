"""The preset `tiny` from end to end: renders its faces, trains, and leaves a sheet and a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lomit.cli import main
from lomit.engine import checkpoint
from lomit.weights import load_pretrained
from support.runs import log_lines


@pytest.mark.slow
def test_tiny_learns_to_reconstruct(tmp_path: Path) -> None:
    pytest.importorskip("dicebear", reason="the extra `avatars` is not installed")
    run = tmp_path / "run"
    assert main(["train", "tiny", "--out", str(run), "--data.cache-dir", str(tmp_path / "cache")]) == 0
    lines = log_lines(run)
    warm, all_losses = ([line for line in lines if name in line] for name in ("warmup/x", "G/x"))
    assert all_losses[-1]["step"] == 200
    assert all_losses[-1]["G/x"] < 0.6 * warm[0]["warmup/x"]
    assert all_losses[-1]["G/cyc"] < 0.9 * all_losses[0]["G/cyc"]
    critic = [line["D/critic"] for line in all_losses]
    assert critic[-1] < 0.2 * max(critic), "D comes to tell faces from translations"
    with Image.open(run / "samples" / "step_0000200.png") as sheet:
        assert sheet.width > 7 * 64, "seven columns at twice 32 pixels"
    best = checkpoint.pointed(run, "best")
    assert best is not None
    assert load_pretrained(best).config.image_size == 32
