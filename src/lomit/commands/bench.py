"""`lomit bench`: the benchmarks of a checkout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import lomit
from lomit.errors import LomitError

PACKAGE = "benchmarks"


def run_bench(argv: Sequence[str]) -> int:
    """The command; returns its exit code.  Raises `LomitError` outside a checkout, and what the benchmark raises."""
    _load()
    return import_module(f"{PACKAGE}.__main__").main(argv)


def _load() -> None:
    """Imports the package `benchmarks` from where it lies, which is on no path that Python searches."""
    if PACKAGE in sys.modules:
        return
    file = Path(lomit.__file__).parents[2] / PACKAGE / "__init__.py"
    spec = spec_from_file_location(PACKAGE, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise LomitError("lomit bench needs a checkout of the repository (its folder benchmarks/); clone it")
    sys.modules[PACKAGE] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[PACKAGE])
