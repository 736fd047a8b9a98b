"""Kernels for a GPU against torch's own operators: on a GPU, and on any machine by Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from lomit.nn import kernels
from lomit.nn.blocks import ConvBlock, LayerNorm, instance_norm
from support.tiny import random_batch, tiny_trainable

CPU = torch.device("cpu")
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2}
SHAPES = ((2, 5, 7, 9), (1, 32, 16, 16), (2, 130, 5, 6))
"""Sides and channels that fill no tile, fill one, and need two."""


def check_norms(device: torch.device) -> None:
    """Value and gradients of every norm, with and without ReLU, an affine map and a bias before it, against float64."""
    for dtype, tolerance in TOLERANCE.items():
        for layer in (False, True):
            for relu in (False, True):
                for affine in (False, True):
                    for shape in SHAPES:
                        generator = torch.Generator().manual_seed(0)
                        x, grad = (torch.randn(shape, generator=generator).to(device, dtype) for _ in range(2))
                        x = (2 * x + 1).to(memory_format=torch.channels_last).requires_grad_()
                        channel = [torch.randn(shape[1], generator=generator).to(device) for _ in range(3)]
                        inputs = [x, *(p.requires_grad_() for p in channel)] if affine else [x]
                        w, b, before = channel if affine else (None, None, None)
                        y = kernels.norm(x, w, b, layer, relu, before)
                        assert y.dtype == dtype
                        assert y.is_contiguous(memory_format=torch.channels_last)
                        found = [y, *torch.autograd.grad(y, inputs, grad)]
                        exact = [t.detach().double().requires_grad_() for t in inputs]
                        w, b = exact[1:3] if affine else (None, None)
                        z = exact[0] + exact[3][:, None, None] if affine else exact[0]
                        z = F.group_norm(z, 1, w, b) if layer else F.instance_norm(z, weight=w, bias=b)
                        z = z.relu() if relu else z
                        expected = [z, *torch.autograd.grad(z, exact, grad.double())]
                        for one, other in zip(found, expected, strict=True):
                            # A bias before an instance norm changes nothing: its gradient is rounding.
                            error = (one.double() - other).norm() / other.norm().clamp(min=1e-3)
                            assert error < tolerance, (dtype, layer, relu, affine, shape)


def check_padding(device: torch.device) -> None:
    """Equal to torch's to the bit, its gradient to rounding; also where both sides reach the same pixel."""
    for padding, mode in ((1, "reflect"), (2, "reflect"), (3, "reflect"), (1, "replicate")):
        for shape in ((2, 5, 4, 7), (2, 3, 6, 5), (1, 40, 4, 33)):
            generator = torch.Generator().manual_seed(0)
            x = torch.randn(shape, generator=generator).to(device).requires_grad_()
            expected = F.pad(x, (padding,) * 4, mode)
            grad = torch.randn(expected.shape, generator=generator).to(device)
            y = kernels.pad(x, padding, mode)  # type: ignore[arg-type]
            assert torch.equal(y, expected)
            assert y.is_contiguous(memory_format=torch.channels_last)
            (found,), (other,) = (torch.autograd.grad(t, x, grad) for t in (y, expected))
            torch.testing.assert_close(found, other, rtol=1e-5, atol=1e-5)


def check_blocks(device: torch.device) -> None:
    """Blocks of every kind, value and gradients, with the kernels and without."""
    torch.manual_seed(0)
    relu = torch.nn.ReLU(inplace=True)
    blocks = [
        ConvBlock(3, 4, 5, 1, 2, norm, relu, upsample=up) for norm in (instance_norm, LayerNorm) for up in (False, True)
    ]
    blocks += [ConvBlock(3, 4, 3, 2, 1, LayerNorm), ConvBlock(3, 4, 3, 1, 1, None, relu)]
    blocks += [ConvBlock(3, 4, 3, 1, 1, instance_norm, torch.nn.Tanh())]
    assert kernels._works(device)
    usable = kernels.usable
    for block in blocks:
        block.to(device)
        x = torch.randn(2, 3, 4, 4, device=device, requires_grad=True)
        found = []
        for answer in (True, False):
            try:
                kernels.usable = lambda _, answer=answer: answer  # type: ignore[assignment, misc]
                y = block(x)
                found.append([y, *torch.autograd.grad(y.square().sum(), [x, *block.parameters()])])
            finally:
                kernels.usable = usable
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def check_step(device: torch.device) -> None:
    """Both of LOMIT's losses and all their gradients, with the kernels and without."""
    usable, found = kernels.usable, []
    batch = random_batch().map(lambda t: t.to(device))
    for answer in (True, False):
        translator = tiny_trainable("lomit").to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        try:
            kernels.usable = lambda _, answer=answer: answer  # type: ignore[assignment, misc]
            for phase in translator.phases():
                torch.manual_seed(0)
                total, _ = phase.loss(batch)
                gradients = torch.autograd.grad(total, phase.parameters(), allow_unused=True)
                found.append([total, *(g for g in gradients if g is not None)])
        finally:
            kernels.usable = usable
    half = len(found) // 2
    for ours, plain in zip(found[:half], found[half:], strict=True):
        norms = torch.stack([g.norm() for g in plain[1:]])
        for one, other in zip(ours, plain, strict=True):
            # Gradients of what a norm takes away again are rounding on both sides.
            assert (one - other).norm() < 1e-3 * other.norm() + 1e-5 * norms.max()


@pytest.mark.cuda
def test_norms_on_a_gpu() -> None:
    check_norms(torch.device("cuda"))


@pytest.mark.cuda
def test_padding_on_a_gpu() -> None:
    check_padding(torch.device("cuda"))


@pytest.mark.cuda
def test_blocks_and_a_step_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    check_blocks(torch.device("cuda"))
    check_step(torch.device("cuda"))


@pytest.mark.parametrize(
    "checks",
    [
        pytest.param(("norms", "padding", "blocks"), id="operators"),
        pytest.param(("step",), id="step", marks=pytest.mark.slow),
    ],
)
def test_by_the_interpreter(checks: tuple[str, ...]) -> None:
    """Triton decides by an environment variable, before it reads the kernels: another process, one for all checks."""
    pytest.importorskip("triton")
    root = Path(__file__).parents[2]
    code = "; ".join(["import test_kernels as t", *(f"t.check_{check}(t.CPU)" for check in checks)])
    paths = os.pathsep.join(str(root / part) for part in ("src", "tests", "tests/nn"))
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_only_a_gpu_uses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(1, 2, 4, 4)
    assert not kernels.usable(x)

    class OnGpu:
        is_cuda, dtype, device = True, torch.bfloat16, CPU

        def numel(self) -> int:
            return 1

    monkeypatch.setattr(kernels, "_module", lambda: kernels)
    monkeypatch.setattr(kernels, "_works", lambda _: True)
    assert kernels.usable(OnGpu())  # type: ignore[arg-type]
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not kernels.usable(OnGpu())  # type: ignore[arg-type]


def test_padding_that_the_image_is_too_small_for_is_refused() -> None:
    for padding, mode in ((4, "reflect"), (2, "replicate")):
        with pytest.raises(RuntimeError, match=f"{mode} padding of {padding} is more than"):
            kernels.pad(torch.zeros(1, 2, 4, 9), padding, mode)  # type: ignore[arg-type]


def test_where_triton_does_not_run_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("Failed to find C compiler.\nAnd more")

    monkeypatch.setattr(kernels, "_mapped", failing)
    monkeypatch.setattr(kernels, "_module", lambda: SimpleNamespace(affine=None))
    kernels._works.cache_clear()
    try:
        assert not kernels._works(CPU)
        assert not kernels._works(CPU)
    finally:
        kernels._works.cache_clear()
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("Triton does not run here (Failed to find C compiler.)")
