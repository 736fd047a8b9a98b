"""EmotioNet: images named by URL, action units annotated by hand (CSV) or automatically (tab-separated).

    DIR/EmotioNet*.csv     header URL, URL orig, 'AU 1', 'AU 2', ...: the single quotes are part of the file
    DIR/dataFile_*.txt     no header: URL, original URL, then AU1 to AU60
    DIR/images/            each image under the last part of its URL

Values are 0, 1 and 999 for "not annotated".  Where URLs with one last part have other labels, it can't be known which
of them the file is, and it is left out.
"""

from __future__ import annotations

import csv
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from lomit.data.source import UNASSIGNED, UNKNOWN, Source, Table, fingerprint_files, shown
from lomit.errors import LomitError

UNITS = 60
ATTRIBUTES = tuple(f"AU{k}" for k in range(1, UNITS + 1))
VALUES = {"0": 0, "1": 1, "999": UNKNOWN}

logger = logging.getLogger(__name__)


def read_emotionet(root: Path) -> Source:
    """The part of EmotioNet that has been downloaded: an annotated image without a file is left out and counted.
    Raises LomitError where an annotation file is malformed or no annotated image is there.
    """
    folder, rows = root / "images", read_annotations(root)
    names = sorted(n for n in rows if os.path.isfile(folder / n))
    if not names:
        raise LomitError(f"{folder}: has none of the {len(rows)} annotated images, named as their URLs end")
    if len(names) < len(rows):
        counts, first = (len(rows) - len(names), len(rows)), min(rows.keys() - set(names))
        logger.warning("%s: %d of %d annotated images are not there (%s, ...)", folder, *counts, first)
    labels = np.stack([rows[n] for n in names])
    split = np.full(len(names), UNASSIGNED, dtype=np.int8)
    paths = [folder / n for n in names]
    return Source(
        Table(names, ATTRIBUTES, labels, split, [""] * len(names)), fingerprint_files(root, paths, names), paths
    )


def find_annotations(root: Path) -> list[Path]:
    """The annotation files in a folder, those made by hand first."""
    return sorted(root.glob("EmotioNet*.csv")) + sorted(root.glob("dataFile_*.txt"))


def read_annotations(root: Path) -> dict[str, np.ndarray]:
    """Image name -> labels (int8, 60); of an image annotated by hand and automatically, the former.

    A name that two URLs end in, with other labels, is left out with a line.  Raises LomitError for a line that does not
    have the format.
    """
    files = find_annotations(root)
    if not files:
        raise LomitError(f"{root}: no EmotioNet*.csv or dataFile_*.txt")
    by_hand: dict[str, np.ndarray] = {}
    automatic: dict[str, np.ndarray] = {}
    unclear: dict[str, str] = {}
    for path in files:
        read, rows = (_read_manual, by_hand) if path.suffix == ".csv" else (_read_automatic, automatic)
        try:
            for line, name, labels in read(path):
                if not np.array_equal(rows.setdefault(name, labels), labels):
                    unclear.setdefault(name, f"{path}, line {line}")
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise LomitError(f"{path}: cannot be read ({error})") from error
    if unclear:
        name, place = next(iter(unclear.items()))
        which, its = ("1 image is", "its") if len(unclear) == 1 else (f"{len(unclear)} images are", "their")
        logger.warning(
            "%s left out: more than one annotated URL ends in %s name, with other labels (%s, %s, ...)",
            *(which, its, name, place),
        )
    return {name: labels for name, labels in (automatic | by_hand).items() if name not in unclear}


def _read_manual(path: Path) -> Iterator[tuple[int, str, np.ndarray]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = [_unquote(cell) for cell in next(reader, [])]
        units = [re.fullmatch(r"AU ?(\d+)", cell) for cell in header[2:]]
        numbers = [int(m[1][:3]) for m in units if m]
        if header[:1] != ["URL"] or not numbers or len(numbers) != len(units) or not set(numbers) <= {*range(1, 61)}:
            raise LomitError(f"{path}: the first line must read URL,URL orig,'AU 1',... with units from 1 to {UNITS}")
        if len(set(numbers)) != len(numbers):
            twice = next(n for k, n in enumerate(numbers) if n in numbers[:k])
            raise LomitError(f"{path}: the column 'AU {twice}' stands twice; remove one of them")
        for row in reader:
            if row:
                yield _parse(path, reader.line_num, [_unquote(cell) for cell in row], numbers)


def _read_automatic(path: Path) -> Iterator[tuple[int, str, np.ndarray]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _parse(path, number, [c.strip() for c in line.split("\t")], range(1, UNITS + 1))


def _parse(path: Path, line: int, cells: list[str], units: list[int] | range) -> tuple[int, str, np.ndarray]:
    """The line's number, its image's name and labels; `units`: of which units the values after the two URLs are."""
    values = cells[2:]
    if len(values) != len(units):
        raise LomitError(f"{path}, line {line}: {len(values)} values for {len(units)} action units")
    labels = np.full(UNITS, UNKNOWN, dtype=np.int8)
    for unit, value in zip(units, values, strict=True):
        if value not in VALUES:
            raise LomitError(f"{path}, line {line}, AU{unit}: {shown(value)} is neither 0, 1 nor 999")
        labels[unit - 1] = VALUES[value]
    name = unquote(cells[0].split("?")[0].rstrip("/").rpartition("/")[2])
    if not name or "\0" in name:
        raise LomitError(f"{path}, line {line}: no image name in the URL {shown(cells[0])}")
    return line, name, labels


def _unquote(cell: str) -> str:
    return cell.strip().strip("'").strip()
