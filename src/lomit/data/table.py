"""Annotations of a data set as one table, whichever files they come from: splits, people, merging."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lomit.data.source import TEST, TRAIN, UNKNOWN, VAL, Source

SPLITS = {"train": TRAIN, "val": VAL, "test": TEST}
"""Names of the splits, as commands and files give them."""
UNASSIGNED = -1
"""Split of an image whose files do not say one."""
SPLIT_SHARES = ((TRAIN, 0.85), (VAL, 0.90), (TEST, 1.00))
"""Split -> upper end of its share, where the files of a set do not say one."""


@dataclass
class Table:
    """What the annotation files of a set say.

    Attributes:
        names: N unique names.
        attributes: names of the columns of `labels`.
        labels: int8, N x A: 1, 0 or -1 (not annotated).
        split: int8, N: 0 train, 1 validation, 2 test, -1 not said.
        people: N keys of the person shown, "" where not said.
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


class TableSource(Source):
    """A source whose annotations are a `Table`; subclasses know how to load an image."""

    def __init__(self, table: Table, fingerprint: str) -> None:
        self.table = table
        self.names = table.names
        self.attributes = table.attributes
        self.labels = table.labels
        self.split = assign_splits(table)
        self.identity = number_people(table.people)
        self.groups = table.groups
        self.fingerprint = fingerprint


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
    if all(k.isdecimal() and int(k) < 2**30 for k in keys):
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


def fingerprint_files(paths: Iterable[Path], names: Iterable[str]) -> str:
    """Hash of names, sizes and times of change; a file that is missing counts as such."""
    digest = hashlib.blake2b(digest_size=16)
    for path, name in zip(paths, names, strict=True):
        try:
            stat = os.stat(path)
            state = f"{stat.st_size} {stat.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(f"{name}\0{state}\n".encode())
    return digest.hexdigest()
