"""What every count of people's answers is shown with: its interval, and the mark of answers that are no people's."""

from __future__ import annotations

import math

Z = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""
MARK = "simulated, not people"


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927), in [0, 1]; (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    p, z2 = hits / trials, Z * Z / trials
    middle, half = p + z2 / 2, Z * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials))
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))
