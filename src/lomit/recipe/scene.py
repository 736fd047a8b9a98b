"""An input and its exemplars before a model: edits in, whole pictures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from PIL import Image

from lomit.inference.editing import Edit, Edited
from lomit.inference.predictor import Predictor
from lomit.photo.paste import paste
from lomit.recipe.portrait import Portrait


class Scene:
    """What stays the same while masks and sliders move: an input, and its one or two exemplars (none for a method that
    a label guides).  Raises as `Predictor.edit`.
    """

    def __init__(
        self,
        predictor: Predictor,
        input: Portrait,
        exemplars: Sequence[Portrait],
        label: Mapping[str, float] | None = None,
    ) -> None:
        self.input, self._size = input, predictor.image_size
        guides = [exemplar.seen(self._size) for exemplar in exemplars]
        self.editing = predictor.edit(input.seen(self._size), guides, label)
        self._has_own_style = predictor.can_blend

    def render(self, edit: Edit) -> Edited:
        """The translated square; see `Editing.render`."""
        return self.editing.render(edit)

    def place(self, edited: Edited, edit: Edit, composite: bool, source: Portrait | None = None) -> Image.Image:
        """The whole picture with the translated square in its place.

        The change of an aligned face is carried back as `lomit photo` does, relative to what the network
        makes of the face in its own style.

        Args:
            edited: what `render` gave for `edit`.
            composite: only under the mask, so that the rest keeps every bit.
            source: the input at another size; None: at its own.
        """
        source = source or self.input
        picture, face = source.read(), source.face
        if face is None:
            return edited.placed(picture, composite)
        before = self.input.seen(self._size).rgb
        if self._has_own_style:
            before = self.render(replace(edit, strength=0.0)).square
        mask = edited.mask(0, self._size) if composite and edited.masks else None
        return paste(picture, face, before, edited.square, mask)
