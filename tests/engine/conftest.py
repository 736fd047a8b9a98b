"""A small data set for every training test, and ways to disturb a run from within."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lomit.engine.loop
import lomit.engine.train
from lomit.config import RunConfig
from lomit.engine.loop import Loop
from lomit.models import Method
from support.tiny import write_folder

At = Callable[[int, Callable[[Loop], object]], None]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty training and ten validation images with two attributes, decoded once."""
    return write_folder(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="package", autouse=True)
def estimates() -> Iterator[None]:
    """Each network's memory is estimated once: that takes longer than the steps of a tiny run, and many tests start
    one; where the data lies and how long it runs, in which they differ, changes nothing."""
    real, known = lomit.engine.train.estimate_peak, dict[tuple[object, ...], int]()

    def estimate_peak(method: Method, config: RunConfig, world: int = 1) -> int:
        key = method.name, str(config.model), config.train.batch_size, config.train.accumulate, world
        if key not in known:
            known[key] = real(method, config, world)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lomit.engine.train, "estimate_peak", estimate_peak)
        yield


@pytest.fixture(scope="package", autouse=True)
def scores() -> Iterator[None]:
    """Each save scores two batches of held-out pairs: four take a third of a tiny run's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lomit.engine.loop, "SCORE_BATCHES", 2)
        yield


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
