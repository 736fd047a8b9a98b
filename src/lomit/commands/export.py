"""`lomit export MODEL --out FILE.onnx`: a model for ONNX Runtime; `--web DIR`: as a page for browsers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lomit.commands.options import named, positional
from lomit.config import read_json
from lomit.errors import LomitError


@dataclass
class Export:
    """Write a model as an ONNX file, or as a page that runs it in the visitor's browser.

    The file takes batches of any size, and masks where some are given; docs/export.md describes it.  It is compared
    with PyTorch before it is written, and `lomit translate --model FILE.onnx` runs it.  The page is a folder for any
    static host; pictures stay in the browser.
    """

    model: str = field(metadata=positional("MODEL"))
    """Name of a model (see `lomit models`), its folder, a checkpoint, a training run's folder or a Hub id."""
    out: Path | None = field(default=None, metadata=named("FILE.onnx"))
    """The file to write, ending in .onnx."""
    web: Path | None = field(default=None, metadata=named("DIR"))
    """The folder to write a page into, in place of --out; it must be new or empty."""
    runtime: Path | None = field(default=None, metadata=named("DIR|TGZ"))
    """For --web: the npm package onnxruntime-web; by default it is fetched by npm and kept in lomit's cache."""
    opset: int = 20
    """Version of ONNX's operators."""
    overwrite: bool = False
    """Replace the file of --out."""

    def main(self) -> int:
        if (self.out is None) == (self.web is None):
            raise LomitError("give either --out FILE.onnx or --web DIR")
        if self.web is None and self.runtime is not None:
            raise LomitError("--runtime is for --web; leave it out")
        if self.web is not None and self.overwrite:
            raise LomitError("--overwrite is for --out; remove the folder of --web first, or choose another")
        if self.out is not None:
            return self._file(self.out)
        assert self.web is not None
        return self._page(self.web)

    def _file(self, out: Path) -> int:
        from lomit.export.graph import require_onnx
        from lomit.export.write import check_path, export_model
        from lomit.inference.weights import find_model, load_pretrained

        check_path(out, self.opset, self.overwrite)
        require_onnx()
        folder = find_model(self.model)
        done = export_model(
            load_pretrained(folder), out, opset=self.opset, step=_step(folder), overwrite=self.overwrite
        )
        print(done.compared)
        print(f"written to {done.path} ({done.size / 2**20:.1f} MiB)")
        return 0

    def _page(self, web: Path) -> int:
        from lomit.export.graph import require_onnx
        from lomit.export.web import check_folder, export_site
        from lomit.export.write import check_opset
        from lomit.inference.catalogue import known_models
        from lomit.inference.weights import find_model, load_pretrained

        check_folder(web)
        check_opset(self.opset)
        require_onnx()
        folder = find_model(self.model)
        name = self.model if self.model in known_models() else Path(self.model).resolve().name
        site = export_site(
            load_pretrained(folder), web, folder, name, runtime=self.runtime, opset=self.opset, step=_step(folder)
        )
        print(site.exported.compared)
        print(f"written to {site.path} ({site.size / 2**20:.1f} MiB); to see it: python -m http.server -d {site.path}")
        return 0


def _step(folder: Path) -> int | None:
    """The training step, where the model is a run's checkpoint."""
    try:
        step = read_json(folder / "state.json").get("step")
    except LomitError:
        return None
    return step if type(step) is int else None
