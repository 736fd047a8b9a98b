"""What `lomit translate` has to do: which images with which exemplars, and what the results are called.

Nothing here loads torch, so a wrong command line is answered at once.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from lomit.errors import LomitError
from lomit.images import short_stem

SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".tga",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".mpo", ".heic", ".heif", ".hif",
}  # fmt: skip
"""Files in a folder that are taken for images."""


@dataclass(frozen=True)
class Job:
    """One translation.

    Attributes:
        name: stem of the files it writes.
        input: path of the input.
        exemplars: path of the exemplar, or of both ends of an interpolation; none where a label or a random
            style guides.
        input_mask, exemplar_mask: paths of masks to use, or None.
        style: number of the random style, from 0.
    """

    name: str
    input: Path
    exemplars: tuple[Path, ...]
    input_mask: Path | None = None
    exemplar_mask: Path | None = None
    style: int | None = None


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
    label: tuple[tuple[str, float], ...] = ()
    """(attribute, 0 or 1); empty: none given."""
    random: int | None = None
    """Number of random styles."""
    seed: int = 0
    """Draws the random styles."""
    threads: int | None = None
    """CPU threads of each process of a pool."""
    compile: bool = False

    def files(self, name: str) -> list[Path]:
        """Every file that the job of this name writes."""
        suffixes = [f"{step}.png" for step in step_names(self.steps)] if self.steps else [".png"]
        suffixes += [".gif"] if self.gif else []
        suffixes += ["_input-mask.png", "_exemplar-mask.png"] if self.save_masks else []
        return [self.out / f"{name}{suffix}" for suffix in suffixes]


def step_names(steps: int) -> list[str]:
    """`_step-01`, `_step-02`, ..."""
    digits = max(2, len(str(steps)))
    return [f"_step-{step:0{digits}d}" for step in range(1, steps + 1)]


def list_images(folder: Path) -> list[Path]:
    """The image files right in a folder, by name; hidden files are left out.

    Raises:
        LomitError: where there is none, or the folder can't be read.
    """
    try:
        files = list(folder.iterdir())
    except OSError as error:
        raise LomitError(f"{folder} can't be read: {error.strerror}") from None
    found = sorted(p for p in files if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not found:
        raise LomitError(f"no images in {folder}; looked for {' '.join(sorted(SUFFIXES))}")
    return found


def pair_up(inputs: str, exemplars: Sequence[str], match: str) -> list[Job]:
    """Jobs for files and folders, named INPUT__EXEMPLAR.

    Args:
        inputs: an image or a folder.
        exemplars: an image or a folder, or two images to interpolate between.
        match: "all" makes every combination, "zip" pairs two folders in the order of their names.

    Raises:
        LomitError: for missing files and folders that can't be zipped.
    """
    sources = _expand(inputs)
    if len(exemplars) > 1:
        ends = tuple(Path(exemplar) for exemplar in exemplars)
        for end in ends:
            if end.is_dir():
                raise LomitError(f"{end} is a folder: two exemplars must be two images")
        names, end_names = _unique_stems(sources), "__".join(end.stem for end in ends)
        return [
            Job(short_stem(f"{name}__{end_names}"), source, ends) for name, source in zip(names, sources, strict=True)
        ]
    guides = _expand(exemplars[0])
    if match == "zip":
        if len(sources) != len(guides):
            raise LomitError(f"--match zip needs as many inputs as exemplars; found {len(sources)} and {len(guides)}")
        pairs: Iterable[tuple[int, int]] = zip(range(len(sources)), range(len(guides)), strict=True)
    else:
        pairs = product(range(len(sources)), range(len(guides)))
    source_names, guide_names = _unique_stems(sources), _unique_stems(guides)
    return [Job(short_stem(f"{source_names[i]}__{guide_names[j]}"), sources[i], (guides[j],)) for i, j in pairs]


def without_exemplar(inputs: str, label: Sequence[tuple[str, float]], random: int | None) -> list[Job]:
    """Jobs that a label or random styles guide, named INPUT__ATTRIBUTE-1 or INPUT__random-01.

    Args:
        inputs: an image or a folder.
        label: (attribute, 0 or 1).
        random: number of random styles for each input; None: the label alone guides.

    Raises:
        LomitError: for missing files.
    """
    sources = _expand(inputs)
    named = list(zip(_unique_stems(sources), sources, strict=True))
    if random is None:
        words = "_".join(f"{attribute}-{value:g}" for attribute, value in label)
        return [Job(short_stem(f"{name}__{words}"), source, ()) for name, source in named]
    digits = max(2, len(str(random)))
    return [
        Job(f"{short_stem(name)}__random-{style + 1:0{digits}d}", source, (), style=style)
        for name, source in named
        for style in range(random)
    ]


def parse_label(text: str, option: str = "--label") -> tuple[tuple[str, float], ...]:
    """`Blond_Hair=1,Smiling=0` as pairs of attribute and value.

    Raises:
        LomitError: for anything else.
    """
    pairs: list[tuple[str, float]] = []
    for word in text.split(","):
        name, _, value = (part.strip() for part in word.partition("="))
        if not name or value not in ("0", "1"):
            raise LomitError(f"{option} needs NAME=1 or NAME=0, separated by commas; found '{word.strip()}'")
        if name in dict(pairs):
            raise LomitError(f"{option} names '{name}' twice")
        pairs.append((name, float(value)))
    return tuple(pairs)


def read_pairs(table: str) -> list[Job]:
    """Jobs from a CSV with the columns `input` and `exemplar`, named by row: 0001, 0002, ...

    Paths are relative to the table's folder, or else to the working directory.

    Raises:
        LomitError: where the table is missing, not a CSV, lacks a column or a value, or has no rows.
    """
    path = Path(table)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            for column in ("input", "exemplar"):
                if column not in columns:
                    found = ", ".join(columns) or "nothing"
                    raise LomitError(f"{path} needs the columns input and exemplar in its first line; found {found}")
            rows = list(reader)
    except OSError as error:
        raise LomitError(f"{path} can't be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise LomitError(f"{path} is not a CSV table: {error}") from None
    if not rows:
        raise LomitError(f"{path} has no rows below its first line")
    digits = max(4, len(str(len(rows))))
    jobs = []
    for number, row in enumerate(rows, start=1):
        if not row["input"] or not row["exemplar"]:
            raise LomitError(f"{path}, row {number}: input or exemplar is empty")
        source, guide = (_beside(path, row[column]) for column in ("input", "exemplar"))
        jobs.append(Job(f"{number:0{digits}d}", source, (guide,)))
    return jobs


def with_masks(jobs: Sequence[Job], input_masks: str | None, exemplar_masks: str | None) -> list[Job]:
    """The jobs with masks: one file for all, or out of a folder the file of the same stem as the image.

    Raises:
        LomitError: where the file is missing, the folder lacks a mask, or two files share a stem.
    """
    own, guide = (
        _mask_finder(masks, images)
        for masks, images in (
            (input_masks, {job.input for job in jobs}),
            (exemplar_masks, {job.exemplars[-1] for job in jobs if job.exemplars}),
        )
    )
    return [
        replace(job, input_mask=own(job.input), exemplar_mask=guide(job.exemplars[-1]) if job.exemplars else None)
        for job in jobs
    ]


def _mask_finder(masks: str | None, images: Iterable[Path]) -> Callable[[Path], Path | None]:
    if masks is None:
        return lambda image: None
    if not Path(masks).is_dir():
        (single,) = _expand(masks)
        return lambda image: single
    by_stem = _by_stem(list_images(Path(masks)))
    _by_stem(images)  # of two images with one stem, a mask belongs to neither

    def find(image: Path) -> Path:
        if image.stem not in by_stem:
            raise LomitError(f"{masks} holds no mask for {image.name}: it must be called {image.stem}.png")
        return by_stem[image.stem]

    return find


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(paths):
        other = found.setdefault(path.stem, path)
        if other != path:
            raise LomitError(f"{other} and {path} share the stem '{path.stem}', by which masks are told; rename one")
    return found


def _expand(path: str) -> list[Path]:
    """The images in a folder, or the file itself."""
    if not Path(path).exists():
        raise LomitError(f"no such file or folder: {path}")
    return list_images(Path(path)) if Path(path).is_dir() else [Path(path)]


def _unique_stems(paths: Sequence[Path]) -> list[str]:
    """Stems, with the suffix added (a_jpg, a_png) where two files share one."""
    counts = Counter(path.stem for path in paths)
    return [path.stem if counts[path.stem] == 1 else path.name.replace(".", "_") for path in paths]


def _beside(table: Path, entry: str) -> Path:
    beside = table.parent / entry
    return beside if beside.exists() or not Path(entry).exists() else Path(entry)
