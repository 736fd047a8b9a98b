"""DRIT as a translator: its four training phases (Lee et al., ECCV 2018, arXiv 1808.00948, Section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lomit.losses import lomit as losses
from lomit.losses import rivals
from lomit.models.base import Batch, Objective, Phase, Terms, detached
from lomit.models.domains import DOMAINS, TwoDomainTrainable, TwoDomainTranslator
from lomit.models.drit.config import DritConfig
from lomit.models.drit.networks import ContentDiscriminator, DritGenerator, init_convolutions
from lomit.nn.blocks import at_least_float32
from lomit.nn.discriminators import MultiScaleDiscriminator, discriminator_scales, mean_score

WEIGHT_DECAY = 1e-4
CONTENT_LR_SCALE = 0.4
"""The content discriminator learns at 4e-5 where everything else does at 1e-4."""
CONTENT_CLIP = 5.0
"""Largest norm of the content discriminator's gradient."""
Pair = list[Tensor]
"""One tensor for each domain."""


class Drit(TwoDomainTranslator):
    """Exemplar-guided and random translation between two domains with a shared content space."""

    config: DritConfig
    generator: DritGenerator

    def __init__(self, config: DritConfig) -> None:
        super().__init__()
        self.config, self.style_dim = config, config.style_dim
        self.generator = DritGenerator(config)


class TrainableDrit(Drit, TwoDomainTrainable):
    """DRIT with its discriminators: of translations by encoded and by random styles, and of contents.

    Of a batch the first half of each domain's images is encoded; the second half are the real images that
    translations with random styles are told from, by discriminators of their own.
    """

    def __init__(self, config: DritConfig) -> None:
        super().__init__(config)
        scales = discriminator_scales(config.image_size)
        self.encoded_discriminators, self.random_discriminators = (
            nn.ModuleList(MultiScaleDiscriminator(config.d_width, scales, slope=0.01) for _ in DOMAINS)
            for _ in range(2)
        )
        self.content_discriminator = ContentDiscriminator(4 * config.width, config.image_size)
        for module in (self.encoded_discriminators, self.random_discriminators, self.content_discriminator):
            init_convolutions(module)

    def phases(self) -> Sequence[Phase]:
        """The content discriminator in every iteration, everything else in every `content_steps`-th.

        The generator is updated twice: all of it (EG), then all but its style encoders (G), which must not learn to
        hide a random style that the decoder is to show.
        """
        encoded, random = self.encoded_discriminators, self.random_discriminators
        every = self.config.content_steps
        g = self.generator
        return (
            Phase("D", self.discriminator_loss, [encoded, random], every, weight_decay=WEIGHT_DECAY),
            Phase(
                "D_content", self.content_discriminator_loss, [self.content_discriminator],
                lr_scale=CONTENT_LR_SCALE, weight_decay=WEIGHT_DECAY, clip=CONTENT_CLIP,
            ),
            Phase("EG", self.encoder_loss, [g], every, weight_decay=WEIGHT_DECAY),
            Phase("G", self.random_loss, g.without_style_encoders(), every, weight_decay=WEIGHT_DECAY),
        )  # fmt: skip

    def discriminator_loss(self, batch: Batch) -> Objective:
        """L_adv^domain of both domains, for translations by the other image's style and by random styles."""
        encoded, random = self.encoded_discriminators, self.random_discriminators
        x, other_half = _halves(batch)
        with torch.no_grad():
            c = self._contents(x)
            by_exemplar = self._translations(c, [self._draw(*self._distribution(x, k)) for k in DOMAINS])
            by_random = [self._translations(c, [z, z]) for z in self._random_codes(x[0])]
        terms: Terms = {}
        real, fake = ([encoded[k](images[k]) for k in DOMAINS] for images in (x, by_exemplar))
        for k in DOMAINS:
            terms[f"adv_{k + 1}"] = rivals.sigmoid_critic(real[k], fake[k])
            each = [rivals.sigmoid_critic(random[k](other_half[k]), random[k](fakes[k])) for fakes in by_random]
            terms[f"random_{k + 1}"] = torch.stack(each).sum()
        total = torch.stack(list(terms.values())).sum()
        return total, detached(terms) | {"real": mean_score(*real), "fake": mean_score(*fake)}

    def content_discriminator_loss(self, batch: Batch) -> Objective:
        """L_adv^content: contents of domain 1 are called 1, those of domain 0 are called 0."""
        content = self.content_discriminator
        x, _ = _halves(batch)
        with torch.no_grad():
            c = self._contents(x)
        total = rivals.sigmoid_critic([content(c[1])], [content(c[0])])
        return total, {}

    def encoder_loss(self, batch: Batch) -> Objective:
        """Everything that encoded images take part in (the paper's full objective without the latent regression)."""
        encoded, content = self.encoded_discriminators, self.content_discriminator
        w = self.config.weights
        x, _ = _halves(batch)
        c = self._contents(x)
        means, log_vars = zip(*(self._distribution(x, k) for k in DOMAINS), strict=True)
        s = [self._draw(*distribution) for distribution in zip(means, log_vars, strict=True)]
        fake = self._translations(c, s)
        own = [self.generator.decode(c[k], s[k], k) for k in DOMAINS]
        # And back: each translation's content and the style found in the other one.
        c_fake = self._contents(fake)
        s_fake = [self._draw(*self._distribution(fake, k)) for k in DOMAINS]
        cycled = self._translations(c_fake, s_fake)
        terms = _sums(
            adv=[rivals.sigmoid_adversarial(encoded[k](fake[k])) for k in DOMAINS],
            content=[rivals.content_confusion(content(c[k])) for k in DOMAINS],
            cyc=[losses.cycle_loss(cycled[k], x[k]) for k in DOMAINS],
            x=[losses.self_reconstruction_loss(own[k], x[k]) for k in DOMAINS],
            kl=[_style_prior(*distribution) for distribution in zip(means, log_vars, strict=True)],
            c=[rivals.small_codes(at_least_float32(c[k])) for k in DOMAINS],
        )
        weights = {"adv": 1.0, "content": w.content, "cyc": w.x, "x": w.x, "kl": w.kl, "c": w.c}
        return losses.weighted_sum(terms, weights), detached(terms)

    def random_loss(self, batch: Batch) -> Objective:
        """Translations with random styles: adversarial, latent regression and, as an option, mode seeking."""
        random = self.random_discriminators
        w = self.config.weights
        x, _ = _halves(batch)
        c = self._contents(x)
        codes = self._random_codes(x[0])
        fakes = [self._translations(c, [z, z]) for z in codes]
        found = [self.generator.style(fakes[0][k], k) for k in DOMAINS]
        terms = _sums(
            adv=[rivals.sigmoid_adversarial(random[k](fake[k])) for fake in fakes for k in DOMAINS],
            latent=[rivals.style_loss(found[k], codes[0]) for k in DOMAINS],
        )
        if len(codes) == 2:
            one, two = fakes
            seeking = [rivals.mode_seeking((one[k], two[k]), (codes[0], codes[1])) for k in DOMAINS]
            terms |= _sums(mode_seeking=seeking)
        weights = {"adv": 1.0, "latent": w.latent, "mode_seeking": w.mode_seeking}
        return losses.weighted_sum(terms, weights), detached(terms)

    @torch.no_grad()
    def score(self, batch: Batch) -> dict[str, Tensor]:
        """Terms of unseen images, and what D makes of these; the score weighs their reconstructions, as for LOMIT."""
        encoded = self.encoded_discriminators
        whole = batch.map(lambda t: torch.cat([t, t]))  # both halves: all images are encoded
        _, terms = self.encoder_loss(whole)
        kept = {name: terms[name] for name in ("cyc", "x", "kl", "c")}
        kept["real"] = mean_score(encoded[0](batch.x1), encoded[1](batch.x2))
        return kept | {"score": self.config.weights.x * (terms["cyc"] + terms["x"])}

    def _contents(self, x: Pair) -> Pair:
        return [self.generator.content(x[k], k) for k in DOMAINS]

    def _distribution(self, x: Pair, domain: int) -> tuple[Tensor, Tensor | None]:
        return self.generator.style_distribution(x[domain], domain)

    def _translations(self, c: Pair, s: Pair) -> Pair:
        """Into each domain: the other domain's content with this one's style."""
        return [self.generator.decode(c[1 - k], s[k], k) for k in DOMAINS]

    def _draw(self, mean: Tensor, log_var: Tensor | None) -> Tensor:
        """A code from its distribution in training, the mean in use and in feature-wise mode."""
        if log_var is None or not self.training:
            return mean
        return mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)

    def _random_codes(self, like: Tensor) -> Pair:
        """One random style for each encoded image, the same for both directions; two for mode seeking."""
        count = 2 if self.config.weights.mode_seeking else 1
        return [self.random_for(like) for _ in range(count)]


def _halves(batch: Batch) -> tuple[Pair, Pair]:
    """Of each domain the images to encode and the real images for random translations; one image is both."""
    count = max(1, len(batch.x1) // 2)
    x = (batch.x1, batch.x2)
    return [t[:count] for t in x], [t[-count:] for t in x]


def _style_prior(mean: Tensor, log_var: Tensor | None) -> Tensor:
    """L_KL of a variational code, the mean square of a plain one."""
    return rivals.small_codes(mean) if log_var is None else rivals.kl_to_normal(mean, log_var)


def _sums(**parts: Sequence[Tensor]) -> Terms:
    return {name: torch.stack(list(part)).sum() for name, part in parts.items()}
