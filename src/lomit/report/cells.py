"""Numbers as table cells."""

from __future__ import annotations

from lomit.report.markup import Content, join, tag
from lomit.stats.bootstrap import Estimate

NONE = "–"


def cell(estimate: Estimate | None, digits: int, counts: bool = False) -> Content:
    """A value with its interval below, and with the numbers of samples and people where they differ by row."""
    if estimate is None or estimate.value is None:
        return NONE
    parts: list[Content] = [f"{estimate.value:.{digits}f}"]
    if estimate.low is not None and estimate.high is not None:
        parts.append(tag("span", f"{estimate.low:.{digits}f} to {estimate.high:.{digits}f}", class_="interval"))
    if counts:
        parts.append(tag("span", sample_count(estimate), class_="interval"))
    return join(parts)


def sample_count(estimate: Estimate) -> str:
    """How many samples and people a number is of."""
    return f"n = {estimate.samples}, {estimate.people} people"
