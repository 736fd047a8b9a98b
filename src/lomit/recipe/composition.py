"""An input before a model, and exemplars that each give a region of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from lomit.errors import LomitError
from lomit.inference.editing import Edit, Edited
from lomit.inference.predictor import Predictor
from lomit.inference.squares import mask_image
from lomit.recipe.portrait import Portrait, Scene


class Composition(Scene):
    """In place of a `Scene` where exemplars are composed (`Predictor.compose`) instead of blended.

    Masks come in pairs: for each exemplar that of its region in the input, and its own.  As in `lomit photo`, those
    that count are images as large as the crop, so that a result without edits is that command's.  Neither strength
    nor blend plays a part.

    Args:
        gives: for each exemplar the names of what it gives, as `only` in `Predictor.translate`.  Where the model's
            masks go by names, an exemplar without any gives what is painted alone.

    Raises:
        LomitError: as `Predictor.edit`, and for a method that can't compose.
    """

    def __init__(
        self, predictor: Predictor, input: Portrait, exemplars: Sequence[Portrait], gives: Sequence[Sequence[str]]
    ) -> None:
        if not predictor.can_compose:
            raise LomitError("this model can't give exemplars regions of their own; take a LOMIT model")
        self.input, self._size, self._predictor = input, predictor.image_size, predictor
        self._guides = [exemplar.seen(self._size) for exemplar in exemplars]
        seen = input.seen(self._size)
        self._editings = [
            predictor.edit(seen, guide, only=names or None) for guide, names in zip(self._guides, gives, strict=True)
        ]
        self._silent = [bool(predictor.places) and not names for names in gives]

    @property
    def content(self) -> list[np.ndarray]:
        return [code for editing in self._editings for code in editing.content]

    def predicted(self, side: int, blend: float = 0.0) -> list[Image.Image]:
        """The predicted masks, of each exemplar its region in the input and its own, mode L, side x side."""
        return [
            Image.new("L", (side, side)) if silent else mask
            for editing, silent in zip(self._editings, self._silent, strict=True)
            for mask in editing.predicted(side)
        ]

    def render(self, edit: Edit) -> Edited:
        """The translated square; its masks are the sum of the regions in the input, and each exemplar's.

        Raises:
            LomitError: as `Editing.render`.
        """
        pairs = [self._pair(edit, k) for k in range(len(self._guides))]
        parts = [(guide, own, theirs) for guide, (own, theirs) in zip(self._guides, pairs, strict=True)]
        result = self._predictor.compose(self.input.seen(self._size), masks=parts)
        assert result.input_mask is not None
        used = [np.asarray(mask, np.float32) / 255 for mask in (result.input_mask, *(theirs for _, theirs in pairs))]
        return Edited(torch.from_numpy(result.raw).permute(2, 0, 1)[None], [torch.from_numpy(mask) for mask in used])

    def _pair(self, edit: Edit, k: int) -> tuple[Image.Image, Image.Image]:
        """The masks of exemplar `k`, S x S: its region in the input, and its own."""
        region, mask = (given[k] if k < len(given) else None for given in (edit.regions, edit.exemplar_masks))
        if self._silent[k]:
            black = Image.new("L", (self._size, self._size))
            region, mask = (black if given is None else given for given in (region, mask))
        steps = [edit.steps[i] if i < len(edit.steps) else () for i in (0, k + 1)]
        alone = Edit(region, (mask,), tuple(steps) if any(steps) else (), edit.threshold)
        own, theirs = (mask_image(m[0, 0], self._size) for m in self._editings[k].masks(alone))
        return own, theirs

    def _before(self, edited: Edited, edit: Edit) -> Image.Image:
        """The input in its own style under the same mask, as `lomit photo` has it."""
        seen, mask = self.input.seen(self._size), edited.mask(0, self._size)
        own = self._predictor.translate(seen, seen, input_masks=mask, exemplar_masks=mask)
        return own.image.convert("RGB")
