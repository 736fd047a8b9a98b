"""Every method, registered on import; a method's networks are imported when they are first needed."""

from __future__ import annotations

from lomit.models.drit import presets as _drit  # noqa: F401
from lomit.models.lomit import presets as _lomit  # noqa: F401
from lomit.models.munit import presets as _munit  # noqa: F401
from lomit.models.registry import Method, get_method, method_of, methods, presets
from lomit.models.stargan import presets as _stargan  # noqa: F401
from lomit.models.starganv2 import presets as _starganv2  # noqa: F401

__all__ = ["Method", "get_method", "method_of", "methods", "presets"]
