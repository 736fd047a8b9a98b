"""A small data set for every training test, and ways to disturb a run from within."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lomit.engine.loop import Loop
from support.tiny import write_folder

At = Callable[[int, Callable[[Loop], object]], None]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty training and ten validation images with two attributes, decoded once."""
    return write_folder(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture
def after_step(monkeypatch: pytest.MonkeyPatch) -> At:
    """`after_step(n, act)`: calls `act(loop)` once the n-th iteration is done, before anything is logged or saved."""

    def install(step: int, act: Callable[[Loop], object]) -> None:
        iterate, waiting = Loop.iterate, [act]

        def disturbed(self: Loop) -> None:
            iterate(self)
            if self.step == step and waiting:
                waiting.pop()(self)

        monkeypatch.setattr(Loop, "iterate", disturbed)

    return install
