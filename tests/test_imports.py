"""Imports go one way, extras are imported where they are used, and the core never sees torchvision."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lomit

ROOT = Path(lomit.__file__).parent
LEAVES = {"config", "errors"}
MODELS = {"models", "nn", "losses"} | LEAVES
TRANSLATING = {"inference", "images", "data"} | MODELS
MEASURING = {"metrics", "classifier", "stats"}
PICTURING = TRANSLATING | {"photo", "recipe", "figures"}
# Part of lomit (a module or a package right below it) -> the other parts it may import, at any depth of a function.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "stats": set(),
    "config": {"errors"},
    "images": LEAVES,
    "data": LEAVES | {"images"},
    "nn": LEAVES,
    "losses": {"nn"},
    "models": {"nn", "losses", "data"} | LEAVES,
    "inference": MODELS | {"images", "data"},
    "photo": {"images", "data", "inference", "errors"},
    "recipe": TRANSLATING | {"photo"},
    "figures": TRANSLATING,
    "metrics": {"data", "nn", "stats", "errors"},
    "classifier": TRANSLATING | {"metrics", "stats"},
    "evaluation": TRANSLATING | MEASURING,
    "engine": TRANSLATING | {"figures"},
    "report": TRANSLATING | MEASURING | {"figures", "evaluation"},
    "export": TRANSLATING | {"figures", "photo"},
    "reproduce": TRANSLATING | MEASURING | {"figures", "evaluation", "engine", "report"},
    "apps": PICTURING | {"stats"},
    "commands": PICTURING | MEASURING | {"evaluation", "engine", "report", "export", "reproduce", "apps"},
    "cli": {"commands", "errors"},
    "__init__": {"inference", "photo", "errors"},
    "__main__": {"cli"},
}
CORE = {"torch", "numpy", "PIL", "filelock", "safetensors", "tqdm", "lomit"} | set(sys.stdlib_module_names)
# Not light: only training loads it.
ENGINE = CORE | {"lightning_fabric"}
# Kernels are functions of a module that Triton reads; `lomit.nn.kernels` imports it where there is a Triton.
KERNELS = CORE | {"triton"}
FILES = sorted(ROOT.rglob("*.py"))


def part_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def module_of(file: Path) -> str:
    parts = ("lomit", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(node: ast.AST, everywhere: bool, annotations: bool = True) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of each import.

    Without `everywhere` only of those that importing the module runs, without `annotations` none for those alone.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: relative import"
            yield from ((child.lineno, f"{child.module}.{alias.name}") for alias in child.names)
        typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if (everywhere or not deferred) and (not typing or (everywhere and annotations)):
            yield from imports(child, everywhere, annotations)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_one_way(file: Path) -> None:
    part = part_of(file)
    for line, name in imports(ast.parse(file.read_text("utf-8")), everywhere=True):
        package, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        # `from lomit import __version__` is free to all.
        if package == "lomit" and other not in ("", part, "__version__"):
            assert other in MAY_IMPORT[part], f"{file}:{line}: {part} may not import lomit.{other}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_only_the_core_is_imported_with_the_module(file: Path) -> None:
    allowed = ENGINE if part_of(file) == "engine" else CORE
    allowed = KERNELS if file.name == "triton_kernels.py" else allowed
    for line, name in imports(ast.parse(file.read_text("utf-8")), everywhere=False):
        assert name.partition(".")[0] in allowed, f"{file}:{line}: import {name} inside the function that uses it"


def test_the_table_names_every_part_and_has_no_circle() -> None:
    assert {part_of(file) for file in FILES} == set(MAY_IMPORT)
    TopologicalSorter(MAY_IMPORT).prepare()  # raises where there is one, and names it


def test_no_circle_of_files() -> None:
    """An import inside a function counts; one for annotations alone does not, since nothing runs it."""
    modules = {module_of(file): file for file in FILES}
    graph: dict[str, set[str]] = {}
    for module, file in modules.items():
        found = {name for _, name in imports(ast.parse(file.read_text("utf-8")), everywhere=True, annotations=False)}
        # `from package import name` imports the package, or the module of that name.
        names = {name if name in modules else name.rpartition(".")[0] for name in found}
        # The package itself holds `__version__`, and imports nothing before it is asked for something else.
        graph[module] = (names & set(modules)) - {"lomit"}
    assert sum(map(len, graph.values())) > len(FILES), "the imports were not found"
    TopologicalSorter(graph).prepare()
