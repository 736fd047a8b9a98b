"""The pairs that a measure is taken on: which images may be paired, and the draw by a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lomit.data.cache import Cache
from lomit.errors import LomitError, did_you_mean
from lomit.evaluation.settings import Setting

MOST_IMAGES = 3_000
"""Pairs are drawn among at most so many images, themselves drawn by the seed; their table is quadratic."""


@dataclass(frozen=True)
class Pairs:
    """Ordered pairs of images.

    Attributes:
        inputs, exemplars: rows of the images, int64, N each.
        differs: bool, N x A: the attributes in which a pair differs.
    """

    inputs: np.ndarray
    exemplars: np.ndarray
    differs: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    def facts(self, cache: Cache, images: int) -> dict[str, object]:
        """Their number and that of the people, out of how many images they are drawn, and the hash of their names in
        order: equal for equal pairs."""
        names = (f"{cache.names[i]} {cache.names[e]}" for i, e in zip(self.inputs, self.exemplars, strict=True))
        return {
            "pairs": len(self),
            "people": len(np.unique(cache.identity[self.inputs])),
            "images": images,
            "pairs_sha256": names_sha256(names),
        }


def names_sha256(names: Iterable[str]) -> str:
    """Hash of names in their order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def draw_pairs(
    labels: np.ndarray,
    rows: np.ndarray,
    count: int,
    seed: int,
    differ: np.ndarray | None = None,
    alike: np.ndarray | None = None,
) -> Pairs:
    """Draws ordered pairs that differ in at least one attribute, each at most once, all with equal probability.

    Which pairs are drawn depends on `differ` and `alike` alone, where both are given: methods that know different
    attributes then get the same pairs.

    Args:
        labels: int8, images x A: 1, 0, -1 (not annotated; it never differs).
        rows: the images to draw from.
        count: how many pairs.
        seed: equal calls give equal pairs.
        differ: labels of the attributes of which a pair must differ in one, images x B; by default `labels`.
        alike: labels in which no pair may differ, images x C, and all of which must be annotated.

    Raises:
        LomitError: where there are not that many.
    """
    rng = np.random.default_rng(seed)
    if alike is not None:
        rows = rows[(alike[rows] >= 0).all(1)]
    if len(rows) > MOST_IMAGES:
        rows = np.sort(rng.choice(rows, MOST_IMAGES, replace=False))
    chosen = labels[rows]
    usable = np.zeros((len(rows), len(rows)), dtype=bool)
    for y in (chosen if differ is None else differ[rows]).T:
        usable |= (y[:, None] != y[None, :]) & (y[:, None] >= 0) & (y[None, :] >= 0)
    for y in () if alike is None else alike[rows].T:
        usable &= y[:, None] == y[None, :]
    candidates = np.flatnonzero(usable)
    if len(candidates) < count:
        raise LomitError(
            f"{count} pairs were asked for, but only {len(candidates)} pairs of the {len(rows)} images differ as "
            "they should; ask for fewer with --pairs or give more data"
        )
    first, second = np.divmod(rng.choice(candidates, count, replace=False), len(rows))
    y1, y2 = chosen[first], chosen[second]
    return Pairs(rows[first], rows[second], (y1 != y2) & (y1 >= 0) & (y2 >= 0))


def usable_rows(setting: Setting, split: str | None = None) -> np.ndarray:
    """The images that a method can be given: those in one of its domains, where it has domains.

    Args:
        setting: the data and the method.
        split: of the data; by default the setting's.

    Returns:
        Rows of the cache, int64, ascending.

    Raises:
        LomitError: where there is none.
    """
    split = split or setting.split
    rows = setting.cache.subset(split)
    if not len(rows):
        raise LomitError(f"the data has no image of the {split} split to evaluate on")
    domains = setting.translator.domains
    return rows if domains is None else rows[domains.of(setting.cache.labels[rows]) >= 0]


def of_data(setting: Setting, names: tuple[str, ...], option: str) -> np.ndarray | None:
    """Labels of any attributes of the data, int8, rows of the cache x K; None where none is named.

    Raises:
        LomitError: for an attribute that the data does not annotate, which `option` named.
    """
    known = setting.source.attributes
    for name in names:
        if name not in known:
            raise LomitError(
                f"--{option}: the data has no attribute '{name}'{did_you_mean(name, known)}; it has {', '.join(known)}"
            )
    columns = [known.index(name) for name in names]
    return setting.source.labels[setting.cache.source_index][:, columns] if names else None


def pairs_note(setting: Setting, count: int, names: tuple[str, ...], alike: tuple[str, ...]) -> str:
    """What was drawn, and what the intervals are, for a protocol's notes.

    Args:
        setting: the split.
        count: pairs.
        names: attributes of which every pair differs in one.
        alike: attributes in which none differs.
    """
    return (
        f"{count} ordered pairs of the {setting.split} split that differ in at least one of {', '.join(names)}"
        f"{alike_note(alike)}; [ ]: 95 % bootstrap intervals over {setting.over}."
    )


def alike_note(alike: tuple[str, ...]) -> str:
    """How attributes in which no pair differs go on from what pairs differ in; empty without any."""
    return f" and are alike in {', '.join(alike)}" if alike else ""
