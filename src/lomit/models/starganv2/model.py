"""StarGAN v2 as a translator (Choi et al., CVPR 2020, arXiv 1912.01865)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lomit.errors import LomitError
from lomit.losses import lomit as losses
from lomit.losses import rivals
from lomit.models.base import (
    Batch,
    Guide,
    Objective,
    Optimizer,
    PerAttribute,
    Phase,
    Terms,
    Trainable,
    Translation,
    Translator,
    detached,
)
from lomit.models.starganv2.config import StarganV2Config
from lomit.models.starganv2.domains import EXCLUSIVE, DomainTriples, domain_of, domain_of_checked
from lomit.models.starganv2.networks import StarganV2Discriminator, StarganV2Generator

WEIGHT_DECAY = 1e-4
"""Of all optimisers."""
LATENTS = 256
"""Latent codes behind a domain's mean style."""


class StarganV2(Translator):
    """Translation between several domains, by an exemplar, a latent code or the target domain alone.

    The domain of the input is not asked for.  `attributes` and `image_size` of the config must be filled.
    """

    config: StarganV2Config
    generator: StarganV2Generator
    guides = frozenset({"exemplar", "label", "random"})
    domains = EXCLUSIVE

    def __init__(self, config: StarganV2Config) -> None:
        super().__init__()
        if not config.attributes:
            raise LomitError("model.attributes is empty: StarGAN v2 needs at least one attribute to make domains of")
        self.config = config
        self.generator = StarganV2Generator(config)

    def translate(self, x: Tensor, guide: Guide) -> Translation:
        """G(x, s), cut to [-1, 1].

        The label names the target domain, which is the exemplar's own; without one, a model of one attribute
        translates to the images that have it.  The style is E_y(exemplar), or F_y(z) for z = `guide.style`, or else the
        domain's mean style.
        """
        if guide.masks is not None:
            raise LomitError("StarGAN v2 has no masks; leave out the masks you gave")
        if guide.exemplar is not None and guide.style is not None:
            raise LomitError("StarGAN v2 takes its style from an exemplar image or a random style; give one of them")
        target, g = self._target(x, guide.label), self.generator
        if guide.exemplar is not None:
            s = g.style_encoder(guide.exemplar, target)
        elif guide.style is not None:
            s = g.mapping(guide.style, target)
        else:
            s = self.mean_styles(x)[target]
        return Translation(g.decode(g.content(x), s).clamp(-1, 1))

    def _target(self, x: Tensor, label: Tensor | None) -> Tensor:
        names = self.config.attributes
        if label is not None:
            return domain_of_checked(label, names)
        if len(names) > 1:
            raise LomitError(f"StarGAN v2 has to be told the target domain: give a label, e.g. {names[0]}=1")
        return torch.ones(len(x), dtype=torch.long, device=x.device)

    def random_styles(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Latent codes z ~ N(0, 1), count x L; F makes them styles of the target domain."""
        return torch.randn(count, self.config.latent_dim, generator=generator)

    def mean_styles(self, x: Tensor) -> Tensor:
        """The mean of F_y(z) over the same latent codes for every domain, K x S, where x is."""
        z = self.random_styles(LATENTS, torch.Generator().manual_seed(0)).to(x)
        return torch.stack([s.mean(0) for s in self.generator.mapping.of_every_domain(z)])


class TrainableStarganV2(StarganV2, Trainable):
    """StarGAN v2 with its discriminator and its losses.

    A batch holds sources x1 and two references of a target domain, x2 and x3.  An iteration has four updates: D by
    styles from latent codes (D) and from references (D_ref); then G, F and E by latent codes (G), and G alone by
    references (G_ref).  Both halves of a network share its Adam.
    """

    sampler = DomainTriples

    def __init__(self, config: StarganV2Config) -> None:
        super().__init__(config)
        self.discriminator = StarganV2Discriminator(config)

    @property
    def per_attribute(self) -> Mapping[str, PerAttribute | None]:
        """F's branches, the heads of E and D."""
        return {
            "generator.mapping.branches.{}.": None,
            "generator.style_encoder.heads.": PerAttribute(each=self.config.style_dim),
            "discriminator.heads.": PerAttribute(),
        }

    def phases(self) -> Sequence[Phase]:
        """D twice, then G twice; the moving average follows once an iteration."""
        g = self.generator

        def adam(name: str, *modules: torch.nn.Module, lr_scale: float = 1.0) -> Optimizer:
            return Optimizer(name, modules, lr_scale, WEIGHT_DECAY)

        image, style = adam("G", *g.image_parts()), adam("E", g.style_encoder)
        mapping, d = adam("F", g.mapping, lr_scale=self.config.mapping_lr), adam("D", self.discriminator)
        return (
            Phase("D", self.discriminator_latent, [d]),
            Phase("D_ref", self.discriminator_reference, [d]),
            Phase("G", self.generator_latent, [image, mapping, style], averaged=False, ahead=self.translations),
            Phase("G_ref", self.generator_reference, [image]),
        )

    def extra(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Latent codes z1 and z2, B x L, which phases D and G share; lambda_ds, B, of this iteration."""
        like, count = batch.x1, len(batch.x1)
        shape = (count, self.config.latent_dim)
        codes = {name: torch.randn(shape, device=like.device, dtype=like.dtype) for name in ("z1", "z2")}
        weight = self.config.weights.ds * max(0.0, 1 - step / self.config.ds_steps)
        return codes | {"lambda_ds": torch.full((count,), weight, device=like.device, dtype=like.dtype)}

    def translations(self, batch: Batch) -> dict[str, Tensor]:
        """`c`, `s`, `fake`: the inputs' contents, styles F_y(z1) and the translations that they make.

        Up to G's first update D's two and that one share them.
        """
        c, s = self.generator.content(batch.x1), self.generator.mapping(batch.extra["z1"], domain_of(batch.y2))
        return {"c": c, "s": s, "fake": self.generator.decode(c, s)}

    def discriminator_latent(self, batch: Batch) -> Objective:
        """Eq. 1 for styles F_y(z), with R1 at the real images."""
        with torch.no_grad():
            fake = batch.shared(self.translations)["fake"]
        return self._discriminator_loss(batch, fake)

    def discriminator_reference(self, batch: Batch) -> Objective:
        """The same for styles E_y(x2)."""
        g = self.generator
        with torch.no_grad():
            c = batch.ahead["c"] if batch.ahead else g.content(batch.x1)
            fake = g.decode(c, g.style_encoder(batch.x2, domain_of(batch.y2)))
        return self._discriminator_loss(batch, fake)

    def generator_latent(self, batch: Batch) -> Objective:
        """Eq. 5 for styles F_y(z1) and F_y(z2), of G, F and E."""
        found = batch.shared(self.translations)
        with torch.no_grad():
            s_2 = self.generator.mapping(batch.extra["z2"], domain_of(batch.y2))
        return self._generator_loss(batch, self._terms(batch, found, s_2, None))

    def generator_reference(self, batch: Batch) -> Objective:
        """Eq. 5 for styles E_y(x2) and E_y(x3), of G alone."""
        return self._generator_loss(batch, self._reference_terms(batch))

    def _discriminator_loss(self, batch: Batch, translated: Tensor) -> Objective:
        d = self.discriminator
        real, slope = d.with_slope(batch.x1, domain_of(batch.y1))
        fake = d(translated, domain_of(batch.y2))
        terms = {"adv": rivals.sigmoid_critic([real], [fake]), "r1": rivals.r1_penalty(slope)}
        total = losses.weighted_sum(terms, {"adv": 1.0, "r1": self.config.weights.r1})
        terms |= {"real": real.mean(), "fake": fake.mean()}
        return total, detached(terms)

    def _reference_terms(self, batch: Batch) -> Terms:
        """The terms of Eq. 5 by references.  E is not trained by them: its codes carry no graph."""
        target = domain_of(batch.y2)
        with torch.no_grad():
            images = torch.cat([batch.x2, batch.extra["x3"], batch.x1])
            s, s_2, s_own = self.generator.style_encoder(
                images, torch.cat([target, target, domain_of(batch.y1)])
            ).chunk(3)  # fmt: skip
        c = self.generator.content(batch.x1)
        found = {"c": c, "s": s, "fake": self.generator.decode(c, s)}
        return self._terms(batch, found, s_2, s_own)

    def _terms(self, batch: Batch, found: Mapping[str, Tensor], s_2: Tensor, s_own: Tensor | None) -> Terms:
        """The terms of Eq. 5 for translations `fake` of the contents c to the domains of x2 with the styles s.

        `s_2` are the styles of other translations, which carry no graph and only serve to differ from these.  `s_own`
        are the inputs' own; where they are None, E finds them in the same pass as those of the translations.
        """
        g, x, target = self.generator, batch.x1, domain_of(batch.y2)
        c, s, fake = (found[name] for name in ("c", "s", "fake"))
        if s_own is None:
            domains = torch.cat([target, domain_of(batch.y1)])
            s_fake, s_own = g.style_encoder(torch.cat([fake, x]), domains).chunk(2)
        else:
            s_fake = g.style_encoder(fake, target)
        with torch.no_grad():
            other = g.decode(c, s_2)
        return {
            "adv": rivals.sigmoid_adversarial([self.discriminator(fake, target)]),
            "sty": rivals.style_loss(s_fake, s),
            "ds": rivals.style_diversity(fake, other),
            "cyc": losses.cycle_loss(g.decode(g.content(fake), s_own), x),
        }

    def _generator_loss(self, batch: Batch, terms: Terms) -> Objective:
        """Eq. 5: L_adv + lambda_sty L_sty - lambda_ds L_ds + lambda_cyc L_cyc."""
        w = self.config.weights
        total = losses.weighted_sum(terms, {"adv": 1.0, "sty": w.sty, "cyc": w.cyc})
        total = total - batch.extra["lambda_ds"].mean() * terms["ds"]
        return total, detached(terms)

    @torch.no_grad()
    def sample(self, batch: Batch) -> dict[str, Tensor]:
        """By the exemplar, by a latent code, by the mean style; the way back, and the input by its own style."""
        g, x, own, target = self.generator, batch.x1, domain_of(batch.y1), domain_of(batch.y2)
        z = self.random_styles(len(x), torch.Generator().manual_seed(0)).to(x)
        c, s_own = g.content(x), g.style_encoder(x, own)
        result = g.decode(c, g.style_encoder(batch.x2, target))
        columns = {
            "result": result,
            "random": g.decode(c, g.mapping(z, target)),
            "mean": g.decode(c, self.mean_styles(x)[target]),
            "cycle": g.decode(g.content(result), s_own),
            "self": g.decode(c, s_own),
        }
        return {"input": x, "exemplar": batch.x2} | {name: image.clamp(-1, 1) for name, image in columns.items()}

    @torch.no_grad()
    def score(self, batch: Batch) -> dict[str, Tensor]:
        """Terms of unseen images by references, and what D makes of these; the score is lambda_cyc L_cyc."""
        terms = self._reference_terms(batch)
        del terms["adv"]
        terms["real"] = self.discriminator(batch.x1, domain_of(batch.y1)).mean()
        return terms | {"score": self.config.weights.cyc * terms["cyc"]}
