"""Both losses of LOMIT and all their gradients against the plain formulation in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.plain_lomit import Choices, PlainLomit, named_tensors
from lomit.models.base import Batch, Guide
from lomit.models.lomit.config import LomitConfig, LossWeights
from lomit.models.lomit.training import TrainableLomit

# Weights that differ from each other and from the defaults, large enough for every term to count at 1e-9.
WEIGHTS = LossWeights(cls=0.7, gp=3.0, sc=1.3, x=2.5, r1=0.9, r2=0.6, r3=0.4)
CONFIGS: dict[str, dict[str, Any]] = {
    "group": {"mask_norm": "group"},
    "none": {"mask_norm": "none"},
    "batch-eval": {"mask_norm": "batch"},
    "linear-gamma": {"mask_norm": "group", "gamma": "linear"},
    "own-masks": {"mask_norm": "group", "masks": "own"},
    "plain-adain": {"masks": "ones"},
    "one-style-head": {"mask_norm": "none", "shared_style_head": True},
    "codes-that-tell": {"mask_norm": "group", "weights": replace(WEIGHTS, style_cls=0.8)},
    "classes-that-doubt": {"mask_norm": "group", "weights": replace(WEIGHTS, source_cls=0.6)},
    "outside-kept": {"mask_norm": "group", "weights": replace(WEIGHTS, keep=0.9)},
    "masks-that-commit": {"mask_norm": "group", "weights": replace(WEIGHTS, commit=0.7)},
    "r1-among-alike": {"mask_norm": "group", "r1_alike": 0.3},
    "backgrounds-that-tell-nothing": {"mask_norm": "group", "weights": replace(WEIGHTS, erase=0.7)},
    "masks-warmed-up": {
        "mask_norm": "group",
        "mask_sees": "differences",
        "r1_alike": 0.3,
        "warmup_masks": 2,
        "weights": replace(WEIGHTS, style_cls=0.8, erase=0.7, commit=0.3),
    },
    "masks-apart": {
        "mask_norm": "group",
        "mask_sees": "differences",
        "masks_learn": "regions",
        "weights": replace(WEIGHTS, style_cls=0.8, erase=0.7, commit=0.3, keep=0.9),
    },
    "masks-that-stay": {
        "mask_norm": "group",
        "masks_learn": "nothing",
        "weights": replace(WEIGHTS, commit=0.3, keep=0.9),
    },
    "masks-that-see-differences": {
        "mask_norm": "group",
        "mask_sees": "differences",
        "weights": replace(WEIGHTS, style_cls=0.8),
    },
    "small-sides": {"mask_norm": "group", "r3_of": "side"},
    "codes-that-tell-what-differs": {
        "mask_norm": "group",
        "style_cls_of": "differing",
        "weights": replace(WEIGHTS, style_cls=0.8),
    },
    "cells-of-2": {"mask_norm": "group", "cell": 2},
    "deeper-32px": {"mask_norm": "group", "res_blocks": 2, "mask_convs": 3, "image_size": 32, "width": 3},
}


def build(**options: Any) -> TrainableLomit:
    """A tiny LOMIT in float64 whose weights, biases and running statistics are all random."""
    defaults: dict[str, Any] = {"width": 2, "d_width": 3, "style_dim": 3, "res_blocks": 1, "mask_convs": 2}
    config = LomitConfig(
        attributes=("a_x", "b_y", "c_x"), **{"image_size": 16, "weights": WEIGHTS} | defaults | options
    )
    torch.manual_seed(0)
    translator = TrainableLomit(config).double()
    for name, tensor in named_tensors(translator).items():
        if tensor.is_floating_point():
            scale = 0.2 if name.startswith("generator") else 0.1
            tensor.data.add_(scale * torch.rand_like(tensor) if "running" in name else scale * torch.randn_like(tensor))
    return translator.eval() if config.mask_norm == "batch" else translator.train()


def random_batch(size: int, count: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(1)
    x1, x2 = (2 * torch.rand(count, 3, size, size, generator=generator, dtype=torch.float64) - 1 for _ in range(2))
    y1, y2 = (torch.randint(-1, 2, (count, 3), generator=generator).double() for _ in range(2))
    return Batch(x1, x2, y1, y2)


def gradients(total: Tensor, translator: TrainableLomit) -> dict[str, Tensor]:
    named = dict(translator.named_parameters())
    found = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(named.items(), found, strict=True)}


def plain(translator: TrainableLomit) -> PlainLomit:
    config = translator.config
    fields = {name: getattr(config, name) for name in vars(Choices()) if hasattr(config, name)}
    return PlainLomit(named_tensors(translator), Choices(**fields, **vars(config.weights)))


def assert_same_gradients(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name in expected:
        difference = (actual[name] - expected[name]).abs().max().item()
        assert difference <= 1e-9 * (1 + expected[name].abs().max().item()), name


@pytest.mark.parametrize("options", CONFIGS.values(), ids=CONFIGS)
def test_the_generator_loss_is_eq_16_of_each_direction_on_its_own(options: dict[str, Any]) -> None:
    translator = build(**options)
    batch = random_batch(translator.config.image_size)
    total, _ = translator.generator_loss(batch)
    expected = plain(translator).generator_total((batch.x1, batch.x2), (batch.y1, batch.y2))
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-10)
    wanted = {n: g for n, g in gradients(expected, translator).items() if n.startswith("generator.")}
    assert_same_gradients(gradients(total, translator), wanted)


@pytest.mark.parametrize("options", CONFIGS.values(), ids=CONFIGS)
def test_the_discriminator_loss_is_eq_16_of_each_direction_on_its_own(options: dict[str, Any]) -> None:
    translator = build(**options)
    batch = random_batch(translator.config.image_size)
    torch.manual_seed(5)
    alphas = torch.rand(4, dtype=torch.float64)
    torch.manual_seed(5)
    total, _ = translator.discriminator_loss(batch)
    expected = plain(translator).discriminator_total(
        (batch.x1, batch.x2), (batch.y1, batch.y2), (alphas[:2], alphas[2:])
    )
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-10)
    found = gradients(total, translator)
    assert_same_gradients(found, gradients(expected, translator))
    assert not any(g.any() for n, g in found.items() if n.startswith("generator."))


@pytest.mark.parametrize("name", ["backgrounds-that-tell-nothing", "masks-warmed-up", "masks-apart"])
def test_masks_alone_learn_from_both_regions(name: str) -> None:
    translator = build(**CONFIGS[name])
    batch = random_batch(translator.config.image_size)
    pair, labels = (batch.x1, batch.x2), (batch.y1, batch.y2)
    oracle = plain(translator)
    for loss, plain_loss, network in (
        (translator.masks_loss, oracle.masks_total, "generator.cosegmentation."),
        (translator.regions_classification, oracle.regions_total, "discriminator."),
    ):
        torch.manual_seed(2)  # each pair's place is drawn
        expected = plain_loss(pair, labels)
        torch.manual_seed(2)
        total, _ = loss(batch)
        torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-10)
        wanted = {n: g for n, g in gradients(expected, translator).items() if n.startswith(network)}
        assert any(g.any() for g in wanted.values())
        assert_same_gradients(gradients(total, translator), wanted)


@pytest.mark.parametrize("term", ["cls", "sc", "x", "r1", "r2", "r3"])
def test_a_weight_of_zero_leaves_its_term_out(term: str) -> None:
    translator = build(mask_norm="group", weights=replace(WEIGHTS, **{term: 0.0}))
    batch = random_batch(16)
    total, terms = translator.generator_loss(batch)
    expected = plain(translator).generator_total((batch.x1, batch.x2), (batch.y1, batch.y2))
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-10)
    assert all(torch.isfinite(t) for t in terms.values())


def test_the_translation_is_the_plain_one() -> None:
    translator = build(mask_norm="none")
    batch = random_batch(16)
    result = translator.translate(batch.x1, Guide(batch.x2))
    oracle = plain(translator)
    torch.testing.assert_close(result.image, oracle.translation(batch.x1, batch.x2), rtol=1e-10, atol=1e-10)
    assert result.masks is not None
    one, two = oracle.codes((batch.x1, batch.x2))
    torch.testing.assert_close(result.masks.input, one.m, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(result.masks.exemplar, two.m, rtol=1e-10, atol=1e-10)
