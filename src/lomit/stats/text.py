"""How numbers are written: with their intervals, and in tables."""

from __future__ import annotations

from collections.abc import Sequence

NONE = "–"
"""Stands where there is no number."""


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
