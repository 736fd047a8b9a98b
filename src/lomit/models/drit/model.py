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
Pair = list[Tensor] | tuple[Tensor, ...]
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
            Phase("EG", self.encoder_loss, [g], every, weight_decay=WEIGHT_DECAY, ahead=self.translations),
            Phase("G", self.random_loss, g.without_style_encoders(), every, weight_decay=WEIGHT_DECAY),
        )  # fmt: skip

    def translations(self, batch: Batch) -> dict[str, Tensor]:
        """What the encoded images of a batch become, which all updates up to EG's share; each stacks both domains.

        `c`: contents.  `p`: these after what the decoders share.  `mean`, `log_var` (not in feature-wise mode), `s`:
        style distributions and what is drawn from them.  `own`, `fake`: images by a domain's style, with its own
        content and with the other's.
        """
        x, _ = _halves(batch)
        g = self.generator
        c = g.contents(x)
        p, styles = g.shared_part(c), self._styles(x)
        pair, s = p.chunk(2), styles["s"].chunk(2)
        made = [g.decode_shared(torch.cat([pair[k], pair[1 - k]]), s[k].repeat(2, 1), k).chunk(2) for k in DOMAINS]
        own, fake = (torch.cat(images) for images in zip(*made, strict=True))
        return {"c": c, "p": p, "own": own, "fake": fake} | styles

    def discriminator_loss(self, batch: Batch) -> Objective:
        """L_adv^domain of both domains, for translations by the other image's style and by random styles."""
        encoded, random = self.encoded_discriminators, self.random_discriminators
        x, other_half = _halves(batch)
        with torch.no_grad():
            if batch.ahead:
                p, by_exemplar = batch.ahead["p"], list(batch.ahead["fake"].chunk(2))
            else:
                p = self.generator.shared_part(self.generator.contents(x))
                by_exemplar = self._translations(p, self._styles(x)["s"].chunk(2))
            by_random = self._by_codes(p, self._random_codes(x[0]))
        terms: Terms = {}
        seen = [torch.cat([x[k], by_exemplar[k]]) for k in DOMAINS]
        real, fake = zip(*(_split(encoded[k](seen[k]), len(x[k])) for k in DOMAINS), strict=True)
        for k in DOMAINS:
            terms[f"adv_{k + 1}"] = rivals.sigmoid_critic(real[k], fake[k])
            count = len(other_half[k])
            true, *made = _split(random[k](torch.cat([other_half[k], *by_random[k]])), count)
            terms[f"random_{k + 1}"] = torch.stack([rivals.sigmoid_critic(true, scores) for scores in made]).sum()
        total = torch.stack(list(terms.values())).sum()
        return total, detached(terms) | {"real": mean_score(*real), "fake": mean_score(*fake)}

    def content_discriminator_loss(self, batch: Batch) -> Objective:
        """L_adv^content: contents of domain 1 are called 1, those of domain 0 are called 0."""
        with torch.no_grad():
            c = batch.ahead["c"] if batch.ahead else self.generator.contents(_halves(batch)[0])
        of_0, of_1 = self.content_discriminator(c).chunk(2)
        return rivals.sigmoid_critic([of_1], [of_0]), {}

    def encoder_loss(self, batch: Batch) -> Objective:
        """Everything that encoded images take part in (the paper's full objective without the latent regression)."""
        g, w = self.generator, self.config.weights
        x, _ = _halves(batch)
        found = batch.shared(self.translations)
        fake = found["fake"].chunk(2)
        # And back: each translation's content and the style found in the other one.
        s_fake = self._styles(fake)["s"].chunk(2)
        cycled = self._translations(g.shared_part(g.contents(fake)), s_fake)
        # A mean over both domains' images, which are as many, is half the sum of the means.
        images = torch.cat(x)
        terms = {
            "adv": torch.stack(
                [rivals.sigmoid_adversarial(self.encoded_discriminators[k](fake[k])) for k in DOMAINS]
            ).sum(),
            "content": 2 * rivals.content_confusion(self.content_discriminator(found["c"])),
            "cyc": 2 * losses.cycle_loss(torch.cat(cycled), images),
            "x": 2 * losses.self_reconstruction_loss(found["own"], images),
            "kl": 2 * _style_prior(found["mean"], found.get("log_var")),
            "c": 2 * rivals.small_codes(at_least_float32(found["c"])),
        }
        weights = {"adv": 1.0, "content": w.content, "cyc": w.x, "x": w.x, "kl": w.kl, "c": w.c}
        return losses.weighted_sum(terms, weights), detached(terms)

    def random_loss(self, batch: Batch) -> Objective:
        """Translations with random styles: adversarial, latent regression and, as an option, mode seeking."""
        random = self.random_discriminators
        w = self.config.weights
        x, _ = _halves(batch)
        codes = self._random_codes(x[0])
        fakes = self._by_codes(self.generator.shared_part(self.generator.contents(x)), codes)
        adv = [_split(random[k](torch.cat(fakes[k])), len(x[k])) for k in DOMAINS]
        found = [self.generator.style(fakes[k][0], k) for k in DOMAINS]
        terms = _sums(
            adv=[rivals.sigmoid_adversarial(scores) for made in adv for scores in made],
            latent=[rivals.style_loss(found[k], codes[0]) for k in DOMAINS],
        )
        if len(codes) == 2:
            seeking = [rivals.mode_seeking((fakes[k][0], fakes[k][1]), (codes[0], codes[1])) for k in DOMAINS]
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

    def _styles(self, x: Pair) -> dict[str, Tensor]:
        """Mean, log variance (of a variational encoder) and draw of the images' styles, 2B x S, domain 0 first."""
        mean, log_var = zip(*(self.generator.style_distribution(x[k], k) for k in DOMAINS), strict=True)
        found = {"mean": torch.cat(mean)} | ({} if log_var[0] is None else {"log_var": torch.cat(log_var)})
        return found | {"s": self._draw(found["mean"], found.get("log_var"))}

    def _translations(self, p: Tensor, s: Pair) -> list[Tensor]:
        """Into each domain: the other domain's content, of `shared_part`, with this one's style."""
        pair = p.chunk(2)
        return [self.generator.decode_shared(pair[1 - k], s[k], k) for k in DOMAINS]

    def _by_codes(self, p: Tensor, codes: Pair) -> list[Pair]:
        """The same for the same codes in both domains: of each domain a translation for each of the codes."""
        count, pair = len(codes), p.chunk(2)
        z = torch.cat(list(codes))
        return [self.generator.decode_shared(torch.cat([pair[1 - k]] * count), z, k).chunk(count) for k in DOMAINS]

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


def _split(scores: Sequence[Tensor], count: int) -> list[list[Tensor]]:
    """Score maps of each scale, of several groups of `count` images: group -> its maps."""
    return [list(maps) for maps in zip(*(scale.split(count) for scale in scores), strict=True)]


def _style_prior(mean: Tensor, log_var: Tensor | None) -> Tensor:
    """L_KL of a variational code, the mean square of a plain one."""
    return rivals.small_codes(mean) if log_var is None else rivals.kl_to_normal(mean, log_var)


def _sums(**parts: Sequence[Tensor]) -> Terms:
    return {name: torch.stack(list(part)).sum() for name, part in parts.items()}
