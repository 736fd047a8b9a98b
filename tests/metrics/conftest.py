"""The painted faces, and torchvision where it is installed."""

from __future__ import annotations

from types import ModuleType

import pytest

from support.painted import painted, setting_for  # noqa: F401
from support.vision import torchvision


@pytest.fixture(scope="session")
def vision() -> ModuleType:
    """torchvision, where it is installed."""
    return torchvision()
