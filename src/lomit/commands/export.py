"""`lomit export MODEL --out FILE.onnx`: a model for ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lomit.commands.options import parse
from lomit.errors import LomitError


@dataclass
class ExportOptions:
    """Write a model as an ONNX file: usage `lomit export MODEL --out FILE.onnx [OPTIONS]`.

    The file takes batches of any size, and masks where some are given; docs/export.md describes it.  It is compared
    with PyTorch before it is written, and `lomit translate --model FILE.onnx` runs it.
    """

    model: str = "avatars"
    """Name of a model (see `lomit models`), its folder, a checkpoint, a training run's folder or a Hub id."""
    out: str | None = None
    """The file to write, ending in .onnx."""
    opset: int = 20
    """Version of ONNX's operators."""
    overwrite: bool = False
    """Replace the file."""


def run_export(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    if argv and not argv[0].startswith("-"):
        argv = ["--model", *argv]
    return export(parse(ExportOptions, argv, "lomit export"))


def export(options: ExportOptions) -> int:
    """Exports and prints what was measured.

    Raises:
        LomitError: for models, folders and files that can't be used, and errors that are too large.
    """
    if options.out is None:
        raise LomitError("give --out, the file to write, such as --out model.onnx")
    # Loads torch: not before the options are known to be right.
    from lomit.export.graph import require_onnx
    from lomit.export.write import check_path, export_model
    from lomit.weights import find_model, load_pretrained

    check_path(Path(options.out), options.opset, options.overwrite)
    require_onnx()
    folder = find_model(options.model)
    done = export_model(
        load_pretrained(folder), options.out, opset=options.opset, step=_step(folder), overwrite=options.overwrite
    )
    print(
        "against PyTorch, 1 and 3 pairs, with and without masks: "
        f"mean error {255 * done.mean_error:.2g}/255, largest {255 * done.largest_error:.2g}/255"
    )
    print(f"written to {done.path} ({done.size / 2**20:.1f} MiB)")
    return 0


def _step(folder: Path) -> int | None:
    """The training step, where the model is a run's checkpoint."""
    try:
        return int(json.loads((folder / "state.json").read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
