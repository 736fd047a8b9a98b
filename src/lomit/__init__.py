"""LOMIT: exemplar-guided image-to-image translation on faces, with local masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lomit.errors import LomitError
    from lomit.inference import masks
    from lomit.inference.catalogue import KnownModel, list_models
    from lomit.inference.editing import Edit, Editing
    from lomit.inference.predictor import Predictor, Result
    from lomit.photo import translate_photo

__version__ = "0.1.0"
__all__ = [
    "Edit", "Editing", "KnownModel", "LomitError", "Predictor", "Result", "__version__", "list_models",
    "masks", "translate_photo",
]  # fmt: skip

_HOME = {
    "lomit.errors": ("LomitError",),
    "lomit.inference.catalogue": ("KnownModel", "list_models"),
    "lomit.inference.editing": ("Edit", "Editing"),
    "lomit.inference.predictor": ("Predictor", "Result"),
    "lomit.photo": ("translate_photo",),
}
"""Module -> the public names that it has."""


def __getattr__(name: str) -> Any:
    """Imports the public names when they are first used, so that `import lomit` does not load torch."""
    from importlib import import_module

    if name == "masks":
        return import_module("lomit.inference.masks")
    for home, names in _HOME.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'lomit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
