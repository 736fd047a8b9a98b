"""EmotioNet: images named by URL, action units annotated by hand (CSV) or automatically (tab-separated).

    DIR/EmotioNet*.csv     header URL, URL orig, 'AU 1', 'AU 2', ...: the single quotes are part of the file
    DIR/dataFile_*.txt     no header: URL, original URL, then AU1 to AU60
    DIR/images/            each image under the last part of its URL

Values are 0, 1 and 999 for "not annotated".
"""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from PIL import Image

from lomit.data.source import UNKNOWN
from lomit.data.table import UNASSIGNED, Table, TableSource, fingerprint_files
from lomit.errors import LomitError
from lomit.images import read_image

UNITS = 60
ATTRIBUTES = tuple(f"AU{k}" for k in range(1, UNITS + 1))
VALUES = {"0": 0, "1": 1, "999": UNKNOWN}

logger = logging.getLogger(__name__)


class EmotioNetSource(TableSource):
    """The part of EmotioNet that has been downloaded: an annotated image without a file is left out and counted."""

    def __init__(self, root: Path) -> None:
        """Reads every annotation file in `root`.

        Raises:
            LomitError: where one of them is malformed or no annotated image is there.
        """
        self.folder = root / "images"
        rows = read_annotations(root)
        names = sorted(n for n in rows if (self.folder / n).is_file())
        if not names:
            raise LomitError(f"{self.folder}: has none of the {len(rows)} annotated images, named as their URLs end")
        if len(names) < len(rows):
            missing = next(n for n in rows if not (self.folder / n).is_file())
            logger.warning(
                "%s: %d of %d annotated images are not there (%s, ...)",
                *(self.folder, len(rows) - len(names), len(rows), missing),
            )
        table = Table(
            names=names,
            attributes=ATTRIBUTES,
            labels=np.stack([rows[n] for n in names]),
            split=np.full(len(names), UNASSIGNED, dtype=np.int8),
            people=[""] * len(names),
        )
        super().__init__(table, fingerprint_files((self.folder / n for n in names), names))

    def load(self, index: int) -> Image.Image:
        return read_image(self.folder / self.names[index]).on_white()


def find_annotations(root: Path) -> list[Path]:
    """The annotation files in a folder, those made by hand first."""
    return sorted(root.glob("EmotioNet*.csv")) + sorted(root.glob("dataFile_*.txt"))


def read_annotations(root: Path) -> dict[str, np.ndarray]:
    """Image name -> labels (int8, 60); of an image annotated by hand and automatically, the former.

    Raises:
        LomitError: for a line that does not have the format.
    """
    files = find_annotations(root)
    if not files:
        raise LomitError(f"{root}: no EmotioNet*.csv or dataFile_*.txt")
    rows: dict[str, np.ndarray] = {}
    for path in files:
        read = _read_manual if path.suffix == ".csv" else _read_automatic
        try:
            for name, labels in read(path):
                rows.setdefault(name, labels)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise LomitError(f"{path}: cannot be read ({error})") from error
    return rows


def _read_manual(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = [_unquote(cell) for cell in next(reader, [])]
        units = [re.fullmatch(r"AU ?(\d+)", cell) for cell in header[2:]]
        numbers = [int(m[1]) for m in units if m]
        if header[:1] != ["URL"] or not numbers or len(numbers) != len(units) or not set(numbers) <= {*range(1, 61)}:
            raise LomitError(f"{path}: the first line must read URL,URL orig,'AU 1',... with units from 1 to {UNITS}")
        for row in reader:
            if row:
                yield _parse(path, reader.line_num, [_unquote(cell) for cell in row], numbers)


def _read_automatic(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _parse(path, number, [c.strip() for c in line.split("\t")], range(1, UNITS + 1))


def _parse(path: Path, line: int, cells: list[str], units: list[int] | range) -> tuple[str, np.ndarray]:
    """One line's image name and labels; `units` says which action unit each value after the two URLs is for."""
    values = cells[2:]
    if len(values) != len(units):
        raise LomitError(f"{path}, line {line}: {len(values)} values for {len(units)} action units")
    labels = np.full(UNITS, UNKNOWN, dtype=np.int8)
    for unit, value in zip(units, values, strict=True):
        if value not in VALUES:
            raise LomitError(f"{path}, line {line}, AU{unit}: '{value}' is neither 0, 1 nor 999")
        labels[unit - 1] = VALUES[value]
    name = unquote(cells[0].split("?")[0].rstrip("/").rpartition("/")[2])
    if not name:
        raise LomitError(f"{path}, line {line}: no image name in the URL '{cells[0]}'")
    return name, labels


def _unquote(cell: str) -> str:
    return cell.strip().strip("'").strip()
