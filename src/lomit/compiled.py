"""A translator's compiled path: `torch.compile` for batches of one size."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lomit.errors import LomitError
from lomit.models.base import Masks, Translation, Translator
from lomit.nn.rewriting import rewritten

_COMPILERS = ("g++", "clang++", "c++", "cl")


class Compiled:
    """Calls like `Translator.translate` and `translate_filling`, compiled.

    Compiling takes about a minute.  Compiled code holds for one batch size: the first call decides it, smaller
    batches are filled up with copies of their last image, larger ones compile anew.

    Args:
        translator: in eval mode; it stays as it is, and later changes of its weights go unseen.

    Raises:
        LomitError: where there is no compiler, or it fails (with the first call).
    """

    def __init__(self, translator: Translator) -> None:
        device = next((p.device.type for p in translator.parameters()), "cpu")
        if device == "cpu" and not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *_COMPILERS) if name):
            raise LomitError("--compile needs a C++ compiler, such as g++; install one or leave out --compile")
        # A copy, whose views the compiler can follow; its weights are there once more.
        translator = rewritten(translator).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._translate = _compile(translator.translate)
        filling = getattr(translator, "translate_filling", None)
        if filling is not None:
            self.translate_filling = partial(self._fill, _compile(filling))
        self._size = 0

    def translate(
        self, x: Tensor, exemplar: Tensor | None, label: Tensor | None = None, style: Tensor | None = None
    ) -> Translation:
        """See `Translator.translate`, without masks."""
        n, (x, exemplar, label, style) = len(x), self._filled_up(x, exemplar, label, style)
        return _first(_run(lambda: self._translate(x, exemplar, label=label, style=style)), n)

    def _fill(self, filling: Callable[..., Translation], x: Tensor, exemplar: Tensor, masks: Masks) -> Translation:
        """`translate_filling`, where the method has it: masks are NaN where the predicted one is to be used."""
        n, (x, exemplar, own, guide) = len(x), self._filled_up(x, exemplar, masks.input, masks.exemplar)
        return _first(_run(lambda: filling(x, exemplar, Masks(own, guide))), n)

    def _filled_up(self, x: Tensor, *others: Tensor | None) -> list[Any]:
        self._size = max(self._size, len(x))
        missing = self._size - len(x)
        if not missing:
            return [x, *others]
        return [None if t is None else torch.cat([t, t[-1:].expand(missing, *t.shape[1:])]) for t in (x, *others)]


def _compile(function: Callable[..., Translation]) -> Callable[..., Translation]:
    # Freezing folds what depends on weights alone and packs them for the CPU's kernels.
    return torch.compile(function, dynamic=False, options={"freezing": True})


def _run(call: Callable[[], Translation]) -> Translation:
    try:
        # Under inference_mode nothing would be frozen.
        with torch.inference_mode(False), torch.no_grad():
            return call()
    except Exception as error:
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise LomitError(f"compiling failed ({line}); leave out --compile") from error
        raise


def _first(translation: Translation, n: int) -> Translation:
    masks = translation.masks
    kept = None if masks is None else Masks(masks.input[:n], masks.exemplar[:n])
    return Translation(translation.image[:n], kept)
