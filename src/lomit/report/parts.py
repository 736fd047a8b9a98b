"""What a page is made of: paragraphs, tables, pictures, charts.  The template alone makes HTML of it, and escapes."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from lomit import __version__
from lomit.stats.estimate import NONE, Estimate

COLOURS = 8
"""Colours of the page's style sheet, classes `c0` to `c7`; more series begin again."""
WIDTH, HEIGHT, SIDE = 320, 190, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 8, 24
"""Space around the plot, in the units of the drawing."""


@dataclass(frozen=True)
class PagePart:
    """Base of what stands one below the other."""

    @property
    def kind(self) -> str:
        """Name of its macro in the template."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Cell:
    """Text of a table's cell, small lines below it, and a look: `code`, or `simulated` for lines not to be missed."""

    text: str
    below: tuple[str, ...] = ()
    look: str = ""


@dataclass(frozen=True)
class PagePicture:
    """An image within the page: its PNG as an address, what it shows, and its size in CSS pixels."""

    source: str
    alt: str
    width: int
    height: int


Content = str | Cell | PagePicture


@dataclass(frozen=True)
class Head:
    """A heading over several columns and rows."""

    text: str
    columns: int = 1
    rows: int = 1


@dataclass(frozen=True)
class Paragraph(PagePart):
    """Text and commands to type in turn; a look (`notes`, `warning`), and words in front that must not be missed."""

    parts: tuple[str, ...]
    look: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Notes(PagePart):
    """A list in small print."""

    items: Sequence[str]


@dataclass(frozen=True)
class PageTable(PagePart):
    """A table in a box that scrolls sideways by itself; the first cell of a row is its heading.

    Attributes:
        header: rows of headings.
        rows: cells; a row with a single cell is a heading over the rows below it.
        look: class of the table.
    """

    caption: str
    header: Sequence[Sequence[Head | str]]
    rows: Sequence[Sequence[Content]]
    look: str = ""


@dataclass(frozen=True)
class Sheet(PagePart):
    """A picture as wide as the page allows."""

    caption: str
    picture: PagePicture


@dataclass(frozen=True)
class Chart:
    """A drawing in the colours of the page's theme.

    Attributes:
        heading, alt: above it; what it shows.
        width, height: in the units of the drawing.
        rules, ticks: y and label of the horizontal lines; x and label below the plot.
        lines, dots: class and points; class, x and y.
    """

    heading: str
    alt: str
    width: int
    height: int
    rules: Sequence[tuple[str, str]] = ()
    ticks: Sequence[tuple[str, str]] = ()
    lines: Sequence[tuple[str, str]] = ()
    dots: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True)
class Charts(PagePart):
    """Charts side by side, and above them the names of their colours.

    Attributes:
        legend: names of colours 0, 1, ...
        dashed: what gaps in a line mean; empty where there are none.
    """

    charts: Sequence[Chart]
    legend: Sequence[str]
    dashed: str = ""
    title: str = ""


@dataclass(frozen=True)
class HowTo(PagePart):
    """What is not on the page, and what makes it: text and commands in turn."""

    entries: Mapping[str, tuple[str, ...]]


def picture(image: Image.Image, alt: str, width: int | None = None) -> PagePicture:
    """An image (mode RGB or L) as PNG, by default at its own width; the same pixels give the same text."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    width = width or image.width
    return PagePicture(source, alt, width, round(width * image.height / image.width))


def number(estimate: Estimate | None, digits: int, below: tuple[str, ...] = (), mark: str = "") -> Content:
    """A value with its interval below, and what else stands below."""
    if estimate is None or estimate.value is None:
        return NONE
    interval = () if estimate.low is None or estimate.high is None else (between(estimate.low, estimate.high, digits),)
    return Cell(f"{estimate.value:.{digits}f}{mark}", (*interval, *below))


def between(low: float, high: float, digits: int) -> str:
    """An interval."""
    return f"{low:.{digits}f} to {high:.{digits}f}"


def counted(estimate: Estimate, over: str = "people") -> str:
    """How many samples and people a number is of."""
    return f"n = {estimate.samples}, {estimate.people} {over}"


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


def page(title: str, introduction: Sequence[PagePart], sections: Mapping[str, Sequence[PagePart]]) -> str:
    """A complete document; its policy lets it load nothing, whatever were written into it.

    Args:
        sections: heading -> what stands below.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("lomit.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    values = {"title": title, "introduction": introduction, "sections": sections, "version": __version__}
    return environment.get_template("page.html").render(values).lstrip()
