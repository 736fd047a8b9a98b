"""What the README says about the code is so."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
# Rows of the equation table: | number(s) | meaning | `function`, ... in `file` |
ROWS = re.findall(r"^\| ([\d, ]+) \|.*\| (`.*`) in `(src/lomit/[\w/]+)\.py` \|$", README, re.MULTILINE)
PLACES = [
    (path.removeprefix("src/").replace("/", "."), name)
    for _, names, path in ROWS
    for name in re.findall(r"`([\w.]+)`", names)
]


def test_every_equation_has_its_row() -> None:
    assert sorted(int(n) for numbers, *_ in ROWS for n in numbers.split(",")) == list(range(1, 17))


@pytest.mark.parametrize(("module", "name"), PLACES)
def test_functions_of_the_equation_table_exist(module: str, name: str) -> None:
    assert callable(reduce(getattr, name.split("."), importlib.import_module(module)))


@pytest.mark.parametrize(
    "document", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    text = re.sub(r"<!--.*?-->", "", document.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} points to {target}"


def test_version_is_the_same_everywhere() -> None:
    import lomit

    assert f"\nversion: {lomit.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
