"""Imports go one way, extras are imported where they are used, and the core never sees torchvision."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lomit

ROOT = Path(lomit.__file__).parent
LEAVES = {"config", "errors"}
MODELS = {"models", "nn", "losses", "rival_losses"} | LEAVES
RUNNING = {"exported", "compiled"}
TRANSLATING = {"predictor", "editing", "squares", "weights", "images", "data", "inference"} | RUNNING | MODELS
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
    "losses": {"errors"},
    "rival_losses": {"errors"},
    "models": MODELS | {"data"},
    "inference": TRANSLATING,
    "weights": MODELS | {"inference"},
    "exported": MODELS,
    "compiled": MODELS,
    "squares": {"images", "data"} | LEAVES,
    "editing": {"squares", "images", "data"} | MODELS,
    "predictor": TRANSLATING,
    "photo": {"images", "data", "predictor", "inference", "errors"},
    "recipe": TRANSLATING | {"photo"},
    "figures": TRANSLATING,
    "metrics": TRANSLATING | {"stats"},
    "classifier": TRANSLATING | {"metrics", "stats"},
    "evaluation": TRANSLATING | MEASURING,
    "engine": TRANSLATING | {"figures"},
    "report": TRANSLATING | MEASURING | {"figures", "evaluation"},
    "export": TRANSLATING,
    "reproduce": TRANSLATING | MEASURING | {"figures", "evaluation", "engine", "report"},
    "apps": PICTURING | {"stats"},
    "commands": PICTURING | MEASURING | {"evaluation", "engine", "report", "export", "reproduce", "apps"},
    "cli": {"commands", "errors"},
    "__init__": TRANSLATING,
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


def imports(node: ast.AST, everywhere: bool) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of each import; without `everywhere` only of those that importing the module runs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: relative import"
            yield from ((child.lineno, f"{child.module}.{alias.name}") for alias in child.names)
        deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
            isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        )
        if everywhere or not deferred:
            yield from imports(child, everywhere)


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


def test_every_part_has_its_place() -> None:
    assert {part_of(file) for file in FILES} <= set(MAY_IMPORT)
