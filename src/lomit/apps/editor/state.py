"""What a page is made of: images with their masks, settings, kept variants; and how much of it there may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL import Image

from lomit.inference.masks import SIDE
from lomit.photo.faces import Face
from lomit.recipe.portrait import Portrait

INPUT, EXEMPLARS = 0, (1, 2, 3)
EXEMPLAR = EXEMPLARS[0]
REGION = {1: INPUT, 2: 4, 3: 5}
"""Exemplar -> the pane that holds the mask of its region in the input; panes 4 and 5 are the input once more."""
PANES = 6
MASK_SIDE = SIDE
"""Masks are edited at this size."""


@dataclass(frozen=True)
class Limits:
    """Bounds on what strangers can make the editor hold or do.

    Attributes:
        upload_bytes: size of an image file.
        upload_pixels: width times height of an image.
        kept: variants in a strip.
        sessions: pages at once.
        queue: requests that wait; further ones are turned away.
        idle: seconds after which a page that is silent makes room for another.
    """

    upload_bytes: int = 20 * 2**20
    upload_pixels: int = 40_000_000
    kept: int = 12
    sessions: int = 32
    queue: int = 40
    idle: float = 1800.0

    @property
    def body_bytes(self) -> int:
        """Size of a request: an image in base64, and what is told beside it."""
        return self.upload_bytes * 4 // 3 + 2**20


@dataclass(frozen=True)
class Slot:
    """An image of the page.

    Attributes:
        source: the image and the face that is meant.
        faces: all that were found, the largest first.
        data: the uploaded file; None for a sample.
        mask: the edited mask, or None.
        note: a sentence about it.
        stamp: changes where a page has to take over image and mask, instead of keeping what it edits.
        operation: counts the operations that were done to the mask here; a page takes over the mask after each.
    """

    source: Portrait
    faces: tuple[Face, ...] = ()
    data: bytes | None = None
    mask: Image.Image | None = None
    note: str = ""
    stamp: int = 0
    operation: int = 0


@dataclass(frozen=True)
class EditorSettings:
    """Everything but the images.

    Attributes:
        choosing: whether an input that is opened chooses the model.
        composing: whether each exemplar has a region of its own; else the first two are blended.
        givers: name of a region -> the exemplar that gives it, 0 for none.  Those left out go to the first exemplar,
            the second and so on.
    """

    model: str
    threshold: float = 0.0
    strength: float = 1.0
    blend: float = 0.5
    composite: bool = True
    label: tuple[str, ...] = ()
    choosing: bool = False
    composing: bool = False
    givers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """A result that was kept, with all it was made of; `images` shows it whole and close up."""

    id: int
    title: str
    images: tuple[str, ...]
    slots: tuple[Slot | None, ...]
    settings: EditorSettings
