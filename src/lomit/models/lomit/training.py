"""What LOMIT learns by: its discriminator, its training phases and their losses (paper 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lomit.errors import LomitError
from lomit.losses import lomit as losses
from lomit.losses.smoothness import fast_mask_smoothness, mask_agreement
from lomit.models.base import Batch, Objective, PerAttribute, Phase, Terms, Trainable, detached
from lomit.models.lomit.config import LomitConfig
from lomit.models.lomit.generator import regions
from lomit.models.lomit.model import Lomit
from lomit.nn.augment import augment
from lomit.nn.blocks import at_least_float32, halves, normal_init, resize_mask, swap_halves
from lomit.nn.discriminators import PatchDiscriminator


class TrainableLomit(Lomit, Trainable):
    """LOMIT with its discriminator and, where `weights.style_cls` asks for it, a classifier of foreground codes.

    Both directions of a pair are always one stacked batch: index i of the first half is x1, its partner in the second
    half is x2, and `swap_halves` turns one into the other.
    """

    def __init__(self, config: LomitConfig) -> None:
        super().__init__(config)
        if not config.attributes:
            raise LomitError("model.attributes is empty: LOMIT needs at least one attribute to learn from")
        self.discriminator = PatchDiscriminator(config.image_size, len(config.attributes), config.d_width)
        normal_init(self.discriminator)
        classified = config.weights.style_cls and self.generator.told_attributes is None
        self.style_classifier = nn.Linear(config.style_dim, len(config.attributes)) if classified else None

    @property
    def per_attribute(self) -> Mapping[str, PerAttribute | None]:
        """What tells attributes, and what of them the masks see."""
        layers = ("discriminator.class_head.", "style_classifier.", "generator.told_attributes.")
        return dict.fromkeys((*layers, "generator.cosegmentation.differences"), PerAttribute())

    def train(self, mode: bool = True) -> TrainableLomit:
        """Masks that learn nothing also keep their running statistics, and get no noise."""
        super().train(mode)
        if self.config.masks_learn == "nothing" and self.generator.cosegmentation is not None:
            self.generator.cosegmentation.eval()
        return self

    def phases(self) -> Sequence[Phase]:
        """D in every iteration, {E_c, E_s^f, E_s^b, A, G} in every `critic_steps`-th (paper 7.2), after a warm-up."""
        d = self.discriminator
        # A class head that no loss reaches is left out: several processes would wait for its gradient.
        told_labels = self.config.weights.cls or self.config.weights.source_cls
        trained = [d] if told_labels else [d.trunk, d.source_head]
        warmup, every = self.config.warmup, self.config.critic_steps
        start, learn = warmup + self.config.warmup_masks, self.config.masks_learn
        apart = learn != "translation"
        g, classifier = self.generator, self._code_classifier
        drawing = [g.style_encoders, g.mlp_f, g.mlp_b, g.decoder]
        if learn != "nothing":
            drawing.insert(0, g.content_encoder)  # A sees its code
        own = [] if classifier is None or (classifier is g.told_attributes and not apart) else [classifier]
        phases = [
            Phase("D", self.discriminator_loss, trained, first=start),
            Phase("G", self.generator_loss, [*(drawing if apart else [g]), *own], every=every, first=start),
        ]
        if (start > warmup or learn == "regions") and g.cosegmentation is not None:
            end = None if apart else start
            judging = Phase("masks_D", self.regions_classification, [d.trunk, d.class_head], first=warmup, end=end)
            phases += [
                judging,
                Phase("masks", self.masks_loss, [g.cosegmentation], first=warmup, end=end, lr_scale=2.5),
            ]
        if warmup:
            phases.append(Phase("warmup", self.warmup_loss, drawing, end=warmup, lr_scale=2.0))
            if self.config.weights.cls:
                phases.append(Phase("warmup_D", self.warmup_classification, [d.trunk, d.class_head], end=warmup))
            if classifier is not None:
                seeing = [g.style_encoders.stem, g.style_encoders.foreground, classifier]
                phases.append(Phase("warmup_style", self.warmup_style, seeing, end=warmup, lr_scale=2.0))
        return phases

    @property
    def _code_classifier(self) -> nn.Linear | None:
        """Tells attributes from foreground codes; a part of the generator where masks go by them."""
        return self.generator.told_attributes or self.style_classifier

    def discriminator_loss(self, batch: Batch) -> Objective:
        """L_D of Eq. 16, both directions summed.  The translations carry no graph.

        With `weights.source_cls` D_cls becomes an adversary too: a translation is to be told from an image that has the
        attribute.  On Eq. 11 alone D_cls never sees what it is shown in Eq. 12, and the generator finds a colour of the
        mouth that it takes for a smile (docs/experiments.md, 12 and 13).
        """
        d, g, weights = self.discriminator, self.generator, self.config.weights
        x, y = batch.stacked()
        with torch.no_grad(), g.frozen_statistics():
            c = g.content(x)
            m = g.pair_masks(x, c, y)
            s_f, s_b = g.styles(x, m)
            translated = g.decode(c, m, swap_halves(s_f), s_b)
        background = [self._as_d_sees(regions(x, m)[1])] if weights.erase else []
        x, translated = self._as_d_sees(x), self._as_d_sees(translated)
        scores, logits = d(torch.cat([x, translated, *background]))
        real, fake, *_ = at_least_float32(scores).split(len(x))
        of_real, of_fake, *of_background = at_least_float32(logits).split(len(x))
        terms = {
            "critic": 2 * losses.critic_loss(real, fake),
            "penalty": 2 * losses.gradient_penalty(d.source_gradient(losses.interpolate_images(x, translated))),
            "cls_r": 2 * losses.classification_loss(of_real, y),
        }
        total = losses.discriminator_objective(terms, weights.cls, weights.gp)
        terms |= {"real": real.mean(), "fake": fake.mean()}
        if weights.erase:
            terms["cls_b"] = 2 * losses.classification_loss(of_background[0], y)
            total = total + weights.cls * terms["cls_b"]
        if weights.source_cls:
            terms["source_cls"] = 2 * losses.classification_loss(of_fake, y)
            total = total + weights.source_cls * terms["source_cls"]
        return total, detached(terms)

    def _as_d_sees(self, x: Tensor) -> Tensor:
        """Images as D is shown them, in its step and in the generator's."""
        return augment(x, self.config.augment)

    def _judged(self, *images: Tensor) -> tuple[Tensor, Tensor]:
        """D_src's scores and D_cls's logits of these images as D is shown them, one batch below the other."""
        scores, logits = self.discriminator(torch.cat([self._as_d_sees(x) for x in images]))
        return at_least_float32(scores), at_least_float32(logits)

    def warmup_loss(self, batch: Batch) -> Objective:
        """lambda_x L_x (Eq. 9) alone, under masks that learn nothing.

        A decoder that can already draw needs far fewer of the updates that cost four times as much.  Masks would
        settle on whatever splits an image best into two colours; untrained ones ask the codes to serve any region.
        """
        g = self.generator
        x, _ = batch.stacked()
        c = g.content(x)
        with torch.no_grad(), g.frozen_statistics():
            summary = g.summary(x, c)
            m = g.self_masks(c, summary)
        loss = 2 * losses.self_reconstruction_loss(g.decode(c, m, *g.styles(x, m)), x)
        return self.config.weights.x * loss, detached({"x": loss})

    def warmup_classification(self, batch: Batch) -> Objective:
        """L_cls_r (Eq. 11) alone.

        Beside L_adv, D_cls learns small things such as a mouth ten times more slowly, and what it can't tell it can't
        teach the generator.
        """
        x, y = batch.stacked()
        loss = 2 * losses.classification_loss(self._judged(x)[1], y)
        return loss, detached({"cls_r": loss})

    def regions_classification(self, batch: Batch) -> Objective:
        """L_cls_r (Eq. 11) on the images and on both of their regions (Eq. 1)."""
        g = self.generator
        x, y = batch.stacked()
        with torch.no_grad(), g.frozen_statistics():
            parts = regions(x, self._masks_of_places(x, g.content(x), y)[0])
        _, logits = self._judged(x, *parts)
        names = ("cls_r", "cls_x_f", "cls_x_b")
        terms = {n: 2 * losses.classification_loss(z, y) for n, z in zip(names, logits.chunk(3), strict=True)}
        return losses.weighted_sum(terms, dict.fromkeys(names, 1.0)), detached(terms)

    def masks_loss(self, batch: Batch) -> Objective:
        """What decides over masks, without a translation: D_cls tells in what a pair differs from x^f, not from x^b.

        R1, R3 and `weights.commit` act as in `generator_loss`, on the pair's masks.
        """
        g, w = self.generator, self.config.weights
        x, y = batch.stacked()
        with torch.no_grad():
            c = g.content(x)
        m, y = self._masks_of_places(x, c, y)
        of_foreground, of_background = halves(self._judged(*regions(x, m))[1])
        terms = {
            "cls_x_f": 2 * losses.classification_loss(of_foreground, y),
            "erase": 2 * losses.telltale_background(of_background, y, swap_halves(y)),
            "R1": 2 * self._r1(m, c),
            "R3": 2 * self._r3(m),
            "commit": 2 * losses.mask_doubt(m),
        }
        weights = {"cls_x_f": w.cls, "erase": w.erase, "R1": w.r1, "R3": w.r3, "commit": w.commit}
        return losses.weighted_sum(terms, weights), detached(terms)

    def _masks_of_places(self, x: Tensor, c: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Masks of stacked pairs, and the labels in which a pair differs there; the other labels are -1.

        Where masks see differences, one place is drawn for each pair.  In one mask of both, skin that tells a little of
        the hair's colour would come to the smile's cheeks.
        """
        seen, told = self.generator.cosegmentation, _differing(y)
        if seen is None or seen.differences is None:
            return self.generator.pair_masks(x, c, y), told
        known, _ = halves((told >= 0) & (swap_halves(told) >= 0))
        differs = torch.stack(seen.in_places(known), dim=1)
        drawn = (torch.rand(differs.shape, device=x.device) * differs).argmax(dim=1)
        place_of = {k: number for number, place in enumerate(seen.places.values()) for k in place}
        moved = torch.stack([known[:, k] & (drawn == place_of[k]) for k in range(known.shape[1])], dim=1)
        m = self.generator.pair_masks(x, c, moved=moved.to(c.dtype))
        return m, told.where(torch.cat([moved, moved]), -1.0)

    def warmup_style(self, batch: Batch) -> Objective:
        """The attributes told from foreground codes of whole images.

        What E_s^f does not look for yet draws no mask to itself; asked through masks on the hair alone, its codes never
        came to know a smile (docs/experiments.md, 12).
        """
        terms = self._told_by(self.generator.told(batch.stacked()[0]), batch)
        return self.config.weights.style_cls * terms["style_cls"], detached(terms)

    def _r1(self, m: Tensor, c: Tensor) -> Tensor:
        """Eq. 13, or the term in its place (`LomitConfig.r1_alike`)."""
        alike = self.config.r1_alike
        return fast_mask_smoothness(m, c) if alike is None else mask_agreement(m, c, alike)

    def _r3(self, m: Tensor) -> Tensor:
        """Eq. 15, or the term in its place (`LomitConfig.r3_of`)."""
        return losses.mask_area(m) if self.config.r3_of == "area" else losses.mask_side(m)

    def _told_by(self, s_f: Tensor, batch: Batch, differing: bool = False) -> Terms:
        """Cross entropy of the attributes told from the foreground codes; nothing where `weights.style_cls` is 0.

        Nothing in Eq. 16 asks s_f for a smile before the decoder draws smiles, and the decoder can't learn to draw
        one that no code tells it of; this term lets the codes, and the masks that decide what they see, go first.
        """
        classifier = self._code_classifier
        if classifier is None:
            return {}
        _, y = batch.stacked()
        told = at_least_float32(classifier(s_f))
        return {"style_cls": 2 * losses.classification_loss(told, _differing(y) if differing else y)}

    def generator_loss(self, batch: Batch) -> Objective:
        """L_G of Eq. 16, both directions summed, and statistics of the pair's masks."""
        g, w = self.generator, self.config.weights
        x, y = batch.stacked()

        # x1 -> x2 and x2 -> x1, beside x1 -> x1 and x2 -> x2: one decoder pass.
        c = g.content(x)
        whole = None if g.told_attributes is None else g.told(x)
        summary = g.summary(x, c, y, whole)
        apart = self.config.masks_learn != "translation"
        with torch.set_grad_enabled(not apart and torch.is_grad_enabled()):
            m, m_self = g.masks(c, summary, swap_halves(summary)), g.self_masks(c, summary)
        s_f, s_b = g.styles(x, m)
        translated, own = g.decode(
            torch.cat([c, c]), torch.cat([m, m_self]), torch.cat([swap_halves(s_f), s_f]), torch.cat([s_b, s_b])
        ).chunk(2)

        # And back: x_{1->2->1} takes s_f from the foreground of x_{2->1} and s_b from the background of x_{1->2}.
        c_t = g.content(translated)
        with torch.set_grad_enabled(not apart and torch.is_grad_enabled()):
            m_t = g.pair_masks(translated, c_t, swap_halves(y))
        s_f_t, s_b_t = g.styles(translated, m_t)
        cycled = g.decode(c_t, m_t, swap_halves(s_f_t), s_b_t)

        scores, logits = self._judged(translated)
        all_masks = torch.cat([m, m_t, m_self], dim=1)
        terms = {
            "adv": 2 * losses.generator_adversarial_loss(scores),
            "cls_f": 2 * losses.classification_loss(logits, swap_halves(y)),
            "s_f": 2 * losses.foreground_style_loss(s_f_t, swap_halves(s_f)),
            "s_b": 2 * losses.background_style_loss(s_b_t, s_b),
            "c": 2 * losses.content_loss(at_least_float32(c_t), at_least_float32(c)),
            "cyc": 2 * losses.cycle_loss(cycled, x),
            "x": 2 * losses.self_reconstruction_loss(own, x),
            "R1": 2 * 3 * self._r1(all_masks, c),
            "R2": losses.style_contrast(*s_f.chunk(2)),
            "R3": 2 * 3 * self._r3(all_masks),
        }
        of_masks = (0.0, 0.0) if apart else (w.r1, w.r3)  # told in the log all the same
        total = losses.generator_objective(terms, w.cls, w.sc, w.x, of_masks[0], w.r2, of_masks[1])
        differing = self.config.style_cls_of == "differing"
        for name, loss in self._told_by(s_f, batch, differing).items():
            terms[name], total = loss, total + w.style_cls * loss
        if whole is not None:
            told = self._told_by(whole, batch)["style_cls"]
            terms["told"], total = told, total + w.style_cls * told
        if w.commit and not apart:
            terms["commit"] = 2 * 3 * losses.mask_doubt(all_masks)
            total = total + w.commit * terms["commit"]
        if w.erase and not apart:
            _, of_background = self._judged(regions(x, m)[1])
            terms["erase"] = 2 * losses.telltale_background(of_background, y, swap_halves(y))
            total = total + w.erase * terms["erase"]
        if w.keep:
            grown = resize_mask(m, (x.shape[-2], x.shape[-1]))
            terms["keep"] = 2 * losses.background_change(translated, own, grown)
            total = total + w.keep * terms["keep"]
        with torch.no_grad():
            spread = m.flatten(1).std(dim=1).mean()
            statistics = {"mask/mean": m.mean(), "mask/std": m.std(), "mask/spread": spread}
        return total, detached(terms) | statistics

    @torch.no_grad()
    def sample(self, batch: Batch) -> dict[str, Tensor]:
        """Input, exemplar, their masks, result, the way back and the self translation."""
        g = self.generator
        x, _ = batch.stacked()
        c = g.content(x)
        m, m_self = g.pair_masks(x, c), g.self_masks(c, g.summary(x, c))
        s_f, s_b = g.styles(x, m)
        translated = g.decode(c, m, swap_halves(s_f), s_b)
        c_t = g.content(translated)
        m_t = g.pair_masks(translated, c_t)
        s_f_t, s_b_t = g.styles(translated, m_t)
        cycled, own = g.decode(c_t, m_t, swap_halves(s_f_t), s_b_t), g.decode(c, m_self, s_f, s_b)
        n = len(batch.x1)
        columns = {"input": x, "mask": m, "exemplar": swap_halves(x), "exemplar mask": swap_halves(m)}
        columns |= {"result": translated, "cycle": cycled, "self": own}
        return {name: column[:n] for name, column in columns.items()}

    @torch.no_grad()
    def score(self, batch: Batch) -> dict[str, Tensor]:
        """Terms of Eq. 16 on unseen pairs; the score is lambda_x (L_cyc + L_x).

        D_cls and D_src change while they are trained, so terms that lean on them can't rank checkpoints: the
        better D_cls becomes, the worse the same translation looks to it.  What D makes of unseen real images (`real`,
        `cls_r`) is there to be seen beside what it makes of those it is trained on: where it knows these by heart, the
        two part.
        """
        _, terms = self.generator_loss(batch)
        x, y = batch.stacked()
        scores, logits = self._judged(x)
        terms["real"], terms["cls_r"] = scores.mean(), 2 * losses.classification_loss(logits, y)
        names = ("cls_f", "cyc", "x", "s_f", "s_b", "c", "real", "cls_r", "mask/mean", "mask/spread")
        kept = {name: terms[name] for name in names}
        return kept | {"score": self.config.weights.x * (terms["cyc"] + terms["x"])}

    def warning(self, means: Mapping[str, float]) -> str | None:
        """Masks that saturate to 0 or 1, or are the same everywhere, translate nothing or everything."""
        mean, spread = means.get("mask/mean"), means.get("mask/spread")
        if mean is None or spread is None or self.config.masks == "ones":
            return None
        if mean < 0.01 or mean > 0.99:
            return (
                f"masks have collapsed to {round(mean)} (mean {mean:.3f}); "
                f"try {'a smaller' if mean < 0.5 else 'a larger'} model.weights.r3 or another seed"
            )
        if spread < 0.01:
            return f"masks are flat (mean {mean:.3f}, spread {spread:.4f}); try a smaller model.weights.r1"
        return None


def _differing(y: Tensor) -> Tensor:
    """Labels of stacked pairs, -1 wherever both images of a pair have the same."""
    return y.where(y != swap_halves(y), -1.0)
