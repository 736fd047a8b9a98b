"""Line charts and scatter plots as SVG within the page: sharp at every width, in the colours of its theme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lomit.report.markup import Content, Html, join, tag

COLOURS = 8
"""Colours of the page's style sheet, classes `c0` to `c7`; more series begin again."""
WIDTH, HEIGHT = 320, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 8, 24
"""Space around the plot, in the units of the drawing."""


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
        points: x and y, x ascending.
        colour: number of its colour.
        dashed: drawn with gaps.
    """

    points: Sequence[tuple[float, float]]
    colour: int
    dashed: bool = False


def line_chart(alt: str, series: Sequence[Series]) -> Html:
    """Lines over common axes; the horizontal one counts iterations.

    Args:
        alt: what it shows.
        series: at least one point in all of them together.
    """
    xs = [x for line in series for x, _ in line.points]
    ys = [y for line in series for _, y in line.points]
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = min(ys), max(ys)
    if x_low == x_high:
        x_low, x_high = x_low - 1, x_high + 1
    if y_low == y_high:
        pad = abs(y_low) / 10 or 1.0
        y_low, y_high = y_low - pad, y_high + pad

    def across(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return TOP + (y_high - y) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    parts: list[Content] = []
    for y in ticks(y_low, y_high, 4):
        parts.append(tag("line", class_="rule", x1=LEFT, x2=WIDTH - RIGHT, y1=_n(down(y)), y2=_n(down(y))))
        parts.append(tag("text", short(y), x=LEFT - 5, y=_n(down(y) + 3.5), text_anchor="end"))
    for x in ticks(x_low, x_high, 4):
        parts.append(tag("text", short(x), x=_n(across(x)), y=HEIGHT - 7, text_anchor="middle"))
    for line in series:
        points = " ".join(f"{_n(across(x))},{_n(down(y))}" for x, y in line.points)
        look = f"line c{line.colour % COLOURS}{' dashed' if line.dashed else ''}"
        parts.append(tag("polyline", class_=look, points=points))
        if len(line.points) == 1:
            (x, y), dot = line.points[0], f"dot c{line.colour % COLOURS}"
            parts.append(tag("circle", class_=dot, cx=_n(across(x)), cy=_n(down(y)), r=3))
    return _drawing(alt, WIDTH, HEIGHT, parts)


def scatter(alt: str, points: Sequence[tuple[float, float]], colours: Sequence[int], side: int = 300) -> Html:
    """Dots without axes, for an embedding whose units mean nothing."""
    spans = [(min(values), max(values)) for values in zip(*points, strict=True)]
    span = max(high - low for low, high in spans) or 1.0

    def at(value: float, k: int) -> str:
        low, high = spans[k]
        return _n(side / 2 + (value - (low + high) / 2) / span * (side - 16))

    dots = [
        tag("circle", class_=f"dot c{colour % COLOURS}", cx=at(x, 0), cy=at(y, 1), r=3)
        for (x, y), colour in zip(points, colours, strict=True)
    ]
    return _drawing(alt, side, side, dots)


def legend(names: Sequence[str], dashed: str | None = None) -> Html:
    """The names of colours 0, 1, ...; `dashed` says what gaps in a line mean."""
    entries = [
        tag("li", tag("span", class_=f"key c{k % COLOURS}", aria_hidden="true"), name) for k, name in enumerate(names)
    ]
    if dashed is not None:
        entries.append(tag("li", tag("span", class_="key gaps", aria_hidden="true"), dashed))
    return tag("ul", *entries, class_="legend")


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


def _drawing(alt: str, width: int, height: int, parts: Sequence[Content]) -> Html:
    return tag("svg", join(parts), class_="chart", viewBox=f"0 0 {width} {height}", role="img", aria_label=alt)


def _n(value: float) -> str:
    """A coordinate to a tenth."""
    return f"{value:.1f}"
