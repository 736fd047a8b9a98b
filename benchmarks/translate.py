"""Translation: images a second of each path, all in the same run.

The paths take turns, so that another program's load meets all of them alike; the median of a path's rounds counts.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.options import BenchOptions, facts_line
from benchmarks.plain_step import plain_step
from benchmarks.rates import describe
from benchmarks.timing import interleaved
from lomit.commands.options import parse
from lomit.config import NumberFormat
from lomit.data.avatars import render_face
from lomit.data.transforms import centre_box, normalise, resize, to_uint8_chw
from lomit.errors import LomitError, at_least
from lomit.export.graph import require_onnx
from lomit.export.write import export_model
from lomit.images import read_image
from lomit.inference.compiled import Compiled
from lomit.inference.onnx import ExportedTranslator
from lomit.inference.pairs import list_images
from lomit.inference.precision import computing_in
from lomit.inference.weights import load_pretrained
from lomit.models.base import Guide, Translator
from lomit.nn.convolution import UpsampledConv2d, reflection_pad
from lomit.stats.estimate import markdown_table

TranslatingPath = Callable[[Tensor, Tensor], Tensor]
"""Inputs and exemplars, each B x 3 x S x S in [-1, 1] -> translations, B x 3 x S x S."""
PLAIN = "plain"
SEED = 1996
"""Set of the rendered faces."""


@dataclass
class TranslateBenchOptions(BenchOptions):
    """Compare the ways to translate: plain, eager, compiled, and on a CPU ONNX."""

    model: str = "avatars"
    """Name of a model (see `lomit models`), its folder or a training run."""
    batch_size: int = 8
    """Pairs in a batch."""
    compile: bool = False
    """Time the compiled path too; it needs a C++ compiler and some minutes."""
    bfloat16: bool = False
    """Time convolutions in bfloat16 too; a processor without instructions for it takes many times as long."""
    against: Literal["stacked", "plain"] = "stacked"
    """The yardstick: `stacked` computes nothing twice; `plain` is the plain formulation, each direction on
    its own."""
    images: str | None = None
    """Folder of images to translate; by default faces are rendered."""


@dataclass(frozen=True)
class PathSpeed:
    """One path's figures.

    Attributes:
        path: its name.
        seconds: median time of a batch.
        images_per_second: batch size over `seconds`.
        ratio: how many times as fast as the path `plain`.
        mean_error, largest_error: absolute difference from `plain`, for images in [0, 1] (1/255 is one 8-bit step).
    """

    path: str
    seconds: float
    images_per_second: float
    ratio: float
    mean_error: float
    largest_error: float


def measure_translate(
    translator: Translator,
    *,
    exported: Mapping[str, str | os.PathLike[str]] | None = None,
    compiled: bool = False,
    bfloat16: bool = False,
    plain: TranslatingPath | None = None,
    images: tuple[Tensor, Tensor] | None = None,
    batch_size: int = 8,
    rounds: int = 7,
) -> list[PathSpeed]:
    """Times the ways to translate on the translator's device.

    Args:
        translator: in eval mode; it stays as it is.
        exported: name -> file that `lomit export` wrote from this translator; they run on the CPU.
        compiled: time the compiled path too, which takes a minute to compile.
        bfloat16: time the eager path in bfloat16 too.
        plain: the path that the others are compared with; None takes `plain_path`.
        images: inputs and exemplars to take batches from; None draws noise, whose errors say little.
        batch_size: images in a batch.
        rounds: times that each path is timed, after one round that is not.

    Returns:
        Rows `plain`, `eager`, `compiled` and `bfloat16` where asked for, and one for each exported file, in this
        order.

    Raises:
        LomitError: for too few images, files that can't be run, and a compiler that is missing.
    """
    device = next(translator.parameters()).device
    x, exemplar = (t.to(device) for t in _batch(translator, images, batch_size))
    paths = {PLAIN: plain or plain_path(translator), "eager": _eager(translator)}
    if compiled:
        paths["compiled"] = _compiled(translator)
    if bfloat16:
        paths["bfloat16"] = _eager(translator, "bfloat16")
    paths |= {name: _translates(ExportedTranslator(file)) for name, file in (exported or {}).items()}
    with torch.no_grad():
        outputs = {name: path(x, exemplar) for name, path in paths.items()}
        tasks = {name: partial(path, x, exemplar) for name, path in paths.items()}
        timings = interleaved(tasks, rounds, device, int(device.type == "cuda"))
    medians = {name: max(timing.median, 1e-9) for name, timing in timings.items()}
    rows = []
    for name, seconds in medians.items():
        error = (outputs[name] - outputs[PLAIN]).abs() / 2
        ratio = medians[PLAIN] / seconds
        rows.append(PathSpeed(name, seconds, batch_size / seconds, ratio, error.mean().item(), error.max().item()))
    return rows


def plain_path(translator: Translator) -> TranslatingPath:
    """The translator without what makes it fast: contiguous float32, 5 x 5 convolutions after upsampling.

    Nothing is computed twice, either; `benchmarks/plain_lomit.py`, which takes every image through every network
    on its own, is plainer still.
    """
    module = copy.deepcopy(translator).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, UpsampledConv2d):
                setattr(parent, name, _PlainUpsampling(child))
    return _translates(module)


class _PlainUpsampling(nn.Module):
    """Upsamples, pads, convolves."""

    def __init__(self, conv: UpsampledConv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(reflection_pad(F.interpolate(x, scale_factor=2.0), 2), self.weight, self.bias)


def _batch(translator: Translator, images: tuple[Tensor, Tensor] | None, batch_size: int) -> tuple[Tensor, Tensor]:
    if images is None:
        size, generator = translator.config.image_size, torch.Generator().manual_seed(0)
        x, exemplar = torch.rand(2, batch_size, 3, size, size, generator=generator) * 2 - 1
        return x, exemplar
    if min(map(len, images)) < batch_size:
        raise LomitError(f"batches of {batch_size} need as many inputs and exemplars; {min(map(len, images))} given")
    return images[0][:batch_size].contiguous(), images[1][:batch_size].contiguous()


def _translates(translator: Translator) -> TranslatingPath:
    return lambda x, exemplar: translator.translate(x, Guide(exemplar)).image


def _eager(translator: Translator, precision: NumberFormat = "float32") -> TranslatingPath:
    """As the predictor runs it."""
    module = copy.deepcopy(translator).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def translate(x: Tensor, exemplar: Tensor) -> Tensor:
        with computing_in(precision, x.device):
            return module.translate(_channels_last(x), Guide(_channels_last(exemplar))).image  # type: ignore[no-any-return]

    return translate


def _compiled(translator: Translator) -> TranslatingPath:
    module = Compiled(translator)
    return lambda x, exemplar: module.translate(_channels_last(x), Guide(_channels_last(exemplar))).image


def _channels_last(t: Tensor) -> Tensor:
    return t.contiguous(memory_format=torch.channels_last)


def run(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(TranslateBenchOptions, argv, "lomit bench translate")
    device = options.start()
    at_least(1, batch_size=options.batch_size)
    on_cpu = device.type == "cpu"
    if on_cpu:
        require_onnx()
    translator = load_pretrained(options.model).to(device)
    images = face_images(options.images, max(64, 2 * options.batch_size), translator.config.image_size)
    half = len(images) // 2
    with tempfile.TemporaryDirectory() as folder:
        files = {"ONNX": Path(folder) / "model.onnx"} if on_cpu else {}
        for file in files.values():
            export_model(translator, file)
        rows = measure_translate(
            translator,
            exported=files,
            compiled=options.compile,
            bfloat16=options.bfloat16,
            plain=plain_step(translator, training=False).translation if options.against == "plain" else None,
            images=(images[:half], images[half:]),
            batch_size=options.batch_size,
            rounds=options.rounds,
        )
    table = [["path", "median ms", "images/s", "mean error /255", "largest /255", "against plain"]]
    for row in rows:
        table.append([
            row.path,
            f"{1000 * row.seconds:.1f}",
            f"{row.images_per_second:.1f}",
            f"{255 * row.mean_error:.3f}",
            f"{255 * row.largest_error:.2f}",
            f"{row.ratio:.2f}",
        ])  # fmt: skip
    facts = {**describe(device), "model": options.model, "batch_size": options.batch_size, "rounds": options.rounds}
    print(facts_line(facts))
    print(markdown_table(table))
    print("\n" + ", ".join(f"{row.path} {row.ratio:.2f}" for row in rows[1:]) + " times as fast as plain eager")
    options.write({**facts, "paths": [vars(row) for row in rows]})
    return 0


def face_images(folder: str | None, count: int, size: int) -> Tensor:
    """The first images of a folder, or rendered faces, in [-1, 1], N x 3 x size x size."""
    if folder is None:
        faces = (render_face(SEED, i, size, regions=False).image for i in range(count))
    else:
        pictures = (read_image(file).on_white() for file in list_images(Path(folder))[:count])
        faces = (resize(picture.crop(centre_box(picture.size)), size) for picture in pictures)
    return normalise(torch.from_numpy(np.stack([to_uint8_chw(face) for face in faces])))
