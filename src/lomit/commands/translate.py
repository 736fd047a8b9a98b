"""`lomit translate`: images with exemplars, folders with folders, tables of pairs."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tqdm import tqdm

from lomit.commands.options import parse
from lomit.commands.pairs import Job, Settings, pair_up, parse_label, read_pairs, with_masks, without_exemplar
from lomit.errors import LomitError

if TYPE_CHECKING:
    from lomit.commands.worker import Outcome


@dataclass
class TranslateOptions:
    """Give each input image the style of its exemplar, the attributes of a label, or random styles.

    What a model can be guided by depends on its method: LOMIT by exemplars, StarGAN by a label, MUNIT and DRIT by
    exemplars and random styles.  Results are PNG files as large as the inputs, called INPUT__EXEMPLAR.png, or
    0001.png, 0002.png, ... for the rows of a table.  The largest centre square of an image is translated; outside it
    nothing changes.
    """

    input: str | None = None
    """Image to translate, or a folder of images."""
    exemplar: tuple[str, ...] = ()
    """Image whose style is taken, or a folder of images; given twice (two images), --steps leads from one to the
    other."""
    pairs: str | None = None
    """CSV table with the columns input and exemplar, in place of --input and --exemplar."""
    label: str | None = None
    """Target attributes, e.g. Blond_Hair=1,Smiling=0; those left out are 0.  Without an exemplar for a method that is
    guided by labels; for a method with two domains it says to which one is translated (any 1: the one with the
    attributes, which is the default)."""
    random: int | None = None
    """Draw this many random styles for each input, in place of an exemplar: NAME_random-01.png, ..."""
    seed: int = 0
    """Draws the random styles; the same for every input."""
    match: Literal["all", "zip"] = "all"
    """Two folders: all combinations, or one to one in the order of the names."""
    out: str = "translated"
    """Folder for the results."""
    model: str = "avatars"
    """Name of a model (see `lomit models`), its folder, a training run's folder, a Hugging Face Hub id, or a file that
    `lomit export` wrote."""
    save_masks: bool = False
    """Write the masks too: NAME_input-mask.png and NAME_exemplar-mask.png, as large as the centre squares."""
    input_mask: str | None = None
    """Grey image to use as the input's mask, white = foreground, as large as the input or square; or a folder of
    masks called like the inputs."""
    exemplar_mask: str | None = None
    """The same for the exemplar."""
    steps: int | None = None
    """Write this many images on the way from the input's own style (or from the first of two exemplars) to the
    exemplar's: NAME_step-01.png, ..."""
    gif: bool = False
    """Write the steps as an animation too: NAME.gif."""
    composite: bool = False
    """Blend the input back through its mask, instead of keeping the whole output of the network."""
    photo: bool = False
    """Find the face in each input, translate it alone and put it back at the photograph's own size and sharpness; the
    exemplar's face is found too.  Results have the format of their inputs (see docs/photo.md)."""
    video: str | None = None
    """Video to translate frame by frame, in place of --input; --out is a video or a folder."""
    face: str = "1"
    """With --photo and --video: which face, 1 being the largest, or all."""
    exemplar_face: str = "1"
    """The same for the exemplar."""
    face_box: str | None = None
    """Square LEFT,TOP,RIGHT,BOTTOM in pixels to take for the crop of the input's face where the detector finds none."""
    exemplar_box: str | None = None
    """The same for the exemplar."""
    strength: float = 1.0
    """With --photo and --video: factor on the change, 0 to 2."""
    format: Literal["same", "jpeg", "png", "webp", "tiff"] = "same"
    """With --photo: format of the results; by default each input's own."""
    quality: int | None = None
    """With --photo: quality of JPEG and WebP, 1 to 100; by default as the input was compressed."""
    batch_size: int = 8
    """Images in the network at a time."""
    processes: int = 1
    """Processes that translate, each with its own copy of the model."""
    compile: bool = False
    """Compile the network first, which takes a minute and needs a C++ compiler: for folders of many images."""
    overwrite: bool = False
    """Replace files that exist."""
    device: str | None = None
    """cpu, cuda, cuda:1, ...; by default CUDA where there is one."""
    recipe: str | None = None
    """File that the editor (`lomit edit`) wrote: makes its result anew, bit for bit.  Its images are looked for beside
    it, or come from --input and --exemplar; only --model, --out, --overwrite and --device go with it."""


def run_translate(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return translate(parse(TranslateOptions, argv, "lomit translate"))


def translate(options: TranslateOptions) -> int:
    """Translates what the options say and prints where it is.

    Images in folders that can't be read are named and skipped.

    Returns:
        0, or 2 where a row of a table had to be skipped.

    Raises:
        LomitError: for options that don't fit together, for a bad image that was named on its own, for results
            that exist already, and where nothing could be translated.
    """
    if options.recipe is not None:
        from lomit.commands.recipe import translate_recipe

        return translate_recipe(options)
    if options.video is not None:
        from lomit.commands.video import translate_video_file

        return translate_video_file(options)
    jobs = _plan(options)
    if options.photo:
        from lomit.commands.photo import translate_photos

        return translate_photos(options, jobs)
    settings = Settings(
        model=options.model,
        device=options.device,
        out=Path(options.out),
        save_masks=options.save_masks,
        steps=options.steps,
        gif=options.gif,
        composite=options.composite,
        overwrite=options.overwrite,
        label=() if options.label is None else parse_label(options.label),
        random=options.random,
        seed=options.seed,
        compile=options.compile,
        threads=max(1, (os.cpu_count() or 1) // options.processes) if options.processes > 1 else None,
    )
    _check_outputs(jobs, settings)
    written = done = 0
    skipped: dict[object, str] = {}
    # Closed when an error ends the loop, so that no thread works on.
    running = closing(_outcomes(settings, jobs, options.batch_size, options.processes))
    with running as outcomes, tqdm(total=len(jobs), unit="pair", disable=None) as bar:
        for outcome in outcomes:
            bar.update()
            if outcome.bad is None:
                written, done = written + outcome.written, done + 1
                continue
            if options.pairs is None and _named_itself(outcome.bad, options):
                raise LomitError(outcome.error)
            # A file of a folder may stand in many pairs and is named once; each row of a table is.
            key = outcome.bad if options.pairs is None else outcome.job.name
            if key not in skipped:
                skipped[key] = outcome.error
                row = "" if options.pairs is None else f"row {outcome.job.name}: "
                tqdm.write(f"lomit: skipped: {row}{outcome.error}", file=sys.stderr)
    what = "row" if options.pairs is not None else "image"
    if not done:
        raise LomitError(f"nothing to translate: every {what} was skipped")
    left = f"; skipped {_count(len(skipped), what)}" if skipped else ""
    print(f"translated {_count(done, 'pair')} into {options.out} ({_count(written, 'file')}){left}")
    return 2 if skipped and options.pairs is not None else 0


def _plan(options: TranslateOptions) -> list[Job]:
    """The jobs, once the options have been found to fit together."""
    for name, least in (("steps", 2), ("batch_size", 1), ("processes", 1), ("random", 1), ("seed", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise LomitError(f"--{name.replace('_', '-')} must be at least {least}; it is {value}")
    if options.gif and options.steps is None:
        raise LomitError("--gif needs --steps, the number of its images")
    if options.steps is not None and (options.input_mask or options.exemplar_mask):
        raise LomitError("--steps predicts its masks; leave out --input-mask and --exemplar-mask")
    if options.steps is not None and options.compile:
        raise LomitError("--compile does not go with --steps; leave out one of them")
    for name in ("face", "exemplar_face", "face_box", "exemplar_box", "strength", "format", "quality"):
        if not options.photo and getattr(options, name) != getattr(TranslateOptions, name):
            raise LomitError(f"--{name.replace('_', '-')} needs --photo")
    if options.photo:
        for name in ("steps", "random", "composite", "processes"):
            if getattr(options, name) != getattr(TranslateOptions, name):
                raise LomitError(f"--{name} does not go with --photo; leave out one of them")
    if options.pairs is not None:
        if options.input is not None or options.exemplar:
            raise LomitError("--pairs takes the place of --input and --exemplar; give one or the other")
        if options.random is not None:
            raise LomitError("--pairs and --random exclude each other: a row's style is its exemplar's")
        jobs = read_pairs(options.pairs)
    elif options.input is not None and not options.exemplar and (options.label or options.random):
        for name, value in (("steps", options.steps), ("exemplar-mask", options.exemplar_mask)):
            if value is not None:
                raise LomitError(f"--{name} needs --exemplar")
        label = () if options.label is None else parse_label(options.label)
        jobs = without_exemplar(options.input, label, options.random)
    elif options.input is None or not options.exemplar:
        raise LomitError(
            "give --input and --exemplar, or --pairs (or, by the model's method, --input with --label or --random); "
            "see lomit translate --help"
        )
    elif options.random is not None:
        raise LomitError("--random takes the place of --exemplar; give one or the other")
    elif len(options.exemplar) > 2:
        raise LomitError(f"--exemplar can be given twice at most; {len(options.exemplar)} given (or give a folder)")
    elif len(options.exemplar) == 2 and options.steps is None:
        raise LomitError("two exemplars need --steps, the number of images between them")
    else:
        jobs = pair_up(options.input, options.exemplar, options.match)
    return with_masks(jobs, options.input_mask, options.exemplar_mask)


def _check_outputs(jobs: Sequence[Job], settings: Settings) -> None:
    """Refuses before the first image is translated what would overwrite something."""
    if settings.out.exists() and not settings.out.is_dir():
        raise LomitError(f"{settings.out} is a file; --out must be a folder")
    there = {path.name for path in settings.out.iterdir()} if settings.out.exists() else set()
    names: set[str] = set()
    existing: list[Path] = []
    for job in jobs:
        for path in settings.files(job.name):
            if path.name in names:
                raise LomitError(f"two results would be called {path.name}; rename an image or use --pairs")
            names.add(path.name)
            if path.name in there:
                existing.append(path)
    if existing and not settings.overwrite:
        raise LomitError(
            f"{_count(len(existing), 'result')} would overwrite what is there (first: {existing[0]}); "
            "choose another --out or add --overwrite"
        )
    sources = {path.resolve() for job in jobs for path in (job.input, *job.exemplars)} if existing else set()
    for path in existing:
        if path.resolve() in sources:
            raise LomitError(f"{path} is an input or exemplar and would be overwritten; choose another --out")


def _outcomes(
    settings: Settings, jobs: Sequence[Job], batch_size: int, processes: int
) -> Generator[Outcome, None, None]:
    """Runs the jobs in this process or in several."""
    # Only now is torch loaded: whatever is wrong with the command line has been said.
    from lomit.commands.worker import Worker, run_in_pool
    from lomit.exported import is_exported
    from lomit.weights import find_model

    if not is_exported(settings.model):
        find_model(settings.model)
    batches = [jobs[start : start + batch_size] for start in range(0, len(jobs), batch_size)]
    if processes == 1:
        yield from Worker(settings).run_all(batches)
        return
    # Forked children of a process that has used torch's thread pools hang, so they are started afresh.
    with ProcessPoolExecutor(min(processes, len(batches)), mp_context=get_context("spawn")) as pool:
        try:
            for outcomes in pool.map(run_in_pool, [settings] * len(batches), batches):
                yield from outcomes
        except BrokenProcessPool as error:
            raise LomitError("a process died, perhaps for lack of memory; use fewer --processes") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _named_itself(path: Path, options: TranslateOptions) -> bool:
    """Whether the path was given as such, not through a folder."""
    given = (options.input, *options.exemplar, options.input_mask, options.exemplar_mask)
    return any(name is not None and Path(name) == path for name in given)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
