"""torchvision where it is installed, over any build of torch."""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

import pytest
import torch


def torchvision() -> ModuleType:
    """The package; skips the test where it is not installed.

    The wheel from PyPI does not import over a CPU build of torch, which lacks two operators that it registers shapes
    for.  Declared, they may be absent.
    """
    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    library = torch.library.Library("torchvision", "FRAGMENT")  # goes, and the operators with it, unless it is kept
    for declared in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        if not hasattr(torch.ops.torchvision, declared.partition("(")[0]):
            library.define(declared)
    package = pytest.importorskip("torchvision")
    package.lomit_declared = library
    return package
