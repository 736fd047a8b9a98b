"""Rendered faces with labels and true masks, from two avatar styles (the `avatars` extra)."""

from __future__ import annotations

from lomit.data.avatars.parts import ATTRIBUTES, GROUPS
from lomit.data.avatars.render import render_face
from lomit.data.avatars.write import write_avatars

__all__ = ["ATTRIBUTES", "GROUPS", "render_face", "write_avatars"]
