"""`lomit export MODEL --out FILE.onnx`: a model for ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lomit.commands.options import positional
from lomit.config import read_json
from lomit.errors import LomitError


@dataclass
class Export:
    """Write a model as an ONNX file.

    The file takes batches of any size, and masks where some are given; docs/export.md describes it.  It is compared
    with PyTorch before it is written, and `lomit translate --model FILE.onnx` runs it.
    """

    model: str = field(metadata=positional("MODEL"))
    """Name of a model (see `lomit models`), its folder, a checkpoint, a training run's folder or a Hub id."""
    out: Path
    """The file to write, ending in .onnx."""
    opset: int = 20
    """Version of ONNX's operators."""
    overwrite: bool = False
    """Replace the file."""

    def main(self) -> int:
        from lomit.export.graph import require_onnx
        from lomit.export.write import check_path, export_model
        from lomit.inference.weights import find_model, load_pretrained

        check_path(self.out, self.opset, self.overwrite)
        require_onnx()
        folder = find_model(self.model)
        done = export_model(
            load_pretrained(folder), self.out, opset=self.opset, step=_step(folder), overwrite=self.overwrite
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
        step = read_json(folder / "state.json").get("step")
    except LomitError:
        return None
    return step if type(step) is int else None
