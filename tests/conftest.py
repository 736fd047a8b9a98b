"""Skips the tests whose marker names something this machine lacks; pyproject.toml describes the markers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each process of `make test` has a core to itself; threads that wait for each other would cost them half the time.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # after OMP_NUM_THREADS, which it reads once


def _missing(marker: str) -> str | None:
    """Why tests with this marker can't run here, None where they can."""
    if marker == "data":
        root = os.environ.get("LOMIT_DATA")
        if not root:
            return "LOMIT_DATA is not set; it names the folder with the photographs"
        # A wrong path is a mistake to report, not a reason to skip.
        assert Path(root).is_dir(), f"LOMIT_DATA names {root}, which is not a folder"
    if marker == "cuda" and not torch.cuda.is_available():
        return "no CUDA device"
    if marker == "browser" and not shutil.which("chromium"):
        return "chromium is not installed"
    if marker == "npm" and not shutil.which("npm"):
        return "npm is not installed"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Turns each absence into a skip with its reason."""
    reasons = {marker: _missing(marker) for marker in ("data", "cuda", "browser", "npm")}
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def thread_count(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands change torch's number for the whole process, and sums change their last bits with it.

    Without --threads they go by the machine's load, unless the environment says a number.
    """
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", str(before))
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_bfloat16_in_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--precision auto`, the commands' default, means float32 on every machine: no test tries anything by itself."""
    monkeypatch.setattr("lomit.inference.precision.in_hardware", lambda: False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window.  One for all tests: playwright's synchronous form can't be started twice."""
    playwright = pytest.importorskip("playwright.sync_api")
    quiet = [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update",
    ]  # fmt: skip
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=shutil.which("chromium"), args=quiet)
        yield chromium
        chromium.close()
