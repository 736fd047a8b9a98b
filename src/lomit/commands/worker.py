"""Translates a batch of jobs: files in, files out.  Runs in the command's own process or in several others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from PIL import Image

from lomit.commands.pairs import Job
from lomit.errors import LomitError
from lomit.images import Picture, read_image, read_mask, write_gif, write_png
from lomit.predictor import Predictor, Result


@dataclass(frozen=True)
class Settings:
    """What holds for every job; the fields are the options of `lomit translate`."""

    model: str
    device: str | None
    out: Path
    save_masks: bool
    steps: int | None
    gif: bool
    composite: bool
    overwrite: bool
    threads: int | None = None

    def files(self, name: str) -> list[Path]:
        """Every file that the job of this name writes."""
        suffixes = [f"{step}.png" for step in step_names(self.steps)] if self.steps else [".png"]
        suffixes += [".gif"] if self.gif else []
        suffixes += ["_input-mask.png", "_exemplar-mask.png"] if self.save_masks else []
        return [self.out / f"{name}{suffix}" for suffix in suffixes]


@dataclass
class Outcome:
    """What became of a job: the number of files written, or the file that could not be read and why."""

    job: Job
    written: int = 0
    bad: Path | None = None
    error: str = ""


@dataclass
class _Images:
    """The decoded images of a job."""

    job: Job
    input: Picture
    exemplars: list[Picture] = field(default_factory=list)
    input_mask: Image.Image | None = None
    exemplar_mask: Image.Image | None = None


def step_names(steps: int) -> list[str]:
    """`_step-01`, `_step-02`, ..."""
    digits = max(2, len(str(steps)))
    return [f"_step-{step:0{digits}d}" for step in range(1, steps + 1)]


def run_jobs(settings: Settings, jobs: Sequence[Job]) -> list[Outcome]:
    """Translates the jobs as one batch.

    An image that can't be read makes an outcome, so that the others are still translated.

    Raises:
        LomitError: where the model can't be used or a result can't be written.
    """
    outcomes: list[Outcome] = []
    ready: list[_Images] = []
    for job in jobs:
        loaded = _load(job)
        if isinstance(loaded, Outcome):
            outcomes.append(loaded)
        else:
            ready.append(loaded)
    if not ready:
        return outcomes
    predictor = _predictor(settings.model, settings.device, settings.threads)
    if settings.steps:
        return outcomes + [_interpolate(settings, predictor, images) for images in ready]
    given = any(images.input_mask is not None or images.exemplar_mask is not None for images in ready)
    results = predictor.translate(
        [images.input for images in ready],
        [images.exemplars[0] for images in ready],
        input_masks=[images.input_mask for images in ready] if given else None,
        exemplar_masks=[images.exemplar_mask for images in ready] if given else None,
        composite=settings.composite,
        batch_size=len(ready),
    )
    for images, result in zip(ready, results, strict=True):
        write_png(settings.out / f"{images.job.name}.png", result.image, settings.overwrite)
        masks = _write_masks(settings, images.job.name, result)
        outcomes.append(Outcome(images.job, written=1 + masks))
    return outcomes


def _load(job: Job) -> _Images | Outcome:
    """The job's images, or the first one that can't be read."""
    path = job.input
    try:
        images = _Images(job, _read(path))
        for path in job.exemplars:
            images.exemplars.append(_read(path))
        if job.input_mask is not None:
            path = job.input_mask
            images.input_mask = read_mask(path)
        if job.exemplar_mask is not None:
            path = job.exemplar_mask
            images.exemplar_mask = read_mask(path)
    except LomitError as error:
        return Outcome(job, bad=path, error=str(error))
    return images


def _interpolate(settings: Settings, predictor: Predictor, images: _Images) -> Outcome:
    assert settings.steps is not None
    name = images.job.name
    results = predictor.interpolate(images.input, images.exemplars, settings.steps, composite=settings.composite)
    for step, result in zip(step_names(settings.steps), results, strict=True):
        write_png(settings.out / f"{name}{step}.png", result.image, settings.overwrite)
    if settings.gif:
        write_gif(settings.out / f"{name}.gif", [result.image for result in results], overwrite=settings.overwrite)
    masks = _write_masks(settings, name, results[-1])
    return Outcome(images.job, written=len(results) + settings.gif + masks)


def _write_masks(settings: Settings, name: str, result: Result) -> int:
    if not settings.save_masks:
        return 0
    if result.input_mask is None or result.exemplar_mask is None:
        raise LomitError(f"the model '{settings.model}' has no masks; leave out --save-masks")
    write_png(settings.out / f"{name}_input-mask.png", result.input_mask, settings.overwrite)
    write_png(settings.out / f"{name}_exemplar-mask.png", result.exemplar_mask, settings.overwrite)
    return 2


@lru_cache(maxsize=16)
def _read(path: Path) -> Picture:
    """Decoded images: an exemplar that serves many inputs is decoded once."""
    return read_image(path)


@lru_cache(maxsize=1)
def _predictor(model: str, device: str | None, threads: int | None) -> Predictor:
    """One model a process, loaded with the first batch."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    return Predictor.from_pretrained(model, device)
