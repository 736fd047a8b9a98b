"""StarGAN: one generator, told the target labels (Choi et al., CVPR 2018, arXiv 1711.09020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lomit.errors import LomitError
from lomit.losses import lomit as losses
from lomit.models.base import Batch, Guide, Objective, PerAttribute, Phase, Trainable, Translation, Translator, detached
from lomit.models.stargan.config import StarganConfig
from lomit.nn.blocks import at_least_float32, instance_norm, swap_halves, with_planes
from lomit.nn.discriminators import PatchDiscriminator


def _normed(convolution: nn.Module, channels: int) -> list[nn.Module]:
    return [convolution, instance_norm(channels), nn.ReLU(inplace=True)]


class _ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), zero padding, no biases."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, 1, 1, bias=False) for _ in range(2))
        self.body = nn.Sequential(*_normed(first, channels), second, instance_norm(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class StarganGenerator(nn.Module):
    """G(x, c): the label, spread over the image, is concatenated to it (Section 3.1).

    Zero padding throughout: it tells a convolution where the border is, and with reflection in its place the
    constant label planes were found to lose their effect.  No biases, PyTorch's initial weights.
    """

    def __init__(self, attributes: int, width: int, res_blocks: int) -> None:
        super().__init__()
        w = width
        self.layers = nn.Sequential(
            *_normed(nn.Conv2d(3 + attributes, w, 7, 1, 3, bias=False), w),
            *_normed(nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False), 2 * w),
            *_normed(nn.Conv2d(2 * w, 4 * w, 4, 2, 1, bias=False), 4 * w),
            *(_ResidualBlock(4 * w) for _ in range(res_blocks)),
            *_normed(nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1, bias=False), 2 * w),
            *_normed(nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=False), w),
            nn.Conv2d(w, 3, 7, 1, 3, bias=False),
            nn.Tanh(),
        )

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """B x 3 x H x W in [-1, 1], B x A in {0, 1} -> B x 3 x H x W in [-1, 1]."""
        return at_least_float32(self.layers(with_planes(x, label)))


class Stargan(Translator):
    """Label-guided translation of any number of attributes; `attributes` and `image_size` must be filled."""

    config: StarganConfig
    generator: StarganGenerator
    guides = frozenset({"label"})

    def __init__(self, config: StarganConfig) -> None:
        super().__init__()
        if not config.attributes:
            raise LomitError("model.attributes is empty: StarGAN needs at least one attribute to be told")
        self.config = config
        self.generator = StarganGenerator(len(config.attributes), config.width, config.res_blocks)

    def translate(self, x: Tensor, guide: Guide) -> Translation:
        """StarGAN is guided by a label only.  Exemplars are ignored beside one."""
        if guide.masks is not None:
            raise LomitError("StarGAN has no masks; leave out the masks you gave")
        if guide.label is None or guide.style is not None:
            raise LomitError("StarGAN is guided by a label alone, not by an exemplar or a style; give one")
        return Translation(self.generator(x, guide.label))


class TrainableStargan(Stargan, Trainable):
    """StarGAN with its discriminator.

    The target labels of x1 are those of x2 and the other way round, so a batch of B pairs is a batch of 2 B images.
    """

    def __init__(self, config: StarganConfig) -> None:
        super().__init__(config)
        self.discriminator = PatchDiscriminator(config.image_size, len(config.attributes), config.d_width, bias=False)

    @property
    def per_attribute(self) -> Mapping[str, PerAttribute | None]:
        """The planes of the label beside the image's three, and the outputs of D's class head."""
        return {"generator.layers.0.": PerAttribute(axis=1, first=3), "discriminator.class_head.": PerAttribute()}

    def phases(self) -> Sequence[Phase]:
        """D in every iteration, G in every `critic_steps`-th (Section 4, training)."""
        d = self.discriminator
        # A class head that no loss reaches is left out: several processes would wait for its gradient.
        trained = [d] if self.config.weights.cls else [d.trunk, d.source_head]
        return (
            Phase("D", self.discriminator_loss, trained),
            Phase("G", self.generator_loss, [self.generator], self.config.critic_steps, ahead=self.translations),
        )

    def translations(self, batch: Batch) -> dict[str, Tensor]:
        """`translated`: the images of both directions, which D's update in an iteration and G's share."""
        x, y, target = _stacked(batch)
        return {"translated": self.generator(x, _told(target, y))}

    def discriminator_loss(self, batch: Batch) -> Objective:
        """L_D of Eq. 5 with the adversarial loss of Eq. 8.  The translations carry no graph."""
        d, weights = self.discriminator, self.config.weights
        x, y, _ = _stacked(batch)
        with torch.no_grad():
            translated = batch.shared(self.translations)["translated"]
        scores, logits = d(torch.cat([x, translated]))
        real, fake = at_least_float32(scores).chunk(2)
        terms = {
            "critic": losses.critic_loss(real, fake),
            "penalty": losses.gradient_penalty(d.source_gradient(losses.interpolate_images(x, translated))),
            "cls_r": losses.classification_loss(at_least_float32(logits[: len(x)]), y),
        }
        total = losses.discriminator_objective(terms, weights.cls, weights.gp)
        terms |= {"real": real.mean(), "fake": fake.mean()}
        return total, detached(terms)

    def generator_loss(self, batch: Batch) -> Objective:
        """L_G of Eq. 6: adversarial, classification of the translation, and the way back by the own label."""
        weights = self.config.weights
        x, y, target = _stacked(batch)
        translated = batch.shared(self.translations)["translated"]
        back = self.generator(translated, y.clamp(min=0))
        scores, logits = self.discriminator(translated)
        terms = {
            "adv": losses.generator_adversarial_loss(at_least_float32(scores)),
            "cls_f": losses.classification_loss(at_least_float32(logits), target),
            "rec": losses.cycle_loss(back, x),
        }
        total = losses.weighted_sum(terms, {"adv": 1.0, "cls_f": weights.cls, "rec": weights.rec})
        return total, detached(terms)

    @torch.no_grad()
    def sample(self, batch: Batch) -> dict[str, Tensor]:
        """Input, the image whose labels are the target, result, the way back and the translation to the own label."""
        own, target = batch.y1.clamp(min=0), _told(batch.y2, batch.y1)
        result = self.generator(batch.x1, target)
        back, kept = self.generator(result, own), self.generator(batch.x1, own)
        return {"input": batch.x1, "labels of": batch.x2, "result": result, "cycle": back, "self": kept}

    @torch.no_grad()
    def score(self, batch: Batch) -> dict[str, Tensor]:
        """Terms of Eq. 6 on unseen images and what D makes of these; the score is lambda_rec L_rec."""
        _, terms = self.generator_loss(batch)
        x, y, _ = _stacked(batch)
        scores, logits = self.discriminator(x)
        terms["real"] = at_least_float32(scores).mean()
        terms["cls_r"] = losses.classification_loss(at_least_float32(logits), y)
        kept = {name: terms[name] for name in ("cls_f", "rec", "real", "cls_r")}
        return kept | {"score": self.config.weights.rec * terms["rec"]}


def _stacked(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Images, their labels and their target labels: those of the partner.  -1 is not annotated."""
    x, y = batch.stacked()
    return x, y, swap_halves(y)


def _told(target: Tensor, own: Tensor) -> Tensor:
    """What the generator is told: the target, and the image's own label (else 0) where that is not annotated."""
    return torch.where(target >= 0, target, own).clamp(min=0)
