"""`lomit export MODEL --out FILE.onnx`: a model for ONNX Runtime, in float32 or int8."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lomit.commands.options import parse
from lomit.errors import LomitError
from lomit.inference.pairs import list_images

if TYPE_CHECKING:
    from torch import Tensor

SEED = 1996
"""Seed of the faces that calibrate int8; training sets and the demo have others."""
LEAST_IMAGES = 8


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
    int8: bool = False
    """Compute the convolutions in 8 bits; refused where the mean error can't be kept below 1/255."""
    calibration: str | None = None
    """Folder of images like those to be translated, from which --int8 takes its ranges; without it, rendered faces are
    used."""
    calibration_images: int = 64
    """Images for that; a quarter of them measures the error."""
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
    if options.calibration is not None and not options.int8:
        raise LomitError("--calibration is for --int8; add it or leave out --calibration")
    if options.calibration_images < LEAST_IMAGES:
        raise LomitError(f"--calibration-images must be at least {LEAST_IMAGES}; it is {options.calibration_images}")
    # Loads torch: not before the options are known to be right.
    from lomit.export.graph import require_onnx
    from lomit.export.write import check_path, export_model
    from lomit.weights import find_model, load_pretrained

    check_path(Path(options.out), options.opset, options.overwrite)
    require_onnx()
    folder = find_model(options.model)
    translator = load_pretrained(folder)
    images = None
    if options.int8:
        images = calibration_images(options.calibration, options.calibration_images, translator.config.image_size)
    done = export_model(
        translator,
        options.out,
        images=images,
        int8=options.int8,
        opset=options.opset,
        step=_step(folder),
        overwrite=options.overwrite,
    )
    if done.int8_error is not None:
        print(
            f"int8: {done.in_int8} convolutions in 8 bits, {done.in_float} small or sensitive ones in float32; "
            f"mean error {255 * done.int8_error:.2f}/255 on images held out"
        )
    print(
        "against PyTorch, 1 and 3 pairs, with and without masks: "
        f"mean error {255 * done.mean_error:.2g}/255, largest {255 * done.largest_error:.2g}/255"
    )
    print(f"written to {done.path} ({done.size / 2**20:.1f} MiB)")
    return 0


def calibration_images(folder: str | None, count: int, size: int) -> Tensor:
    """The first images of a folder, or rendered faces, in [-1, 1], N x 3 x size x size.

    Raises:
        LomitError: for a folder with too few images.
    """
    import numpy as np
    import torch

    from lomit.data.transforms import centre_box, normalise, resize, to_uint8_chw
    from lomit.images import read_image

    if folder is None:
        from lomit.data.avatars import render_face

        faces = (render_face(SEED, i, size, regions=False).image for i in range(count))
    else:
        files = list_images(Path(folder))[:count]
        if len(files) < LEAST_IMAGES:
            raise LomitError(f"{folder} holds {len(files)} images; int8 needs {LEAST_IMAGES} at least")
        pictures = (read_image(file).on_white() for file in files)
        faces = (resize(picture.crop(centre_box(picture.size)), size) for picture in pictures)
    return normalise(torch.from_numpy(np.stack([to_uint8_chw(face) for face in faces])))


def _step(folder: Path) -> int | None:
    """The training step, where the model is a run's checkpoint."""
    try:
        return int(json.loads((folder / "state.json").read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
