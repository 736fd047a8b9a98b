"""`lomit export MODEL --out FILE.onnx`: a model for ONNX Runtime; `--web DIR`: as a page for browsers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lomit.commands.options import named, positional
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
    overwrite: bool = False
    """Replace the file of --out."""

    def main(self) -> int:
        if (self.out is None) == (self.web is None):
            raise LomitError("give either --out FILE.onnx or --web DIR")
        if self.web is None and self.runtime is not None:
            raise LomitError("--runtime is for --web; leave it out")
        if self.web is not None and self.overwrite:
            raise LomitError("--overwrite is for --out; remove the folder of --web first, or choose another")
        from lomit.export.graph import require_onnx
        from lomit.export.web import check_folder, export_site
        from lomit.export.write import check_path, export_model
        from lomit.inference.catalogue import known_models
        from lomit.inference.weights import find_model, load_pretrained, step_of

        if self.out is not None:
            check_path(self.out, self.overwrite)
        if self.web is not None:
            check_folder(self.web)
        require_onnx()
        folder = find_model(self.model)
        translator, step, hint = load_pretrained(folder), step_of(folder), ""
        if self.out is not None:
            done = export_model(translator, self.out, step=step, overwrite=self.overwrite)
        else:
            assert self.web is not None
            name = self.model if self.model in known_models() else Path(self.model).resolve().name
            done = export_site(translator, self.web, folder, name, runtime=self.runtime, step=step)
            hint = f"; to see it: python -m http.server -d {done.path}"
        print(done.compared)
        print(f"written to {done.path} ({done.size / 2**20:.1f} MiB){hint}")
        return 0
