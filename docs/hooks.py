"""Hooks of MkDocs: the documents are written so that they also read well in the repository.

They link to each other by their paths there. Some stand outside docs/. Lists and code need no blank line before them.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
CARDS = [*ROOT.glob("weights/*/README.md"), *ROOT.glob("src/lomit/pretrained/*/README.md")]
# Path in the repository -> path in the site's sources.
OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "LICENSE": "LICENSE.txt"} | {
    card.relative_to(ROOT).as_posix(): f"cards/{card.parent.name}.md" for card in CARDS
}
INSIDE = {page: path for path, page in OUTSIDE.items()}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    here = page.file.src_uri
    folder = posixpath.dirname(INSIDE.get(here, f"docs/{here}"))

    def moved(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[1]))
        target = OUTSIDE.get(path, path.removeprefix("docs/"))
        return f"]({posixpath.relpath(target, posixpath.dirname(here) or '.')}"

    return re.sub(r"\]\((?![a-z]+:|#)([^)#\s]+)", moved, spaced(markdown))


def spaced(markdown: str) -> str:
    """The same with a blank line before each list and around fenced code, which Python-Markdown needs."""
    lines: list[str] = [""]
    fenced = False
    for line in markdown.split("\n"):
        fence = line.startswith("```")
        item = line.startswith("- ") and not lines[-1].startswith(("- ", " "))
        lines += ["", line] if not fenced and (fence or item) else [line]
        if fence and fenced:
            lines.append("")
        fenced ^= fence
    return "\n".join(lines[1:])
