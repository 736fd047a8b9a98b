"""What is translated: which images, guided by what, and what the results are called.

Nothing here loads torch, so a wrong command line is answered at once.  Jobs are made one by one: two folders of
thousands of images are millions of pairs.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from lomit.errors import LomitError

SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".tga",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".mpo", ".heic", ".heif", ".hif",
}  # fmt: skip
"""Files in a folder that are taken for images."""
NAME_BYTES = 100
"""Longer names are cut: a result's file is called by two of them and a suffix, in 255 bytes in all."""


@dataclass(frozen=True)
class Input:
    """An image to translate: its part of the results' names, its path, and the mask to use, or None."""

    name: str
    path: Path
    mask: Path | None = None


@dataclass(frozen=True)
class Guidance:
    """What a translation is guided by.

    Attributes:
        name: its part of the results' names.
        exemplars: path of the exemplar, or of both ends of an interpolation; none where a label or a random style
            guides.
        regions: what each exemplar gives its style to, by name; empty: the whole foreground.
        mask: the exemplar's mask to use, or None.
        style: number of the random style, from 0.
    """

    name: str
    exemplars: tuple[Path, ...] = ()
    regions: tuple[str, ...] = ()
    mask: Path | None = None
    style: int | None = None


@dataclass(frozen=True)
class Job:
    """One translation; `name` is the stem of the files it writes."""

    name: str
    input: Input
    guidance: Guidance


@dataclass(frozen=True)
class Jobs:
    """Translations in order, made when they are iterated over.

    Attributes:
        inputs, guidances: the two sides.
        names: None: every input meets every guidance, and the job is called INPUT__GUIDANCE.  Else the sides are
            paired one to one, and these are the jobs' names.
    """

    inputs: Sequence[Input]
    guidances: Sequence[Guidance]
    names: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.inputs) * (len(self.guidances) if self.names is None else 1)

    def __iter__(self) -> Iterator[Job]:
        if self.names is not None:
            yield from map(Job, self.names, self.inputs, self.guidances)
            return
        for source in self.inputs:
            for guidance in self.guidances:
                yield Job(f"{source.name}__{guidance.name}", source, guidance)

    @cached_property
    def files(self) -> set[Path]:
        """Every input, exemplar and mask."""
        masks = {*(source.mask for source in self.inputs), *(guidance.mask for guidance in self.guidances)}
        images = {source.path for source in self.inputs}.union(*(guidance.exemplars for guidance in self.guidances))
        return images | {mask for mask in masks if mask is not None}

    def repeated(self, endings: Sequence[str]) -> str | None:
        """A file that two jobs would write, or one job twice; None where each has its own.

        Args:
            endings: what follows a job's name in the files that it writes.
        """
        if self.names is not None:
            return _first_repeated(f"{name}{ending}" for name in self.names for ending in endings)
        ends = [f"{guidance.name}{ending}" for guidance in self.guidances for ending in endings]
        known_ends, known_starts = set(ends), {source.name for source in self.inputs}
        for source in self.inputs:
            # `a__b` + `__` + `c` is `a` + `__` + `b__c`.
            for cut in (k for k, letter in enumerate(source.name) if letter == "_" and source.name[:k] in known_starts):
                for end in ends:
                    rest = f"{source.name[cut:]}__{end}"
                    if rest.startswith("__") and rest[2:] in known_ends:
                        return f"{source.name}__{end}"
        starts = [source.name for source in self.inputs]
        one, other = _first_repeated(starts), _first_repeated(ends)
        return None if one is None and other is None else f"{one or starts[0]}__{other or ends[0]}"

    def written(self, files: Iterable[str], endings: Sequence[str]) -> list[str]:
        """Those of some file names that a job would write; `endings` as for `repeated`."""
        return [
            file for file in files if any(file.endswith(end) and self._has(file.removesuffix(end)) for end in endings)
        ]

    def _has(self, name: str) -> bool:
        """Whether a job is called so."""
        starts, ends = self._sides
        if self.names is not None:
            return name in starts
        return any(name[:k] in starts and name[k + 2 :] in ends for k in range(len(name)) if name[k : k + 2] == "__")

    @cached_property
    def _sides(self) -> tuple[set[str], set[str]]:
        if self.names is not None:
            return set(self.names), set()
        return {source.name for source in self.inputs}, {guidance.name for guidance in self.guidances}


def list_images(folder: Path) -> list[Path]:
    """The image files right in a folder, by name; hidden files, folders, pipes and devices are left out.

    Raises:
        LomitError: where there is none, or the folder can't be read.
    """
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise LomitError(f"{folder} can't be read: {error.strerror}") from None
    named = [p for p in files if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    # A link that leads nowhere stays: its reader says so.
    images = [p for p in named if os.path.isfile(p) or not os.path.exists(p)]
    if not images:
        raise LomitError(f"no images in {folder}; looked for {' '.join(sorted(SUFFIXES))}")
    return images


def pair_up(inputs: str, exemplars: Sequence[str], match: Literal["all", "zip"]) -> Jobs:
    """Jobs for files and folders.

    Args:
        inputs: an image or a folder.
        exemplars: an image or a folder, or two images to interpolate between.
        match: "all" makes every combination, "zip" pairs two folders in the order of their names.

    Raises:
        LomitError: for missing files and folders that can't be zipped.
    """
    sources = _inputs(inputs)
    if len(exemplars) > 1:
        ends = tuple(Path(exemplar) for exemplar in exemplars)
        for end in ends:
            if end.is_dir():
                raise LomitError(f"{end} is a folder: two exemplars must be two images")
        return Jobs(sources, [Guidance("__".join(_short(end.stem) for end in ends), ends)])
    paths = _expand(exemplars[0])
    guidances = [Guidance(name, (path,)) for name, path in zip(_names(paths), paths, strict=True)]
    if match == "all":
        return Jobs(sources, guidances)
    if len(sources) != len(guidances):
        raise LomitError(
            f"--match zip needs as many inputs as exemplars; there are {len(sources)} and {len(guidances)}"
        )
    names = [f"{source.name}__{guidance.name}" for source, guidance in zip(sources, guidances, strict=True)]
    return Jobs(sources, guidances, names)


def by_region(inputs: str, exemplars: Sequence[tuple[str, str]]) -> Jobs:
    """Jobs in which each exemplar has a region of its own, called INPUT__NAME-EXEMPLAR__NAME-EXEMPLAR.

    Args:
        inputs: an image or a folder.
        exemplars: (name of the region, path of an image) each.

    Raises:
        LomitError: for missing files, folders as exemplars, and a name that is given twice.
    """
    names = [name for name, _ in exemplars]
    if (twice := _first_repeated(names)) is not None:
        raise LomitError(f"'{twice}' is given two exemplars; leave out one of them")
    for _, path in exemplars:
        if Path(path).is_dir() or not Path(path).exists():
            raise LomitError(f"{path} is a folder: give an image" if Path(path).is_dir() else f"no such file: {path}")
    paths = tuple(Path(path) for _, path in exemplars)
    called = "__".join(f"{name}-{path.stem}" for name, path in zip(names, paths, strict=True))
    return Jobs(_inputs(inputs), [Guidance(_short(called), paths, tuple(names))])


def by_label(inputs: str, label: Sequence[tuple[str, float]]) -> Jobs:
    """Jobs that a label guides, (attribute, 0 or 1) each, called INPUT__ATTRIBUTE-1.  Raises as `pair_up`."""
    return Jobs(_inputs(inputs), [Guidance(_short("_".join(f"{name}-{value:g}" for name, value in label)))])


def by_random_styles(inputs: str, count: int) -> Jobs:
    """Jobs that random styles guide, called INPUT__random-01 and so on.  Raises as `pair_up`."""
    digits = max(2, len(str(count)))
    return Jobs(_inputs(inputs), [Guidance(f"random-{n + 1:0{digits}d}", style=n) for n in range(count)])


def read_pairs(table: str) -> Jobs:
    """Jobs from a CSV with the columns `input` and `exemplar`, called by row: 0001, 0002, ...

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
                    there = ", ".join(columns) or "nothing"
                    raise LomitError(f"{path} needs the columns input and exemplar in its first line; it has {there}")
            rows = list(reader)
    except OSError as error:
        raise LomitError(f"{path} can't be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise LomitError(f"{path} is not a CSV table: {error}") from None
    if not rows:
        raise LomitError(f"{path} has no rows below its first line")
    digits = max(4, len(str(len(rows))))
    names = [f"{number:0{digits}d}" for number in range(1, len(rows) + 1)]
    for name, row in zip(names, rows, strict=True):
        if not row["input"] or not row["exemplar"]:
            raise LomitError(f"{path}, row {int(name)}: input or exemplar is empty")
    inputs = [Input(name, _beside(path, row["input"])) for name, row in zip(names, rows, strict=True)]
    guidances = [Guidance(name, (_beside(path, row["exemplar"]),)) for name, row in zip(names, rows, strict=True)]
    return Jobs(inputs, guidances, names)


def with_masks(jobs: Jobs, input_masks: str | None, exemplar_masks: str | None) -> Jobs:
    """The jobs with masks: one file for all, or out of a folder the file of the same stem as the image.

    Raises:
        LomitError: where the file is missing, the folder lacks a mask, or two files share a stem.
    """
    own = _mask_finder(input_masks, {source.path for source in jobs.inputs})
    theirs = _mask_finder(exemplar_masks, {g.exemplars[-1] for g in jobs.guidances if g.exemplars})
    inputs = [replace(source, mask=own(source.path)) for source in jobs.inputs]
    guidances = [replace(g, mask=theirs(g.exemplars[-1]) if g.exemplars else None) for g in jobs.guidances]
    return replace(jobs, inputs=inputs, guidances=guidances)


def check_results(jobs: Jobs, out: Path, endings: Sequence[str], overwrite: bool) -> None:
    """Refuses, before the first image is translated, what would overwrite something.

    Args:
        endings: what follows a job's name in the files that it writes.
        overwrite: whether other results may be replaced; an input, an exemplar or a mask never is.

    Raises:
        LomitError: for the first file in the way.
    """
    if out.exists() and not out.is_dir():
        raise LomitError(f"{out} is a file; --out must be a folder")
    repeated = jobs.repeated(endings)
    if repeated is not None:
        raise LomitError(f"two results would be called {repeated}; rename an image or use --pairs")
    existing = jobs.written(sorted(os.listdir(out)), endings) if out.exists() else []
    if existing and not overwrite:
        raise LomitError(
            f"{len(existing)} result{'s' * (len(existing) > 1)} would overwrite what is there (first: "
            f"{out / existing[0]}); choose another --out or add --overwrite"
        )
    sources = {path.resolve() for path in jobs.files} if existing else set()
    for path in (out / name for name in existing):
        if path.resolve() in sources:
            raise LomitError(f"{path} is an input, exemplar or mask and would be overwritten; choose another --out")


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
    by_stem: dict[str, Path] = {}
    for path in sorted(paths):
        other = by_stem.setdefault(path.stem, path)
        if other != path:
            raise LomitError(f"{other} and {path} share the stem '{path.stem}', by which masks are matched; rename one")
    return by_stem


def _inputs(path: str) -> list[Input]:
    paths = _expand(path)
    return [Input(name, each) for name, each in zip(_names(paths), paths, strict=True)]


def _expand(path: str) -> list[Path]:
    """The images in a folder, or the file itself."""
    if not Path(path).exists():
        raise LomitError(f"no such file or folder: {path}")
    return list_images(Path(path)) if Path(path).is_dir() else [Path(path)]


def _names(paths: Sequence[Path]) -> list[str]:
    """Stems, with the suffix added (a_jpg, a_png) where two files share one."""
    counts = Counter(path.stem for path in paths)
    return [_short(path.stem if counts[path.stem] == 1 else path.name.replace(".", "_")) for path in paths]


def _short(name: str) -> str:
    """The name, cut where it is long."""
    from lomit.images import short_stem  # loads Pillow

    return short_stem(name, NAME_BYTES)


def _first_repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _beside(table: Path, entry: str) -> Path:
    beside = table.parent / entry
    return beside if beside.exists() or not Path(entry).exists() else Path(entry)
