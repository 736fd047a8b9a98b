"""LOMIT: exemplar-guided image-to-image translation on faces, with local masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lomit.errors import LomitError
    from lomit.inference.predictor import Predictor, Result

__version__ = "0.1.0"
__all__ = ["LomitError", "Predictor", "Result", "__version__"]

_HOME = {"LomitError": "lomit.errors", "Predictor": "lomit.inference.predictor", "Result": "lomit.inference.predictor"}


def __getattr__(name: str) -> Any:
    """Imports the public names when they are first used, so that `import lomit` does not load torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'lomit' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
