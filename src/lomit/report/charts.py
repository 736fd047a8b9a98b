"""Line charts and scatter plots: sharp at every width, in the colours of the page's theme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lomit.report.parts import Chart

COLOURS = 8
"""Colours of the page's style sheet, classes `c0` to `c7`; more series begin again."""
WIDTH, HEIGHT, SIDE = 320, 190, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 8, 24
"""Space around the plot, in the units of the drawing."""


@dataclass(frozen=True)
class Series:
    """A line: x and y, x ascending; the number of its colour; whether it has gaps."""

    points: Sequence[tuple[float, float]]
    colour: int
    dashed: bool = False


def line_chart(heading: str, alt: str, series: Sequence[Series]) -> Chart:
    """Lines over common axes, at least one point in all together; the horizontal axis counts iterations."""
    xs = [x for line in series for x, _ in line.points]
    ys = [y for line in series for _, y in line.points]
    x_low, x_high, y_low, y_high = min(xs), max(xs), min(ys), max(ys)
    if x_low == x_high:
        x_low, x_high = x_low - 1, x_high + 1
    if y_low == y_high:
        pad = abs(y_low) / 10 or 1.0
        y_low, y_high = y_low - pad, y_high + pad

    def across(x: float) -> str:
        return _n(LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT))

    def down(y: float) -> str:
        return _n(TOP + (y_high - y) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM))

    lines, dots = [], []
    for line in series:
        colour = f"c{line.colour % COLOURS}"
        points = [(across(x), down(y)) for x, y in line.points]
        look = f"line {colour}{' dashed' if line.dashed else ''}"
        lines.append((look, " ".join(f"{x},{y}" for x, y in points)))
        if len(points) == 1:
            dots.append((f"dot {colour}", *points[0]))
    rules = [(down(y), short(y)) for y in ticks(y_low, y_high, 4)]
    marks = [(across(x), short(x)) for x in ticks(x_low, x_high, 4)]
    return Chart(heading, alt, WIDTH, HEIGHT, rules, marks, lines, dots)


def scatter(heading: str, alt: str, points: Sequence[tuple[float, float]], colours: Sequence[int]) -> Chart:
    """Dots without axes, for an embedding whose units mean nothing."""
    spans = [(min(values), max(values)) for values in zip(*points, strict=True)]
    span = max(high - low for low, high in spans) or 1.0
    x0, y0 = ((low + high) / 2 for low, high in spans)

    def at(value: float, middle: float) -> str:
        return _n(SIDE / 2 + (value - middle) / span * (SIDE - 16))

    dots = [(f"dot c{colour % COLOURS}", at(x, x0), at(y, y0)) for (x, y), colour in zip(points, colours, strict=True)]
    return Chart(heading, alt, SIDE, SIDE, dots=dots)


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` + 1 round numbers in [low, high], evenly spaced."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def short(value: float) -> str:
    """A number for an axis, at most some seven characters: 4e-4, 0.05, 12, 3k, 2M."""
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-3:
        digits, _, power = f"{value:.3e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    if size >= 1e3:
        return f"{value / 1e6:.4g}M" if size >= 1e6 else f"{value / 1e3:.4g}k"
    return f"{value:.4g}" if value else "0"


def _n(value: float) -> str:
    """A coordinate to a tenth."""
    return f"{value:.1f}"
