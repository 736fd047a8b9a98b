"""A number with its interval over people."""

from __future__ import annotations

from dataclasses import dataclass

from lomit.stats.text import number_text

LEVEL = 0.95
"""Coverage of every interval."""


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
