"""Labelled faces to show: rendered ones, or those of a data set's test split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from PIL import Image

from lomit.config import DataConfig
from lomit.data.cache import build_cache
from lomit.data.decode import Geometry, decode
from lomit.data.source import SPLITS, Source
from lomit.errors import LomitError

POOL = 600
"""Faces among which the examples of a figure are looked for."""


class Faces(ABC):
    """Labelled faces by number.

    Attributes:
        what: what they are, for captions.
        people: whether they may show people, so that the page must not be passed on unchecked.
        attributes: what their labels tell.
        labels: int8, faces x attributes: 1, 0, -1 (not annotated).
        groups: groups of attributes of which at most one holds.
    """

    what: str
    people: bool
    attributes: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    labels: np.ndarray

    @abstractmethod
    def identity(self, face: int) -> int:
        """Number of the person."""

    @abstractmethod
    def image(self, face: int) -> Image.Image:
        """A square RGB picture."""

    def columns(self, attributes: Sequence[str]) -> np.ndarray:
        """The labels of some attributes, faces x len(attributes); -1 where the faces are not labelled with one."""
        unknown = np.full(len(self.labels), -1, dtype=np.int8)
        found = [self.labels[:, self.attributes.index(a)] if a in self.attributes else unknown for a in attributes]
        return np.stack(found, axis=1) if found else np.zeros((len(self.labels), 0), dtype=np.int8)

    def label(self, face: int, attributes: Sequence[str]) -> dict[str, float]:
        """A label for methods that are guided by one; what is not annotated is taken for absent."""
        row = dict(zip(self.attributes, self.labels[face].tolist(), strict=True))
        return {name: float(row.get(name, 0) == 1) for name in attributes}


class RenderedFaces(Faces):
    """Faces drawn by the `avatars` extra, with a seed that no training set has."""

    people = False

    def __init__(self, seed: int, size: int, pool: int = POOL) -> None:
        """`pool`: how many faces there are to choose from.  Raises LomitError where the extra is missing."""
        from lomit.data.avatars import ATTRIBUTES, GROUPS, render_face
        from lomit.data.avatars.draw import draw_face

        render_face(seed, 0, size, regions=False)  # says whether the extra is there
        self.seed, self.size = seed, size
        self.what = f"rendered faces, seed {seed}"
        self.attributes, self.groups = tuple(ATTRIBUTES), tuple(tuple(group) for group in GROUPS)
        drawn = [draw_face(seed, face).labels for face in range(pool)]
        self.labels = np.array([[labels[a] for a in self.attributes] for labels in drawn], dtype=np.int8)

    def identity(self, face: int) -> int:
        return face

    def image(self, face: int) -> Image.Image:
        from lomit.data.avatars import render_face

        return render_face(self.seed, face, self.size, regions=False).image.convert("RGB")


class SourceFaces(Faces):
    """Some faces of a data set, drawn by a seed from its test split, or where it has none, from what it has."""

    def __init__(self, source: Source, data: DataConfig, seed: int, name: str, pool: int = POOL) -> None:
        self.source = source
        self.geometry = Geometry.of(source, data)
        split = next((s for s in ("test", "val", "train") if (source.split == SPLITS[s]).any()), "train")
        rows = np.flatnonzero(source.split == SPLITS[split])
        # Where faces are cut out, the cache knows which photographs show one; a run on this data has made it.
        self._cut = build_cache(source, data) if data.face_crop != "none" else None
        if self._cut is not None:
            rows = rows[np.isin(rows, self._cut.source_index)]
        chosen = np.random.default_rng(seed).permutation(len(rows))[:pool]
        self.rows = rows[chosen]
        self.what = f"{name}, {split} split, seed {seed}"
        # Only rendered faces know their regions.
        self.people = not source.region_names
        self.attributes, self.groups = source.attributes, source.groups
        self.labels = source.labels[self.rows]

    def identity(self, face: int) -> int:
        return int(self.source.identity[self.rows[face]])

    def image(self, face: int) -> Image.Image:
        if self._cut is not None:  # no face is looked for a second time
            (row,) = np.flatnonzero(self._cut.source_index == self.rows[face])
            return Image.fromarray(self._cut.images[row].transpose(1, 2, 0))
        outcome = decode(self.source, int(self.rows[face]), self.geometry)
        if outcome.pixels is None:
            raise LomitError(f"{outcome.problem}; choose other faces with --seed")
        return Image.fromarray(outcome.pixels.transpose(1, 2, 0))
