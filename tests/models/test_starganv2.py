"""StarGAN v2: sizes, merged convolutions and R1's slope, its four losses against its objective in float64, domains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lomit.errors import LomitError
from lomit.models import get_method
from lomit.models.base import Batch, Guide, Masks, Phase
from lomit.models.starganv2.config import StarganV2Config, StarganV2Weights
from lomit.models.starganv2.domains import EXCLUSIVE, DomainTriples, domain_of, domain_of_checked
from lomit.models.starganv2.model import StarganV2, TrainableStarganV2
from lomit.models.starganv2.networks import (
    AdainBlock,
    MappingNetwork,
    NormBlock,
    PoolingBlock,
    StarganV2Discriminator,
    doubled,
    halved,
    halvings,
    widths,
)
from lomit.nn.blocks import count_parameters
from support.tiny import tiny_config, tiny_trainable, tiny_translator

WEIGHTS = StarganV2Weights(r1=0.7, sty=1.3, ds=0.9, cyc=0.6)
THREE = ("Black_Hair", "Blond_Hair", "Brown_Hair")
SOURCE, TARGET = [0, 1, 2, 1], [2, 0, 1, 1]
"""Domains of the rows of `batch`."""


def trainable(**options: Any) -> TrainableStarganV2:
    options = {"attributes": THREE, "image_size": 32, "weights": WEIGHTS, "ds_steps": 100} | options
    made = tiny_trainable("starganv2", **options)
    assert isinstance(made, TrainableStarganV2)
    return made.double()


def in_use(**options: Any) -> StarganV2:
    made = tiny_translator("starganv2", **{"attributes": THREE, "image_size": 32} | options)
    assert isinstance(made, StarganV2)
    return made.double().eval()


def one_hot(domains: list[int]) -> Tensor:
    return F.one_hot(torch.tensor(domains), 3).double()


def batch(translator: TrainableStarganV2, step: int = 25) -> Batch:
    """Four sources and their references at a quarter of `ds_steps`."""
    draw = torch.Generator().manual_seed(3)
    images = {f"x{k}": 2 * torch.rand(4, 3, 32, 32, generator=draw, dtype=torch.float64) - 1 for k in (1, 2, 3)}
    labels = {"y1": one_hot(SOURCE), "y2": one_hot(TARGET), "y3": one_hot(TARGET)}
    torch.manual_seed(7)
    return translator.batch_of(images | labels, step)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def l1(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def normalised(x: Tensor) -> Tensor:
    centred = x - x.mean((2, 3), keepdim=True)
    return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()


def gradients(total: Tensor, modules: list[nn.Module]) -> list[Tensor]:
    parameters = [p for module in modules for p in module.parameters()]
    found = torch.autograd.grad(total, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def assert_same_gradients(found: Tensor, expected: Tensor, modules: list[nn.Module]) -> None:
    pairs = list(zip(gradients(found, modules), gradients(expected, modules), strict=True))
    assert any(e.abs().max() > 1e-6 for _, e in pairs)
    for mine, plain in pairs:
        torch.testing.assert_close(mine, plain, rtol=1e-8, atol=1e-11)


def test_parameter_counts() -> None:
    """As published: G 33.9 M and D 20.9 M; F and E together 24.2 M for three domains (AFHQ), 23.4 M for two.

    The authors' G has 33,892,995: 8,448 of them are biases that a norm removes, which are left out here.
    """
    millions = {}
    for names in (("Male",), THREE):
        with torch.device("meta"):
            made = TrainableStarganV2(StarganV2Config(attributes=names, image_size=256))
        g = made.generator
        image = sum(map(count_parameters, g.image_parts()))
        styles = count_parameters(g.mapping), count_parameters(g.style_encoder)
        assert image == 33_892_995 - 8_448
        assert image + sum(styles) == count_parameters(g)
        counts = (image, sum(styles), count_parameters(made.discriminator))
        millions[names] = tuple(round(count / 1e6, 1) for count in counts)
        if names == THREE:
            assert (*styles, counts[2]) == (3_259_072, 20_949_760, 20_852_803)
        else:
            assert (*styles, counts[2]) == (2_438_272, 20_916_928, 20_852_290)
    assert millions == {("Male",): (33.9, 23.4, 20.9), THREE: (33.9, 24.2, 20.9)}


@pytest.mark.parametrize(
    ("size", "g", "d"), [(16, 0, 2), (32, 1, 3), (48, 1, 3), (64, 2, 4), (128, 3, 5), (256, 4, 6), (80, 2, 4)]
)
def test_how_often_the_image_is_halved(size: int, g: int, d: int) -> None:
    assert (halvings(size, 16), halvings(size, 4)) == (g, d)
    if size <= 80:
        discriminator = StarganV2Discriminator(StarganV2Config(("A",), size, width=2, d_width=2, max_width=4))
        assert discriminator(torch.rand(1, 3, size, size), torch.tensor([0])).shape == (1,)


def test_channels_double_up_to_the_most() -> None:
    assert widths(64, 512, 6) == [64, 128, 256, 512, 512, 512, 512]
    assert widths(8, 4, 1) == [8, 8]


def test_pooling_and_repeating_are_merged_with_the_convolution() -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(3, 5, 3, padding=1).double(), torch.randn(2, 3, 8, 6, dtype=torch.float64)
    repeated = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    for found, plain in ((halved(conv, x), F.avg_pool2d(conv(x), 2)), (doubled(conv, x), conv(repeated))):
        close(found, plain)
        loss = torch.randn_like(plain)
        assert_same_gradients((found * loss).sum(), (plain * loss).sum(), [conv])


@pytest.mark.parametrize("channels", [(3, 5), (4, 4)])
@pytest.mark.parametrize("resize", [False, True])
def test_blocks_are_those_of_the_paper(channels: tuple[int, int], resize: bool) -> None:
    """Each written out as published: pooling and repeating apart from the convolutions, and before the shortcut's."""
    torch.manual_seed(0)
    c_in, c_out = channels
    x, s = torch.randn(2, c_in, 8, 8, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)

    def pooled(h: Tensor) -> Tensor:
        return F.avg_pool2d(h, 2) if resize else h

    def repeated(h: Tensor) -> Tensor:
        return h.repeat_interleave(2, 2).repeat_interleave(2, 3) if resize else h

    def adain(h: Tensor, layer: Any) -> Tensor:
        gamma, beta = (layer.affine.weight @ s.T + layer.affine.bias[:, None]).T[..., None, None].chunk(2, 1)
        return (1 + gamma) * normalised(h) + beta

    def affine(h: Tensor, layer: Any) -> Tensor:
        nn.init.normal_(layer.weight), nn.init.normal_(layer.bias)
        return layer.weight[:, None, None] * normalised(h) + layer.bias[:, None, None]

    down = NormBlock(c_in, c_out, resize).double()
    h = down.second(leaky(affine(pooled(down.first(leaky(affine(x, down.norms[0])))), down.norms[1])))
    close(down(x), (h + pooled(down.shortcut(x))) / 2**0.5)

    up = AdainBlock(c_in, c_out, 3, resize).double()
    h = up.second(leaky(adain(up.first(repeated(leaky(adain(x, up.norms[0])))), up.norms[1])))
    close(up(x, s), (h + up.shortcut(repeated(x))) / 2**0.5)

    if resize:
        plain = PoolingBlock(c_in, c_out).double()
        h = plain.second(leaky(pooled(plain.first(leaky(x)))))
        close(plain(x), (h + pooled(plain.shortcut(x))) / 2**0.5)


def test_a_norm_removes_the_biases_that_are_left_out() -> None:
    """What `StarganV2Generator` says of the authors' biases: given any, all images stay the same."""
    g = in_use().generator
    x, s = torch.rand(2, 3, 32, 32, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    before, given = g.decode(g.content(x), s), 0
    for module in [*g.encoder.modules(), *g.decoder.modules()]:
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.bias = nn.Parameter(torch.randn(module.out_channels, dtype=torch.float64))
            given += 1
    assert given == 1 + 2 * (1 + 2 + 2 + 1)
    torch.testing.assert_close(g.decode(g.content(x), s), before, rtol=1e-4, atol=1e-4)
    g.to_rgb[-1].bias.data += 1  # type: ignore[union-attr, operator]
    assert l1(g.decode(g.content(x), s), before) > 0.9


def test_the_slope_is_the_gradient_of_the_logit() -> None:
    """And the penalty's gradient is that of a backward pass through a backward pass."""
    d = trainable().discriminator
    x = (2 * torch.rand(4, 3, 32, 32, dtype=torch.float64) - 1).requires_grad_()
    domain = torch.tensor(SOURCE)
    logits, slope = d.with_slope(x, domain)
    assert torch.equal(logits, d(x, domain))
    (plain,) = torch.autograd.grad(d(x, domain).sum(), x, create_graph=True)
    close(slope, plain)
    assert_same_gradients(slope.square().sum(), plain.square().sum(), [d])


def plain_image(translator: StarganV2, x: Tensor, s: Tensor) -> Tensor:
    return translator.generator.decode(translator.generator.content(x), s)


def probability(d: StarganV2Discriminator, x: Tensor, domains: list[int]) -> Tensor:
    """D's output for each row's domain, row by row."""
    logits = d.heads(d.trunk(x))
    return torch.stack([logits[row, domain] for row, domain in enumerate(domains)]).sigmoid()


def style(translator: StarganV2, by: str, given: Tensor, domains: list[int]) -> Tensor:
    """F's or E's code for each row's domain, row by row."""
    g, rows = translator.generator, []
    for row, domain in zip(given.split(1), domains, strict=True):
        if by == "latent":
            rows.append(g.mapping.branches[domain](g.mapping.shared(row)))
        else:
            heads, k = g.style_encoder.heads, g.style_encoder.style_dim
            weight, bias = heads.weight[domain * k : domain * k + k], heads.bias[domain * k : domain * k + k]
            rows.append(g.style_encoder.trunk(row) @ weight.T + bias)
    return torch.cat(rows)


def guiding(b: Batch, by: str) -> tuple[Tensor, Tensor]:
    return (b.extra["z1"], b.extra["z2"]) if by == "latent" else (b.x2, b.extra["x3"])


def phases(translator: TrainableStarganV2) -> dict[str, Phase]:
    return {phase.name: phase for phase in translator.phases()}


@pytest.mark.parametrize(("by", "name"), [("latent", "D"), ("reference", "D_ref")])
def test_the_discriminator_losses_are_eq_1_and_r1(by: str, name: str) -> None:
    translator = trainable()
    b, d = batch(translator), translator.discriminator
    total, terms = phases(translator)[name].loss(b)
    s = style(translator, by, guiding(b, by)[0], TARGET)
    fake = plain_image(translator, b.x1, s).detach()
    x = b.x1.clone().requires_grad_()
    real = probability(d, x, SOURCE)
    adversarial = -real.log().mean() - (1 - probability(d, fake, TARGET)).log().mean()
    (slope,) = torch.autograd.grad(real.logit().sum(), x, create_graph=True)
    expected = adversarial + 0.7 / 2 * slope.square().sum((1, 2, 3)).mean()
    close(total, expected)
    close(terms["real"], real.logit().mean().detach())
    assert_same_gradients(total, expected, [d])


@pytest.mark.parametrize(("by", "name"), [("latent", "G"), ("reference", "G_ref")])
def test_the_generator_losses_are_eq_5(by: str, name: str) -> None:
    translator = trainable()
    b, g = batch(translator), translator.generator
    total, terms = phases(translator)[name].loss(b)
    first, second = guiding(b, by)
    s, s_2 = style(translator, by, first, TARGET), style(translator, by, second, TARGET)
    s_own = style(translator, "reference", b.x1, SOURCE)
    fake, other = plain_image(translator, b.x1, s), plain_image(translator, b.x1, s_2).detach()
    found = style(translator, "reference", fake, TARGET)
    expected = -probability(translator.discriminator, fake, TARGET).log().mean()
    expected = expected + 1.3 * l1(found, s)
    expected = expected - 0.9 * 0.75 * l1(fake, other)  # lambda_ds after a quarter of its iterations
    expected = expected + 0.6 * l1(plain_image(translator, fake, s_own), b.x1)
    close(total, expected)
    assert set(terms) == {"adv", "sty", "ds", "cyc"}
    if by == "latent":
        assert_same_gradients(total, expected, [*g.image_parts(), g.mapping, g.style_encoder])
    else:
        # G alone learns here, from codes that are constants.
        s, s_2, s_own = s.detach(), s_2.detach(), s_own.detach()
        fake = plain_image(translator, b.x1, s)
        expected = -probability(translator.discriminator, fake, TARGET).log().mean()
        expected = expected + 1.3 * l1(style(translator, "reference", fake, TARGET), s) - 0.675 * l1(fake, other)
        expected = expected + 0.6 * l1(plain_image(translator, fake, s_own), b.x1)
        assert_same_gradients(total, expected, g.image_parts())


def test_diversity_pulls_less_and_less() -> None:
    translator = trainable()
    weights = [batch(translator, step).extra["lambda_ds"] for step in (0, 50, 99, 100, 150)]
    for found, expected in zip(weights, (0.9, 0.45, 0.009, 0.0, 0.0), strict=True):
        close(found, torch.full((4,), expected, dtype=torch.float64))
    b = batch(translator)
    totals: list[Tensor] = []
    terms: dict[str, Tensor] = {}
    for weight in (0.0, 2.0):
        b.extra["lambda_ds"].fill_(weight)
        total, terms = translator.generator_latent(b)
        totals.append(total)
    close(totals[0] - totals[1], 2 * terms["ds"])


def test_four_updates_share_four_optimisers() -> None:
    translator = trainable()
    found = phases(translator)
    assert list(found) == ["D", "D_ref", "G", "G_ref"]
    optimizers = {name: [o.name for o in phase.optimizers] for name, phase in found.items()}
    assert optimizers == {"D": ["D"], "D_ref": ["D"], "G": ["G", "F", "E"], "G_ref": ["G"]}
    assert found["D"].optimizers == found["D_ref"].optimizers
    assert found["G"].optimizers[:1] == found["G_ref"].optimizers
    assert [(o.lr_scale, o.weight_decay) for o in found["G"].optimizers] == [(1, 1e-4), (0.01, 1e-4), (1, 1e-4)]
    assert [phase.averaged for phase in found.values()][2:] == [False, True]
    updated = {id(p) for phase in found.values() for p in phase.parameters()}
    assert updated == {id(p) for p in translator.parameters()}


def test_the_paper_s_schedule() -> None:
    run = get_method("starganv2").presets["starganv2-gender-256"][1]()
    train, model = run.train, run.model
    assert (train.steps, train.batch_size, train.lr, train.betas, train.ema) == (100_000, 8, 1e-4, (0.0, 0.99), 0.999)
    assert train.decay_start == train.steps, "one learning rate throughout"
    assert isinstance(model, StarganV2Config)
    assert model == StarganV2Config(image_size=256)
    assert model.mapping_lr * train.lr == pytest.approx(1e-6)
    assert run.data.image_size == 256
    for _, make in get_method("starganv2").presets.values():
        run = make()
        assert isinstance(run.model, StarganV2Config)
        assert run.model.ds_steps == run.train.steps, "diversity pulls to the end"


@pytest.mark.parametrize(
    ("labels", "domains"),
    [
        ([[0], [1], [-1]], [0, 1, -1]),
        ([[1, 0, 0], [0, 0, 1], [0, 0, 0], [1, 1, 0], [1, 0, -1]], [0, 2, -1, -1, -1]),
    ],
)
def test_what_a_domain_is(labels: list[list[int]], domains: list[int]) -> None:
    found = EXCLUSIVE.of(np.array(labels, dtype=np.int8))
    assert found.tolist() == domains
    inside = torch.tensor([row for row, domain in zip(labels, domains, strict=True) if domain >= 0])
    assert domain_of(inside).tolist() == [domain for domain in domains if domain >= 0]
    assert torch.equal(domain_of_checked(inside, THREE), domain_of(inside))
    with pytest.raises(LomitError, match="set one of Black_Hair, Blond_Hair, Brown_Hair to 1, the others to 0"):
        domain_of_checked(torch.tensor(labels), THREE)


@pytest.mark.parametrize("attributes", [1, 3])
def test_sources_and_references_are_drawn_in_equal_shares(attributes: int) -> None:
    """However unequal the domains are."""
    domains = np.repeat([0, 1, 2], [50, 7, 3]) if attributes == 3 else np.repeat([0, 1], [50, 10])
    count = len(np.unique(domains))
    labels = np.eye(3, dtype=np.int8)[domains] if attributes == 3 else domains[:, None].astype(np.int8)
    labels = np.concatenate([labels, np.full((5, attributes), -1, np.int8)])  # in no domain
    rows = np.arange(len(labels))
    sampler = DomainTriples(labels, rows, 6, seed=1)
    steps = [sampler.indices_at(step) for step in range(60 * count)]
    sources, first, second = (np.concatenate([step[k] for step in steps]) for k in range(3))
    pairs = np.unique(domains[sources] * count + domains[first], return_counts=True)[1]
    assert pairs.tolist() == [360 // count] * count**2, "every pair of domains as often"
    assert (domains[first] == domains[second]).all()
    assert (first != second).mean() > 0.5
    for drawn in (sources, first, second):
        for domain in range(count):
            mine = drawn[domains[drawn] == domain]
            size = (domains == domain).sum()
            epochs = mine[: len(mine) // size * size].reshape(-1, size)
            assert len(epochs) > 1
            assert all(len(set(epoch)) == size for epoch in epochs.tolist()), "each image once an epoch"
            assert not (epochs == epochs[0]).all(), "in another order each"
    shares = [DomainTriples(labels, rows, 6, 1, rank, 2).indices_at(11) for rank in (0, 1)]
    for k in range(3):
        assert np.concatenate([share[k] for share in shares]).tolist() == steps[11][k].tolist()
    assert sampler.flips_at(0).shape == (3, 6)


def test_an_epochs_orders_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three images walk through each of three domains: nine orders."""
    shuffles = []
    draw = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: shuffles.append(seed) or draw(seed))
    labels = np.eye(3, dtype=np.int8)[np.repeat([0, 1, 2], [50, 40, 30])]
    sampler = DomainTriples(labels, np.arange(120), 9, seed=1)
    sampler.indices_at(0)
    assert len(shuffles) == 9
    steps = [sampler.indices_at(step) for step in range(1, 6)]
    assert len(shuffles) == 9
    # What earlier releases draw, so that their runs go on with the same images.
    assert [side.tolist() for side in steps[-1]] == [
        [20, 89, 107, 22, 51, 102, 7, 61, 100],
        [2, 22, 25, 74, 70, 56, 117, 102, 105],
        [38, 4, 7, 86, 68, 61, 103, 112, 100],
    ]


@pytest.mark.parametrize(("labels", "domain"), [([[0], [0]], 1), ([[1, 0], [1, 1]], 1), ([[0, 1], [0, 1]], 0)])
def test_a_domain_without_images_is_named(labels: list[list[int]], domain: int) -> None:
    with pytest.raises(LomitError, match=f"no image to train on is in domain {domain}"):
        DomainTriples(np.array(labels, np.int8), np.arange(2), 2, 0)


def test_each_guide_gives_the_style_of_the_target_domain() -> None:
    translator = in_use()
    draw = torch.Generator().manual_seed(0)
    x, exemplar = (0.2 * torch.randn(4, 3, 32, 32, generator=draw, dtype=torch.float64) for _ in range(2))
    label, z = one_hot(TARGET), translator.random_styles(4, draw).double()
    assert z.shape == (4, 4)
    found = {
        "exemplar": translator.translate(x, Guide(exemplar, label)).image,
        "latent": translator.translate(x, Guide(style=z, label=label)).image,
        "label": translator.translate(x, Guide(label=label)).image,
    }
    styles = {
        "exemplar": style(translator, "reference", exemplar, TARGET),
        "latent": style(translator, "latent", z, TARGET),
    }
    many = torch.randn(256, 4, generator=torch.Generator().manual_seed(0)).double()
    styles["label"] = torch.stack([style(translator, "latent", many, [t] * 256).mean(0) for t in TARGET])
    for name, s in styles.items():
        close(found[name], plain_image(translator, x, s).clamp(-1, 1))
        assert found[name].abs().max() <= 1
    # One image at a time gives the same: rows know nothing of each other, and no label of the input is asked for.
    single = translator.translate(x[1:2], Guide(exemplar[1:2], label[1:2], source=label[:1])).image
    close(single, found["exemplar"][1:2])


def test_one_attribute_makes_two_domains() -> None:
    translator = in_use(attributes=("Male",))
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    without, having = (translator.translate(x, Guide(x, torch.full((2, 1), v))).image for v in (0.0, 1.0))
    assert not torch.equal(without, having)
    assert torch.equal(translator.translate(x, Guide(x)).image, having), (
        "the images that have it, where nothing is said"
    )


@pytest.mark.parametrize(
    ("guide", "said"),
    [
        (Guide(), "has to be told the target domain: give a label, e.g. Black_Hair=1"),
        (Guide(label=torch.zeros(1, 3)), "translates to one domain: set one of Black_Hair"),
        (Guide(label=torch.ones(1, 3)), "translates to one domain: set one of Black_Hair"),
        (Guide(torch.zeros(1, 3, 32, 32), one_hot([0]), torch.zeros(1, 4)), "an exemplar image or a random style"),
        (Guide(label=one_hot([0]), masks=Masks(torch.zeros(()), torch.zeros(()))), "has no masks"),
    ],
)
def test_wrong_guides(guide: Guide, said: str) -> None:
    with pytest.raises(LomitError, match=said):
        in_use().translate(torch.zeros(1, 3, 32, 32, dtype=torch.float64), guide)


def test_wrong_configs() -> None:
    with pytest.raises(LomitError, match="model.latent_dim must be at least 1"):
        tiny_config("starganv2", latent_dim=0)
    with pytest.raises(LomitError, match=r"model\.attributes is empty"):
        StarganV2(StarganV2Config())


def test_a_domain_s_branch_learns_from_its_own_rows() -> None:
    mapping = MappingNetwork(4, 6, 3, 3)
    mapping(torch.randn(5, 4), torch.tensor([0, 2, 2, 0, 2])).square().sum().backward()
    learned = [all(p.grad is not None and p.grad.any() for p in branch.parameters()) for branch in mapping.branches]
    assert learned == [True, False, True]
    untouched = [p.grad for p in mapping.branches[1].parameters()]
    assert all(g is not None and not g.any() for g in untouched), "in the graph, for several processes"


def test_the_sheet_and_the_score() -> None:
    translator = trainable().eval()
    b = batch(translator)
    sheet = translator.sample(b)
    assert list(sheet) == ["input", "exemplar", "result", "random", "mean", "cycle", "self"]
    close(sheet["result"], translator.translate(b.x1, Guide(b.x2, b.y2)).image)
    close(sheet["mean"], translator.translate(b.x1, Guide(label=b.y2)).image)
    assert torch.equal(translator.sample(b)["random"], sheet["random"]), "the same latent codes every time"
    scores, (_, terms) = translator.score(b), translator.generator_reference(b)
    close(scores["score"], 0.6 * terms["cyc"])
    close(scores["real"], translator.discriminator_latent(b)[1]["real"])
