"""Translators that `lomit export` wrote: an `.onnx` file in, a `Translator` out, run by ONNX Runtime."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import lomit.models  # noqa: F401  registers the methods
from lomit.errors import LomitError, line_of
from lomit.models.base import Guide, Masks, Translation, Translator, places_of
from lomit.models.registry import method_of, read_saved_config
from lomit.nn.blocks import resize_mask

SUFFIX = ".onnx"


def is_exported(name_or_path: str | os.PathLike[str]) -> bool:
    """Whether this names an exported file, by its ending."""
    return Path(name_or_path).suffix.lower() == SUFFIX


class ExportedTranslator(Translator):
    """A translator out of an exported file.  Runs on the CPU, in as many threads as torch uses when it is made.

    Args:
        source: path of the file, or its content.

    Attributes:
        metadata: what the file says of itself; see docs/export.md.

    Raises:
        LomitError: where ONNX Runtime is missing, or the file is missing, damaged or was not written by
            `lomit export`.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes) -> None:
        super().__init__()
        name = "the exported model" if isinstance(source, bytes) else str(source)
        self.generator = nn.Identity()
        self._session = _open(source, name)
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        if "lomit_config" not in self.metadata:
            raise LomitError(f"{name} was not written by lomit export; give a file that was")
        self.config = read_saved_config(json.loads(self.metadata["lomit_config"]), name)
        # Inputs with a default are listed apart.
        optional = {each.name for each in self._session.get_overridable_initializers()}
        self.has_masks = bool(optional)
        self.places = places_of(self.config.attributes) if "moved" in optional else {}

    def translate(self, x: Tensor, guide: Guide) -> Translation:
        """See `Translator.translate`; the masks that come back are as large as the images."""
        exemplar, masks = guide.exemplar, guide.masks
        if exemplar is None:
            raise LomitError("an exported model takes its style from an exemplar image; give one")
        if masks is not None and not self.has_masks:
            raise LomitError(f"the method '{method_of(self.config).name}' has no masks; leave out the masks you gave")
        feed = {"input": _array(x), "exemplar": _array(exemplar)}
        if masks is not None:
            size = (x.shape[-2], x.shape[-1])
            feed |= {"input_mask": _array(resize_mask(masks.input, size))}
            feed |= {"exemplar_mask": _array(resize_mask(masks.exemplar, size))}
        if guide.moved is not None:
            feed |= {"moved": _array(guide.moved)}
        image, *used = (torch.from_numpy(array) for array in self._session.run(None, feed))
        return Translation(image, Masks(*used) if used else None)

    def translate_filling(self, x: Tensor, guide: Guide) -> Translation:
        """`translate`: the graph itself fills in the masks that are NaN."""
        return self.translate(x, guide)

    def compose(self, x: Tensor, guides: Sequence[Guide]) -> Translation:
        """The graph has one exemplar."""
        raise LomitError("an exported model can't compose exemplars; take the model that it was made of")


def _open(source: str | os.PathLike[str] | bytes, name: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise LomitError("exported models need onnxruntime: pip install 'lomit[export]'") from None
    if not isinstance(source, bytes):
        if not Path(source).is_file():
            raise LomitError(f"no such file: {name}")
        source = str(source)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors alone
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class
        raise LomitError(f"{name} can't be run by ONNX Runtime: {line_of(error)}") from error


def _array(t: Tensor) -> np.ndarray:
    return t.detach().float().cpu().contiguous().numpy()
