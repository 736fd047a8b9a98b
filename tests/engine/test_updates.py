"""Updates compiled and captured: the same mathematics, no waiting, and a run that goes on where either fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import lomit.engine.updates
from lomit.config import TrainConfig
from lomit.engine.ema import Ema
from lomit.engine.log import Means
from lomit.engine.phases import loss_of, make_runners, run_phase
from lomit.engine.train import train
from lomit.engine.updates import WARM_UP, make_updates, plan
from lomit.models.lomit.config import LossWeights
from support.runs import assert_same_tensors, log_lines, saved_tensors
from support.tiny import random_batch, random_batch_for, real_methods, snapshot, tiny_run, tiny_trainable

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("mode", "device", "world", "inductor", "graphs", "reason"),
    [
        ("none", CUDA, 1, None, False, None),
        ("auto", CPU, 1, None, False, None),
        ("auto", CUDA, 1, None, True, None),
        ("graphs", CUDA, 1, None, True, None),
        ("default", CPU, 1, "default", False, None),
        ("max-autotune", CUDA, 1, "max-autotune-no-cudagraphs", True, None),
        ("graphs", CPU, 1, None, False, "there is no GPU"),
        ("reduce-overhead", CUDA, 2, "default", False, "several processes share the run"),
    ],
)
def test_what_a_mode_comes_to(
    mode: Any, device: torch.device, world: int, inductor: str | None, graphs: bool, reason: str | None
) -> None:
    *found, why = plan(mode, device, world)
    assert found == [inductor, graphs]
    assert why is None if reason is None else reason in (why or "")


def by_aot_eager(function: Callable[..., Any], **_: Any) -> Callable[..., Any]:
    """What torch.compile does up to the code generator, which needs a compiler and minutes."""
    return REAL_COMPILE(function, dynamic=False, fullgraph=True, backend="aot_eager")


REAL_COMPILE = torch.compile


def weights_after(
    mode: Any, method: str, steps: int, device: str = "cpu", phases: str | None = None, **model: Any
) -> dict[str, Tensor]:
    """Every tensor of a translator after some iterations in which nothing had to be left out."""
    found, said = weights_and_lines(mode, method, steps, device, phases, **model)
    assert said == []
    return found


def weights_and_lines(
    mode: Any, method: str, steps: int, device: str = "cpu", phases: str | None = None, **model: Any
) -> tuple[dict[str, Tensor], list[str]]:
    """The same, and what had to be left out."""
    # On a GPU in float64: there sums change their order from run to run, and Adam makes steps of what that leaves.
    dtype = torch.float64 if device == "cuda" else torch.float32
    fabric = Fabric(accelerator=device, devices=1, precision="64-true" if device == "cuda" else "32-true")
    translator = tiny_trainable(method, **model).to(fabric.device, dtype)
    runners = make_runners(fabric, translator, TrainConfig(lr=1e-3))
    for runner in runners:
        # Or Adam would turn a gradient that is nothing but rounding (a bias before a norm) into a whole step.
        for group in runner.groups():
            group["eps"] = 1e-3
    said: list[str] = []
    updates = make_updates(fabric, translator, runners, mode, said.append)
    for step in range(steps):
        torch.manual_seed(step)
        batch = random_batch(seed=step).map(lambda t: t.to(fabric.device, dtype))
        for update in updates:
            if phases is None or update.phase.name in phases:
                update([batch], 1e-3 / (step + 1))
    return {name: tensor.cpu() for name, tensor in snapshot(translator).items()}, said


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, tensor in expected.items():
        error = (found[name].double() - tensor.double()).abs()
        if tensor.dtype == torch.float64:
            assert error.max() < 1e-7, name
        assert error.mean() < 1e-5, name
        assert error.max() < 2e-4, name  # units at a kink may fall to its other side


@pytest.mark.parametrize("method", sorted(real_methods()))
def test_every_phase_is_compiled_for_itself(method: str) -> None:
    """torch.compile looks compiled code up by a function's code; torch 2.11 took one phase's loss for another's."""
    translator = tiny_trainable(method)
    losses = {phase.name: loss_of(phase) for phase in translator.phases()}
    assert len({id(loss.__code__) for loss in losses.values()}) == len(losses)  # type: ignore[attr-defined]
    batch, found = random_batch_for(translator), {}
    for name, loss in losses.items():
        compiled = REAL_COMPILE(loss, backend="eager")
        torch.manual_seed(0)
        found[name] = set(compiled(batch.tensors())[1])
    torch._dynamo.reset()
    assert found == {phase.name: set(phase.loss(batch)[1]) for phase in translator.phases()}


@pytest.mark.parametrize(("method", "phases"), [("lomit", "D"), ("stargan", "DG")])
def test_compiled_updates_are_the_eager_ones_to_rounding(
    method: str, phases: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = weights_after("none", method, 2, phases=phases)
    monkeypatch.setattr(torch, "compile", by_aot_eager)
    assert_close(weights_after("default", method, 2, phases=phases), expected)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not shutil.which("g++"), reason="inductor needs a C++ compiler")
@pytest.mark.parametrize("method", sorted(real_methods()))
def test_inductors_updates_are_the_eager_ones_to_rounding(method: str) -> None:
    """Those that this torch's inductor can't compile (docs/compiling.md) are the eager ones."""
    found, said = weights_and_lines("default", method, 2)
    assert all(line.startswith("compiling phase") for line in said)
    assert_close(found, weights_after("none", method, 2))


def test_a_run_goes_on_to_the_bit_where_compiling_fails(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the forward pass of D, and, after it drew and moved statistics, in the backward pass of G."""

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            raise RuntimeError("no kernel for this\nand a long story")

    calls: list[int] = []

    def failing(function: Callable[..., Any], **_: Any) -> Callable[..., Any]:
        calls.append(0)
        if len(calls) == 1:
            raise RuntimeError("can't trace this")

        def compiled(tensors: dict[str, Tensor]) -> Any:
            torch.rand(3)
            total, terms = function(tensors)
            return Broken.apply(total), terms

        return compiled

    model = {"mask_norm": "batch"}
    train(tiny_run(data, model=model), tmp_path / "eager", quiet=True)
    monkeypatch.setattr(torch, "compile", failing)
    capsys.readouterr()
    train(tiny_run(data, model=model, compile="default"), tmp_path / "fallen", quiet=True)
    assert capsys.readouterr().err.splitlines() == [
        "lomit: warning: compiling phase D failed (can't trace this); going on without",
        "lomit: warning: compiling phase G failed (no kernel for this); going on without",
    ]
    assert len(calls) == 2
    assert_same_tensors(saved_tensors(tmp_path / "fallen", 6), saved_tensors(tmp_path / "eager", 6))


class Recorder:
    """Stands for CUDA where there is none: what is captured is kept as a call, and a replay makes it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: bool = False) -> None:
        self.captures: list[str] = []
        self.calls: dict[int, Callable[[], None]] = {}
        self.fails, self.capturing = fails, False
        self.real = lomit.engine.updates.update
        monkeypatch.setattr(lomit.engine.updates, "update", self.update)
        monkeypatch.setattr(lomit.engine.updates, "plan", lambda mode, device, world: (None, True, None))
        streams = SimpleNamespace(device=CPU, wait_stream=lambda other: None)
        for name, stand_in in {
            "Stream": lambda device: streams,
            "current_stream": lambda device: streams,
            "set_stream": lambda stream: None,
            "stream": lambda stream: nullcontext(),
            "graph_pool_handle": lambda: "pool",
            "get_rng_state": lambda device: torch.get_rng_state(),
            "get_sync_debug_mode": lambda: 0,
            "set_sync_debug_mode": lambda mode: None,
            "CUDAGraph": lambda: SimpleNamespace(replay=self.replay),
            "graph": self.graph,
        }.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        monkeypatch.setattr(lomit.engine.updates, "_renew_generator", lambda device, state: torch.set_rng_state(state))

    @contextmanager
    def graph(self, graph: Any, pool: str, stream: Any) -> Iterator[None]:
        graph.replay = lambda: self.calls[id(graph)]()
        self.capturing, self.current = True, id(graph)
        yield
        self.capturing = False

    def replay(self) -> None:
        raise AssertionError("replayed before it was captured")

    def update(self, fabric: Any, translator: Any, runner: Any, micro: Any) -> dict[str, Tensor]:
        assert self.capturing
        self.captures.append(runner.phase.name)
        if self.fails:
            torch.rand(3)
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        assert all(group["capturable"] and isinstance(group["lr"], Tensor) for group in runner.groups())
        assert all(p.grad is None for p in runner.phase.parameters())
        kept: dict[str, Tensor] = {}

        def call() -> None:
            found = self.real(fabric, translator, runner, micro)
            for name, value in found.items():
                kept.setdefault(name, torch.empty_like(value)).copy_(value)

        self.calls[self.current] = call
        return kept


@pytest.mark.parametrize("fails", [False, True], ids=["captured", "broken off"])
def test_captured_updates_see_each_batch_rate_and_draw(
    fails: bool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine's part of it, without a GPU: inputs, learning rates, order, terms, and the way back."""
    options = {"steps": 10, "save_every": 10, "decay": "linear", "decay_start": 2, "accumulate": 2}
    train(tiny_run(data, **options), tmp_path / "eager", quiet=True)
    recorder = Recorder(monkeypatch, fails)
    capsys.readouterr()
    train(tiny_run(data, compile="graphs", **options), tmp_path / "graphs", quiet=True)
    assert recorder.captures == (["D"] if fails else ["D", "G"])
    found, expected = (saved_tensors(tmp_path / run, 10) for run in ("graphs", "eager"))
    said = capsys.readouterr().err
    if fails:
        line = "no CUDA graph of phase D (operation not permitted when stream is capturing); going on without"
        assert said == f"lomit: warning: {line}\n"
        assert_same_tensors(found, expected)
        return
    assert said == ""
    for name, tensor in expected.items():  # the learning rate is a float32 now
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    lines = [[line for line in log_lines(tmp_path / run) if "lr" in line] for run in ("graphs", "eager")]
    for here, there in zip(*lines, strict=True):
        assert here == pytest.approx(there, rel=1e-3, abs=1e-5)


class NoWaiting(TorchDispatchMode):
    """Raises on what would make a host wait for a GPU, were its tensors there."""

    WAITING = ("aten._local_scalar_dense", "aten.nonzero", "aten.is_nonzero", "aten.masked_select", "aten._unique2",
               "aten.equal", "aten.item")  # fmt: skip

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name().replace("::", ".").split(".", 2)[:2] in [w.split(".") for w in self.WAITING]:
            raise AssertionError(f"{func.name()} waits for the device")
        if "index" in func.name() and any(
            isinstance(i, Tensor) and i.dtype == torch.bool for a in args if isinstance(a, (list, tuple)) for i in a
        ):
            raise AssertionError(f"{func.name()} by a mask waits for the device")
        return func(*args, **(kwargs or {}))


def test_what_waits_is_found() -> None:
    x = torch.tensor([1.0, 0.0])
    for wait in (lambda: x[0].item(), lambda: x.nonzero(), lambda: x[x > 0], lambda: bool((x > 0).any())):
        with pytest.raises(AssertionError, match="waits for the device"), NoWaiting():
            wait()


BEYOND_THE_PAPER: dict[str, Any] = {
    "warmup": 0, "mask_noise": 1.0, "r1_alike": 0.0, "mask_sees": "differences", "style_cls_of": "differing",
    "weights": LossWeights(style_cls=0.5, source_cls=0.5, keep=0.5, commit=0.5, erase=0.5),
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "options"), [*((name, {}) for name in sorted(real_methods())), ("lomit", BEYOND_THE_PAPER)]
)
def test_no_update_average_or_mean_waits_for_a_device(method: str, options: dict[str, Any]) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    translator = tiny_trainable(method, **options)
    runners = make_runners(fabric, translator, TrainConfig())
    ema, means, batch = Ema(translator.generator, 0.9), Means(), random_batch_for(translator, count=4)
    for _ in range(2):  # the first makes the optimisers' moments
        with NoWaiting():
            for runner in runners:
                means.add(runner.phase.name, run_phase(fabric, translator, runner, batch.micro(2), 1e-4))
            ema.update(translator.generator)
    assert means.take()


@pytest.mark.cuda
@pytest.mark.parametrize("method", sorted(real_methods()))
def test_no_iteration_waits_for_the_gpu(method: str, data: Path, tmp_path: Path) -> None:
    loop = cuda_loop(tiny_run(data, method, accelerator="cuda"), tmp_path)
    for _ in range(4):
        loop.iterate()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(4):
            loop.iterate()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert loop.step == 8


def cuda_loop(config: Any, folder: Path) -> Any:
    """A training loop with its data on the GPU."""
    from lomit.data.cache import build_cache
    from lomit.data.open import open_source
    from lomit.engine.fabric import make_fabric
    from lomit.engine.loop import Loop
    from lomit.models import method_of

    fabric = make_fabric(config.train)
    fabric.launch()
    cache = build_cache(open_source(config.data), config.data)
    loop = Loop(fabric, method_of(config.model), config, cache, folder)
    assert cache.resident is not None
    assert cache.resident.is_cuda
    return loop


@pytest.mark.cuda
@pytest.mark.parametrize(("mode", "norm"), [("graphs", "batch"), ("graphs", "group"), ("reduce-overhead", "batch")])
def test_fast_updates_on_a_gpu_are_the_eager_ones(mode: str, norm: str) -> None:
    """Far enough for replays with other batches, learning rates and random draws than were captured."""
    steps = WARM_UP + 3
    found = weights_after(mode, "lomit", steps, "cuda", mask_norm=norm)
    assert_close(found, weights_after("none", "lomit", steps, "cuda", mask_norm=norm))


@pytest.mark.cuda
def test_a_run_whose_updates_are_captured_resumes(data: Path, tmp_path: Path) -> None:
    config = tiny_run(data, accelerator="cuda", compile="graphs", steps=12, save_every=6)
    train(config, tmp_path / "run", quiet=True)
    first = saved_tensors(tmp_path / "run", 12)
    longer = tiny_run(data, accelerator="cuda", compile="graphs", steps=18, save_every=6)
    assert train(longer, tmp_path / "run", resume=True, quiet=True).step == 18
    last = saved_tensors(tmp_path / "run", 18)
    assert all(torch.isfinite(t).all() for t in last.values())
    assert last["optimizer.D.0.step"] == 18
    assert any(not torch.equal(first[n], last[n]) for n in first if n.startswith("average."))


@pytest.mark.cuda
def test_a_run_goes_on_where_a_capture_fails(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within it: the device's generator must draw again, and no other capture is begun."""
    real = lomit.engine.updates.update
    captures: list[str] = []

    def waiting(fabric: Any, translator: Any, runner: Any, micro: Any) -> Any:
        captures.append(runner.phase.name)
        torch.rand(3, device="cuda")  # the generator is part of the capture
        terms = real(fabric, translator, runner, micro)
        terms["loss"].item()
        return terms

    monkeypatch.setattr(lomit.engine.updates, "update", waiting)
    train(tiny_run(data, accelerator="cuda", compile="graphs", steps=12, save_every=12), tmp_path / "run", quiet=True)
    errors = capsys.readouterr().err
    assert captures == ["D"]
    assert errors.count("no CUDA graph of phase D") == 1
    assert torch.rand(3, device="cuda").isfinite().all()
    assert all(torch.isfinite(t).all() for t in saved_tensors(tmp_path / "run", 12).values())
