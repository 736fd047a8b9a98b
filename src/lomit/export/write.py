"""Writes an exported file: the graph, checked against PyTorch, with what it is in its metadata."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lomit import __version__
from lomit.errors import LomitError
from lomit.export.graph import OPSET, float_graph, require_onnx, with_optional_inputs
from lomit.images import write_bytes
from lomit.inference.onnx import SUFFIX, ExportedTranslator
from lomit.models.base import Guide, Masks, Translation, Translator
from lomit.models.registry import method_of, saved_config
from lomit.nn.blocks import halves, resize_mask

if TYPE_CHECKING:
    from onnx import ModelProto

FLOAT_BOUND = 2e-3
"""Largest error of the graph's image or mask that is taken for rounding, for images in [0, 1]."""


@dataclass(frozen=True)
class Exported:
    """What was written, its bytes, and its absolute difference from PyTorch over all checks, for images in [0, 1]."""

    path: Path
    size: int
    mean_error: float
    largest_error: float

    @property
    def compared(self) -> str:
        """The line that says how the graph compares with PyTorch."""
        return (
            "against PyTorch, 1 and 3 pairs, with and without masks: "
            f"mean error {255 * self.mean_error:.2g}/255, largest {255 * self.largest_error:.2g}/255"
        )


def export_model(
    translator: Translator,
    path: str | os.PathLike[str],
    *,
    step: int | None = None,
    overwrite: bool = False,
) -> Exported:
    """Exports a translator with an open batch size and optional masks; see `lomit.export.graph` for the inputs.

    Before anything is written, ONNX Runtime's results are compared with PyTorch's for one and for three pairs of
    noise, without masks, with masks, and with masks for some images.

    Args:
        translator: on any device; it stays as it is.
        path: of the file, ending in `.onnx`.
        step: the training step of the weights, for the metadata.

    Raises:
        LomitError: where the `export` extra is missing, the file exists, or can't be written, the method can't be
            exported, or the error is too large.
    """
    path = Path(path)
    check_path(path, overwrite)
    require_onnx()
    size = translator.config.image_size
    images = torch.rand(6, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    inputs, exemplars = images[0::2].contiguous(), images[1::2].contiguous()
    model = with_optional_inputs(float_graph(translator), size)
    _describe(model, translator, {"precision": "float32", "opset": OPSET, "step": step})
    mean, largest = check(model.SerializeToString(), translator, inputs, exemplars)
    if not largest <= FLOAT_BOUND:
        raise LomitError(f"the exported graph differs from PyTorch by up to {largest:.2g}; nothing was written")
    _describe(model, translator, {"mean_error": f"{mean:.3g}", "largest_error": f"{largest:.3g}"})
    content = model.SerializeToString()
    write_bytes(path, content, overwrite)
    return Exported(path, len(content), mean, largest)


def check_path(path: Path, overwrite: bool) -> None:
    """What can be known to be wrong before anything is loaded.  Raises LomitError."""
    if path.suffix.lower() != SUFFIX:
        raise LomitError(f"{path} must end in {SUFFIX}")
    if path.is_dir() or (os.path.lexists(path) and not overwrite):
        raise LomitError(f"{path} exists already; choose another --out or add --overwrite")


def check(content: bytes, translator: Translator, inputs: Tensor, exemplars: Tensor) -> tuple[float, float]:
    """Absolute error of an exported file against PyTorch.

    Args:
        content: of the file.
        translator: what was exported.
        inputs, exemplars: B x 3 x S x S; the first pair is checked alone, too.

    Returns:
        The mean over all images, and the largest value of all images and masks, for images in [0, 1].
    """
    exported = ExportedTranslator(content)
    means, largest = [], []
    for n in sorted({1, len(inputs)}):
        x, exemplar = inputs[:n], exemplars[:n]
        for masks, moved in _cases(translator, x):
            with torch.no_grad():
                got = exported.translate(x, Guide(exemplar, masks=masks, moved=moved))
                # Pair by pair: an open batch must not mix them up.
                expected = [
                    _translate(translator, x[i : i + 1], exemplar[i : i + 1], masks, moved, i) for i in range(n)
                ]
            image = (got.image - torch.cat([e.image for e in expected])).abs() / 2
            means.append(image.mean().item())
            largest.append(max([image.max().item(), *_mask_errors(got, expected)]))
    return float(np.mean(means)), float(np.max(largest))


def _translate(
    translator: Translator, x: Tensor, exemplar: Tensor, masks: Masks | None, moved: Tensor | None, i: int
) -> Translation:
    """One pair in PyTorch, by `translate` itself where both of its masks are given or neither is."""
    device = next((p.device for p in translator.parameters()), torch.device("cpu"))
    x, exemplar = x.to(device), exemplar.to(device)
    given = None if masks is None else Masks(masks.input[i : i + 1].to(device), masks.exemplar[i : i + 1].to(device))
    named = None if moved is None or (moved[i] < 0).all() else moved[i : i + 1].to(device)
    unset = [] if given is None else [bool(mask.isnan().any()) for mask in (given.input, given.exemplar)]
    translate = translator.translate_filling if any(unset) and not all(unset) else translator.translate
    result = translate(x, Guide(exemplar, masks=None if all(unset) else given, moved=named))
    return Translation(result.image.cpu(), result.masks)


def _mask_errors(got: Translation, expected: list[Translation]) -> list[float]:
    """The largest difference of each mask, at the images' size."""
    errors = []
    for i, one in enumerate(expected):
        if got.masks is not None and one.masks is not None:
            for mask, other in ((got.masks.input, one.masks.input), (got.masks.exemplar, one.masks.exemplar)):
                at_full_size = resize_mask(other.cpu(), (mask.shape[-2], mask.shape[-1]))
                errors.append((mask[i : i + 1] - at_full_size).abs().max().item())
    return errors


def _cases(translator: Translator, x: Tensor) -> list[tuple[Masks | None, Tensor | None]]:
    """Masks and what is moved: none; where the method has them: for all images, and for some."""
    if not translator.has_masks:
        return [(None, None)]
    # Smooth, and another one for each image.
    coarse = torch.rand(2 * len(x), 1, 4, 4, generator=torch.Generator().manual_seed(1))
    own, guide = halves(F.interpolate(coarse, (x.shape[-2], x.shape[-1]), mode="bilinear"))
    some_own, some_guide = own.clone(), guide.clone()
    some_own[::2], some_guide[-1:] = torch.nan, torch.nan
    half, some = Masks(own, torch.full_like(guide, torch.nan)), Masks(some_own, some_guide)
    cases: list[tuple[Masks | None, Tensor | None]] = [(each, None) for each in (None, Masks(own, guide), half, some)]
    if translator.places:
        # Another attribute for each image, but what the codes tell for the last one.
        moved = torch.eye(len(translator.config.attributes)).repeat(len(x), 1)[: len(x)]
        moved[-1] = -1
        cases += [(None, moved), (some, moved), (None, moved[:1].expand(len(x), -1))]
    return cases


def _describe(model: ModelProto, translator: Translator, facts: dict[str, object]) -> None:
    """Adds to the file's metadata."""
    from onnx import helper

    config = translator.config
    values = {p.key: p.value for p in model.metadata_props} | {
        "lomit_config": json.dumps(saved_config(config)),
        "lomit_version": __version__,
        "method": method_of(config).name,
        "attributes": ", ".join(config.attributes),
        "image_size": str(config.image_size),
        "value_ranges": "images in [-1, 1], RGB; masks in [0, 1], 1 = foreground, NaN = predict",
    }
    values |= {key: str(value) for key, value in facts.items() if value is not None}
    helper.set_model_props(model, values)
    model.producer_name, model.producer_version = "lomit", __version__
