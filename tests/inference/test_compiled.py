"""The compiled path: what it makes of batches, and what it says where compiling fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from doubles import double
from lomit import Predictor
from lomit.errors import LomitError
from lomit.inference.compiled import Compiled
from lomit.models.base import Guide, Masks
from lomit.models.lomit.config import LomitConfig
from lomit.models.lomit.model import Lomit


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batch sizes that reached the compiled functions; compiling itself is left out."""
    seen: list[int] = []

    def compile(function: Callable[..., Any], **_: object) -> Callable[..., Any]:
        def call(x: torch.Tensor, *rest: Any, **named: Any) -> Any:
            seen.append(len(x))
            return function(x, *rest, **named)

        return call

    monkeypatch.setattr(torch, "compile", compile)
    return seen


@pytest.fixture(scope="module")
def translator() -> Lomit:
    torch.manual_seed(0)
    config = LomitConfig(attributes=("Smiling",), image_size=32, width=4, d_width=4, res_blocks=1, mask_convs=1)
    return Lomit(config).eval().requires_grad_(False)


def test_small_batches_are_filled_up(translator: Lomit, sizes: list[int]) -> None:
    images = [np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8) for i in range(5)]
    masks = [None, np.full((8, 8), 255, dtype=np.uint8), None, None, None]
    for given in (None, masks):
        sizes.clear()
        got = Predictor(translator, "cpu", compile=True).translate(
            images, images[::-1], input_masks=given, batch_size=3
        )
        assert sizes == [3, 3]
        expected = Predictor(translator, "cpu").translate(images, images[::-1], input_masks=given, batch_size=3)
        assert sizes == [3, 3], "the eager path is not compiled"
        assert len(got) == 5
        for a, b in zip(got, expected, strict=True):
            assert np.abs(a.raw - b.raw).max() < 1e-5


def test_compositions_are_compiled_too(translator: Lomit, sizes: list[int]) -> None:
    image, *exemplars = (np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8) for i in range(3))
    top = np.zeros((8, 8))
    top[:4] = 1
    masks = [(exemplars[0], top, top), (exemplars[1], 1 - top, top)]
    got, expected = (Predictor(translator, "cpu", compile=way).compose(image, masks=masks) for way in (True, False))
    assert sizes == [1]
    assert np.abs(got.raw - expected.raw).max() < 1e-5


@pytest.mark.usefixtures("sizes")
def test_methods_without_masks_to_fill() -> None:
    x = torch.zeros(1, 3, 16, 16)
    with pytest.raises(LomitError, match="'plain-double' has no masks"):
        Compiled(double(16, has_masks=False)).translate_filling(x, Guide(x, masks=Masks(x[:, :1], x[:, :1])))


def test_failures_get_one_line(translator: Lomit, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.exc import CppCompileError

    def compile(function: Callable[..., Any], **_: object) -> Callable[..., Any]:
        def call(*rest: Any, **named: Any) -> Any:
            raise CppCompileError(["g++", "x.cpp"], "fatal error: omp.h")

        return call

    monkeypatch.setattr(torch, "compile", compile)
    x = torch.zeros(1, 3, 32, 32)
    with pytest.raises(LomitError, match=r"^compiling failed \(.+\); leave out --compile$"):
        Compiled(translator).translate(x, Guide(x))


@pytest.mark.slow
def test_compiled_code_gives_what_eager_code_gives(translator: Lomit) -> None:
    x, exemplar = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    compiled = Compiled(translator)
    assert (
        compiled.translate(x, Guide(exemplar)).image - translator.translate(x, Guide(exemplar)).image
    ).abs().max() < 1e-4
    masks = Masks(torch.rand(2, 1, 32, 32), torch.full((2, 1, 32, 32), torch.nan))
    got, expected = (f.translate_filling(x, Guide(exemplar, masks=masks)) for f in (compiled, translator))
    assert (got.image - expected.image).abs().max() < 1e-4
    halves = [Guide(exemplar, masks=Masks(m, m)) for m in (masks.input, 1 - masks.input)]
    got, expected = (f.compose(x, halves) for f in (compiled, translator))
    assert (got.image - expected.image).abs().max() < 1e-4
