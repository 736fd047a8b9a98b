"""The page: sections, a list of them, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lomit import __version__
from lomit.report.markup import Content, Html, anchor, join, paragraph, tag
from lomit.report.style import STYLE

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Lets the page load nothing, whatever were written into it."""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        heading: its heading.
        body: what stands below.
    """

    heading: str
    body: Html


@dataclass(frozen=True)
class Missing:
    """Something that the page would show if it were there.

    Attributes:
        what: its heading.
        how: what makes it, a sentence with a command.
    """

    what: str
    how: Content


def page(title: str, introduction: Content, sections: Sequence[Section], missing: Sequence[Missing]) -> str:
    """A complete HTML document that needs nothing but itself.

    Args:
        title: of the page.
        introduction: paragraphs below the title.
        sections: in order.
        missing: told at the end.
    """
    parts = list(sections)
    if missing:
        entries = [part for m in missing for part in (tag("dt", m.what), tag("dd", m.how))]
        parts.append(Section("Not on this page", tag("dl", *entries)))
    links = [tag("li", tag("a", part.heading, href=f"#{anchor(part.heading)}")) for part in parts]
    main = [
        tag("section", tag("h2", part.heading), part.body, id=anchor(part.heading), class_="part") for part in parts
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="generator", content=f"lomit {__version__}"),
        tag("title", title),
        tag("style", Html(STYLE)),
    )
    body = tag(
        "body",
        tag("header", tag("h1", title), introduction, tag("nav", tag("ul", *links), aria_label="Sections")),
        tag("main", *main),
        tag("footer", paragraph(f"Made by lomit {__version__}.")),
    )
    return join((Html("<!doctype html>\n"), tag("html", head, Html("\n"), body, lang="en"), Html("\n")))
