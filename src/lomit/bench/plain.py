"""Finds the plain formulation, which stands in the repository and not in the package."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

import lomit
from lomit.errors import LomitError


def plain_formulation(translator: nn.Module, training: bool = True) -> Any:
    """`benchmarks/plain_step.py`'s `PlainStep` with a translator's weights.

    Args:
        translator: a LOMIT.
        training: batch norm takes the batch's statistics.

    Raises:
        LomitError: where lomit does not run from a checkout.
    """
    folder = Path(lomit.__file__).parents[2] / "benchmarks"
    if not (folder / "plain_step.py").is_file():
        raise LomitError("--against plain needs a checkout of the repository (its folder benchmarks/); clone it")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return import_module("plain_step").plain_step(translator, training)
