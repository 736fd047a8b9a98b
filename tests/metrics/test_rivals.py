"""The protocol measures every method alike and tells methods with two domains where an input comes from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lomit.metrics.protocol import Setting
from lomit.metrics.rendered import evaluate_rendered
from metrics.conftest import ATTRIBUTES, SIZE
from support.tiny import real_methods, tiny_translator


@pytest.mark.parametrize("method", sorted(set(real_methods()) - {"lomit"}))
def test_a_rival_is_measured(method: str, setting_for: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch) -> None:
    translator = tiny_translator(method, training=False, attributes=ATTRIBUTES, image_size=SIZE).eval()
    translate, told = translator.translate, []

    def spy(*images: torch.Tensor, **more: torch.Tensor) -> object:
        told.append((images[0] is images[1], torch.equal(more["label"], more["source"])))
        return translate(*images, **more)

    monkeypatch.setattr(translator, "translate", spy)
    rows = evaluate_rendered(setting_for(translator, pairs=8)).rows
    assert {row.section for row in rows} == {"attribute accuracy, %", "background kept"}, "no masks to measure"
    assert told == [(False, False), (True, True)]
