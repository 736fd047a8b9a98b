"""Any folder of images plus one CSV or TSV of attributes.

DIR/attributes.csv        image,Smiling,Blond_Hair,...[,split][,identity]
DIR/images/a.png          or anywhere below DIR
DIR/dataset.json          optional: groups, regions, region_of
DIR/regions/a.png         optional: true masks, 8-bit grey, bit k is set where region k is
"""

from __future__ import annotations

import csv
import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from lomit.config import read_json
from lomit.data.source import (
    NOT_KNOWN,
    TEST,
    TRAIN,
    UNASSIGNED,
    UNKNOWN,
    VAL,
    Source,
    Table,
    fingerprint_files,
    shown,
)
from lomit.errors import LomitError
from lomit.images import read_rgb

SPLIT_COLUMN, IDENTITY_COLUMN = "split", "identity"
MAX_REGIONS = 8
"""Bits of a pixel of a region file."""
YES = frozenset({"1", "+1", "1.0", "true", "yes"})
ZERO = frozenset({"0", "0.0", "false", "no"})
MINUS = frozenset({"-1", "-1.0"})
SPLIT_WORDS = {
    **dict.fromkeys(NOT_KNOWN, UNASSIGNED),
    **dict.fromkeys(("train", "training", "0"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "1"), VAL),
    **dict.fromkeys(("test", "testing", "2"), TEST),
}

Cells = list[tuple[int, list[str]]]
"""Line number and cells of each row of a table."""


class FolderSource(Source):
    """A folder in the layout above; the rendered faces come in it, too."""

    def __init__(self, root: Path) -> None:
        """Reads the table and `dataset.json`.  Raises LomitError where no table is found, or a row of it is wrong."""
        self.root = root
        path = find_table(root)
        table, paths = read_table(path)
        info = _read_info(root / "dataset.json")
        table.groups = tuple(tuple(g) for g in info["groups"])
        if not any(os.path.isfile(p) for p in paths):
            raise LomitError(
                f"{path}: none of its images is there; the first column must name them: {shown(table.names[0])}, "
                f"looked for in {root} and {root / 'images'}"
            )
        super().__init__(table, fingerprint_files(root, paths, table.names), paths)
        self.region_names = tuple(info["regions"]) if (root / "regions").is_dir() else ()
        self.region_of = {a: tuple(r) for a, r in info["region_of"].items()}

    def regions(self, index: int) -> dict[str, np.ndarray]:
        name = PurePosixPath(self.names[index]).with_suffix(".png")
        parts = name.parts[1:] if name.parts[0] == "images" else name.parts
        path = self.root.joinpath("regions", *parts)
        if not self.region_names or not os.path.isfile(path):  # a set may hold the masks of its test part alone
            return {}
        return unpack_regions(np.asarray(read_rgb(path).convert("L")), self.region_names)


def unpack_regions(bits: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """uint8, H x W, bit k set where region k is -> a bool mask for each name."""
    return {name: (bits >> k & 1).astype(bool) for k, name in enumerate(names)}


def pack_regions(masks: dict[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """The reverse: bool masks, H x W each -> uint8, H x W, with bit k set where region k is."""
    return np.bitwise_or.reduce([masks[name].astype(np.uint8) << k for k, name in enumerate(names)])


def find_table(root: Path) -> Path:
    """`attributes.csv` or `.tsv`, else the only CSV or TSV in the folder."""
    for name in ("attributes.csv", "attributes.tsv"):
        if (root / name).is_file():
            return root / name
    tables = sorted(p for p in root.iterdir() if p.suffix.lower() in (".csv", ".tsv"))
    if not tables:
        raise LomitError(f"{root}: no CSV or TSV of attributes; the first column names the images")
    if len(tables) > 1:
        raise LomitError(
            f"{root}: {len(tables)} tables ({', '.join(p.name for p in tables[:4])}); call the right one attributes.csv"
        )
    return tables[0]


def read_table(path: Path) -> tuple[Table, list[Path]]:
    """Reads a table of attributes, and says where each of its images lies.

    The delimiter (comma, semicolon, tab) is the one most frequent in the header.  A column with a value that is neither
    yes nor no is not an attribute; asking for it later shows which value that was.  Raises LomitError for a row of the
    wrong length, an image named twice, a wrong split, no attribute at all.
    """
    header, rows = read_rows(path)
    lower = [h.lower() for h in header]
    names: list[str] = []
    paths: list[Path] = []
    first_row: dict[str, int] = {}
    for line, row in rows:
        cell = row[0]
        if not cell or "\0" in cell:
            raise LomitError(f"{path}, line {line}, column '{header[0]}': no image is named")
        paths.append(_locate(path.parent, cell))
        # However a name is spelled, a file is one image.
        earlier = first_row.setdefault(os.path.abspath(paths[-1]), len(names))
        if earlier < len(names):
            other = rows[earlier]
            spelled = "" if other[1][0] == cell else f", as {shown(other[1][0])}"
            raise LomitError(
                f"{path}, line {line}: {shown(cell)} is already in line {other[0]}{spelled}; remove one of them"
            )
        names.append(_spelled(cell))
    special = {0} | {lower.index(c) for c in (SPLIT_COLUMN, IDENTITY_COLUMN) if c in lower}
    columns: dict[str, np.ndarray] = {}
    rejected: dict[str, str] = {}
    for k, column in enumerate(header):
        if k not in special:
            try:
                columns[column] = read_labels(path, column, [(line, row[k]) for line, row in rows])
            except LomitError as error:
                rejected[column] = str(error)
    if not columns:
        reason = next(iter(rejected.values()), f"{path}: it has no column beside '{header[0]}'")
        raise LomitError(f"no attribute: {reason}")
    split = np.full(len(names), UNASSIGNED, dtype=np.int8)
    if SPLIT_COLUMN in lower:
        split[:] = [_split(path, line, row[lower.index(SPLIT_COLUMN)]) for line, row in rows]
    people = [row[lower.index(IDENTITY_COLUMN)] for _, row in rows] if IDENTITY_COLUMN in lower else [""] * len(names)
    labels = np.stack(list(columns.values()), axis=1)
    return Table(names, tuple(columns), labels, split, people, rejected=rejected), paths


def read_rows(path: Path) -> tuple[list[str], Cells]:
    """The header of a CSV or TSV, and the line number and stripped cells of each row that is not blank.  Raises
    LomitError for what is no such table, and a row of another length.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t", key=first.count), strict=True)
            rows = [(reader.line_num, [c.strip() for c in row]) for row in reader if any(c.strip() for c in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LomitError(f"{path}: not a readable CSV or TSV ({error})") from error
    if len(rows) < 2:
        raise LomitError(f"{path}: needs a line of column names and at least one image")
    header = rows[0][1]
    if len(set(header)) != len(header) or not all(header):
        twice = next(h for i, h in enumerate(header) if not h or h in header[:i])
        raise LomitError(f"{path}: " + (f"the column '{twice}' stands twice" if twice else "a column has no name"))
    if Path(header[0]).suffix.lower() in Image.registered_extensions():
        raise LomitError(f"{path}: the first line must name the columns; it holds '{header[0]}'")
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise LomitError(f"{path}, line {line}: {len(row)} values for {len(header)} columns")
    return header, rows[1:]


def read_labels(path: Path, column: str, cells: Iterable[tuple[int, str]]) -> np.ndarray:
    """One column as int8, N: 1, 0, -1 (not annotated).  `cells` gives line numbers and values.  Raises LomitError for a
    value that is neither yes nor no, and for both 0 and -1 in a column.
    """
    values: list[int] = []
    negative: set[str] = set()
    for line, cell in cells:
        cell = cell.lower()
        if cell in YES:
            values.append(1)
        elif cell in NOT_KNOWN:
            values.append(UNKNOWN)
        elif cell in ZERO or cell in MINUS:
            values.append(0)
            negative.add("0" if cell in ZERO else "-1")
        else:
            raise LomitError(
                f"{path}, line {line}, column '{column}': {shown(cell)} is neither 0/1, -1/+1, true/false nor yes/no"
            )
    if len(negative) == 2:
        raise LomitError(f"{path}, column '{column}': holds both 0 and -1; leave a cell that is not annotated empty")
    return np.array(values, dtype=np.int8)


def _split(path: Path, line: int, cell: str) -> int:
    if cell.lower() not in SPLIT_WORDS:
        raise LomitError(f"{path}, line {line}, column 'split': {shown(cell)} is neither train, val nor test")
    return SPLIT_WORDS[cell.lower()]


def _spelled(cell: str) -> str:
    """A name as it is told: with slashes, without steps that lead nowhere."""
    return posixpath.normpath(cell.replace("\\", "/"))


def _locate(root: Path, cell: str) -> Path:
    """The image's path: below `root`, else below `root/images`."""
    name = _spelled(cell)
    path = root / name
    return path if os.path.isfile(path) else root / "images" / name


def _read_info(path: Path) -> dict[str, Any]:
    """`dataset.json` with its three keys checked; empty ones where there is no such file."""
    info = read_json(path) if path.is_file() else {}
    groups, regions, region_of = info.get("groups", []), info.get("regions", []), info.get("region_of", {})
    if not isinstance(groups, list) or not all(_is_names(g) for g in groups):
        raise LomitError(f"{path}: 'groups' must be a list of lists of attributes")
    if not _is_names(regions) or len(regions) > MAX_REGIONS:
        raise LomitError(f"{path}: 'regions' must be a list of at most {MAX_REGIONS} names")
    if not isinstance(region_of, dict) or not all(_is_names(r) and set(r) <= set(regions) for r in region_of.values()):
        raise LomitError(f"{path}: 'region_of' must give some of 'regions' for each attribute")
    return {"groups": groups, "regions": regions, "region_of": region_of}


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)
