"""HTML that escapes what it is given.

Text is escaped unless it is `Html`, and only `tag` and the few functions here make that: what comes from a file of a
user's can't become markup.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Sequence
from html import escape

from PIL import Image

VOID = frozenset({"img", "meta", "br", "hr"})
"""Elements without an end."""


class Html(str):
    """Markup, taken as it is."""


Content = str | Html | None
"""What an element holds; plain text is escaped, None left out."""


def tag(name: str, /, *content: Content, **attributes: str | int | bool | None) -> Html:
    """An element.

    Args:
        name: of the element; not escaped.
        content: text and elements.
        attributes: `class_` stands for `class`, `aria_label` for `aria-label`; None and False are left out, True
            stands without a value.
    """
    words = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{escape(str(value))}"')
    start = f"<{' '.join(words)}>"
    return Html(start) if name in VOID else Html(f"{start}{join(content)}</{name}>")


def join(content: Iterable[Content], between: str = "") -> Html:
    """Text and elements in a row, text escaped."""
    parts = (part if isinstance(part, Html) else escape(part) for part in content if part is not None)
    return Html(between.join(parts))


def code(command: str) -> Html:
    """Something to type."""
    return tag("code", command)


def paragraph(*content: Content, class_: str | None = None) -> Html:
    """A paragraph."""
    return tag("p", *content, class_=class_)


def items(entries: Iterable[Content]) -> Html:
    """A list with bullets."""
    return tag("ul", *(tag("li", entry) for entry in entries))


def picture(image: Image.Image, alt: str, width: int | None = None) -> Html:
    """An image within the page, as PNG; the same pixels give the same text.

    Args:
        image: mode RGB or L.
        alt: what it shows, for those who don't see it.
        width: shown so many CSS pixels wide; by default its own.
    """
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    width = width or image.width
    return tag("img", src=source, alt=alt, width=width, height=round(width * image.height / image.width))


def scrolling(what: str, *content: Content) -> Html:
    """A box that scrolls sideways by itself, reachable by keyboard; `what` names it."""
    return tag("div", *content, class_="scroll", role="region", tabindex=0, aria_label=what)


def table(
    caption: str,
    header: Sequence[Sequence[Content]] | Html,
    rows: Iterable[Sequence[Content]],
    class_: str | None = None,
) -> Html:
    """A table in a scrolling box; the first cell of a row is its heading.

    Args:
        caption: what it shows.
        header: rows of headings, or finished rows where cells span several columns.
        rows: cells; a row with a single cell is a heading over the rows below it.
        class_: of the table.
    """
    if not isinstance(header, Html):
        header = join(tag("tr", *(tag("th", cell, scope="col") for cell in row)) for row in header)
    rows = list(rows)
    width = max((len(row) for row in rows), default=1)
    body = [
        tag("tr", tag("th", row[0], scope="colgroup", colspan=width, class_="over"))
        if len(row) == 1 and width > 1
        else tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:]))
        for row in rows
    ]
    content = tag("caption", tag("span", caption)), tag("thead", header), tag("tbody", *body)
    return scrolling(caption, tag("table", *content, class_=class_))


def anchor(text: str) -> str:
    """An element's id for a heading."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
