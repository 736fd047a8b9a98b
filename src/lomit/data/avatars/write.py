"""Writes rendered faces in the folder layout (`lomit.data.folder`): `lomit data avatars`."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from PIL import Image
from tqdm import tqdm

from lomit.config import MAX_SEED, check_range, read_json
from lomit.data.avatars.parts import ATTRIBUTES, GROUPS, REGION_OF, REGIONS
from lomit.data.avatars.render import render_face
from lomit.data.avatars.styles import require_renderer, style_credits
from lomit.data.folder import pack_regions
from lomit.errors import LomitError

WithRegions = Literal["all", "test", "none"]
PACKAGES = ("dicebear-core", "dicebear-styles", "resvg-py")
NAME = "avatars"
"""What `dataset.json` calls a set of these."""
MAX_COUNT = 1_000_000
"""Names have six digits."""
MAX_SIZE = 1024


def write_avatars(
    out: Path,
    count: int,
    seed: int = 0,
    size: int = 128,
    workers: int = 2,
    progress: bool = True,
    overwrite: bool = False,
    regions: WithRegions = "all",
) -> None:
    """Renders faces 0 to `count` - 1 of the set `seed` into the folder `out`, which appears when all is written.

    OUT/images/000000.png, OUT/regions/000000.png (8-bit grey, bit k is region k), OUT/attributes.csv (0/1, with the
    columns split and identity) and OUT/dataset.json (groups, regions, region_of, credits).  Raises LomitError for a
    number out of its range, a folder in use, a disk that is full or can't be written, and where the `avatars` extra is
    missing.

    Args:
        workers: processes that render; one renders in this process, more are started with `spawn`.
        overwrite: replace a set that was written by this function before, where nothing else lies in its folder.
        regions: faces that get true masks: all, those of the test part, none.
    """
    check_range("count", count, 1, MAX_COUNT)
    check_range("seed", seed, 0, MAX_SEED)
    check_range("size", size, 16, MAX_SIZE)
    check_range("workers", workers, 1, 256)
    require_renderer()
    out = out.expanduser().resolve()
    part = out.parent / f".{out.name}.part-{os.getpid()}"
    try:
        _check_free(out, overwrite)
        out.parent.mkdir(parents=True, exist_ok=True)
        _write_set(part, count, seed, size, workers, progress, regions)
        _put(part, out)
    except OSError as error:
        raise LomitError(f"{out}: cannot be written ({error.strerror or error}); nothing was kept") from error
    except BrokenProcessPool as error:
        raise LomitError(f"a process that renders was ended, probably for memory; use fewer than {workers}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def split_of(index: int, count: int) -> str:
    """`"test"` for the last tenth of the faces, `"val"` for the twentieth before it, else `"train"`."""
    test = count - count // 10
    if index >= test:
        return "test"
    return "val" if index >= test - count // 20 else "train"


def _check_free(out: Path, overwrite: bool) -> None:
    """Raises `LomitError` where `out` holds anything but a set that may be replaced."""
    if not out.exists():
        return
    if not out.is_dir():
        raise LomitError(f"{out}: is a file; name a folder")
    if not any(out.iterdir()):
        return
    if not overwrite:
        raise LomitError(f"{out}: is not empty; name another folder, or add --overwrite to replace the set in it")
    of_set = {"attributes.csv", "dataset.json", "images", "regions"}
    try:
        info = read_json(out / "dataset.json")
        if info["name"] != NAME:
            raise KeyError
        for index in range(min(info["count"], MAX_COUNT)):
            of_set |= {f"images/{_file_name(index)}", f"regions/{_file_name(index)}"}
    except (LomitError, TypeError, KeyError):
        raise LomitError(
            f"{out}: holds something else than a set of faces, so it is not replaced; name another folder"
        ) from None
    foreign = next((path for path in sorted(out.rglob("*")) if path.relative_to(out).as_posix() not in of_set), None)
    if foreign is not None:
        raise LomitError(f"{foreign}: is not of the set that is replaced and would be lost; move it away first")


def _write_set(
    folder: Path, count: int, seed: int, size: int, workers: int, progress: bool, regions: WithRegions
) -> None:
    (folder / "images").mkdir(parents=True)
    if regions != "none":
        (folder / "regions").mkdir()
    jobs = [(folder, seed, i, size, regions in ("all", split_of(i, count))) for i in range(count)]
    labels = tqdm(
        _render(jobs, min(workers, count)),
        total=count,
        unit="face",
        desc="rendering",
        disable=None if progress else True,
    )
    with (folder / "attributes.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["image", *ATTRIBUTES, "split", "identity"])
        for i, values in enumerate(labels):
            rows.writerow([_file_name(i), *values, split_of(i, count), i])
    info = {
        "name": NAME,
        "seed": seed,
        "count": count,
        "size": size,
        "groups": GROUPS,
        "regions": REGIONS if regions != "none" else (),
        "region_of": REGION_OF if regions != "none" else {},
        "styles": style_credits(),
        "rendered_with": {package: version(package) for package in PACKAGES},
    }
    (folder / "dataset.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


Task = tuple[Path, int, int, int, bool]
"""Folder, seed, index, size, with regions."""


def _render(jobs: Sequence[Task], workers: int) -> Iterator[list[int]]:
    """Each face's labels, in order."""
    if workers == 1:
        yield from map(_write_face, jobs)
        return
    # Not fork: the calling process may hold threads and locks.  Ctrl-C is left to the one that cleans up.
    spawn, no_interrupt = multiprocessing.get_context("spawn"), (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=signal.signal, initargs=no_interrupt) as pool:
        try:
            yield from pool.map(_write_face, jobs, chunksize=min(16, -(-len(jobs) // workers)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write_face(job: Task) -> list[int]:
    folder, seed, index, size, regions = job
    face = render_face(seed, index, size, regions)
    face.image.save(folder / "images" / _file_name(index))
    if face.regions:
        Image.fromarray(pack_regions(face.regions, REGIONS)).save(folder / "regions" / _file_name(index))
    return [face.labels[name] for name in ATTRIBUTES]


def _file_name(index: int) -> str:
    return f"{index:06d}.png"


def _put(part: Path, out: Path) -> None:
    """Moves the finished folder to its place."""
    before = out.parent / f".{out.name}.old-{os.getpid()}"
    if out.exists():
        out.rename(before)
    try:
        part.rename(out)
    except OSError:
        if before.exists():
            before.rename(out)
        raise
    shutil.rmtree(before, ignore_errors=True)
