"""A method that the package does not have is trained, resumed and used without any change of the engine.

It asks for all that the protocol offers beyond one exemplar and one optimiser: domains by label, two exemplars of the
target domain, latent codes that phases share, a loss that differentiates a gradient, optimisers with their own learning
rates that phases share, a loss weight that falls with the step, and a sampler of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from lomit import Predictor
from lomit.config import DataConfig, ModelConfig, RunConfig, TrainConfig
from lomit.data.sampling import Domains, Sampler
from lomit.engine.fabric import make_fabric
from lomit.engine.phases import make_runners
from lomit.engine.train import train
from lomit.engine.updates import make_updates
from lomit.errors import LomitError
from lomit.models import base, registry
from lomit.models.base import Batch, Guide, Optimizer, Phase, Trainable, Translation, Translator
from lomit.models.registry import Method
from support.runs import assert_same_tensors, saved_tensors
from support.tiny import ATTRIBUTES, random_batch_for, snapshot

LATENT, STYLE, SIZE = 4, 3, 16


@dataclass
class ToyConfig(ModelConfig):
    """Config of the toy."""

    weight: float = 1.0
    """Of the style's reconstruction; falls to 0 within ten iterations."""


def only_one(labels: np.ndarray) -> np.ndarray:
    return np.where(((labels == 1).sum(1) == 1) & (labels >= 0).all(1), labels.argmax(1), -1)


class ReferenceTriples(Sampler):
    """x1 from every domain; x2, and another image of x2's domain, x3."""

    images = 3

    def sides_of(self, labels: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        domains = only_one(labels[indices])
        self.members = [indices[domains == k] for k in range(labels.shape[1])]
        if min(map(len, self.members)) < 2:
            raise LomitError("every domain needs two images")
        self.domain_of = dict(zip(indices.tolist(), domains.tolist(), strict=True))
        usable = indices[domains >= 0]
        return usable, usable

    def indices_at(self, step: int) -> tuple[np.ndarray, ...]:
        first, second = super().indices_at(step)
        draw = np.random.default_rng([self.seed, 9, step]).random(self.batch_size)[self._share]
        third = []
        for row, share in zip(second.tolist(), draw, strict=True):
            others = self.members[self.domain_of[row]]
            others = others[others != row]
            third.append(others[int(share * len(others))])
        return first, second, np.array(third)


class ToyNetworks(nn.Module):
    """A generator, a mapping network and a style encoder, the latter two with a head for each domain."""

    def __init__(self, domains: int) -> None:
        super().__init__()
        self.domains = domains
        self.content = nn.Conv2d(3, 4, 3, padding=1)
        self.modulation = nn.Linear(STYLE, 4)
        self.out = nn.Conv2d(4, 3, 3, padding=1)
        self.mapping = nn.Linear(LATENT, domains * STYLE)
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(64, 6))

    def map(self, z: Tensor, domain: Tensor) -> Tensor:
        return self._head(self.mapping(z), domain)

    def encode(self, x: Tensor, domain: Tensor) -> Tensor:
        return self._head(self.encoder(x), domain)

    def _head(self, h: Tensor, domain: Tensor) -> Tensor:
        chosen = F.one_hot(domain, self.domains).to(h.dtype)
        return torch.einsum("bks,bk->bs", h.unflatten(1, (self.domains, STYLE)), chosen)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        h = torch.tanh(self.content(x)) * (1 + self.modulation(s)[:, :, None, None])
        return torch.tanh(self.out(h))


class Toy(Translator):
    """Guided by an exemplar of the target domain or by a latent code."""

    config: ToyConfig
    generator: ToyNetworks
    guides = frozenset({"exemplar", "label", "random"})
    domains = Domains(only_one)

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config, self.generator = config, ToyNetworks(len(config.attributes))

    def translate(self, x: Tensor, guide: Guide) -> Translation:
        g = self.generator
        target = torch.zeros(len(x), dtype=torch.long) if guide.label is None else guide.label.argmax(1)
        if guide.exemplar is not None:
            return Translation(g(x, g.encode(guide.exemplar, target)))
        if guide.style is None:
            raise LomitError("the toy needs an exemplar or a random style")
        return Translation(g(x, g.map(guide.style, target)))

    def random_styles(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(count, LATENT, generator=generator)


class TrainableToy(Toy, Trainable):
    """The toy with a discriminator that has an output for each domain."""

    sampler = ReferenceTriples

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.discriminator = nn.Sequential(
            nn.Conv2d(3, 4, 4, 4), nn.Softplus(), nn.Flatten(), nn.Linear(64, len(config.attributes))
        )

    def extra(self, batch: Batch, step: int) -> dict[str, Tensor]:
        weight = self.config.weight * max(0.0, 1 - step / 10)
        count, device = len(batch.x1), batch.x1.device
        return {
            "z1": torch.randn(count, LATENT, device=device),
            "z2": torch.randn(count, LATENT, device=device),
            "weight": torch.full((count,), weight, device=device),
        }

    def phases(self) -> Sequence[Phase]:
        g = self.generator
        d = Optimizer("D", [self.discriminator], weight_decay=1e-4)
        drawing = Optimizer("G", [g.content, g.modulation, g.out], weight_decay=1e-4)
        mapping = Optimizer("F", [g.mapping], lr_scale=0.01, weight_decay=1e-4)
        encoding = Optimizer("E", [g.encoder])
        return (
            Phase("D_latent", self.latent_critic, [d], double_backward=True),
            Phase("D_reference", self.reference_critic, [d], double_backward=True),
            Phase("G_latent", self.latent_loss, [drawing, mapping, encoding], averaged=False),
            Phase("G_reference", self.reference_loss, [drawing]),
        )

    def _score(self, x: Tensor, domain: Tensor) -> Tensor:
        return self.discriminator(x).gather(1, domain[:, None]).flatten()  # type: ignore[no-any-return]

    def _critic(self, batch: Batch, s: Tensor) -> base.Objective:
        own, target = batch.y1.argmax(1), batch.y2.argmax(1)
        x = batch.x1.detach().requires_grad_()
        real = self._score(x, own)
        (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        with torch.no_grad():
            fake = self.generator(batch.x1, s)
        r1 = slope.square().flatten(1).sum(1).mean() / 2
        total = F.softplus(-real).mean() + F.softplus(self._score(fake, target)).mean() + r1
        return total, {"r1": r1.detach()}

    def latent_critic(self, batch: Batch) -> base.Objective:
        with torch.no_grad():
            s = self.generator.map(batch.extra["z1"], batch.y2.argmax(1))
        return self._critic(batch, s)

    def reference_critic(self, batch: Batch) -> base.Objective:
        with torch.no_grad():
            s = self.generator.encode(batch.x2, batch.y2.argmax(1))
        return self._critic(batch, s)

    def latent_loss(self, batch: Batch) -> base.Objective:
        g, target = self.generator, batch.y2.argmax(1)
        s, other = (g.map(batch.extra[z], target) for z in ("z1", "z2"))
        fake = g(batch.x1, s)
        found = (g.encode(fake, target) - s).abs().mean(1)
        total = F.softplus(-self._score(fake, target)).mean() + (batch.extra["weight"] * found).mean()
        return total - (fake - g(batch.x1, other)).abs().mean(), {"s": found.mean().detach()}

    def reference_loss(self, batch: Batch) -> base.Objective:
        g, target = self.generator, batch.y2.argmax(1)
        one, two = (g(batch.x1, g.encode(x, target)) for x in (batch.x2, batch.extra["x3"]))
        return F.softplus(-self._score(one, target)).mean() - (one - two).abs().mean(), {}


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Method:
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    return registry.register(Method("toy", "Toy", ToyConfig, lambda: (Toy, TrainableToy)))


def run_of(data: Path, **options: Any) -> RunConfig:
    short = {"steps": 6, "batch_size": 4, "log_every": 1, "save_every": 3, "sample_every": 3, "accelerator": "cpu"}
    return RunConfig(
        ToyConfig(),
        DataConfig(str(data), kind="folder", attributes=ATTRIBUTES, image_size=SIZE, workers=0,
                   cache_dir=str(data.with_name("cache"))),
        TrainConfig(**short | {"lr": 1e-2, "ema": 0.9, "betas": (0.0, 0.99)} | options),
    )  # fmt: skip


def test_it_trains_and_resumes_to_the_bit(data: Path, tmp_path: Path) -> None:
    train(run_of(data), tmp_path / "whole", quiet=True)
    train(run_of(data, steps=3), tmp_path / "halves", quiet=True)
    before = saved_tensors(tmp_path / "halves", 3)
    train(run_of(data), tmp_path / "halves", resume=True, quiet=True)
    found = saved_tensors(tmp_path / "halves", 6)
    assert_same_tensors(found, saved_tensors(tmp_path / "whole", 6))
    networks = [name for name in found if name.startswith("translator.")]
    assert any("discriminator" in name for name in networks)
    assert not any(torch.equal(found[name], before[name]) for name in networks)
    optimizers = {name.split(".")[1]: int(found[name]) for name in found if name.endswith(".0.step")}
    assert optimizers == {"D": 12, "G": 12, "F": 6, "E": 6}, "phases share the optimisers of equal names"
    assert (tmp_path / "whole" / "samples" / "step_0000006.png").is_file()


def test_micro_batches_cut_everything_that_it_is_given(data: Path, tmp_path: Path) -> None:
    for parts in (1, 2):
        train(run_of(data, accumulate=parts, steps=2), tmp_path / str(parts), quiet=True)
    one, two = (saved_tensors(tmp_path / str(parts), 2) for parts in (1, 2))
    for name, tensor in one.items():
        if name.startswith("translator."):  # Adam makes whole steps of what is left where a gradient is nearly none
            assert (two[name] - tensor).abs().median() < 1e-5, name


def test_what_the_engine_is_told_of_its_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that is differentiated twice is not compiled, each optimiser has its rate, the average moves once."""
    compiled: list[str] = []

    def compile(function: Any, **_: Any) -> Any:
        compiled.append(function.__name__)
        return function

    monkeypatch.setattr(torch, "compile", compile)
    config = TrainConfig(lr=1e-2, accelerator="cpu", compile="default")
    fabric, said = make_fabric(config), list[str]()
    translator = TrainableToy(ToyConfig(ATTRIBUTES, SIZE))
    runners = make_runners(fabric, translator, config)
    updates = make_updates(fabric, translator, runners, "default", said.append)
    for update in updates:
        update([random_batch_for(translator)], 1e-2)
    assert said == []
    assert len(compiled) == 2, "both generator phases"
    assert {n: g["lr"] for r in runners for n, o in r.optimizers.items() for g in o.param_groups} == pytest.approx(
        {"D": 1e-2, "G": 1e-2, "F": 1e-4, "E": 1e-2}
    )
    assert [update.moves_generator for update in updates] == [False, False, False, True]


def test_optimisers_of_one_name_are_one() -> None:
    translator = TrainableToy(ToyConfig(ATTRIBUTES, SIZE))
    phases = translator.phases()
    other = Optimizer("D", [translator.discriminator], weight_decay=0.5)
    translator.phases = lambda: (*phases, replace(phases[0], name="other", updates=[other]))  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="two optimisers of TrainableToy are called D"):
        make_runners(make_fabric(TrainConfig(accelerator="cpu")), translator, TrainConfig())


def test_its_sampler_draws_exemplars_of_one_domain(data: Path, tmp_path: Path) -> None:
    drawn: list[Batch] = []
    batch_of = TrainableToy.batch_of

    def spy(self: TrainableToy, images: Any, step: int) -> Batch:
        drawn.append(batch_of(self, images, step))
        return drawn[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainableToy, "batch_of", spy)
        train(run_of(data, steps=2, sample_every=100, save_every=100), tmp_path, quiet=True)
    first, second = (b for b in drawn if len(b.x1) == 4 and not b.x1.is_meta)
    assert torch.equal(first.y2, first.extra["y3"])
    assert not torch.equal(first.x2, first.extra["x3"])
    assert all((y.sum(1) == 1).all() for y in (first.y1, first.y2)), "images in no domain are left out"
    assert not torch.equal(first.extra["z1"], first.extra["z2"])
    assert not torch.equal(first.extra["z1"], second.extra["z1"])
    assert [float(b.extra["weight"][0]) for b in (first, second)] == pytest.approx([1.0, 0.9])


def test_it_translates_through_the_predictor(data: Path, tmp_path: Path) -> None:
    train(run_of(data), tmp_path / "run", quiet=True)
    predictor = Predictor.from_pretrained(tmp_path / "run", "cpu")
    assert not isinstance(predictor.translator, Trainable)
    draw = np.random.default_rng(0)
    image, exemplar = (Image.fromarray(draw.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)) for _ in range(2))
    by_exemplar = [predictor.translate([image], [exemplar], label={name: 1})[0].raw for name in ATTRIBUTES]
    assert not np.array_equal(*by_exemplar), "its domains have heads of their own"
    by_latent = [r.raw for r in predictor.translate([image] * 2, styles=predictor.random_styles(2))]
    assert not np.array_equal(*by_latent)
    with pytest.raises(LomitError, match="'toy' has no masks"):
        predictor.translate([image], [exemplar], input_masks=[image])
    with pytest.raises(LomitError, match="'toy' can't interpolate"):
        predictor.interpolate(image, [exemplar], 2)


def test_a_method_without_training_says_so(toy: Method) -> None:
    used = replace(toy, classes=lambda: (Toy, None))
    assert snapshot(used.build(ToyConfig(ATTRIBUTES, SIZE)))
    with pytest.raises(LomitError, match="'toy' can be used, but not trained"):
        used.build_trainable(ToyConfig(ATTRIBUTES, SIZE))
