"""The preset `tiny` from end to end: renders its faces, trains, and leaves a sheet and a model."""

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
