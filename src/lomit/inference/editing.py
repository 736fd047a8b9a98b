"""Edits of masks: one input beside its exemplars, translated again and again under masks that a person changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lomit.config import Precision
from lomit.data.transforms import denormalise
from lomit.errors import LomitError
from lomit.images import Picture
from lomit.inference import masks as operations
from lomit.inference.device import exactly
from lomit.inference.masks import Step
from lomit.inference.precision import computing_in
from lomit.inference.squares import MaskLike, mask_image, mask_planes, put_back, to_tensor
from lomit.models.base import Editable, Guide, Masks, Prepared, Translation, Translator
from lomit.models.registry import method_of
from lomit.nn.blocks import resize_mask

MAX_STRENGTH = 2.0
MAX_THRESHOLD = 0.95


@dataclass(frozen=True)
class Edit:
    """What a person asks for.

    Attributes:
        input_mask: in place of the predicted one, white = foreground: square (it stands for the centre square), or as
            large as the input.  None: the predicted one.
        exemplar_masks: the same for each exemplar; may be shorter than the exemplars are many.
        steps: what is done to the input's mask, given or predicted, and to each exemplar's, in this order, at
            `lomit.masks.SIDE` pixels a side; see `lomit.masks.apply`.  May be shorter than the images are many.
        threshold: what masks have below this is cut off and the rest stretched over 0..1: (m - t) / (1 - t).  From 0
            to `MAX_THRESHOLD`.
        strength: 0 keeps the input's own style, 1 takes the exemplar's, more exaggerates it; up to `MAX_STRENGTH`.
        blend: share of the second exemplar, 0..1.
        regions: for `lomit.recipe.Composition`, in place of `input_mask` and as it: the mask in the input of each
            exemplar.  `steps[0]` is done to each.

    Raises:
        LomitError: for a number out of its range.
    """

    input_mask: MaskLike | None = None
    exemplar_masks: tuple[MaskLike | None, ...] = ()
    steps: tuple[tuple[Step, ...], ...] = ()
    threshold: float = 0.0
    strength: float = 1.0
    blend: float = 0.0
    regions: tuple[MaskLike | None, ...] = ()

    def __post_init__(self) -> None:
        for name, largest in (("threshold", MAX_THRESHOLD), ("strength", MAX_STRENGTH), ("blend", 1.0)):
            value = getattr(self, name)
            if not 0 <= value <= largest:
                raise LomitError(f"the {name} must lie between 0 and {largest:g}; it is {value:g}")


class Edited:
    """A translation under edited masks, at the network's own size until it is asked for at another.

    Attributes:
        raw: the network's output, S x S x 3, float32 in [-1, 1].
        square: the same as an RGB image, S x S.
        masks: the ones used, of the input and of each exemplar, h x w in [0, 1]; empty where the method has none.
    """

    def __init__(self, image: Tensor, masks: Sequence[Tensor]) -> None:
        self.raw: np.ndarray = image[0].float().permute(1, 2, 0).cpu().numpy()
        self.square = Image.fromarray(denormalise(image)[0].permute(1, 2, 0).cpu().numpy())
        self.masks = list(masks)

    def mask(self, position: int, side: int) -> Image.Image:
        """Mask of the input (0) or of an exemplar (1, 2), mode L, side x side."""
        return mask_image(self.masks[position], side)

    def placed(self, picture: Picture, composite: bool) -> Image.Image:
        """A picture with its centre square replaced by the result.

        Args:
            picture: the input, at any size.
            composite: only under the mask, so that the rest keeps every bit; all of it where there are no masks.
        """
        mask = self.mask(0, min(picture.size)) if composite and self.masks else None
        return put_back(self.square, picture, mask)


class Editing:
    """One input beside its exemplars: what no edit changes is computed once.  Equal edits give equal bits.

    Use `lomit.Predictor.edit` to make one.

    Args:
        translator: in eval mode on `device`.
        device: where it computes.
        picture: the input.
        exemplars: none, one or two.
        label: target label, 1 x A, or None.
        moved: as in `Guide`, 1 x A, or None.
        precision: what convolutions compute in.

    Attributes:
        has_masks: whether there are masks to edit.
        content: content codes of the input and of each exemplar, C x h x w, for `lomit.masks.select`; empty where the
            model gives none.
    """

    def __init__(
        self,
        translator: Translator,
        device: torch.device,
        picture: Picture,
        exemplars: Sequence[Picture],
        label: Tensor | None = None,
        moved: Tensor | None = None,
        precision: Precision = "float32",
    ) -> None:
        self._size, self._device, self._precision = translator.config.image_size, device, precision
        seen = [to_tensor([p], self._size, device) for p in exemplars]

        def prepare(x: Tensor) -> Prepared:
            if isinstance(translator, Editable):
                return translator.prepare(x, seen, moved)
            return _Plain(translator, x, seen, label)

        self._begin([picture, *exemplars], prepare)

    def another(self, picture: Picture) -> Editing:
        """Another input beside the same exemplars, of which nothing is computed again; the bits stay the same."""
        editing = copy(self)
        editing._begin([picture, *self._pictures[1:]], self._prepared.another)
        return editing

    def _begin(self, pictures: Sequence[Picture], prepare: Callable[[Tensor], Prepared]) -> None:
        self._pictures = pictures
        with exactly(), computing_in(self._precision, self._device):
            self._prepared = prepare(to_tensor(pictures[:1], self._size, self._device))
            self.has_masks = bool(self._prepared.masks)
            self.content = [c[0].float().cpu().numpy() for c in self._prepared.content]

    def predicted(self, side: int, blend: float = 0.0) -> list[Image.Image]:
        """The predicted masks of the input and of each exemplar, mode L, side x side; empty where there are none."""
        if not self.has_masks:
            return []
        with exactly():
            return [mask_image(mask[0, 0], side) for mask in self._predicted(self._weights(blend))]

    def render(self, edit: Edit) -> Edited:
        """The translation under an edit.

        Raises:
            LomitError: for masks of a wrong shape, and for what the method can't do.
        """
        masks = self.masks(edit)
        with exactly(), computing_in(self._precision, self._device):
            translation = self._prepared.translate(masks, self._weights(edit.blend), edit.strength)
            return Edited(translation.image, [mask[0, 0] for mask in masks])

    def masks(self, edit: Edit) -> list[Tensor]:
        """The masks that `render` uses, of the input and of each exemplar, 1 x 1 x h x w in [0, 1]; raises as it."""
        if edit.regions:
            raise LomitError("regions are for a composition of exemplars; give 'input_mask' here")
        weights = self._weights(edit.blend)
        given: list[MaskLike | None] = [edit.input_mask, *edit.exemplar_masks]
        given += [None] * (len(self._pictures) - len(given))
        if len(given) > len(self._pictures):
            raise LomitError(f"{len(given) - 1} masks for {len(self._pictures) - 1} exemplars; give one for each")
        if len(edit.steps) > len(self._pictures):
            raise LomitError(f"steps for {len(edit.steps)} masks; give them for one input and each exemplar")
        if not self.has_masks and (any(mask is not None for mask in given) or any(edit.steps)):
            raise LomitError("the method has no masks; leave out the masks and steps you gave")
        with exactly():
            return self._used(given, weights, edit)

    def apply(self, edit: Edit, *, composite: bool = False) -> Image.Image:
        """The input at its own size, translated under an edit; see `Edited.placed`.  Raises as `render`."""
        return self.render(edit).placed(self._pictures[0], composite)

    def _weights(self, blend: float) -> list[float]:
        """Of the exemplars."""
        if len(self._pictures) < 3 and blend:
            raise LomitError("a blend needs two exemplars; give a second one")
        return {1: [], 2: [1.0]}.get(len(self._pictures), [1 - blend, blend])

    def _predicted(self, weights: Sequence[float]) -> list[Tensor]:
        """Masks of the input, by the weights of the exemplars it is seen beside, and of each exemplar."""
        pairs: list[Masks] = self._prepared.masks
        own = pairs[0].input
        if len(pairs) > 1:
            own = sum((w * pair.input for w, pair in zip(weights, pairs, strict=True)), torch.zeros_like(own))
        return [own, *(pair.exemplar for pair in pairs)]

    def _used(self, given: Sequence[MaskLike | None], weights: Sequence[float], edit: Edit) -> list[Tensor]:
        if not self.has_masks:
            return []
        masks, t = [], edit.threshold
        for k, (mask, m) in enumerate(zip(given, self._predicted(weights), strict=True)):
            if k < len(edit.steps) and edit.steps[k]:
                mask = self._after(edit.steps[k], k, mask, m)
            plane = mask_planes([mask], [self._pictures[k]], self._size, self._device)
            m = m if plane is None else plane
            masks.append(m if t == 0 else ((m - t) / (1 - t)).clamp(0, 1))
        return masks

    def _after(self, steps: Sequence[Step], position: int, mask: MaskLike | None, predicted: Tensor) -> Image.Image:
        """A mask, or the predicted one, after these steps, `lomit.masks.SIDE` pixels a side."""
        side = operations.SIDE
        plane = mask_planes([mask], [self._pictures[position]], side, self._device)
        m = np.asarray(mask_image(predicted[0, 0], side)) if plane is None else plane[0, 0].cpu().numpy()
        for step in steps:
            m = operations.apply(m, step, self.content[position] if self.content else None)
        return operations.to_image(m)


class _Plain:
    """For a translator that is not `Editable`: every edit is a whole translation; no strength, no blend."""

    def __init__(self, translator: Translator, x: Tensor, exemplars: Sequence[Tensor], label: Tensor | None) -> None:
        if len(exemplars) > 1:
            raise LomitError(f"the method '{method_of(translator.config).name}' takes one exemplar, not two")
        self._translator, self._x = translator, x
        self._guide = Guide(exemplars[0] if exemplars else None, label)
        self._first = translator.translate(x, self._guide)
        self.masks = [] if self._first.masks is None else [self._first.masks]
        self.content: list[Tensor] = []

    def another(self, x: Tensor) -> _Plain:
        exemplars = [] if self._guide.exemplar is None else [self._guide.exemplar]
        return _Plain(self._translator, x, exemplars, self._guide.label)

    def translate(self, masks: Sequence[Tensor], weights: Sequence[float], strength: float = 1.0) -> Translation:
        if strength != 1:
            raise LomitError(f"the method '{method_of(self._translator.config).name}' has no strength; leave it at 1")
        if not masks or (masks[0] is self.masks[0].input and masks[1] is self.masks[0].exemplar):
            return self._first
        size = (self._x.shape[-2], self._x.shape[-1])
        used = Masks(resize_mask(masks[0], size), resize_mask(masks[1], size))
        return self._translator.translate(self._x, replace(self._guide, masks=used))
