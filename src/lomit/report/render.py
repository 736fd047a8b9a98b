"""Blocks as HTML: a whole page that needs nothing but itself, or a part of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lomit import __version__
from lomit.report.parts import PagePart


def page(title: str, introduction: Sequence[PagePart], sections: Mapping[str, Sequence[PagePart]]) -> str:
    """A complete document; its policy lets it load nothing, whatever were written into it.

    Args:
        title: of the page.
        introduction: below the title.
        sections: heading -> what stands below.
    """
    return _render(title=title, introduction=introduction, sections=sections)


def part(blocks: Sequence[PagePart]) -> str:
    """Blocks alone."""
    return _render(introduction=blocks)


def _render(**values: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("lomit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(version=__version__, **values).lstrip()
