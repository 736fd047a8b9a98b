"""A translation with everything that a person decided about it: made anew from a small file, bit for bit."""

from __future__ import annotations

from lomit.recipe.composition import Composition
from lomit.recipe.file import Recipe, read_recipe
from lomit.recipe.portrait import Portrait, Scene

__all__ = ["Composition", "Portrait", "Recipe", "Scene", "read_recipe"]
