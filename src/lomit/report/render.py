"""Blocks as HTML: a whole page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lomit import __version__
from lomit.report.parts import PagePart


def page(title: str, introduction: Sequence[PagePart], sections: Mapping[str, Sequence[PagePart]]) -> str:
    """A complete document; its policy lets it load nothing, whatever were written into it.

    Args:
        title: of the page.
        introduction: below the title.
        sections: heading -> what stands below.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("lomit.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    values = {"title": title, "introduction": introduction, "sections": sections, "version": __version__}
    return environment.get_template("page.html").render(values).lstrip()
