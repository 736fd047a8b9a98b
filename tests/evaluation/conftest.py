"""The painted faces."""

from __future__ import annotations

from support.painted import painted, setting_for  # noqa: F401
