"""The decoded images of a set, kept on disk as one memory-mapped array that the training step reads by index."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from filelock import FileLock

from lomit.config import DataConfig
from lomit.data.decode import Geometry, Skipped, decode_usable, leave_unguarded_child
from lomit.data.source import SPLITS, Source, check_classes, rows_with_one_of, select_labels
from lomit.errors import LomitError

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 2
"""Part of the key: raised whenever decoding changes, so that old caches are not taken for new ones."""


@dataclass
class Cache:
    """Images that could be read, with the labels a run asks for; row i of each array is the same image.

    Attributes:
        images: uint8, N x 3 x S x S, memory-mapped, read-only.
        labels: int8, N x A: 1, 0 or -1 (not annotated), columns in the order of `attributes`.
        split: int8, N.
        identity: int32, N.
        source_index: int64, N: the image's index in the source.
        eligible: bool, N: False for an image with none of `data.require_one_of`; `subset` leaves it out.
        skipped: name of an image that is not here -> why.
        knows_people: whether the person is known of any image; else each image counts as one.
        resident: `images` once more in a device's memory, where a run keeps them there.
    """

    images: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    identity: np.ndarray
    names: Sequence[str]
    source_index: np.ndarray
    attributes: tuple[str, ...]
    eligible: np.ndarray
    skipped: dict[str, str]
    knows_people: bool = True
    resident: Tensor | None = None

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, split: int | str) -> np.ndarray:
        """Rows of one split (`train`, `val`, `test` or its number) that count in this run, int64, ascending."""
        number = SPLITS[split] if isinstance(split, str) else split
        return np.flatnonzero((self.split == number) & self.eligible)


def cache_root(cache_dir: str | None) -> Path:
    """Folder of all caches: the configured one, else $LOMIT_CACHE, else `lomit` in the user's cache folder."""
    chosen = cache_dir or os.environ.get("LOMIT_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lomit"


def build_cache(source: Source, config: DataConfig, progress: bool = True) -> Cache:
    """Decodes a source once; a later call with the same images and geometry opens what is there.

    Several processes may call this at once: one decodes, the others wait for it. An image that cannot be read, or shows
    no face where one is to be cut out, is named, skipped and counted.  Raises LomitError where more than 1 % of the
    images cannot be read, no face is found at all, an attribute is left with an empty class, or the disk is full
    (nothing half-written is left).
    """
    leave_unguarded_child()
    labels = select_labels(source, config.attributes)
    geometry = Geometry.of(source, config)
    folder = cache_root(config.cache_dir) / f"images-{_key(source, geometry)}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not (folder / "index.json").is_file():
                _build(source, geometry, folder, config.workers, progress)
    except OSError as error:
        raise disk_problem(error, folder.parent) from error
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    Skipped(len(source), index["skipped"]).report()
    rows = np.array(index["rows"], dtype=np.int64)
    eligible = rows_with_one_of(source, config.require_one_of)[rows]
    check_classes(labels[rows][eligible], source.split[rows][eligible], config.attributes)
    return Cache(
        images=np.load(folder / "images.npy", mmap_mode="r"),
        labels=labels[rows],
        split=source.split[rows],
        identity=source.identity[rows],
        names=[source.names[i] for i in rows.tolist()],
        source_index=rows,
        attributes=config.attributes or source.attributes,
        eligible=eligible,
        skipped=index["skipped"],
        knows_people=source.knows_people,
    )


def _key(source: Source, geometry: Geometry) -> str:
    text = json.dumps([VERSION, source.fingerprint, len(source), *vars(geometry).values()])
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def _build(source: Source, geometry: Geometry, folder: Path, workers: int, progress: bool) -> None:
    """Writes the cache beside its final place and moves it there when it is complete."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed: the lock says that nobody writes it now
    shutil.rmtree(folder, ignore_errors=True)
    part.mkdir()
    try:
        rows: list[int] = []
        skipped = Skipped(len(source))
        everything = range(len(source))
        with (part / "images.npy").open("wb") as file:
            start = _write_header(file, len(source), geometry.size)
            for index, pixels in decode_usable(source, everything, geometry, workers, progress, skipped):
                file.write(pixels.tobytes())
                rows.append(index)
            file.seek(0)
            # numpy leaves room in the header for any number of rows, so that its length does not change.
            if _write_header(file, len(rows), geometry.size) != start:
                raise RuntimeError("the .npy header changed its length")
        (part / "index.json").write_text(json.dumps({"rows": rows, "skipped": skipped.reasons}), encoding="utf-8")
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _write_header(file: BinaryIO, count: int, size: int) -> int:
    """The .npy header of a uint8 array, count x 3 x size x size; its length in bytes."""
    descr = {"descr": "|u1", "fortran_order": False, "shape": (count, 3, size, size)}
    np.lib.format.write_array_header_1_0(file, descr)
    return file.tell()


def disk_problem(error: OSError, folder: Path) -> LomitError:
    """The error for a cache folder that is full or can't be used."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LomitError(f"no space left in {folder}; free some or choose another place by --data.cache-dir")
    return LomitError(f"{folder}: no cache can be kept there ({error.strerror or error}); choose --data.cache-dir")
