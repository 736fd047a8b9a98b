"""The protocol measures every method alike and tells methods with two domains where an input comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lomit.evaluation.protocols import AvatarsProtocol
from lomit.evaluation.settings import Setting
from lomit.models.base import Guide
from support.painted import ATTRIBUTES, SIZE
from support.tiny import real_methods, tiny_translator


@pytest.mark.parametrize("method", sorted(set(real_methods()) - {"lomit"}))
def test_a_rival_is_measured(method: str, setting_for: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch) -> None:
    # A method with domains gets one attribute: nobody wears both hats.
    chosen = ATTRIBUTES if real_methods()[method].translator.domains is None else ATTRIBUTES[2:]
    translator = tiny_translator(method, attributes=chosen, image_size=SIZE).eval()
    translate, told = translator.translate, []

    def spy(x: torch.Tensor, guide: Guide) -> object:
        assert guide.label is not None
        assert guide.source is not None
        told.append((x is guide.exemplar, torch.equal(guide.label, guide.source)))
        return translate(x, guide)

    monkeypatch.setattr(translator, "translate", spy)
    setting = setting_for(translator)
    columns = [ATTRIBUTES.index(name) for name in chosen]
    cache = replace(setting.cache, labels=setting.cache.labels[:, columns], attributes=chosen)
    rows = AvatarsProtocol(None, 8).run(replace(setting, cache=cache)).rows
    assert {row.section for row in rows} == {"attribute accuracy, %", "background kept"}, "no masks to measure"
    assert told == [(False, False), (True, True)]
