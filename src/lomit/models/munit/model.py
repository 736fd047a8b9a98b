"""MUNIT: an auto-encoder of content and style for each domain (Huang et al., ECCV 2018, arXiv 1804.04732)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lomit.losses import lomit as losses
from lomit.losses import rivals
from lomit.models.base import Batch, Objective, Phase, Terms, detached
from lomit.models.domains import DOMAINS, TwoDomainGenerator, TwoDomainTrainable, TwoDomainTranslator
from lomit.models.munit.config import MunitConfig
from lomit.nn.blocks import ConvBlock, at_least_float32, he_init, normal_init, plain_instance_norm
from lomit.nn.discriminators import MultiScaleDiscriminator, discriminator_scales, mean_score
from lomit.nn.encoders import ContentEncoder, Decoder, StyleEncoder, mlp

WEIGHT_DECAY = 1e-4
"""Of both optimisers (the authors' configs)."""


class _AdainResidualBlock(nn.Module):
    """x + adain(conv(relu(adain(conv(x))))) with parameters that come from outside."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.normalised = nn.ModuleList(
            ConvBlock(channels, channels, 3, padding=1, norm=plain_instance_norm) for _ in range(2)
        )

    def forward(self, x: Tensor, beta: Tensor, gamma: Tensor) -> Tensor:
        """x: B x C x h x w; beta, gamma: B x 2 x C."""
        first, second = self.normalised
        shape = (*beta.shape, 1, 1)
        b, g = beta.view(shape).to(x.dtype), gamma.view(shape).to(x.dtype)
        h = torch.relu(g[:, 0] * first(x) + b[:, 0])
        return x + g[:, 1] * second(h) + b[:, 1]


class _AutoEncoder(nn.Module):
    """Content encoder, style encoder and decoder of one domain."""

    def __init__(self, config: MunitConfig) -> None:
        super().__init__()
        w, channels, blocks = config.width, 4 * config.width, config.res_blocks
        self.content = ContentEncoder(w, blocks, plain_instance_norm)
        self.style = StyleEncoder(w, config.style_dim)
        self.mlp = nn.Sequential(*mlp(config.style_dim, config.mlp_width, config.mlp_width, blocks * 2 * 2 * channels))
        self.blocks = nn.ModuleList(_AdainResidualBlock(channels) for _ in range(blocks))
        self.upsampling = Decoder(w, res_blocks=0)
        he_init(self)
        for module in self.upsampling.modules():
            if isinstance(module, nn.GroupNorm):
                nn.init.uniform_(module.weight)  # as the authors' layer norm starts

    def decode(self, c: Tensor, s: Tensor) -> Tensor:
        """B x C x h x w, B x S -> B x 3 x 4h x 4w in [-1, 1]."""
        parameters = at_least_float32(self.mlp(s)).view(len(s), len(self.blocks), 2, 2, -1)
        for k, block in enumerate(self.blocks):
            c = block(c, parameters[:, k, :, 0], parameters[:, k, :, 1])
        return at_least_float32(self.upsampling(c))


class MunitGenerator(TwoDomainGenerator):
    """Two auto-encoders without a shared weight; x_{1->2} = G_2(E_1^c(x_1), s_2)."""

    def __init__(self, config: MunitConfig) -> None:
        super().__init__()
        self.domains = nn.ModuleList(_AutoEncoder(config) for _ in DOMAINS)

    def content(self, x: Tensor, domain: int) -> Tensor:
        return self.domains[domain].content(x)  # type: ignore[operator, union-attr]

    def style(self, x: Tensor, domain: int) -> Tensor:
        return self.domains[domain].style(x)  # type: ignore[operator, union-attr]

    def decode(self, c: Tensor, s: Tensor, domain: int) -> Tensor:
        return self.domains[domain].decode(c, s)  # type: ignore[operator, union-attr]


class Munit(TwoDomainTranslator):
    """Exemplar-guided and random translation between two domains; `image_size` of the config must be filled."""

    config: MunitConfig
    generator: MunitGenerator

    def __init__(self, config: MunitConfig) -> None:
        super().__init__()
        self.config, self.style_dim = config, config.style_dim
        self.generator = MunitGenerator(config)


class TrainableMunit(Munit, TwoDomainTrainable):
    """MUNIT with its discriminators, one for each domain."""

    def __init__(self, config: MunitConfig) -> None:
        super().__init__(config)
        scales = discriminator_scales(config.image_size)
        self.discriminators = nn.ModuleList(MultiScaleDiscriminator(config.d_width, scales, slope=0.2) for _ in DOMAINS)
        normal_init(self.discriminators)

    def phases(self) -> Sequence[Phase]:
        """Both discriminators, then both auto-encoders, in every iteration."""
        return (
            Phase("D", self.discriminator_loss, [self.discriminators], weight_decay=WEIGHT_DECAY),
            Phase("G", self.generator_loss, [self.generator], weight_decay=WEIGHT_DECAY, ahead=self.contents),
        )

    def contents(self, batch: Batch) -> dict[str, Tensor]:
        """`c1` and `c2`: the images' content codes, which both updates of an iteration share."""
        return {"c1": self.generator.content(batch.x1, 0), "c2": self.generator.content(batch.x2, 1)}

    def discriminator_loss(self, batch: Batch) -> Objective:
        """LSGAN of both domains on translations with random styles, which carry no graph (Section 3.2)."""
        g, x = self.generator, (batch.x1, batch.x2)
        terms: Terms = {}
        real, fake = [], []
        with torch.no_grad():
            c = list(batch.shared(self.contents).values())
        for domain, d in zip(DOMAINS, self.discriminators, strict=True):
            with torch.no_grad():
                translated = g.decode(c[1 - domain], self.random_for(x[domain]), domain)
            real.append(d(x[domain]))
            fake.append(d(translated))
            terms[f"adv_{domain + 1}"] = rivals.least_squares_critic(real[-1], fake[-1])
        total = torch.stack(list(terms.values())).sum()
        terms |= {"real": mean_score(*real), "fake": mean_score(*fake)}
        return total, detached(terms)

    def generator_loss(self, batch: Batch) -> Objective:
        """The full objective of Section 3.2 and the style-augmented cycle, both directions summed."""
        g, x, w = self.generator, (batch.x1, batch.x2), self.config.weights
        c = list(batch.shared(self.contents).values())
        s = [g.style(x[k], k) for k in DOMAINS]
        parts: list[Terms] = []
        for domain, d in zip(DOMAINS, self.discriminators, strict=True):
            other = 1 - domain
            drawn = self.random_for(x[domain])
            both = g.decode(torch.cat([c[domain], c[other]]), torch.cat([s[domain], drawn]), domain)
            own, fake = both.chunk(2)
            c_fake, s_fake = g.content(fake, domain), g.style(fake, domain)
            part = {
                "adv": rivals.least_squares_adversarial(d(fake)),
                "x": losses.self_reconstruction_loss(own, x[domain]),
                "s": rivals.style_loss(s_fake, drawn),
                "c": losses.content_loss(at_least_float32(c_fake), at_least_float32(c[other])),
            }
            if w.cyc:
                part["cyc"] = losses.cycle_loss(g.decode(c_fake, s[other], other), x[other])
            parts.append(part)
        terms = {name: parts[0][name] + parts[1][name] for name in parts[0]}
        weights = {"adv": 1.0, "x": w.x, "s": w.s, "c": w.c, "cyc": w.cyc}
        return losses.weighted_sum(terms, weights), detached(terms)

    @torch.no_grad()
    def score(self, batch: Batch) -> dict[str, Tensor]:
        """Terms of unseen images, and what D makes of these; the score weighs their reconstructions, as for LOMIT."""
        _, terms = self.generator_loss(batch)
        del terms["adv"]
        seen = zip(self.discriminators, (batch.x1, batch.x2), strict=True)
        terms["real"] = mean_score(*(d(x) for d, x in seen))
        score = self.config.weights.x * terms["x"] + self.config.weights.cyc * terms.get("cyc", torch.zeros(()))
        return terms | {"score": score}
