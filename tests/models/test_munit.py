"""MUNIT: sizes, both losses against its objective in float64, domains and styles."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lomit.errors import LomitError
from lomit.models import get_method
from lomit.models.base import Guide, Masks
from lomit.models.domains import by_domain, domain_of
from lomit.models.munit.config import MunitConfig, MunitWeights
from lomit.models.munit.model import TrainableMunit
from lomit.nn.blocks import count_parameters
from lomit.nn.discriminators import MultiScaleDiscriminator, discriminator_scales
from support.tiny import random_batch, tiny_config, tiny_trainable

WEIGHTS = MunitWeights(x=2.5, s=0.7, c=1.3, cyc=0.9)


def tiny(**options: Any) -> TrainableMunit:
    translator = tiny_trainable("munit", **options)
    assert isinstance(translator, TrainableMunit)
    return translator


def l1(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()


def test_parameter_counts() -> None:
    """As counted in the authors' implementation, both domains together."""
    with torch.device("meta"):
        whole = TrainableMunit(MunitConfig(attributes=("Male",)))
    assert count_parameters(whole.generator) == 30_052_374
    assert count_parameters(whole.discriminators) == 16_542_342


def test_the_discriminator_loss_is_least_squares_of_both_domains() -> None:
    translator = tiny(image_size=32).double()
    g, ds = translator.generator, translator.discriminators
    assert ds is not None
    batch = random_batch(32, dtype=torch.float64)
    torch.manual_seed(5)
    s_1, s_2 = (torch.randn(2, 3, dtype=torch.float64) for _ in range(2))
    torch.manual_seed(5)
    total, _ = translator.discriminator_loss(batch)
    fake_1 = g.decode(g.content(batch.x2, 1), s_1, 0)
    fake_2 = g.decode(g.content(batch.x1, 0), s_2, 1)
    expected = torch.zeros((), dtype=torch.float64)
    for d, real, fake in ((ds[0], batch.x1, fake_1), (ds[1], batch.x2, fake_2)):
        assert len(d(real)) == 2, "two scales at 32 pixels"
        for r, f in zip(d(real), d(fake), strict=True):
            expected = expected + (1 - r).pow(2).mean() + f.pow(2).mean()
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cyc", [0.9, 0.0])
def test_the_generator_loss_is_the_full_objective(cyc: float) -> None:
    translator = tiny(weights=MunitWeights(2.5, 0.7, 1.3, cyc)).double()
    g, ds = translator.generator, translator.discriminators
    assert ds is not None
    batch = random_batch(dtype=torch.float64)
    torch.manual_seed(5)
    s_1, s_2 = (torch.randn(2, 3, dtype=torch.float64) for _ in range(2))
    torch.manual_seed(5)
    total, terms = translator.generator_loss(batch)
    assert ("cyc" in terms) == (cyc > 0)

    c_1, c_2 = g.content(batch.x1, 0), g.content(batch.x2, 1)
    own_1, own_2 = g.style(batch.x1, 0), g.style(batch.x2, 1)
    x_21, x_12 = g.decode(c_2, s_1, 0), g.decode(c_1, s_2, 1)
    expected = 2.5 * (l1(g.decode(c_1, own_1, 0), batch.x1) + l1(g.decode(c_2, own_2, 1), batch.x2))
    expected = expected + 1.3 * (l1(g.content(x_12, 1), c_1) + l1(g.content(x_21, 0), c_2))
    expected = expected + 0.7 * (l1(g.style(x_12, 1), s_2) + l1(g.style(x_21, 0), s_1))
    expected = expected + cyc * l1(g.decode(g.content(x_12, 1), own_1, 0), batch.x1)
    expected = expected + cyc * l1(g.decode(g.content(x_21, 0), own_2, 1), batch.x2)
    for d, fake in ((ds[0], x_21), (ds[1], x_12)):
        expected = expected + sum((1 - f).pow(2).mean() for f in d(fake))
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-12)


def test_the_decoder_is_adain_of_the_style() -> None:
    """One residual block, written out: normalise, scale and shift by what the MLP makes of the style."""
    part = tiny().double().generator.domains[0]
    c, s = torch.randn(2, 16, 4, 4, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    beta_1, gamma_1, beta_2, gamma_2 = part.mlp(s)[..., None, None].chunk(4, dim=1)  # type: ignore[operator, union-attr]
    (first, second) = (block[0] for block in part.blocks[0].normalised)  # type: ignore[index, union-attr]

    def adain(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        centred = x - x.mean((2, 3), keepdim=True)
        return gamma * centred / (centred.pow(2).mean((2, 3), keepdim=True) + 1e-5).sqrt() + beta

    h = c + adain(second(adain(first(c), gamma_1, beta_1).relu()), gamma_2, beta_2)
    expected = part.upsampling(h)  # type: ignore[operator]
    torch.testing.assert_close(part.decode(c, s), expected, rtol=1e-10, atol=1e-10)  # type: ignore[operator]


def test_each_image_goes_through_the_networks_of_its_domains() -> None:
    translator, batch = tiny().eval(), random_batch(count=4)
    g = translator.generator
    target, source = (torch.tensor(v)[:, None].float() for v in ([1, 0, 1, 0], [0, 1, 1, 0]))
    result = translator.translate(batch.x1, Guide(batch.x2, label=target, source=source)).image
    for i in range(4):
        a, b, t = batch.x1[i : i + 1], batch.x2[i : i + 1], int(target[i, 0])
        expected = g.decode(g.content(a, int(source[i, 0])), g.style(b, t), t)
        torch.testing.assert_close(result[i : i + 1], expected, rtol=1e-4, atol=1e-5)
    # By default from the images without the attribute to those with it.
    plain = translator.translate(batch.x1[:1], Guide(batch.x2[:1])).image
    torch.testing.assert_close(plain, result[:1], rtol=1e-4, atol=1e-5)


def test_rows_come_back_in_their_order() -> None:
    domains = torch.tensor([1, 0, 0, 1, 0])
    result = by_domain(lambda x, d: x + 100 * d, domains, torch.arange(5))
    assert result.tolist() == [100, 1, 2, 103, 4]
    assert by_domain(lambda x, d: x + 100 * d, torch.ones(2), torch.arange(2)).tolist() == [100, 101]
    assert domain_of(torch.tensor([[0, 0], [1, 0], [-1, 0], [1, 1]])).tolist() == [0, 1, 0, 1]


def test_a_random_style_in_place_of_an_exemplar() -> None:
    translator, batch = tiny().eval(), random_batch()
    styles = translator.random_styles(2, torch.Generator().manual_seed(0))
    assert styles.shape == (2, 3)
    one = translator.translate(batch.x1, Guide(style=styles)).image
    assert torch.equal(translator.translate(batch.x1, Guide(style=styles)).image, one)
    assert not torch.allclose(translator.translate(batch.x1, Guide(style=-styles)).image, one)
    many = translator.random_styles(20_000, torch.Generator().manual_seed(0))
    assert many.mean().abs() < 0.03
    assert (many.std() - 1).abs() < 0.03
    for given in ({}, {"exemplar": batch.x2, "style": styles}):
        with pytest.raises(LomitError, match="MUNIT takes its style from an exemplar image or a random style"):
            translator.translate(batch.x1, Guide(**given))
    with pytest.raises(LomitError, match="MUNIT has no masks"):
        translator.translate(batch.x1, Guide(batch.x2, masks=Masks(batch.x1, batch.x1)))


def test_initial_weights() -> None:
    translator = tiny(width=16)
    norms = [m.weight for m in translator.generator.modules() if isinstance(m, nn.GroupNorm)]
    gammas = torch.cat(norms).detach()
    assert len(norms) == 4
    assert gammas.min() > 0
    assert gammas.max() < 1
    assert 0.3 < gammas.mean() < 0.7, "uniform on (0, 1)"
    weights = torch.cat([p.flatten() for n, p in translator.discriminators.named_parameters() if "weight" in n])
    assert 0.018 < weights.std() < 0.022


@pytest.mark.parametrize(("size", "scales", "last"), [(16, 1, 1), (32, 2, 1), (64, 3, 1), (128, 3, 2), (48, 2, 1)])
def test_the_discriminator_keeps_a_patch_at_every_scale(size: int, scales: int, last: int) -> None:
    assert discriminator_scales(size) == scales
    scores = MultiScaleDiscriminator(2, scales, 0.2)(torch.zeros(1, 3, size, size))
    assert [s.shape[-1] for s in scores] == [size // 16 // 2**k for k in range(scales)]
    assert scores[-1].shape[-1] == last


def test_schedule_and_wrong_values() -> None:
    phases = tiny().phases()
    assert [(p.name, p.every, p.weight_decay) for p in phases] == [("D", 1, 1e-4), ("G", 1, 1e-4)]
    run = get_method("munit").presets["munit-gender"][1]()
    train = run.train
    assert (train.steps, train.batch_size, train.decay_start, train.decay_every) == (1_000_000, 1, 0, 100_000)
    with pytest.raises(LomitError, match="model.style_dim must be at least 1"):
        tiny_config("munit", style_dim=0)
