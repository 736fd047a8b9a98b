"""The losses of every rival and all their gradients against the plain formulation of its step, in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks import plain_rivals
from benchmarks.options import preset_config
from benchmarks.plain_rivals import PlainDrit, PlainRival
from lomit.engine.phases import only_require
from lomit.engine.trial import TrialStep
from lomit.models.base import Batch, Trainable
from lomit.models.drit.config import DritWeights
from lomit.models.munit.config import MunitWeights
from lomit.models.stargan.config import StarganWeights
from lomit.models.starganv2.config import StarganV2Weights
from support.tiny import random_batch, tiny_trainable

# Weights that differ from each other, large enough for every term to count.
DRIT = DritWeights(content=0.8, x=2.5, latent=1.7, kl=0.3, c=0.2)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "stargan": ("stargan", {"weights": StarganWeights(0.7, 2.5, 3.0)}),
    "munit": ("munit", {"weights": MunitWeights(2.5, 0.7, 1.3, 0.9), "image_size": 32}),
    "munit, no cycle": ("munit", {"weights": MunitWeights(2.5, 0.7, 1.3, 0.0)}),
    "drit": ("drit", {"weights": DRIT}),
    "drit, 32 pixels": ("drit", {"weights": DRIT, "image_size": 32}),
    "drit, feature-wise": ("drit", {"weights": DRIT, "mode": "feature-wise"}),
    "drit, mode seeking": ("drit", {"weights": DritWeights(0.8, 2.5, 1.7, 0.3, 0.2, 0.6)}),
    "starganv2": ("starganv2", {"weights": StarganV2Weights(0.6, 0.7, 1.3, 2.5), "image_size": 32}),
}


def plain_totals(plain: PlainRival, batch: Batch) -> dict[str, Callable[[], Tensor]]:
    """The loss of each phase."""
    found: Any = plain
    if isinstance(plain, PlainDrit):
        x, _ = plain.halves(batch)
        return {
            "D": lambda: found.discriminator_total(batch, found.forward(batch)),
            "D_content": lambda: found.content_total(found.contents(x)),
            "EG": lambda: found.encoder_total(batch, found.forward(batch)),
            "G": lambda: found.random_total(found.forward(batch)),
        }
    if "D_ref" not in plain.phases:
        return {"D": lambda: found.discriminator_total(batch), "G": lambda: found.generator_total(batch)}
    return {
        "D": lambda: found.discriminator_total(batch, False),
        "D_ref": lambda: found.discriminator_total(batch, True),
        "G": lambda: found.generator_total(batch, False),
        "G_ref": lambda: found.generator_total(batch, True),
    }


def built(name: str) -> tuple[Trainable, PlainRival, Batch]:
    """In float64 and in eval mode, where DRIT adds no noise and codes are their means."""
    method, options = CASES[name]
    translator = tiny_trainable(method, **options).double().eval()
    nn.init.normal_(translator.generator.to_rgb[-1].bias) if method == "starganv2" else None
    batch = random_batch(translator.config.image_size, count=4, dtype=torch.float64)
    batch.extra |= {"x3": batch.x2.flip(0), "y3": batch.y2}
    batch.extra.update(translator.extra(batch, 3))
    return translator, plain_rivals.METHODS[method](translator), batch


def gradients(total: Tensor, networks: nn.Module, names: set[str]) -> dict[str, Tensor]:
    named = {n: p for n, p in networks.named_parameters() if n in names}
    found = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(named.items(), found, strict=True)}


def assert_same(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name, gradient in expected.items():
        difference = (actual[name] - gradient).abs().max().item()
        assert difference <= 1e-9 * (1 + gradient.abs().max().item()), name


@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients_are_the_plain_ones(name: str) -> None:
    translator, plain, batch = built(name)
    totals = plain_totals(plain, batch)
    assert list(totals) == [phase.name for phase in translator.phases()]
    for phase in translator.phases():
        only_require(translator, phase)
        trained = {n for n, p in translator.named_parameters() if p.requires_grad}
        torch.manual_seed(5)
        total, _ = phase.loss(batch)
        torch.manual_seed(5)
        expected = totals[phase.name]()
        torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-10)
        wanted = gradients(expected, plain.networks, trained)
        assert any(g.abs().max() > 1e-6 for g in wanted.values())
        assert_same(gradients(total, translator, trained), wanted)


def terms_of(preset: str, ahead: bool) -> tuple[dict[str, float], dict[str, Tensor], int]:
    """Two cycles' mean terms, the weights after them, and how many images were encoded (StarGAN: translated)."""
    config = preset_config(preset)
    config = replace(config, train=replace(config.train, batch_size=2, compile="none", precision="float32"))
    step = TrialStep(config, torch.device("cpu"))
    step.translator.eval()  # DRIT's noise is drawn once where it is shared
    g, seen = step.translator.generator, 0

    def count(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        nonlocal seen
        seen += len(args[0])

    for first in (getattr(g, n) for n in ("layers", "encoder", "content_encoders", "domains") if hasattr(g, n)):
        for module in first if isinstance(first, nn.ModuleList) else [first]:
            getattr(module, "content", module).register_forward_pre_hook(count)  # type: ignore[union-attr]
    if not ahead:
        for update in step.updates:
            update._alone = False
    torch.manual_seed(0)
    for index in range(2 * step.cycle):
        step.iteration(index)
    return step.means.take(), dict(step.translator.named_parameters()), seen


@pytest.mark.parametrize("method", plain_rivals.METHODS)
def test_what_phases_share_is_computed_once_and_changes_nothing(method: str) -> None:
    terms, weights, seen = terms_of(f"{method}-tiny", ahead=True)
    expected, wanted, before = terms_of(f"{method}-tiny", ahead=False)
    # In each cycle: the four images for D; DRIT's half of them for D and for D_content; two sources for D and D_ref.
    assert before - seen == 2 * 4
    assert terms.keys() == expected.keys()
    if method != "drit":  # whose shared translations are one batch with the self reconstructions
        assert terms == expected
        assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    for name, value in expected.items():
        assert terms[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
