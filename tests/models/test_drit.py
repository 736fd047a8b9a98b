"""DRIT: sizes of both modes, its four losses against its objective in float64, determinism, content discriminator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lomit.errors import LomitError
from lomit.models import get_method
from lomit.models.base import Batch, Guide
from lomit.models.drit.config import DritConfig, DritWeights
from lomit.models.drit.model import Drit, TrainableDrit
from lomit.models.drit.networks import ContentDiscriminator, content_depth
from lomit.nn.blocks import count_parameters
from support.tiny import random_batch, tiny_config, tiny_trainable

WEIGHTS = DritWeights(content=0.8, x=2.5, latent=1.7, kl=0.3, c=0.2, mode_seeking=0.6)
MODES = ("concat", "feature-wise")


def tiny(**options: Any) -> TrainableDrit:
    translator = tiny_trainable("drit", **options)
    assert isinstance(translator, TrainableDrit)
    return translator


def quiet(mode: str) -> Drit:
    """In float64 and in eval mode, where no noise is added and codes are their means."""
    return tiny(mode=mode, weights=WEIGHTS, mlp_width=6).double().eval()


def l1(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()


def says(scores: list[Tensor], real: bool) -> Tensor:
    """Cross entropy of the claim that these are real (or not), summed over the scales."""
    parts = [-(s.sigmoid() if real else 1 - s.sigmoid()).log().mean() for s in scores]
    return torch.stack(parts).sum()


def batch_of_four() -> Batch:
    return random_batch(count=4, dtype=torch.float64)


@pytest.mark.parametrize(("mode", "generator"), [("concat", 21_270_982), ("feature-wise", 31_694_358)])
def test_parameter_counts(mode: Any, generator: int) -> None:
    """As counted in the authors' implementation."""
    with torch.device("meta"):
        whole = TrainableDrit(DritConfig(attributes=("Male",), mode=mode))
    assert count_parameters(whole.generator) == generator
    parts = (whole.encoded_discriminators, whole.random_discriminators, whole.content_discriminator)
    assert sum(count_parameters(part) for part in parts if part is not None) == 43_768_333


@pytest.mark.parametrize("mode", MODES)
def test_the_discriminators_losses(mode: str) -> None:
    translator, batch = quiet(mode), batch_of_four()
    g = translator.generator
    encoded, random = translator.encoded_discriminators, translator.random_discriminators
    content = translator.content_discriminator
    torch.manual_seed(5)
    z, z_2 = (torch.randn(2, 3, dtype=torch.float64) for _ in range(2))
    torch.manual_seed(5)
    total, _ = translator.discriminator_loss(batch)
    x, real = (batch.x1[:2], batch.x2[:2]), (batch.x1[2:], batch.x2[2:])
    c = (g.content(x[0], 0), g.content(x[1], 1))
    expected = torch.zeros((), dtype=torch.float64)
    for k in (0, 1):
        fake = g.decode(c[1 - k], g.style(x[k], k), k)
        expected = expected + says(encoded[k](x[k]), True) + says(encoded[k](fake), False)
        for code in (z, z_2):
            fake = g.decode(c[1 - k], code, k)
            expected = expected + says(random[k](real[k]), True) + says(random[k](fake), False)
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-12)
    total, _ = translator.content_discriminator_loss(batch)
    expected = says([content(c[1])], True) + says([content(c[0])], False)
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_the_first_update_is_the_full_objective_of_encoded_images(mode: str) -> None:
    translator, batch = quiet(mode), batch_of_four()
    g = translator.generator
    encoded, content = translator.encoded_discriminators, translator.content_discriminator
    total, terms = translator.encoder_loss(batch)
    x = (batch.x1[:2], batch.x2[:2])
    c = (g.content(x[0], 0), g.content(x[1], 1))
    s = (g.style(x[0], 0), g.style(x[1], 1))
    fake = [g.decode(c[1 - k], s[k], k) for k in (0, 1)]
    expected = torch.zeros((), dtype=torch.float64)
    for k in (0, 1):
        # The content of x_k is found again in its translation, its style in the other's.
        back = g.decode(g.content(fake[1 - k], 1 - k), g.style(fake[k], k), k)
        expected = expected + 2.5 * l1(back, x[k]) + 2.5 * l1(g.decode(c[k], s[k], k), x[k])
        p = content(c[k]).sigmoid()
        expected = expected + 0.8 * -(0.5 * p.log() + 0.5 * (1 - p).log()).mean() + says(encoded[k](fake[k]), True)
        expected = expected + 0.2 * c[k].pow(2).mean()
        mean, log_var = g.style_distribution(x[k], k)
        assert (log_var is None) == (mode == "feature-wise")
        if log_var is None:
            expected = expected + 0.3 * mean.pow(2).mean()
        else:
            expected = expected + 0.3 * -0.5 * (1 + log_var - mean.pow(2) - log_var.exp()).sum(1).mean()
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-12)
    whole = batch.map(lambda t: t[:2])
    torch.testing.assert_close(translator.score(whole)["score"], 2.5 * (terms["cyc"] + terms["x"]))


@pytest.mark.parametrize("seeking", [0.6, 0.0])
@pytest.mark.parametrize("mode", MODES)
def test_the_second_update_is_that_of_random_styles(mode: str, seeking: float) -> None:
    translator, batch = quiet(mode), batch_of_four()
    translator.config.weights = DritWeights(latent=1.7, mode_seeking=seeking)
    g = translator.generator
    random = translator.random_discriminators
    torch.manual_seed(5)
    z, z_2 = (torch.randn(2, 3, dtype=torch.float64) for _ in range(2))
    torch.manual_seed(5)
    total, terms = translator.random_loss(batch)
    assert ("mode_seeking" in terms) == (seeking > 0)
    x = (batch.x1[:2], batch.x2[:2])
    expected = torch.zeros((), dtype=torch.float64)
    for k in (0, 1):
        c = g.content(x[1 - k], 1 - k)
        fake, other = g.decode(c, z, k), g.decode(c, z_2, k)
        expected = expected + says(random[k](fake), True) + 1.7 * l1(g.style(fake, k), z)
        if seeking:
            expected = expected + says(random[k](other), True)
            expected = expected + seeking / (l1(fake, other) / l1(z, z_2) + 1e-5)
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-12)


def test_training_draws_noise_and_codes_and_use_does_not() -> None:
    translator, batch = tiny(), random_batch()
    results = [translator.eval().translate(batch.x1, Guide(batch.x2)).image for _ in range(2)]
    assert torch.equal(*results)
    g = translator.train().generator
    c, again = (g.content(batch.x1, 0) for _ in range(2))
    assert 0.8 < (c - again).std() / 2**0.5 < 1.2, "unit noise"
    mean, log_var = g.style_distribution(batch.x1, 0)
    assert log_var is not None
    drawn = torch.stack([translator._draw(mean, log_var) for _ in range(4000)])
    torch.testing.assert_close(drawn.mean(0), mean, rtol=0, atol=0.1)
    torch.testing.assert_close(drawn.std(0), (0.5 * log_var).exp(), rtol=0.1, atol=0)


def test_contents_share_the_last_block_and_styles_do_not() -> None:
    g = tiny().eval().generator
    x = random_batch().x1
    assert not torch.allclose(g.content(x, 0), g.content(x, 1))
    g.content_encoders[1].load_state_dict(g.content_encoders[0].state_dict())
    assert torch.equal(g.content(x, 0), g.content(x, 1))
    assert not torch.allclose(g.style(x, 0), g.style(x, 1))


@pytest.mark.parametrize(("size", "depth", "side"), [(16, 0, 1), (32, 1, 1), (64, 2, 1), (128, 3, 1), (256, 3, 5)])
def test_the_content_discriminator_fits_every_size(size: int, depth: int, side: int) -> None:
    assert content_depth(size) == depth
    logits = ContentDiscriminator(2, size)(torch.randn(1, 2, size // 4, size // 4))
    assert logits.shape == (1, 1, side, side)


def test_one_image_a_process_is_enough() -> None:
    translator = tiny()
    for phase in translator.phases():
        total, _ = phase.loss(random_batch(count=1))
        assert torch.isfinite(total)


def test_schedule_and_wrong_values() -> None:
    found = [(p.name, p.every, p.lr_scale, p.weight_decay, p.clip) for p in tiny(content_steps=3).phases()]
    assert found == [
        ("D", 3, 1.0, 1e-4, None),
        ("D_content", 1, 0.4, 1e-4, 5.0),
        ("EG", 3, 1.0, 1e-4, None),
        ("G", 3, 1.0, 1e-4, None),
    ]
    train = get_method("drit").presets["drit-gender"][1]().train
    assert (train.steps, train.batch_size, train.decay, train.decay_start) == (1_500_000, 2, "linear", 750_000)
    with pytest.raises(LomitError, match="model.content_steps must be at least 1"):
        tiny_config("drit", content_steps=0)
