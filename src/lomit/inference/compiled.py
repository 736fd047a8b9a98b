"""A translator's compiled path: `torch.compile` for batches of one size."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lomit.errors import LomitError, line_of
from lomit.models.base import Guide, Masks, Translation, Translator
from lomit.nn.rewriting import rewritten

_COMPILERS = ("g++", "clang++", "c++", "cl")


class Compiled:
    """Calls like `Translator.translate`, `translate_filling` and `compose`, compiled.

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
        self._translate, filling = _compile(translator.translate), translator.translate_filling
        self._translate_filling = _compile(filling) if translator.has_masks else filling
        self._compose = _compile(translator.compose)
        self._size = 0

    def translate(self, x: Tensor, guide: Guide) -> Translation:
        """See `Translator.translate`."""
        return self._call(self._translate, x, guide)

    def translate_filling(self, x: Tensor, guide: Guide) -> Translation:
        """See `Translator.translate_filling`."""
        return self._call(self._translate_filling, x, guide)

    def compose(self, x: Tensor, guides: Sequence[Guide]) -> Translation:
        """See `Translator.compose`; compiled for each number of exemplars."""
        return _run(lambda: self._compose(x, guides))

    def _call(self, compiled: Callable[[Tensor, Guide], Translation], x: Tensor, guide: Guide) -> Translation:
        n, self._size = len(x), max(self._size, len(x))
        missing = self._size - n

        def filled_up(t: Tensor) -> Tensor:
            return torch.cat([t, t[-1:].expand(missing, *t.shape[1:])]) if missing else t

        given: dict[str, Any] = {name: filled_up(t) for name, t in vars(guide).items() if isinstance(t, Tensor)}
        if guide.masks is not None:
            given |= {"masks": Masks(filled_up(guide.masks.input), filled_up(guide.masks.exemplar))}
        done = _run(lambda: compiled(filled_up(x), replace(guide, **given)))
        kept = None if done.masks is None else Masks(done.masks.input[:n], done.masks.exemplar[:n])
        return Translation(done.image[:n], kept)


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
            raise LomitError(f"compiling failed ({line_of(error)}); leave out --compile") from error
        raise
