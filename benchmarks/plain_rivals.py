"""The rivals' training steps with the passes that the authors' code makes: the yardstick of `lomit bench step`.

What each published step computes, in which batches and with which graphs, was read from its code as facts.  Networks
are ours in float32 and contiguous order, with torch's own layers in place of those that we compute in another way.
Every network requires gradients throughout, as published: what an update does not step is computed and thrown away.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lomit.losses import lomit as losses
from lomit.losses import rivals
from lomit.models.base import Batch, Optimizer, Trainable
from lomit.models.domains import DOMAINS
from lomit.models.drit.model import TrainableDrit
from lomit.models.munit.model import TrainableMunit
from lomit.models.stargan.model import TrainableStargan
from lomit.models.starganv2.domains import domain_of
from lomit.models.starganv2.model import TrainableStarganV2
from lomit.models.starganv2.networks import AdainBlock, NormBlock, PoolingBlock, Trunk, leaky
from lomit.nn import blocks, convolution

HALF = 0.5**0.5
Task = tuple[Callable[[], Tensor], float]
"""What makes a part of an iteration, and in every how many iterations it runs."""


class _Conv2d(convolution.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(F.pad(x, (self.reflection,) * 4, "reflect"), self.weight, self.bias)


class _UpsampledConv2d(convolution.UpsampledConv2d):
    def forward(self, x: Tensor) -> Tensor:
        larger = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return self._conv_forward(F.pad(larger, (2,) * 4, "reflect"), self.weight, self.bias)


class _PoolingBlock(PoolingBlock):
    def forward(self, x: Tensor) -> Tensor:
        h = self.second(leaky(F.avg_pool2d(self.first(leaky(x)), 2)))
        return cast(Tensor, (h + F.avg_pool2d(self.shortcut(x), 2)) * HALF)


class _NormBlock(NormBlock):
    def forward(self, x: Tensor) -> Tensor:
        h, shortcut = self.first(leaky(self.norms[0](x))), self.shortcut(x)
        if self.halves:
            h, shortcut = F.avg_pool2d(h, 2), F.avg_pool2d(shortcut, 2)
        return cast(Tensor, (self.second(leaky(self.norms[1](h))) + shortcut) * HALF)


class _AdainBlock(AdainBlock):
    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        h, shortcut = leaky(self.norms[0](x, s)), x
        if self.doubles:
            h, shortcut = (F.interpolate(t, scale_factor=2.0, mode="nearest") for t in (h, shortcut))
        h = self.second(leaky(self.norms[1](self.first(h), s)))
        return cast(Tensor, (h + self.shortcut(shortcut)) * HALF)


class _Trunk(Trunk):
    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for block in self.blocks:
            h = block(h)
        return leaky(self.last(leaky(h))).flatten(1)


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    convolution.Conv2d: _Conv2d,
    convolution.UpsampledConv2d: _UpsampledConv2d,
    blocks.InstanceNorm: nn.InstanceNorm2d,
    blocks.LayerNorm: nn.GroupNorm,
    PoolingBlock: _PoolingBlock,
    NormBlock: _NormBlock,
    AdainBlock: _AdainBlock,
    Trunk: _Trunk,
}
"""Layers of ours that save work or passes over memory -> the same parameters in torch's own operations."""


class PlainRival(ABC):
    """The networks of a translator, copied, with an optimiser for each of its phases' optimisers.

    A method's `..._total` gives the loss of an update on a batch, with a graph to all networks that take part.
    """

    def __init__(self, translator: Trainable, lr: float = 1e-4, betas: tuple[float, float] = (0.5, 0.999)) -> None:
        self.networks: Any = copy.deepcopy(translator)
        self.networks.requires_grad_(True).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        for module in self.networks.modules():
            module.__class__ = PLAIN.get(type(module), type(module))
        self.config: Any = translator.config
        self.phases = {phase.name: phase for phase in self.networks.phases()}
        self.optimizers: dict[str, torch.optim.Adam] = {}

        def adam(wanted: Optimizer) -> torch.optim.Adam:
            rate = lr * wanted.lr_scale
            return torch.optim.Adam(wanted.parameters(), lr=rate, betas=betas, weight_decay=wanted.weight_decay)

        for phase in self.phases.values():
            for wanted in phase.optimizers:
                self.optimizers.setdefault(wanted.name, adam(wanted))

    @abstractmethod
    def tasks(self, batch: Batch) -> dict[str, Task]:
        """The parts of an iteration on this batch, in their order."""

    def update(self, name: str, total: Tensor) -> Tensor:
        """A phase's update by its loss."""
        phase = self.phases[name]
        optimizers = [self.optimizers[wanted.name] for wanted in phase.optimizers]
        for optimizer in optimizers:
            optimizer.zero_grad()
        total.backward()
        if phase.clip is not None:
            nn.utils.clip_grad_norm_(phase.parameters(), phase.clip)
        for optimizer in optimizers:
            optimizer.step()
        return total.detach()


class PlainStargan(PlainRival):
    """D translates for itself, with a graph; real images, translations and the penalty's points are three passes."""

    networks: TrainableStargan

    def tasks(self, batch: Batch) -> dict[str, Task]:
        return {
            "D": (lambda: self.update("D", self.discriminator_total(batch)), 1),
            "G": (lambda: self.update("G", self.generator_total(batch)), self.config.critic_steps),
        }

    def discriminator_total(self, batch: Batch) -> Tensor:
        d, g, w = self.networks.discriminator, self.networks.generator, self.config.weights
        x, own, _, told = _labelled(batch)
        real, logits = d(x)
        translated = g(x, told).detach()
        fake, _ = d(translated)
        points = losses.interpolate_images(x, translated).requires_grad_(True)
        (slope,) = torch.autograd.grad(d(points)[0].sum(), points, create_graph=True)
        penalty = losses.gradient_penalty(slope)
        total = losses.critic_loss(real, fake) + w.gp * penalty + w.cls * losses.classification_loss(logits, own)
        return cast(Tensor, total)

    def generator_total(self, batch: Batch) -> Tensor:
        d, g, w = self.networks.discriminator, self.networks.generator, self.config.weights
        x, own, target, told = _labelled(batch)
        translated = g(x, told)
        scores, logits = d(translated)
        back = g(translated, own.clamp(min=0))
        total = losses.generator_adversarial_loss(scores) + w.cls * losses.classification_loss(logits, target)
        return cast(Tensor, total + w.rec * losses.cycle_loss(back, x))


def _labelled(batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, their labels, their target labels, and what G is told: the target where it is known."""
    x, own = batch.stacked()
    target = torch.cat([batch.y2, batch.y1])
    return x, own, target, torch.where(target >= 0, target, own).clamp(min=0)


class PlainMunit(PlainRival):
    """Each domain and each image on its own; D's update encodes contents and styles, and translates, with a graph."""

    networks: TrainableMunit

    def tasks(self, batch: Batch) -> dict[str, Task]:
        return {
            "D": (lambda: self.update("D", self.discriminator_total(batch)), 1),
            "G": (lambda: self.update("G", self.generator_total(batch)), 1),
        }

    def discriminator_total(self, batch: Batch) -> Tensor:
        g, x = self.networks.generator, (batch.x1, batch.x2)
        drawn = [self.networks.random_for(x[k]) for k in DOMAINS]
        codes = [(g.content(x[k], k), g.style(x[k], k)) for k in DOMAINS]
        fake = [g.decode(codes[1 - k][0], drawn[k], k).detach() for k in DOMAINS]
        ds = self.networks.discriminators
        return _sum(rivals.least_squares_critic(d(x[k]), d(fake[k])) for k, d in enumerate(ds))

    def generator_total(self, batch: Batch) -> Tensor:
        g, x, w = self.networks.generator, (batch.x1, batch.x2), self.config.weights
        drawn = [self.networks.random_for(x[k]) for k in DOMAINS]
        c, s = zip(*((g.content(x[k], k), g.style(x[k], k)) for k in DOMAINS), strict=True)
        own = [g.decode(c[k], s[k], k) for k in DOMAINS]
        fake = [g.decode(c[1 - k], drawn[k], k) for k in DOMAINS]
        c_fake, s_fake = zip(*((g.content(fake[k], k), g.style(fake[k], k)) for k in DOMAINS), strict=True)
        total = _sum(
            w.x * losses.self_reconstruction_loss(own[k], x[k])
            + w.s * rivals.style_loss(s_fake[k], drawn[k])
            + w.c * losses.content_loss(c_fake[k], c[1 - k])
            + rivals.least_squares_adversarial(d(fake[k]))
            for k, d in enumerate(self.networks.discriminators)
        )
        if w.cyc:
            back = [g.decode(c_fake[1 - k], s[k], k) for k in DOMAINS]
            total = total + w.cyc * _sum(losses.cycle_loss(back[k], x[k]) for k in DOMAINS)
        return total


class PlainDrit(PlainRival):
    """One pass through everything serves the discriminators and EG; another one after EG's update serves G.

    A pass decodes each domain's translation, self reconstruction and random translations as one batch, and goes back
    to the images and to the random styles, whatever is then asked of it.  In the iterations between, the content
    discriminator's update encodes contents on its own.
    """

    networks: TrainableDrit

    def tasks(self, batch: Batch) -> dict[str, Task]:
        every = self.config.content_steps
        full: dict[str, Task] = {"D, D_content, EG, G": (lambda: self.full_step(batch), every)}
        if every == 1:
            return full
        return {"D_content": (lambda: self.content_step(batch), every / (every - 1))} | full

    def content_step(self, batch: Batch) -> Tensor:
        return self.update("D_content", self.content_total(self.contents(self.halves(batch)[0])))

    def full_step(self, batch: Batch) -> Tensor:
        """Each discriminator has an optimiser of its own, as published; that sums to the same update."""
        found = self.forward(batch)
        self.update("D", self.discriminator_total(batch, found))
        self.update("D_content", self.content_total([c.detach() for c in found["c"]]))
        self.update("EG", self.encoder_total(batch, found))
        return self.update("G", self.random_total(self.forward(batch)))

    def halves(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        count = max(1, len(batch.x1) // 2)
        return [t[:count] for t in (batch.x1, batch.x2)], [t[-count:] for t in (batch.x1, batch.x2)]

    def contents(self, x: list[Tensor]) -> list[Tensor]:
        return [self.networks.generator.content(x[k], k) for k in DOMAINS]

    def forward(self, batch: Batch) -> dict[str, list[Any]]:
        """All codes and images of a pass, by what they are: a list over the domains each."""
        net, g = self.networks, self.networks.generator
        x, _ = self.halves(batch)
        c = self.contents(x)
        found = [g.style_distribution(x[k], k) for k in DOMAINS]
        s = [net._draw(*distribution) for distribution in found]
        z = [net.random_for(x[0]) for _ in range(2 if self.config.weights.mode_seeking else 1)]
        decoded = [
            g.decode(torch.cat([c[1 - k], c[k], *[c[1 - k]] * len(z)]), torch.cat([s[k], s[k], *z]), k).chunk(
                2 + len(z)
            )
            for k in DOMAINS
        ]
        fake, own = ([images[i] for images in decoded] for i in range(2))
        c_fake = self.contents(fake)
        s_fake = [net._draw(*g.style_distribution(fake[k], k)) for k in DOMAINS]
        cycled = [g.decode(c_fake[1 - k], s_fake[k], k) for k in DOMAINS]
        latent = [g.style(decoded[k][2], k) for k in DOMAINS]
        drawn = [images[2:] for images in decoded]
        codes: dict[str, list[Any]] = {"c": c, "style": found, "z": z, "latent": latent}
        return codes | {"fake": fake, "own": own, "random": drawn, "cycled": cycled}

    def discriminator_total(self, batch: Batch, found: Mapping[str, list[Any]]) -> Tensor:
        x, other = self.halves(batch)
        encoded, random = self.networks.encoded_discriminators, self.networks.random_discriminators
        total = _sum(rivals.sigmoid_critic(encoded[k](x[k]), encoded[k](found["fake"][k].detach())) for k in DOMAINS)
        for k in DOMAINS:
            for image in found["random"][k]:
                total = total + rivals.sigmoid_critic(random[k](other[k]), random[k](image.detach()))
        return total

    def content_total(self, c: list[Tensor]) -> Tensor:
        content = self.networks.content_discriminator
        return rivals.sigmoid_critic([content(c[1].detach())], [content(c[0].detach())])

    def encoder_total(self, batch: Batch, found: Mapping[str, list[Any]]) -> Tensor:
        x, _ = self.halves(batch)
        encoded, content, w = (
            self.networks.encoded_discriminators,
            self.networks.content_discriminator,
            self.config.weights,
        )
        total = torch.zeros((), dtype=x[0].dtype, device=x[0].device)
        for k in DOMAINS:
            mean, log_var = found["style"][k]
            prior = rivals.small_codes(mean) if log_var is None else rivals.kl_to_normal(mean, log_var)
            total = (
                total
                + rivals.sigmoid_adversarial(encoded[k](found["fake"][k]))
                + w.content * rivals.content_confusion(content(found["c"][k]))
                + w.x * losses.cycle_loss(found["cycled"][k], x[k])
                + w.x * losses.self_reconstruction_loss(found["own"][k], x[k])
                + w.kl * prior
                + w.c * rivals.small_codes(found["c"][k])
            )
        return total

    def random_total(self, found: Mapping[str, list[Any]]) -> Tensor:
        random, z, w = self.networks.random_discriminators, found["z"], self.config.weights
        total = _sum(rivals.sigmoid_adversarial(random[k](image)) for k in DOMAINS for image in found["random"][k])
        total = total + w.latent * _sum(rivals.style_loss(found["latent"][k], z[0]) for k in DOMAINS)
        if len(z) == 2:
            seeking = (rivals.mode_seeking(found["random"][k], (z[0], z[1])) for k in DOMAINS)
            total = total + w.mode_seeking * _sum(seeking)
        return total


class PlainStarganV2(PlainRival):
    """R1 by a gradient of a gradient; every translation encodes its image; real images go through D in each update."""

    networks: TrainableStarganV2

    def tasks(self, batch: Batch) -> dict[str, Task]:
        return {
            "D": (lambda: self.update("D", self.discriminator_total(batch, False)), 1),
            "D_ref": (lambda: self.update("D_ref", self.discriminator_total(batch, True)), 1),
            "G": (lambda: self.update("G", self.generator_total(batch, False)), 1),
            "G_ref": (lambda: self.update("G_ref", self.generator_total(batch, True)), 1),
        }

    def translated(self, x: Tensor, s: Tensor) -> Tensor:
        return self.networks.generator.decode(self.networks.generator.content(x), s)

    def discriminator_total(self, batch: Batch, by_reference: bool) -> Tensor:
        d, g = self.networks.discriminator, self.networks.generator
        own, target = domain_of(batch.y1), domain_of(batch.y2)
        x = batch.x1.detach().clone().requires_grad_(True)
        real = d(x, own)
        (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        with torch.no_grad():
            s = g.style_encoder(batch.x2, target) if by_reference else g.mapping(batch.extra["z1"], target)
            fake = self.translated(x, s)
        adv = rivals.sigmoid_critic([real], [d(fake, target)])
        return cast(Tensor, adv + self.config.weights.r1 * rivals.r1_penalty(slope))

    def generator_total(self, batch: Batch, by_reference: bool) -> Tensor:
        d, g, w, x = self.networks.discriminator, self.networks.generator, self.config.weights, batch.x1
        own, target = domain_of(batch.y1), domain_of(batch.y2)
        if by_reference:
            s, s_2 = (g.style_encoder(image, target) for image in (batch.x2, batch.extra["x3"]))
        else:
            s, s_2 = (g.mapping(batch.extra[name], target) for name in ("z1", "z2"))
        fake = self.translated(x, s)
        adv = rivals.sigmoid_adversarial([d(fake, target)])
        style = rivals.style_loss(g.style_encoder(fake, target), s)
        diversity = rivals.style_diversity(fake, self.translated(x, s_2))
        cycle = losses.cycle_loss(self.translated(fake, g.style_encoder(x, own)), x)
        total = adv + w.sty * style - batch.extra["lambda_ds"].mean() * diversity + w.cyc * cycle
        return cast(Tensor, total)


def _sum(terms: Any) -> Tensor:
    return torch.stack(list(terms)).sum()


METHODS: dict[str, type[PlainRival]] = {
    "stargan": PlainStargan,
    "munit": PlainMunit,
    "drit": PlainDrit,
    "starganv2": PlainStarganV2,
}
