"""LOMIT in use: translation, exemplars composed and blended, and edits of masks (paper 3 and Fig. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lomit.errors import LomitError
from lomit.losses.lomit import shares
from lomit.models.base import Editable, Guide, Masks, Translation, places_of
from lomit.models.lomit.config import LomitConfig
from lomit.models.lomit.generator import LomitGenerator, regions
from lomit.nn.blocks import at_least_float32, halves, resize_mask


class Lomit(Editable):
    """Local mask-based image translation, guided by exemplars alone; labels beside one are ignored."""

    config: LomitConfig
    generator: LomitGenerator
    has_masks = True

    def __init__(self, config: LomitConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = LomitGenerator(config)
        self.places = places_of(config.attributes) if self.generator.told_attributes is not None else {}

    def translate(self, x: Tensor, guide: Guide) -> Translation:
        """x_{1->2} and the masks used (given ones come back as they were given)."""
        exemplar, masks = _exemplar(guide), guide.masks
        both = torch.cat([x, exemplar])
        c = self.generator.content(both)
        if masks is None:
            masks = Masks(*halves(self.generator.pair_masks(both, c, moved=guide.moved)))
        s_f, s_b = self.generator.crossed_styles(x, masks.input, exemplar, masks.exemplar)
        return Translation(self.generator.decode(halves(c)[0], masks.input, s_f, s_b), masks)

    def translate_filling(self, x: Tensor, guide: Guide) -> Translation:
        """What one image is given changes nothing for the others of the batch.

        The masks that come back hold the predicted ones scaled to H x W.
        """
        exemplar, masks = _exemplar(guide), guide.masks
        assert masks is not None
        both = torch.cat([x, exemplar])
        c = self.generator.content(both)
        m1, m2 = halves(self.generator.pair_masks(both, c, moved=guide.moved))
        size = (x.shape[-2], x.shape[-1])
        pairs = (masks.input, m1), (masks.exemplar, m2)
        used = Masks(*(torch.where(given.isnan(), resize_mask(m, size), given) for given, m in pairs))
        # A predicted mask needs no way to the image's size and back.
        on_grid = F.avg_pool2d(used.input, x.shape[-1] // c.shape[-1])
        m = torch.where(masks.input[:, :, :1, :1].isnan(), m1, on_grid)
        s_f, s_b = self.generator.crossed_styles(x, used.input, exemplar, used.exemplar)
        return Translation(self.generator.decode(halves(c)[0], m, s_f, s_b), used)

    def compose(self, x: Tensor, guides: Sequence[Guide]) -> Translation:
        """Each exemplar's foreground in its own region of x; with one exemplar this is `translate` (Eq. 4).

        m_k is the share (`losses.lomit.shares`) that the input's mask beside exemplar k has among all of them.  s_f^k
        is exemplar k's under its own mask, s_b is the input's under 1 - sum_k m_k, and G decodes
        h = sum_k m_k (gamma_k c_norm + beta_k) + (1 - sum_k m_k) (gamma_b c_norm + beta_b) (`composed_hadain`).
        """
        g, exemplars = self.generator, [_exemplar(guide) for guide in guides]
        c1, *contents = g.content(torch.cat([x, *exemplars])).split(len(x))
        pairs = [
            Masks(*halves(g.pair_masks(torch.cat([x, exemplar]), torch.cat([c1, c]), moved=guide.moved)))
            if guide.masks is None
            else guide.masks
            for exemplar, c, guide in zip(exemplars, contents, guides, strict=True)
        ]
        own, union = shares([pair.input for pair in pairs])
        codes = [
            g.crossed_styles(x, union, exemplar, pair.exemplar) for exemplar, pair in zip(exemplars, pairs, strict=True)
        ]
        image = g.decode_composed(c1, own, [s_f for s_f, _ in codes], codes[0][1])
        return Translation(image, Masks(union, torch.cat([pair.exemplar for pair in pairs], dim=1)))

    @torch.no_grad()
    def codes(self, x: Tensor, partner: Tensor) -> dict[str, Tensor]:
        """c, s_f and s_b of Eq. 2, with the masks of each image beside its partner; c is flattened."""
        g = self.generator
        c = g.content(x)
        m, _ = halves(g.pair_masks(torch.cat([x, partner]), torch.cat([c, g.content(partner)])))
        s_f, s_b = g.styles(x, m)
        return {"c": at_least_float32(c).flatten(1), "s_f": s_f, "s_b": s_b}

    def interpolate(
        self, x: Tensor, exemplars: Sequence[Tensor], weights: Sequence[float], moved: Tensor | None = None
    ) -> Translation:
        """Masks of the input and foreground codes are averaged with `weights`."""
        g = self.generator
        c = g.content(x)
        m = s_f = s_b = exemplar_mask = torch.zeros((), device=x.device)
        for exemplar, weight in zip(exemplars, weights, strict=True):
            c2 = g.content(exemplar)
            m1, m2 = halves(g.pair_masks(torch.cat([x, exemplar]), torch.cat([c, c2]), moved=moved))
            m, exemplar_mask = m + weight * m1, exemplar_mask + weight * m2
            s_f = s_f + weight * g.styles(exemplar, m2)[0]
            s_b = s_b + weight * g.styles(x, m1)[1]
        return Translation(g.decode(c, m, s_f, s_b), Masks(m, exemplar_mask))

    def prepare(self, x: Tensor, exemplars: Sequence[Tensor], moved: Tensor | None = None) -> PreparedLomit:
        """Content codes, predicted masks and the last style codes are kept."""
        g, pairs = self.generator, []
        for exemplar in exemplars:
            # Stacked as in `translate`, so that an unedited result has the same bits.
            both = torch.cat([x, exemplar])
            c = g.content(both)
            own, partner = halves(g.pair_summary(both, c, moved=moved))
            pairs.append((_Seen(g, x, c[:1], own), _Seen(g, exemplar, c[1:], partner)))
        return PreparedLomit(g, pairs, moved)


class _Seen:
    """An image, what its partner knows of it (`LomitGenerator.summary`), and its style codes.

    Of each region the code under the last mask is kept: an edit changes one mask at a time, and a frame of a video
    none of the exemplar's.
    """

    def __init__(self, generator: LomitGenerator, x: Tensor, c: Tensor, summary: Tensor) -> None:
        self.c, self.summary = c, summary
        self._generator, self._x = generator, x
        self._styles: dict[str, tuple[Tensor, Tensor]] = {}

    def s_f(self, m: Tensor) -> Tensor:
        """E_s^f(x^f) of Eq. 2, 1 x S."""
        return self._style("foreground", m)

    def s_b(self, m: Tensor) -> Tensor:
        """E_s^b(x^b) of Eq. 2, 1 x S."""
        return self._style("background", m)

    def _style(self, of: Literal["foreground", "background"], m: Tensor) -> Tensor:
        kept = self._styles.get(of)
        if kept is None or not torch.equal(kept[0], m):
            x_f, x_b = regions(self._x, m)
            kept = self._styles[of] = m, self._generator.style(x_f if of == "foreground" else x_b, of)
        return kept[1]


class PreparedLomit:
    """An input beside its exemplars, one pair for each; see `Prepared`.  `moved` is as in `Guide`."""

    def __init__(
        self, generator: LomitGenerator, pairs: Sequence[tuple[_Seen, _Seen]], moved: Tensor | None = None
    ) -> None:
        self._generator, self._moved = generator, moved
        self._own, self._exemplars = pairs[0][0], [exemplar for _, exemplar in pairs]
        self.content = [self._own.c, *(exemplar.c for exemplar in self._exemplars)]
        self.masks = [
            Masks(
                *halves(generator.masks_of_pairs(torch.cat([own.c, exemplar.c]), own.summary, exemplar.summary, moved))
            )
            for own, exemplar in pairs
        ]

    def another(self, x: Tensor) -> PreparedLomit:
        """See `Prepared.another`."""
        g, moved = self._generator, self._moved
        c = g.content(x)
        own = _Seen(g, x, c, g.summary(x, c, None if moved is None else moved.clamp(max=0)))
        return PreparedLomit(g, [(own, exemplar) for exemplar in self._exemplars], moved)

    def translate(self, masks: Sequence[Tensor], weights: Sequence[float], strength: float = 1.0) -> Translation:
        """x_{1->2} under these masks, with those of the input and of the exemplar with the largest weight.

        The foreground code is the mean of the exemplars' codes by `weights`, and lies between the input's own
        (strength 0) and that mean (1); beyond 1 it is carried on in the same direction.  An exemplar with the weight 0
        is not looked at.
        """
        m, *guides = masks
        s_f = torch.zeros((), device=m.device)
        for exemplar, guide, weight in zip(self._exemplars, guides, weights, strict=True):
            if weight and strength:
                s_f = s_f + weight * exemplar.s_f(guide)
        if strength != 1:
            own = self._own.s_f(m)
            s_f = own + strength * (s_f - own)
        first = max(range(len(weights)), key=lambda k: weights[k])
        image = self._generator.decode(self._own.c, m, s_f, self._own.s_b(m))
        return Translation(image, Masks(m, guides[first]))


def _exemplar(guide: Guide) -> Tensor:
    if guide.exemplar is None:
        raise LomitError("LOMIT takes its style from an exemplar image; give one")
    return guide.exemplar
