"""The pairs that a measure is taken on, drawn by a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lomit.errors import LomitError

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
