"""Translates batches of jobs: files in, files out, in the command's own process or in several others.

In one process, the next batches are read and earlier results are written while the network computes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from lomit.data.decode import ahead
from lomit.errors import LomitError
from lomit.images import Picture, read_image, read_mask, write_gif, write_png
from lomit.inference.batch import JobOutcome, Settings, batched, step_names
from lomit.inference.onnx import is_exported
from lomit.inference.pairs import Job, Jobs
from lomit.inference.predictor import Predictor, Result
from lomit.inference.squares import mask_planes
from lomit.inference.threads import SpareCores
from lomit.inference.weights import find_model

AHEAD = 2
"""Batches that wait to be computed, and batches that wait to be written: at most so many of each."""

_Write = Callable[[], None]


def translate_all(
    settings: Settings, jobs: Jobs, batch_size: int, processes: int = 1
) -> Generator[JobOutcome, None, None]:
    """The outcomes of all jobs in order, each when its files are written; `batch_size` images are in the network at a
    time, in this process or in each of several.  Raises LomitError where the model can't be used, a result can't be
    written, or a process dies.
    """
    if not is_exported(settings.model):
        find_model(settings.model)
    batches = batched(jobs, batch_size)
    if processes == 1:
        yield from Worker(settings).run_all(batches)
        return
    if settings.threads is None:
        settings = replace(settings, threads=max(1, (os.cpu_count() or 1) // processes))
    # Forked children of a process that has used torch's thread pools hang, so they are started afresh.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        try:
            for outcomes in ahead(lambda batch: pool.submit(_run_in_pool, settings, batch), batches, 2 * processes):
                yield from outcomes
        except BrokenProcessPool as error:
            raise LomitError("a process died, perhaps for lack of memory; use fewer --processes") from error
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass
class _Images:
    """The decoded images of a job."""

    job: Job
    input: Picture
    exemplars: list[Picture] = field(default_factory=list)
    input_mask: Image.Image | None = None
    exemplar_mask: Image.Image | None = None


class Worker:
    """Translates jobs one batch after the other; loads the model with the first and keeps recent images decoded."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._threads = settings.threads or SpareCores()
        # An exemplar that serves many inputs is decoded once.
        self._read = lru_cache(maxsize=16)(read_image)

    @cached_property
    def predictor(self) -> Predictor:
        s = self.settings
        return Predictor.from_pretrained(
            s.model, s.device, threads=self._threads, compile=s.compile, precision=s.precision, only=s.only or None
        )

    @cached_property
    def _styles(self) -> Tensor | None:
        """The random styles, one a row; None where exemplars or a label guide."""
        random = self.settings.random
        return None if random is None else self.predictor.random_styles(random, self.settings.seed)

    def run_all(self, batches: Iterable[Sequence[Job]]) -> Iterator[JobOutcome]:
        """Translates batch after batch, with reading and writing in threads of their own.

        An outcome is yielded when its files are written, in the order of the batches.  An image that can't be read
        makes one, so that the others are still translated.  When the caller stops, or something fails, what has not
        begun is left undone.  Raises LomitError where the model can't be used or a result can't be written.
        """
        writing: deque[tuple[list[JobOutcome], list[Future[None]]]] = deque()
        with ExitStack() as stack:
            # One reader: two would decode a shared exemplar twice.  Compressing a large image takes the longest.
            reader, writer = (stack.enter_context(ThreadPoolExecutor(threads)) for threads in (1, 2))
            # Entered last, called first: the pools then wait only for what is under way.
            stack.callback(writer.shutdown, wait=False, cancel_futures=True)
            stack.callback(reader.shutdown, wait=False, cancel_futures=True)
            for loaded in ahead(lambda batch: reader.submit(self._load_all, batch), batches, AHEAD):
                outcomes, writes = self._compute(loaded)
                writing.append((outcomes, [writer.submit(write) for write in writes]))
                while len(writing) > AHEAD or (writing and all(write.done() for write in writing[0][1])):
                    yield from _written(*writing.popleft())
            while writing:
                yield from _written(*writing.popleft())

    def _load_all(self, jobs: Sequence[Job]) -> list[_Images | JobOutcome]:
        return [self._load(job) for job in jobs]

    def _compute(self, loaded: Sequence[_Images | JobOutcome]) -> tuple[list[JobOutcome], list[_Write]]:
        """The outcomes of a batch, and the calls that write its files."""
        ready = [item for item in loaded if isinstance(item, _Images)]
        outcomes = [item for item in loaded if isinstance(item, JobOutcome)]
        writes: list[_Write] = []
        for images, results in zip(ready, self._results(ready) if ready else [], strict=True):
            own = self._writes(images.job.name, results)
            outcomes.append(JobOutcome(images.job, written=len(own)))
            writes += own
        return outcomes, writes

    def _load(self, job: Job) -> _Images | JobOutcome:
        """The job's images, or the first one that can't be used."""
        path = job.input.path
        try:
            images = _Images(job, self._read(path))
            for path in job.guidance.exemplars:
                images.exemplars.append(self._read(path))
            if job.input.mask is not None:
                path = job.input.mask
                images.input_mask = _read_mask(path, images.input)
            if job.guidance.mask is not None:
                path = job.guidance.mask
                images.exemplar_mask = _read_mask(path, images.exemplars[-1])
        except LomitError as error:
            return JobOutcome(job, bad=path, error=str(error))
        return images

    def _results(self, batch: Sequence[_Images]) -> list[list[Result]]:
        """The results of each job: one, or a step each."""
        p, s, jobs = self.predictor, self.settings, [images.job for images in batch]
        if s.steps:
            return [p.interpolate(each.input, each.exemplars, s.steps, composite=s.composite) for each in batch]
        if regions := jobs[0].guidance.regions:
            named = [dict(zip(regions, each.exemplars, strict=True)) for each in batch]
            return [[p.compose(each.input, of, composite=s.composite)] for each, of in zip(batch, named, strict=True)]
        results = p.translate(
            [images.input for images in batch],
            [images.exemplars[0] for images in batch] if jobs[0].guidance.exemplars else None,
            label=dict(s.label) or None,
            styles=None if self._styles is None else self._styles[[job.guidance.style for job in jobs]],
            input_masks=[images.input_mask for images in batch],
            exemplar_masks=[images.exemplar_mask for images in batch],
            composite=s.composite,
            batch_size=len(batch),
        )
        return [[result] for result in results]

    def _writes(self, name: str, results: Sequence[Result]) -> list[_Write]:
        """The calls that write a job's files."""
        s, last = self.settings, results[-1]
        steps = step_names(s.steps) if s.steps else [""]
        files = {f"{name}{step}.png": result.image for step, result in zip(steps, results, strict=True)}
        if s.save_masks:
            if last.input_mask is None:
                raise LomitError(f"the model '{s.model}' has no masks; leave out --save-masks")
            masks = {"input": last.input_mask, "exemplar": last.exemplar_mask}  # several exemplars have no one mask
            files |= {f"{name}_{whose}-mask.png": mask for whose, mask in masks.items() if mask is not None}
        writes: list[_Write] = [partial(write_png, s.out / file, image, s.overwrite) for file, image in files.items()]
        if s.gif:
            frames = [result.image for result in results]
            writes.append(partial(write_gif, s.out / f"{name}.gif", frames, overwrite=s.overwrite))
        return writes


def _read_mask(path: Path, picture: Picture) -> Image.Image:
    """A mask that fits its picture; one that does not must not stop the batch that it would be in."""
    mask = read_mask(path)
    mask_planes([mask], [picture], 1, torch.device("cpu"))
    return mask


def _written(outcomes: list[JobOutcome], writes: Sequence[Future[None]]) -> list[JobOutcome]:
    """The outcomes, once their files are there."""
    for write in writes:
        write.result()
    return outcomes


def _run_in_pool(settings: Settings, jobs: Sequence[Job]) -> list[JobOutcome]:
    """In a process of a pool that serves these settings alone, and so keeps its worker."""
    return list(_pool_worker(settings).run_all([jobs]))


_pool_worker = lru_cache(maxsize=1)(Worker)
