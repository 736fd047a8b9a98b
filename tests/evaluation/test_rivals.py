"""Every method is measured alike; one with domains is told where an input comes from, and of its own domains alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lomit.evaluation.protocols import AvatarsProtocol, StarganV2Protocol
from lomit.evaluation.settings import Setting
from lomit.models.base import Guide
from support.painted import ATTRIBUTES, SIZE, Looker
from support.tiny import real_methods, tiny_translator

RIVALS = sorted(set(real_methods()) - {"lomit"})
DOMAINS = [name for name in RIVALS if real_methods()[name].translator.domains is not None]


@pytest.mark.parametrize(
    ("method", "columns"),
    [
        *((name, (0, 1, 2)) for name in RIVALS if name not in DOMAINS),
        *((name, columns) for name in DOMAINS for columns in ((2,), (0, 2))),
    ],
)
def test_a_rival_is_measured(
    method: str, columns: tuple[int, ...], setting_for: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = tuple(ATTRIBUTES[k] for k in columns)
    translator = tiny_translator(method, attributes=chosen, image_size=SIZE).eval()
    translate, told, domains = translator.translate, [], translator.domains

    def spy(x: torch.Tensor, guide: Guide) -> object:
        assert guide.label is not None
        assert guide.source is not None
        told.append((x is guide.exemplar, torch.equal(guide.label, guide.source)))
        if domains is not None:
            assert (domains.of(guide.label.numpy()) >= 0).all()
            assert (domains.of(guide.source.numpy()) >= 0).all()
        return translate(x, guide)

    monkeypatch.setattr(translator, "translate", spy)
    setting = setting_for(translator)
    cache = replace(setting.cache, labels=setting.cache.labels[:, list(columns)], attributes=chosen)
    setting = replace(setting, cache=cache, extractor=Looker())
    rows = AvatarsProtocol(None, 8).run(setting).rows
    assert {row.section for row in rows} == {"attribute accuracy, %", "background kept"}, "no masks to measure"
    assert told == [(False, False), (True, True)]
    rows = StarganV2Protocol(exemplars=2).run(setting).rows
    assert {row.measure for row in rows} == {"fid", "kid", "diversity", "cis"}
