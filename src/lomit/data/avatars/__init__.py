"""Rendered faces with labels and true masks, from two avatar styles (the `avatars` extra)."""

from __future__ import annotations

from lomit.data.avatars.parts import ATTRIBUTES, GROUPS, REGION_OF, REGIONS, STYLES
from lomit.data.avatars.render import RenderedFace, render_face
from lomit.data.avatars.write import write_avatars

__all__ = [
    "ATTRIBUTES",
    "GROUPS",
    "REGIONS",
    "REGION_OF",
    "STYLES",
    "RenderedFace",
    "render_face",
    "write_avatars",
]
