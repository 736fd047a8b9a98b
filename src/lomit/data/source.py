"""What every data set is to the rest of lomit: names, labels, split, identities, and an image by index."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from PIL import Image

TRAIN, VAL, TEST = 0, 1, 2
"""Values of `Source.split`, CelebA's own."""
UNKNOWN = -1
"""Label of an attribute that is not annotated."""


class Source(ABC):
    """A labelled set of images, before decoding.

    Attributes:
        names: N file names (or other unique names).
        attributes: every attribute the set annotates, in the order of `labels`' columns.
        labels: int8, N x A: 1 has it, 0 has not, -1 not annotated.
        split: int8, N: 0 train, 1 validation, 2 test.
        identity: int32, N: number of the person; an image of a person not known has a number of its own.
        knows_people: whether the person is known of any image.
        groups: groups of attributes of which at most one holds.
        region_names: names of the regions whose true masks are known, empty for photographs.
        region_of: attribute -> the regions where a pair differing in it differs (rendered faces).
        default_crop: side of the centre square that this layout is usually cut to, None: the largest.
        fingerprint: a string that changes when the images change; part of the cache's key.
    """

    names: Sequence[str]
    attributes: tuple[str, ...]
    labels: np.ndarray
    split: np.ndarray
    identity: np.ndarray
    knows_people: bool = True
    groups: tuple[tuple[str, ...], ...] = ()
    region_names: tuple[str, ...] = ()
    region_of: dict[str, tuple[str, ...]] = {}
    default_crop: int | None = None
    fingerprint: str = ""

    @abstractmethod
    def load(self, index: int) -> Image.Image:
        """The image, RGB, upright.  Raises OSError (or what Pillow raises) where it can't be read."""

    def regions(self, index: int) -> dict[str, np.ndarray]:
        """True masks by region name, each bool H x W at the image's own size."""
        return {}

    def __len__(self) -> int:
        return len(self.names)
