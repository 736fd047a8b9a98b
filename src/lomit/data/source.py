"""A labelled set of images before decoding: what its annotation files say, splits, people, merging."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from lomit.errors import LomitError, did_you_mean
from lomit.images import read_rgb

TRAIN, VAL, TEST = 0, 1, 2
"""Values of `Source.split`, CelebA's own."""
UNKNOWN = -1
"""Label of an attribute that is not annotated."""
SPLITS = {"train": TRAIN, "val": VAL, "test": TEST}
"""Names of the splits, as commands and files give them."""
UNASSIGNED = -1
"""Split of an image whose files do not say one."""
NOT_KNOWN = frozenset({"", "?", "-", "nan", "na", "n/a", "none", "null", "unknown"})
"""What a cell of a table holds, in small letters, where nothing is known; as a person, also -1."""
SPLIT_SHARES = ((TRAIN, 0.85), (VAL, 0.90), (TEST, 1.00))
"""Split -> upper end of its share, where the files of a set do not say one."""
SAMPLED = 1000
"""Files whose content goes into a fingerprint, spread evenly over the set."""
PIECES, PIECE = 16, 256
"""Pieces of a sampled file that are read, spread evenly over it, and bytes of each."""

logger = logging.getLogger(__name__)


@dataclass
class Table:
    """What the annotation files of a set say.

    Attributes:
        names: N unique names.
        attributes: names of the columns of `labels`.
        labels: int8, N x A: 1, 0 or -1 (not annotated).
        split: int8, N: 0 train, 1 validation, 2 test, -1 not said.
        people: N keys of the person shown; what stands for "not known" becomes "".
        groups: groups of attributes of which at most one holds.
        rejected: column that is no attribute -> why (the first of its values that is neither yes nor no).
    """

    names: list[str]
    attributes: tuple[str, ...]
    labels: np.ndarray
    split: np.ndarray
    people: list[str]
    groups: tuple[tuple[str, ...], ...] = ()
    rejected: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.people = ["" if p.strip().lower() in NOT_KNOWN | {"-1", "-1.0"} else p for p in self.people]

    def take(self, rows: Sequence[int]) -> Table:
        """The table of these rows alone."""
        chosen = list(rows)
        return replace(
            self,
            names=[self.names[i] for i in chosen],
            labels=self.labels[chosen],
            split=self.split[chosen],
            people=[self.people[i] for i in chosen],
        )


def shown(cell: str) -> str:
    """A cell of a table in quotes, as errors tell it: in one line, and not all of a long one."""
    line = " ".join(cell.split())
    return f"'{line[:157]}...'" if len(line) > 160 else f"'{line}'"


class Source:
    """A labelled set of images.

    Attributes:
        table: what its files say; `names`, `attributes`, `labels` and `groups` are the table's.
        split: int8, N: 0 train, 1 validation, 2 test.
        identity: int32, N: number of the person; an image of a person not known has a number of its own.
        knows_people: whether the person is known of any image.
        fingerprint: a string that changes when the images change; part of the cache's key.
        region_names: names of the regions whose true masks are known, empty for photographs.
        region_of: attribute -> the regions where a pair differing in it differs (rendered faces).
        default_crop: side of the centre square that this layout is usually cut to, None: the largest.
    """

    region_names: tuple[str, ...] = ()
    region_of: dict[str, tuple[str, ...]] = {}
    default_crop: int | None = None

    def __init__(self, table: Table, fingerprint: str, paths: Sequence[Path] = ()) -> None:
        """`paths` are those of the images, for sources that don't override `load`."""
        self.table, self.fingerprint, self.paths = table, fingerprint, paths
        self.names, self.labels = table.names, table.labels
        self.attributes, self.groups = table.attributes, table.groups
        self.split = assign_splits(table)
        self.identity = number_people(table.people)
        self.knows_people = any(table.people)

    def load(self, index: int) -> Image.Image:
        """The image, RGB, upright.  Raises OSError (or what Pillow raises) where it can't be read."""
        return read_rgb(self.paths[index])

    def regions(self, index: int) -> dict[str, np.ndarray]:
        """True masks by region name, each bool H x W at the image's own size."""
        return {}

    def __len__(self) -> int:
        return len(self.names)

    def report(self) -> None:
        """Lines about people: whom the files do not name, and who stands in more than one split."""
        nobody = self.table.people.count("")
        if not self.knows_people:
            logger.warning("who is shown is not known: each image counts as a person, and a split may share people")
        elif nobody:
            logger.warning("who is shown is not known of %d of %d images: each counts as a person", nobody, len(self))
        parts = set(zip(self.table.people, self.split.tolist(), strict=True))
        shared = len([p for p, _ in parts if p]) - len({p for p, _ in parts if p})
        if shared:
            who = "1 person stands" if shared == 1 else f"{shared} people stand"
            logger.warning("%s in more than one split: what is measured is not on people unseen", who)


def share_of(key: str) -> float:
    """A number in [0, 1) that depends on `key` alone and is uniform over keys."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64


def assign_splits(table: Table) -> np.ndarray:
    """The split of every image, int8, N.

    An image without one takes that of another image of the same person; where there is none, it is drawn by a
    hash of the person (or of the image's name), so that nobody stands in two parts and the draw never changes.
    """
    split = np.array(table.split, dtype=np.int8)
    known = {p: s for p, s in zip(table.people, split.tolist(), strict=True) if p and s != UNASSIGNED}
    for i in np.flatnonzero(split == UNASSIGNED).tolist():
        person = table.people[i]
        if person in known:
            split[i] = known[person]
        else:
            share = share_of(person or table.names[i])
            split[i] = next(part for part, end in SPLIT_SHARES if share < end)
    return split


def number_people(people: Sequence[str]) -> np.ndarray:
    """Numbers of the people, int32, N: the keys themselves where all are numbers; an unknown person is a new one."""
    keys = {p for p in people if p}
    if all(k.isdecimal() and len(k) < 10 for k in keys) and len({int(k) for k in keys}) == len(keys):
        numbers = {k: int(k) for k in keys}
    else:
        numbers = {k: i for i, k in enumerate(sorted(keys))}
    unused = max(numbers.values(), default=-1) + 1
    result = np.empty(len(people), dtype=np.int32)
    for i, person in enumerate(people):
        if person:
            result[i] = numbers[person]
        else:
            result[i], unused = unused, unused + 1
    return result


def merge_tables(tables: Sequence[Table]) -> tuple[Table, list[tuple[int, int]]]:
    """One table out of several, and for each of its rows (table, row) of where it comes from.

    A name that an earlier table has is skipped. An attribute that a table lacks is not annotated in its rows.
    A person whom an earlier table puts into a split stays there.
    """
    attributes = tuple(dict.fromkeys(a for t in tables for a in t.attributes))
    origin: list[tuple[int, int]] = []
    labels: list[np.ndarray] = []
    split: list[np.ndarray] = []
    people: list[str] = []
    seen: set[str] = set()
    parts: dict[str, int] = {}
    for k, table in enumerate(tables):
        rows = [i for i, name in enumerate(table.names) if name not in seen]
        seen.update(table.names)
        origin += [(k, i) for i in rows]
        block = np.full((len(rows), len(attributes)), UNKNOWN, dtype=np.int8)
        block[:, [attributes.index(a) for a in table.attributes]] = table.labels[rows]
        labels.append(block)
        here = [table.people[i] for i in rows]
        own = table.split[rows].tolist()
        people += here
        split.append(np.array([parts.get(p, s) for p, s in zip(here, own, strict=True)], dtype=np.int8))
        for person, part in zip(here, own, strict=True):
            if person and part != UNASSIGNED:
                parts.setdefault(person, part)
    merged = Table(
        names=[tables[k].names[i] for k, i in origin],
        attributes=attributes,
        labels=np.concatenate(labels),
        split=np.concatenate(split),
        people=people,
        groups=tuple(dict.fromkeys(g for t in tables for g in t.groups)),
        rejected={c: why for t in tables for c, why in t.rejected.items() if c not in attributes},
    )
    return merged, origin


def fingerprint_files(folder: Path, paths: Sequence[Path], names: Sequence[str]) -> str:
    """Hash of the folder, of the files' names, sizes and times of change, and of pieces of some files' content.

    A file that is missing counts as such.  Of up to `SAMPLED` files each is looked into, of more as many.
    """
    digest = hashlib.blake2b(f"{folder.resolve()}\n".encode("utf-8", "surrogateescape"), digest_size=16)
    every = -(-len(paths) // SAMPLED)
    for k, (path, name) in enumerate(zip(paths, names, strict=True)):
        try:
            found = os.stat(path)
            state = f"{found.st_size} {found.st_mtime_ns}".encode()
            if k % every == 0 and stat.S_ISREG(found.st_mode):
                state += _pieces(path, found.st_size)
        except (OSError, ValueError):  # ValueError: a name that no file can have
            state = b"missing"
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + state + b"\n")
    return digest.hexdigest()


def _pieces(path: Path, size: int) -> bytes:
    with open(path, "rb", buffering=0) as file:
        if size <= PIECES * PIECE:
            return file.read()
        content = b""
        for k in range(PIECES):
            file.seek((size - PIECE) * k // (PIECES - 1))
            content += file.read(PIECE)
        return content


def select_labels(source: Source, attributes: Sequence[str]) -> np.ndarray:
    """The labels of these attributes in this order, int8, N x A; every attribute of the source where none is named.
    Raises LomitError for an attribute that the source does not have, listing those it has.
    """
    for name in attributes:
        if name in source.table.rejected:
            raise LomitError(source.table.rejected[name])
        if name not in source.attributes:
            raise LomitError(
                f"the data has no attribute '{name}'{did_you_mean(name, source.attributes)}; "
                f"it has: {', '.join(source.attributes)}"
            )
    columns = [source.attributes.index(a) for a in attributes or source.attributes]
    return np.ascontiguousarray(source.labels[:, columns])


def rows_with_one_of(source: Source, required: Sequence[str]) -> np.ndarray:
    """Which images have one of these attributes, bool, N; not annotated counts as not having it."""
    if not required:
        return np.ones(len(source), dtype=bool)
    return (select_labels(source, required) == 1).any(axis=1)


def check_classes(labels: np.ndarray, split: np.ndarray, attributes: Sequence[str]) -> None:
    """Checks that, among the training images, each attribute holds for some and not for others.

    A set without training images passes (a test part of its own, say); the sampler refuses to draw from it.  Raises
    LomitError where one of the two classes is empty, so that there is nothing to learn it from.

    Args:
        labels: N x A of these attributes.
    """
    train = labels[split == TRAIN]
    if not len(train):
        return
    for k, name in enumerate(attributes):
        for value, word in ((1, "with"), (0, "without")):
            if not (train[:, k] == value).any():
                known = int((train[:, k] >= 0).sum())
                raise LomitError(
                    f"no training image {word} '{name}' ({known} of {len(train)} are annotated for it): "
                    f"leave it out of data.attributes or add such images"
                )
