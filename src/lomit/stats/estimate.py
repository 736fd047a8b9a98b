"""A number with its interval over people, and how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95
"""Coverage of every interval."""
Z = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""
NONE = "–"
"""Stands where there is no number."""
MARK = "simulated, not people"
"""Stands beside answers that no people gave."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: the number over all samples; None where nothing counted.
        low, high: ends of its interval; None where fewer than two people counted.
        samples: how many samples (pairs, images) counted.
        people: how many people they show.
    """

    value: float | None
    low: float | None
    high: float | None
    samples: int
    people: int

    def times(self, factor: float) -> Estimate:
        """The same in another unit."""
        value, low, high = (None if v is None else factor * v for v in (self.value, self.low, self.high))
        return Estimate(value, low, high, self.samples, self.people)

    def text(self, digits: int) -> str:
        """`0.50 [0.40, 0.60]`, without an interval where there is none."""
        return number_text(self.value, self.low, self.high, digits)


def number_text(value: float | None, low: float | None, high: float | None, digits: int) -> str:
    """`0.50 [0.40, 0.60]`, as far as value and interval are there."""
    if value is None:
        return NONE
    shown = f"{value:.{digits}f}"
    return shown if low is None or high is None else f"{shown} [{low:.{digits}f}, {high:.{digits}f}]"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first being the header, with every column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927), in [0, 1]; (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    p, z2 = hits / trials, Z * Z / trials
    middle, half = p + z2 / 2, Z * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials))
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))
