"""An image that a person gave: its pixels, and the face in it that is meant."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from lomit.data.transforms import centre_box, resize
from lomit.images import Picture, as_picture
from lomit.photo.align import align, covered
from lomit.photo.faces import Face


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


def content_hash(picture: Picture) -> str:
    """SHA-256 of an image's size and values, whatever file they came from.

    Decoders of lossy formats differ in their last bits: the same file may hash differently with another release.
    """
    digest = hashlib.sha256(f"{picture.size[0]}x{picture.size[1]}".encode())
    digest.update(picture.rgb.tobytes())
    if picture.alpha is not None:
        digest.update(picture.alpha.tobytes())
    return digest.hexdigest()
