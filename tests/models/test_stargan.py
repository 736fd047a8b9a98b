"""StarGAN: sizes, both losses against its equations in float64, and what can and can't guide it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lomit.errors import LomitError
from lomit.models import get_method
from lomit.models.base import Guide, Masks
from lomit.models.stargan.config import StarganConfig, StarganWeights
from lomit.models.stargan.model import Stargan, TrainableStargan
from lomit.nn.blocks import count_parameters
from support.tiny import random_batch, tiny_config, tiny_trainable

WEIGHTS = StarganWeights(cls=0.7, rec=2.5, gp=3.0)


def tiny(**options: Any) -> TrainableStargan:
    translator = tiny_trainable("stargan", **options)
    assert isinstance(translator, TrainableStargan)
    return translator


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """-log D_cls(y | x), summed over the annotated attributes, mean over the images (Eqs. 2, 3)."""
    p = logits.sigmoid()
    entropy = -torch.where(y == 1, p.log(), (1 - p).log())
    return torch.where(y < 0, torch.zeros_like(entropy), entropy).sum(1).mean()


def told(target: Tensor, own: Tensor) -> Tensor:
    label = torch.where(target < 0, own, target)
    return torch.where(label < 0, torch.zeros_like(label), label)


def test_parameter_counts() -> None:
    """As counted in the authors' implementation with five labels."""
    with torch.device("meta"):
        whole = TrainableStargan(StarganConfig(attributes=("a", "b", "c", "d", "e")))
    assert count_parameters(whole.generator) == 8_430_528
    assert count_parameters(whole.discriminator) == 44_762_048


def test_the_discriminator_loss_is_eqs_5_and_8() -> None:
    translator = tiny(weights=WEIGHTS).double()
    d, g = translator.discriminator, translator.generator
    assert d is not None
    batch = random_batch(dtype=torch.float64)
    torch.manual_seed(5)
    alpha = torch.rand(4, dtype=torch.float64)
    torch.manual_seed(5)
    total, terms = translator.discriminator_loss(batch)

    expected = torch.zeros((), dtype=torch.float64)
    for i, (x, y, target) in enumerate(((batch.x1, batch.y1, batch.y2), (batch.x2, batch.y2, batch.y1))):
        fake = g(x, told(target, y)).detach()
        share = alpha[2 * i : 2 * i + 2, None, None, None]
        x_hat = (share * x + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(d(x_hat)[0].sum(), x_hat, create_graph=True)
        penalty = ((slope.pow(2).sum((1, 2, 3)).sqrt() - 1) ** 2).mean()
        adv = d(x)[0].mean() - d(fake)[0].mean() - 3.0 * penalty
        expected = expected + 0.5 * (-adv + 0.7 * cross_entropy(d(x)[1], y))
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-12)
    assert set(terms) == {"critic", "penalty", "cls_r", "real", "fake"}


def test_the_generator_loss_is_eq_6() -> None:
    translator = tiny(weights=WEIGHTS).double()
    d, g = translator.discriminator, translator.generator
    assert d is not None
    batch = random_batch(dtype=torch.float64)
    total, terms = translator.generator_loss(batch)
    expected = torch.zeros((), dtype=torch.float64)
    for x, y, target in ((batch.x1, batch.y1, batch.y2), (batch.x2, batch.y2, batch.y1)):
        fake = g(x, told(target, y))
        rec = (g(fake, torch.where(y < 0, torch.zeros_like(y), y)) - x).abs().mean()
        score, logits = d(fake)
        expected = expected + 0.5 * (-score.mean() + 0.7 * cross_entropy(logits, target) + 2.5 * rec)
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(translator.score(batch)["score"], 2.5 * terms["rec"])


def test_the_label_decides_the_result_at_every_pixel() -> None:
    translator, batch = tiny().eval(), random_batch()
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    one, same, other = (
        translator.translate(batch.x1, Guide(label=label)).image for label in (labels, labels.clone(), labels.flip(1))
    )
    assert torch.equal(one, same)
    assert ((one - other).abs().sum(1) > 0).float().mean() > 0.99
    # An exemplar beside a label changes nothing: measures pass both to every method.
    assert torch.equal(translator.translate(batch.x1, Guide(batch.x2, label=labels)).image, one)


def test_only_a_label_guides() -> None:
    translator, batch = tiny(), random_batch()
    label = batch.y2.clamp(min=0)
    with pytest.raises(LomitError, match="guided by a label alone"):
        translator.translate(batch.x1, Guide(batch.x2))
    with pytest.raises(LomitError, match="guided by a label alone"):
        translator.translate(batch.x1, Guide(label=label, style=torch.zeros(2, 8)))
    with pytest.raises(LomitError, match="StarGAN has no masks"):
        translator.translate(batch.x1, Guide(label=label, masks=Masks(batch.x1, batch.x1)))
    with pytest.raises(LomitError, match="'stargan' has no random styles"):
        translator.random_styles(3)


def test_schedule_and_wrong_values() -> None:
    assert [(p.name, p.every) for p in TrainableStargan(StarganConfig(("a",), width=1, d_width=1)).phases()] == [
        ("D", 1),
        ("G", 5),
    ]
    run = get_method("stargan").presets["stargan-hair-smile"][1]()
    assert (run.train.batch_size, run.train.lr, run.train.decay) == (8, 1e-4, "linear")
    with pytest.raises(LomitError, match="model.res_blocks must be at least 1"):
        tiny_config("stargan", res_blocks=0)
    with pytest.raises(LomitError, match="model.attributes is empty"):
        Stargan(StarganConfig())
