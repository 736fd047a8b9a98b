"""Two small models, each exported once for all processes of a test run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from lomit.models.lomit.config import LomitConfig, LossWeights
from lomit.models.lomit.model import Lomit

S = 32


def tiny() -> Lomit:
    torch.manual_seed(0)
    config = LomitConfig(
        attributes=("Smiling", "Male"), image_size=S, width=4, d_width=4, res_blocks=1, mask_convs=1, mask_init=3.0
    )
    translator = Lomit(config)
    # As after training: running statistics that are not 0 and 1.
    for name, buffer in translator.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    return translator.eval().requires_grad_(False)


def tiny_naming() -> Lomit:
    """One whose masks go by names."""
    torch.manual_seed(0)
    config = LomitConfig(
        attributes=("Smiling", "Male"), image_size=S, width=4, d_width=4, res_blocks=1, mask_convs=1, mask_init=0.0,
        mask_sees="differences", weights=LossWeights(style_cls=1.0),
    )  # fmt: skip
    translator = Lomit(config)
    for name, parameter in translator.generator.named_parameters():
        # Zeros before training; then no name makes a difference.
        if "cosegmentation" in name or "told_attributes" in name:
            torch.nn.init.normal_(parameter)
    return translator.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def translator() -> Lomit:
    return tiny()


@pytest.fixture(scope="session")
def naming() -> Lomit:
    return tiny_naming()


def traced_once(translator: Lomit, name: str, temporary: pytest.TempPathFactory) -> Any:
    """The float32 graph, which takes many seconds to make: whichever process needs it first keeps it for the others."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    import onnx

    from lomit.export.graph import float_graph

    folder = temporary.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # which the processes of this run share
    file = folder / f"{name}.onnx"
    with FileLock(f"{file}.lock"):
        if not file.exists():
            onnx.save(float_graph(translator), file)
        return onnx.load(file)


@pytest.fixture(scope="session")
def traced(translator: Lomit, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return traced_once(translator, "traced", tmp_path_factory)


@pytest.fixture
def graph(traced: Any) -> Any:
    """A copy of the graph to change."""
    return type(traced).FromString(traced.SerializeToString())


@pytest.fixture
def made(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports take the graph that is there."""
    monkeypatch.setattr("lomit.export.write.float_graph", lambda translator: graph)


def patched(patch: pytest.MonkeyPatch, traced: Any) -> None:
    """Exports take a copy of a graph that is there."""
    copy = type(traced).FromString(traced.SerializeToString())
    patch.setattr("lomit.export.write.float_graph", lambda translator: copy)


@pytest.fixture(scope="session")
def exported(translator: Lomit, traced: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The written file."""
    from lomit.export import export_model

    path = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patched(patch, traced)
        export_model(translator, path, step=400)
    return path


@pytest.fixture(scope="session")
def traced_naming(naming: Lomit, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return traced_once(naming, "traced_naming", tmp_path_factory)


@pytest.fixture(scope="session")
def exported_naming(naming: Lomit, traced_naming: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from lomit.export import export_model

    with pytest.MonkeyPatch.context() as patch:
        patched(patch, traced_naming)
        return export_model(naming, tmp_path_factory.mktemp("exported") / "naming.onnx").path


def pairs(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    x, exemplar = torch.rand(2, n, 3, S, S, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return x, exemplar
