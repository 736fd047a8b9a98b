"""What a page is made of: paragraphs, tables, pictures, charts.  The template alone makes HTML of it, and escapes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from lomit import __version__
from lomit.stats.estimate import Estimate
from lomit.stats.text import NONE


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
