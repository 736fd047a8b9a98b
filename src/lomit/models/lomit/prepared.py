"""One input beside its exemplars, ready for edits of its masks (paper, Fig. 4 a' to c')."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lomit.models.base import Masks, Translation
from lomit.models.lomit.generator import LomitGenerator
from lomit.nn.blocks import halves


class PreparedLomit:
    """Holds what no edit of a mask changes: content codes and predicted masks.

    Args:
        generator: in eval mode.
        x: the input, 1 x 3 x H x W in [-1, 1].
        exemplars: one or more, each 1 x 3 x H x W.
        moved: as in `Guide`.

    Attributes:
        masks: the predicted ones, for each exemplar those of the input beside it and its own; 1 x 1 x h x w.
    """

    def __init__(
        self, generator: LomitGenerator, x: Tensor, exemplars: Sequence[Tensor], moved: Tensor | None = None
    ) -> None:
        self._generator, self._x, self._exemplars = generator, x, list(exemplars)
        self._content: list[Tensor] = []
        self.masks: list[Masks] = []
        for exemplar in exemplars:
            # Stacked as in `LomitGenerator.translate`, so that an unedited result has the same bits.
            both = torch.cat([x, exemplar])
            c = generator.content(both)
            self._content.append(c[:1])
            self.masks.append(Masks(*halves(generator.pair_masks(both, c, moved=moved))))

    def translate(self, masks: Sequence[Tensor], weights: Sequence[float], strength: float = 1.0) -> Translation:
        """x_{1->2} under these masks.

        The foreground code is the mean of the exemplars' codes by `weights`, and lies between the input's own
        (strength 0) and that mean (1); beyond 1 it is carried on in the same direction.

        Args:
            masks: of the input and of each exemplar, 1 x 1 x h x w in [0, 1], at any resolution.
            weights: of the exemplars, summing to 1; one with the weight 0 is not looked at.
            strength: at least 0.

        Returns:
            The image, and the masks of the input and of the exemplar with the largest weight.
        """
        g = self._generator
        own, *guides = masks
        s_f = s_b = torch.zeros((), device=self._x.device)
        for exemplar, guide, weight in zip(self._exemplars, guides, weights, strict=True):
            if weight:
                code, s_b = g.crossed_styles(self._x, own, exemplar, guide)
                s_f = s_f + weight * code
        if strength != 1:
            own_s_f, _ = g.styles(self._x, own)
            s_f = own_s_f + strength * (s_f - own_s_f)
        first = max(range(len(weights)), key=lambda k: weights[k])
        return Translation(g.decode(self._content[first], own, s_f, s_b), Masks(own, guides[first]))
