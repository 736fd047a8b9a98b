"""The training loop.  It knows the translator protocol and nothing of any method."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from tqdm import tqdm

from lomit.config import RunConfig
from lomit.data.cache import Cache
from lomit.data.sampling import Sampler, keep_resident, load_batch
from lomit.engine import checkpoint
from lomit.engine.ema import Ema
from lomit.engine.log import Means, RunLog
from lomit.engine.phases import Runner, learning_rate, make_runners
from lomit.engine.updates import iteration, make_updates
from lomit.errors import LomitError
from lomit.figures.grids import sheet
from lomit.models.base import Batch, Trainable
from lomit.models.registry import Method

SHEET_PAIRS = 8
"""Pairs on a sample sheet."""
SCORE_BATCHES = 4
"""Validation batches behind the score that picks the best checkpoint."""
AGREE_EVERY = 20
"""Iterations between two questions to the other processes whether one of them was told to stop."""


@dataclass
class Outcome:
    """How a run ended: the iterations done, why it stopped early (empty: it did not), and the signal behind that.

    While it runs, a signal or the clock give the reason; the loop looks at it after every iteration.
    """

    step: int = 0
    reason: str = ""
    signum: int = 0


@contextmanager
def _signals() -> Iterator[Outcome]:
    """SIGTERM and SIGINT become a wish to stop; a second one has its usual effect.

    One that is ignored (a shell's background job ignores SIGINT) stays ignored.
    """
    stop = Outcome()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    handlers = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}
    previous = {s: handler for s, handler in handlers.items() if handler is not signal.SIG_IGN}

    def handle(signum: int, _: Any) -> None:
        stop.reason, stop.signum = f"{signal.Signals(signum).name} received", signum
        for s, handler in previous.items():
            signal.signal(s, handler)

    for s in previous:
        signal.signal(s, handle)
    try:
        yield stop
    finally:
        for s, handler in previous.items():
            signal.signal(s, handler)


class Loop:
    """One run: data, translator, optimisers, average and log, and the steps that use them.

    The fabric is launched already, the config holds the attributes and the image size in `model`, the cache is of
    decoded images.
    """

    def __init__(self, fabric: Fabric, method: Method, config: RunConfig, cache: Cache, folder: Path) -> None:
        self.fabric, self.config, self.cache, self.folder = fabric, config, cache, folder
        train = config.train
        torch.manual_seed(train.seed)
        self.translator: Trainable = method.build_trainable(config.model).to(fabric.device)
        self.translator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = Ema(self.translator.generator, train.ema)
        self.runners: list[Runner] = make_runners(fabric, self.translator, train)
        # No bound method: a cycle would keep the loop, and the checkpoint that it has mapped, after its end.
        self.say = partial(_warn, fabric.is_global_zero)
        self.updates = make_updates(fabric, self.translator, self.runners, train.compile, self.say)
        keep_resident(cache, fabric.device, config.data.on_device)
        rows = cache.subset("train")
        arguments = (train.batch_size, train.seed, fabric.global_rank, fabric.world_size)
        self.sampler = self.translator.sampler(cache.labels, rows, *arguments)
        self.validation = self._validation_sampler(cache.subset("val"), rows)
        self.means = Means()
        self.step = 0
        self.best = math.inf

    def _validation_sampler(self, held_out: np.ndarray, rows: np.ndarray) -> Sampler:
        """Pairs of held-out images as the method takes them; of training images where those are too few."""
        labels, count = self.cache.labels, max(SHEET_PAIRS, self.config.train.batch_size)
        try:
            return self.translator.sampler(labels, held_out, count, seed=1)
        except LomitError:
            return self.translator.sampler(labels, rows, count, seed=1)

    def resume(self, folder: Path) -> None:
        """Goes on from a checkpoint as if it had never stopped."""
        state = checkpoint.load(folder, self.translator, self.ema, self.runners)
        self.step = state["step"]
        self.best = math.inf if state["best"] is None else state["best"]

    def run(self, quiet: bool = False, began: float | None = None) -> Outcome:
        """Trains to the configured step, or until told to stop; always leaves a checkpoint behind.

        `began` is `time.monotonic()` when the command began, from which `train.max_minutes` counts; None: now.
        """
        train, main = self.config.train, self.fabric.is_global_zero
        log = RunLog(self.folder, self.step) if main else None
        started, first = time.monotonic(), self.step
        deadline = math.inf if train.max_minutes is None else (began or started) + 60 * train.max_minutes
        hidden = quiet or not main or not sys.stderr.isatty()
        bar = tqdm(total=train.steps, initial=self.step, disable=hidden, unit="it")
        try:
            with _signals() as stop:
                while self.step < train.steps:
                    self.iterate()
                    bar.update()
                    if time.monotonic() > deadline:
                        stop.reason = stop.reason or f"{train.max_minutes:g} minutes are over"
                    ending = self._must_stop(stop) or self.step == train.steps
                    if self.step % train.log_every == 0 or ending:
                        self._write_log(log, bar, (self.step - first) / (time.monotonic() - started))
                    if self.step % train.sample_every == 0 or ending:
                        self._sample(log)
                    if self.step % train.save_every == 0 or ending:
                        self._save(log)
                    if ending:
                        break
            return Outcome(self.step, stop.reason if self.step < train.steps else "", stop.signum)
        finally:
            bar.close()
            if log is not None:
                log.close()

    def iterate(self) -> None:
        """One iteration: every phase whose turn it is.

        The random state is set from (seed, step, process) first, so an iteration's draws are a function of
        its number: a resumed run needs no stored state and a killed one loses none.
        """
        train = self.config.train
        torch.manual_seed(_mix(train.seed, self.step, self.fabric.global_rank))
        images = load_batch(self.cache, self.sampler, self.step, self.fabric.device, self.config.data.flip)
        micro = self.translator.batch_of(images, self.step).micro(train.accumulate)
        lr = learning_rate(train, self.step)
        for update, terms in iteration(self.updates, micro, lr, self.step):
            self.means.add(update.phase.name, terms)
            if update.moves_generator:
                self.ema.update(self.translator.generator)
        self.step += 1

    def _must_stop(self, stop: Outcome) -> bool:
        if self.fabric.world_size == 1:
            return bool(stop.reason)
        if self.step % AGREE_EVERY:
            return False
        flag = torch.tensor(float(bool(stop.reason)), device=self.fabric.device)
        told = bool(self.fabric.all_reduce(flag, reduce_op="sum") > 0)  # type: ignore[operator]
        stop.reason = stop.reason or ("another process was told to stop" if told else "")
        return told

    def _write_log(self, log: RunLog | None, bar: Any, rate: float) -> None:
        means = self.means.take()
        losses = {k: v for k, v in means.items() if k.endswith("/loss")}
        broken = [k for k, v in means.items() if not math.isfinite(v)]
        if broken:
            raise self._diverged(broken[0])
        if log is None:
            return
        lr = learning_rate(self.config.train, self.step - 1)
        log.write(self.step, {**means, "lr": lr, "iterations_per_second": rate})
        bar.set_postfix({k.removesuffix("/loss"): f"{v:.3g}" for k, v in losses.items()})
        warning = self.translator.warning(means)
        if warning:
            self.say(f"step {self.step}: {warning}")
            log.write(self.step, {"warning": warning})

    def _diverged(self, what: str) -> LomitError:
        last = checkpoint.pointed(self.folder, "latest")
        return LomitError(
            f"{what} became NaN or infinite before step {self.step}; the last good state is "
            f"{last if last else 'none (nothing was saved yet)'}; go on from it with --resume and a smaller "
            "train.lr, or train.precision float32"
        )

    def _held_out(self, index: int) -> Batch:
        images = load_batch(self.cache, self.validation, index, self.fabric.device, flip=False)
        return self.translator.batch_of(images, self.step)

    def _sample(self, log: RunLog | None) -> None:
        if not self.fabric.is_global_zero:
            return
        batch = self._held_out(0).map(lambda t: t[:SHEET_PAIRS])
        with self.ema.in_place_of(self.translator):
            columns = self.translator.sample(batch)
        folder = self.folder / "samples"
        folder.mkdir(exist_ok=True)
        drawn = sheet(columns)
        drawn.save(folder / f"step_{self.step:07d}.png")
        if log is not None:
            log.show(self.step, drawn)

    def _score(self) -> dict[str, float]:
        means = Means()
        with self.ema.in_place_of(self.translator):
            for index in range(SCORE_BATCHES):
                means.add("val", self.translator.score(self._held_out(index)))
        return {f"val/{k.split('/', 1)[1] if k.startswith('val/') else k}": v for k, v in means.take().items()}

    def _save(self, log: RunLog | None) -> None:
        """Checkpoint by the first process; the others wait, so that none runs ahead of a failed save."""
        if self.fabric.is_global_zero:
            # The losses are looked at when they are logged; a checkpoint in between must not become the last good one.
            if not torch.stack([v.isfinite().all() for v in self.translator.state_dict().values()]).all():
                raise self._diverged("a weight")
            scores = self._score()
            score = scores.get("val/score", -float(self.step))
            # Scores of a warm-up don't compare with later ones: until then the newest is the best.
            settled = all(runner.phase.settled(self.step) for runner in self.runners)
            better = score <= self.best or not settled
            if settled:
                self.best = min(self.best, score)
            extra = {"best": self.best, "world_size": self.fabric.world_size, "torch": torch.__version__}
            path = checkpoint.save(self.folder, self.step, self.translator, self.ema, self.runners, extra)
            if better:
                checkpoint.write_text(self.folder / "checkpoints" / "best", path.name)
            checkpoint.prune(self.folder, self.config.train.keep)
            if log is not None and scores:
                log.write(self.step, scores)
        self.fabric.barrier()


def _warn(main: bool, line: str) -> None:
    if main:
        tqdm.write(f"lomit: warning: {line}", file=sys.stderr)


def _mix(seed: int, step: int, rank: int) -> int:
    """A 63-bit seed that differs for every (seed, step, rank)."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)
