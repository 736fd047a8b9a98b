"""What README and the documents say about the code and about each other is so."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
CARDS = sorted([*ROOT.glob("weights/*/README.md"), *ROOT.glob("src/lomit/pretrained/*/README.md")])
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", *CARDS, *sorted(DOCS.rglob("*.md"))]
# Rows of the equation table: | number(s) | meaning | `function`, ... in `file` |
ROWS = re.findall(
    r"^\| ([\d, ]+) \|.*\| (`.*`) in `(src/lomit/[\w/]+)\.py` \|$",
    (DOCS / "equations.md").read_text("utf-8"),
    re.MULTILINE,
)
PLACES = [
    (path.removeprefix("src/").replace("/", "."), name)
    for _, names, path in ROWS
    for name in re.findall(r"`([\w.]+)`", names)
]
# `::: package.module.name` in the API reference.
REFERENCES = [
    name
    for page in sorted((DOCS / "api").glob("*.md"))
    for name in re.findall(r"(?m)^::: (\S+)$", page.read_text("utf-8"))
]


def found(name: str) -> object:
    """The object of a dotted name; an error where there is none."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        return reduce(getattr, parts[count:], module)
    raise ModuleNotFoundError(name)


def test_every_equation_has_its_row() -> None:
    assert sorted(int(n) for numbers, *_ in ROWS for n in numbers.split(",")) == list(range(1, 17))


@pytest.mark.parametrize(("module", "name"), PLACES)
def test_functions_of_the_equation_table_exist(module: str, name: str) -> None:
    assert callable(found(f"{module}.{name}"))


def test_the_api_reference_names_what_exists() -> None:
    assert REFERENCES
    for name in REFERENCES:
        assert getattr(found(name), "__doc__", None), name


def test_readme_is_short_enough_to_finish() -> None:
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= 130
    assert len(text.split()) <= 1200


def test_readme_lists_every_model_with_weights() -> None:
    rows = re.findall(r"(?m)^\| `([\w-]+)`.*\| (?:Apache-2\.0|non-commercial) \|$", README.read_text("utf-8"))
    assert sorted(rows) == sorted({card.parent.name for card in CARDS} - {"attributes-avatars"})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    text = re.sub(r"<!--.*?-->", "", document.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} points to {target}"


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    """docs/hooks.py puts README, CONTRIBUTING and the model cards beside the pages of docs/."""
    pages = re.findall(r"(?m)^ +- .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"))
    expected = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    expected |= {"index.md", "contributing.md"} | {f"cards/{card.parent.name}.md" for card in CARDS}
    assert sorted(pages) == sorted(expected)


def test_documents_that_are_named_exist() -> None:
    """Names of pages in code, cards and documents, outside of links as well."""
    sources = [*DOCUMENTS, ROOT / "Makefile"]
    for folder in ("src", "tests", "benchmarks"):
        sources += [path for ending in ("*.py", "*.sh") for path in (ROOT / folder).rglob(ending)]
    for source in sources:
        for name in re.findall(r"\bdocs/([\w/-]+\.md)\b", source.read_text("utf-8")):
            assert (DOCS / name).exists(), f"{source.relative_to(ROOT)} names docs/{name}"


def test_version_is_the_same_everywhere() -> None:
    import lomit

    assert f"\nversion: {lomit.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
