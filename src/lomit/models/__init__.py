"""Every method, registered on import."""

from __future__ import annotations

from lomit.models import drit, lomit, munit, stargan, starganv2
from lomit.models.base import (
    Batch,
    Editable,
    Guide,
    Masks,
    Method,
    Optimizer,
    Phase,
    Trainable,
    Translation,
    Translator,
    get_method,
    method_of,
    methods,
    presets,
)

__all__ = [
    "Batch",
    "Editable",
    "Guide",
    "Masks",
    "Method",
    "Optimizer",
    "Phase",
    "Trainable",
    "Translation",
    "Translator",
    "drit",
    "get_method",
    "lomit",
    "method_of",
    "methods",
    "munit",
    "presets",
    "stargan",
    "starganv2",
]
