"""An image that a person gave, with the face in it that is meant; an input and its exemplars before a model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from lomit.data.transforms import centre_box, resize
from lomit.errors import LomitError
from lomit.images import Picture, as_picture
from lomit.inference.editing import Edit, Edited
from lomit.inference.predictor import Predictor
from lomit.photo.align import align, covered, view
from lomit.photo.faces import Face
from lomit.photo.paste import paste


@dataclass(frozen=True)
class Rendered:
    """A rendered face: what `lomit.data.avatars.render_face` is called with."""

    seed: int
    index: int
    size: int

    def picture(self) -> Picture:
        """The face.  Raises `LomitError` where the `avatars` extra is missing."""
        from lomit.data.avatars import render_face

        return as_picture(render_face(self.seed, self.index, self.size, regions=False).image, self.name)

    @property
    def name(self) -> str:
        return f"face-{self.seed}-{self.index}"


@dataclass(frozen=True, eq=False)
class Portrait:
    """An image and what of it is translated.

    Attributes:
        name: of the file, without folders.
        read: gives the whole image.  It is called where all of it is needed; between calls it need not be decoded.
        face: the face whose aligned crop the network sees; None: the centre square.
        rendered: set where the image is a rendered face.
    """

    name: str
    read: Callable[[], Picture]
    face: Face | None = None
    rendered: Rendered | None = None
    _seen: dict[int, Picture] = field(default_factory=dict, repr=False)

    def seen(self, size: int) -> Picture:
        """What is translated: RGB, size x size."""
        if size not in self._seen:
            picture = self.read()
            if self.face is not None:
                square = align(picture, self.face, size)
            else:
                square = resize(picture.on_white().crop(centre_box(picture.size)), size)
            self._seen[size] = Picture(square, name=self.name)
        return self._seen[size]

    def seen_mask(self, mask: Image.Image, size: int) -> Image.Image:
        """A mask as it lies on what is translated: mode L, size x size.  Raises LomitError for a mask of another shape.

        Args:
            mask: mode L, square (it stands for what is translated) or of the whole image's shape, at any size.
        """
        if mask.width != mask.height:
            width, height = self.read().size
            if abs(mask.width * height - mask.height * width) > max(width, height):
                raise LomitError(
                    f"the mask of {self.name} is {mask.width} x {mask.height}; make it square, or of the image's shape "
                    f"({width} x {height})"
                )
            whole = mask.resize((width, height), Image.Resampling.BILINEAR)
            if self.face is not None:
                return view(whole, self.face, size)
            mask = whole.crop(centre_box(whole.size))
        return mask.resize((size, size), Image.Resampling.BILINEAR)

    def close_up(self) -> Portrait:
        """The part of the image around the face; the same where no face is meant."""
        face = self.face
        if face is None:
            return self
        picture = self.read()
        box = covered(face, picture.size)
        part = Picture(picture.rgb.crop(box), picture.alpha and picture.alpha.crop(box), picture.icc, picture.name)
        return replace(self, read=lambda: part, face=face.moved(-box[0], -box[1]), _seen={})

    def scaled(self, longest: int) -> Portrait:
        """The same image, no side longer than this."""
        picture = self.read()
        scale = min(1.0, longest / max(picture.size))
        if scale == 1:
            return replace(self, read=lambda: picture)
        size = (max(1, round(picture.size[0] * scale)), max(1, round(picture.size[1] * scale)))
        rgb = picture.rgb.resize(size, reducing_gap=3.0)
        alpha = None if picture.alpha is None else picture.alpha.resize(size, reducing_gap=3.0)
        small = Picture(rgb, alpha, picture.icc, picture.name)
        face = self.face
        if face is not None:
            shares = np.divide(size, picture.size)
            left, top, right, bottom = (round(edge * s) for edge, s in zip(face.box, [*shares, *shares], strict=True))
            face = Face((left, top, right, bottom), face.landmarks * shares, face.score)
        return replace(self, read=lambda: small, face=face, _seen={})


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
        self._editing = predictor.edit(input.seen(self._size), guides, label)
        self._has_own_style = predictor.can_blend

    @property
    def content(self) -> list[np.ndarray]:
        """Content codes, one for each mask; see `Editing`."""
        return self._editing.content

    def predicted(self, side: int, blend: float = 0.0) -> list[Image.Image]:
        """The predicted masks; see `Editing.predicted`."""
        return self._editing.predicted(side, blend)

    def render(self, edit: Edit) -> Edited:
        """The translated square; see `Editing.render`."""
        return self._editing.render(edit)

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
        mask = edited.mask(0, self._size) if composite and edited.masks else None
        return paste(picture, face, self._before(edited, edit), edited.square, mask)

    def _before(self, edited: Edited, edit: Edit) -> Image.Image:
        """What the changed face is compared with."""
        if self._has_own_style:
            return self.render(replace(edit, strength=0.0)).square
        return self.input.seen(self._size).rgb


def content_hash(picture: Picture) -> str:
    """SHA-256 of an image's size and values, whatever file they came from.

    Decoders of lossy formats differ in their last bits: the same file may hash differently with another release.
    """
    digest = hashlib.sha256(f"{picture.size[0]}x{picture.size[1]}".encode())
    digest.update(picture.rgb.tobytes())
    if picture.alpha is not None:
        digest.update(picture.alpha.tobytes())
    return digest.hexdigest()
