"""Every method, registered on import."""

from __future__ import annotations

from lomit.models import drit, lomit, munit, stargan
from lomit.models.base import (
    Batch,
    Masks,
    Method,
    Phase,
    Translation,
    Translator,
    get_method,
    method_of,
    methods,
    presets,
)

__all__ = [
    "Batch",
    "Masks",
    "Method",
    "Phase",
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
]
