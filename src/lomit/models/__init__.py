"""Every method by name; a method's networks are imported when they are first needed."""

from __future__ import annotations

from lomit.models.lomit.presets import LOMIT
from lomit.models.registry import Method, get_method, method_of, methods, presets, register
from lomit.models.rivals import DRIT, MUNIT, STARGAN, STARGAN_V2

for _method in (DRIT, LOMIT, MUNIT, STARGAN, STARGAN_V2):
    register(_method)

__all__ = ["Method", "get_method", "method_of", "methods", "presets"]
