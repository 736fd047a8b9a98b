"""One phase's update by the fastest way that works: eagerly, compiled, or replayed as one CUDA graph.

A method need not know: what is compiled is a phase's loss, what is captured is a whole update (loss, backward pass,
clipping, optimiser).  Either is first rehearsed on the update's own batch, with a result that is thrown away; where
that fails, one line says so and the run goes on without.  A loss that differentiates a gradient
(`Phase.double_backward`) is not compiled: torch's compiler does not take it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from lomit.config import CompileMode
from lomit.engine.phases import Runner, TensorLoss, loss_of, only_require, run_phase, set_learning_rate, update
from lomit.models.base import Batch, Trainable, detached

WARM_UP = 3
"""Eager updates before one is captured: libraries choose their kernels and the optimiser makes its moments."""

Say = Callable[[str], None]


def plan(mode: CompileMode, device: torch.device, world: int) -> tuple[str | None, bool, str | None]:
    """What a setting comes to on a machine.

    The mode of `torch.compile`, None to leave it out; whether updates are replayed as CUDA graphs; and a line where
    that is less than was asked for.
    """
    if mode == "auto":
        mode = "graphs" if device.type == "cuda" else "none"
    inductor = {"default": "default", "reduce-overhead": "default", "max-autotune": "max-autotune-no-cudagraphs"}
    wanted = mode in ("graphs", "reduce-overhead", "max-autotune")
    possible = device.type == "cuda" and world == 1
    why = None
    if wanted and not possible:
        reason = "there is no GPU" if device.type != "cuda" else "several processes share the run"
        why = f"train.compile {mode}: no CUDA graphs, because {reason}"
    return inductor.get(mode), wanted and possible, why


def make_updates(
    fabric: Fabric, translator: Trainable, runners: Sequence[Runner], mode: CompileMode, say: Say
) -> list[Update]:
    """A run's updates, one for each phase, in their order; `say` shows a line to the user."""
    inductor, graphs, why = plan(mode, fabric.device, fabric.world_size)
    if why is not None:
        say(why)
    # Graphs can share memory: never two run at once, and what one leaves is read before the next.
    shared = _Shared(fabric.device) if graphs else None
    return [Update(fabric, translator, runner, inductor, shared, say) for runner in runners]


def iteration(
    updates: Sequence[Update], micro_batches: Sequence[Batch], lr: float, step: int
) -> Iterator[tuple[Update, dict[str, Tensor]]]:
    """Iteration `step`, counted from 0: each update whose turn it is, with its terms, once it is made.

    What a phase shares with those before it is computed once (`Phase.ahead`).
    """
    due = [one for one in updates if one.phase.runs_in(step)]
    owner = next((one for one in due[1:] if one.shares(micro_batches)), None)
    ahead = {} if owner is None else owner.ahead(micro_batches[0])
    for one in due:
        given = micro_batches
        if ahead:
            given = [micro_batches[0].beside(ahead if one is owner else detached(ahead))]
        if one is owner:
            ahead = {}  # `given` alone keeps its graph, and what follows needs new ones
        yield one, one(given, lr)


class _Shared:
    """What all captures of a run share: the stream, and the pool that their memory comes from."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()
        self.broken = False  # by a capture that was broken off, whose pool takes no other


class Update:
    """One phase's update.

    Attributes:
        phase: what it updates.
        moves_generator: whether the average has to follow: the generator's weights are among that, and the phase is
            `averaged`.
    """

    def __init__(
        self,
        fabric: Fabric,
        translator: Trainable,
        runner: Runner,
        inductor: str | None,
        shared: _Shared | None,
        say: Say,
    ) -> None:
        self.fabric, self.translator, self.runner, self.phase, self.say = fabric, translator, runner, runner.phase, say
        # Not by `requires_grad`, which a replay leaves as the last eager update of any phase set it.
        generator = {id(parameter) for parameter in translator.generator.parameters()}
        moved = any(id(parameter) in generator for parameter in self.phase.parameters())
        self.moves_generator = moved and self.phase.averaged
        self._inductor, self._shared = None if self.phase.double_backward else inductor, shared
        # A compiled or captured loss has its input's shapes, and several processes wait for each wrapped forward.
        self._alone = inductor is None and shared is None and fabric.world_size == 1
        self._done = 0
        self._captured: _Captured | None = None

    def __call__(self, micro_batches: Sequence[Batch], lr: float) -> dict[str, Tensor]:
        """One update; the terms it returns hold until the next one."""
        if self._inductor is not None:
            self._compile(micro_batches[0], self._inductor)
            self._inductor = None
        if self._shared is not None and self._shared.broken:
            self._shared = None
        if self._captured is None and self._shared is not None and self._done >= WARM_UP:
            self._capture(micro_batches, lr)
        if self._captured is not None:
            return self._captured.replay(micro_batches, lr)
        self._done += 1
        with _on_stream(self._shared):
            return run_phase(self.fabric, self.translator, self.runner, micro_batches, lr)

    def shares(self, micro_batches: Sequence[Batch]) -> bool:
        """Whether `ahead` can serve phases before this one; of several micro-batches all graphs would be kept."""
        return self.phase.ahead is not None and self._alone and len(micro_batches) == 1

    def ahead(self, batch: Batch) -> dict[str, Tensor]:
        """What the phase shares with those before it, with a graph to what it updates."""
        assert self.phase.ahead is not None
        only_require(self.translator, self.phase)
        with self.fabric.autocast():
            return self.phase.ahead(batch)

    def _compile(self, batch: Batch, mode: str) -> None:
        """Puts the compiled loss in place, where it works."""
        try:
            compiled: TensorLoss = torch.compile(loss_of(self.phase), dynamic=False, **_compiler(mode))
        except Exception as error:
            problem: str | None = _first_line(error)
        else:
            problem = self._rehearse(compiled, batch)
        if problem is None:
            self.runner.loss.loss = compiled
        else:
            self.say(f"compiling phase {self.phase.name} failed ({problem}); going on without")

    def _capture(self, micro_batches: Sequence[Batch], lr: float) -> None:
        """Captures the update, where that works; nothing is updated yet."""
        assert self._shared is not None
        with _on_stream(self._shared), _waiting_is_an_error():
            problem = self._rehearse(self.runner.loss.loss, micro_batches[0])
        if problem is None:
            try:
                self._captured = _Captured(self, micro_batches, lr, self._shared)
            except Exception as error:
                problem, self._shared.broken = _first_line(error), True
        if problem is not None:
            self._shared = None
            self.say(f"no CUDA graph of phase {self.phase.name} ({problem}); going on without")

    def _rehearse(self, loss: TensorLoss, batch: Batch) -> str | None:
        """The loss and its gradients, thrown away; why that failed, or None.

        Gradients are asked for by `autograd.grad`, which leaves `.grad` and the hooks of several processes alone.
        """
        only_require(self.translator, self.phase)
        with _preserved(self.translator, self.fabric.device):
            try:
                with self.fabric.autocast():
                    total, _ = loss(batch.tensors())
                torch.autograd.grad(total, self.phase.parameters(), allow_unused=True)
            except Exception as error:
                return _first_line(error)
        return None


class _Captured:
    """An update as a CUDA graph: memory for its input, the recorded kernels, and memory for its terms."""

    def __init__(self, owner: Update, micro_batches: Sequence[Batch], lr: float, shared: _Shared) -> None:
        self.runner = owner.runner
        self.inputs = [batch.map(torch.clone) for batch in micro_batches]
        self.graph = torch.cuda.CUDAGraph()
        device = owner.fabric.device
        random_state, stream = torch.cuda.get_rng_state(device), torch.cuda.current_stream(device)
        groups = self.runner.groups()
        before = [(group["lr"], group["capturable"]) for group in groups]
        for group in groups:  # or the graph would repeat today's learning rate for ever
            if not isinstance(group["lr"], Tensor):  # of an optimiser that a captured phase has, too
                group["lr"] = torch.tensor(float(group["lr"]), device=device)
            group["capturable"] = True
        set_learning_rate(self.runner, lr)
        self.runner.zero_grad()  # gradients are to lie in the graph's own memory
        try:
            with torch.cuda.graph(self.graph, pool=shared.pool, stream=shared.stream):
                self.terms = update(owner.fabric, owner.translator, self.runner, self.inputs)
        except BaseException:
            torch.cuda.set_stream(stream)
            for group, (rate, capturable) in zip(groups, before, strict=True):
                group["lr"], group["capturable"] = rate, capturable
            self.runner.zero_grad()
            _renew_generator(device, random_state)
            raise

    def replay(self, micro_batches: Sequence[Batch], lr: float) -> dict[str, Tensor]:
        """One update with another batch and learning rate."""
        for mine, given in zip(self.inputs, micro_batches, strict=True):
            values = given.tensors()
            for name, tensor in mine.tensors().items():
                tensor.copy_(values[name])
        set_learning_rate(self.runner, lr)
        self.graph.replay()
        return self.terms


def _compiler(mode: str) -> dict[str, Any]:
    """Arguments of `torch.compile`; random numbers are drawn as they are eagerly."""
    options: dict[str, Any] = {"fallback_random": True}
    if mode != "default":
        from torch._inductor import list_mode_options  # loads the compiler

        options |= list_mode_options(mode)
    return {"options": options}


@contextmanager
def _preserved(translator: Trainable, device: torch.device) -> Iterator[None]:
    """Buffers and random states are as before afterwards; parameters nobody changes."""
    buffers = [(buffer, buffer.clone()) for buffer in translator.buffers()]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
    with torch.no_grad():
        for buffer, kept in buffers:
            buffer.copy_(kept)


@contextmanager
def _on_stream(shared: _Shared | None) -> Iterator[None]:
    """Work on the capture's stream, before and after which the current one waits: so is a capture warmed up."""
    if shared is None:
        yield
        return
    current = torch.cuda.current_stream(shared.stream.device)
    shared.stream.wait_stream(current)
    with torch.cuda.stream(shared.stream):
        yield
    current.wait_stream(shared.stream)


@contextmanager
def _waiting_is_an_error() -> Iterator[None]:
    """What waits for the GPU raises: it would break off a capture, after which less can be saved."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():  # that it does not find everything, which a capture then does
        warnings.filterwarnings("ignore", "Synchronization debug mode")
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _renew_generator(device: torch.device, state: Tensor) -> None:
    """Gives the device's generator a state of its own again: one that a broken-off capture holds refuses to draw."""
    torch.cuda.synchronize(device)
    index = torch.cuda.current_device() if device.index is None else device.index
    torch.cuda.default_generators[index].graphsafe_set_state(torch.Generator(device).graphsafe_get_state())
    torch.cuda.set_rng_state(state, device)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
