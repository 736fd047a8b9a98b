"""The protocol measures every method alike and tells methods with two domains where an input comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lomit.metrics.protocol import Setting
from lomit.metrics.rendered import evaluate_rendered
from metrics.conftest import ATTRIBUTES, SIZE
from support.tiny import real_methods, tiny_translator


@pytest.mark.parametrize("method", sorted(set(real_methods()) - {"lomit"}))
def test_a_rival_is_measured(method: str, setting_for: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch) -> None:
    # Two domains are the images with none and with all of the attributes: nobody wears both hats.
    chosen = ATTRIBUTES if method == "stargan" else ATTRIBUTES[2:]
    translator = tiny_translator(method, training=False, attributes=chosen, image_size=SIZE).eval()
    translate, told = translator.translate, []

    def spy(*images: torch.Tensor, **more: torch.Tensor) -> object:
        told.append((images[0] is images[1], torch.equal(more["label"], more["source"])))
        return translate(*images, **more)

    monkeypatch.setattr(translator, "translate", spy)
    setting = setting_for(translator, pairs=8)
    columns = [ATTRIBUTES.index(name) for name in chosen]
    cache = replace(setting.cache, labels=setting.cache.labels[:, columns], attributes=chosen)
    rows = evaluate_rendered(replace(setting, cache=cache, classify=lambda x: setting.classify(x)[:, columns])).rows
    assert {row.section for row in rows} == {"attribute accuracy, %", "background kept"}, "no masks to measure"
    assert told == [(False, False), (True, True)]
