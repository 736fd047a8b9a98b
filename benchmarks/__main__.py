"""`lomit bench NAME ...`, or `python -m benchmarks NAME ...` in the root of a checkout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from lomit.cli import main as lomit
from lomit.errors import LomitError, did_you_mean

BENCHMARKS = {
    "step": "time the training step",
    "sweep": "time it at several batch sizes, compile modes and precisions",
    "r1": "time R1 (Eq. 13) against its matrix form",
    "data": "compare the cache's speed with the step's",
    "translate": "compare the ways to translate",
}
"""Name of a module with a function `run` -> its line in the overview."""


def main(argv: Sequence[str]) -> int:
    """Runs one benchmark; returns its exit code.

    Raises:
        LomitError: for an unknown one, and what it raises itself.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: lomit bench NAME [OPTIONS]\n\nbenchmarks:")
        print("\n".join(f"  {name:<9}  {line}" for name, line in BENCHMARKS.items()))
        print("\n`lomit bench NAME --help` lists its options.")
        return 0
    name = argv[0]
    if name not in BENCHMARKS:
        raise LomitError(f"unknown benchmark '{name}'{did_you_mean(name, BENCHMARKS)}; see lomit bench --help")
    return import_module(f"benchmarks.{name}").run(argv[1:])


if __name__ == "__main__":
    sys.exit(lomit(["bench", *sys.argv[1:]]))
