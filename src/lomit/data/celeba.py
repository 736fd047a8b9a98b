"""CelebA in the layouts that it is distributed in.

The official download     list_attr_celeba.txt, identity_CelebA.txt, list_eval_partition.txt, img_align_celeba/,
                          beside each other or in Anno/, Eval/ and Img/
Kaggle's                  list_attr_celeba.csv, list_eval_partition.csv, img_align_celeba/img_align_celeba/
CelebAMask-HQ             CelebAMask-HQ-attribute-anno.txt, CelebA-HQ-img/; identities and partition of the official
                          download beside them count by CelebA-HQ-to-CelebA-mapping.txt

Each list may be text or CSV.  Identities and partition may be missing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lomit.data.folder import read_labels, read_rows
from lomit.data.source import TEST, TRAIN, UNASSIGNED, Source, Table, fingerprint_files, shown
from lomit.errors import LomitError

ATTRIBUTES = ("list_attr_celeba.txt", "list_attr_celeba.csv", "CelebAMask-HQ-attribute-anno.txt")
IDENTITY = ("identity_CelebA.txt", "identity_CelebA.csv")
PARTITION = ("list_eval_partition.txt", "list_eval_partition.csv")
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
IMAGES = ("img_align_celeba", "img_align_celeba_png")
IMAGES_HQ = ("CelebA-HQ-img",)
CROP = 178
"""Side of the centre crop that StarGAN and LOMIT take; the aligned files are 178 x 218."""

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")

logger = logging.getLogger(__name__)


def read_celeba(root: Path) -> Source:
    """CelebA as it is distributed, or any part of it; also at half size.  Raises LomitError where a file is missing or
    a line of it is wrong.
    """
    table, high = read_table(root)
    folder = _images(root, IMAGES_HQ if high else IMAGES)
    paths = [folder / name for name in table.names]
    if folder.name == "img_align_celeba_png":
        paths = [path.with_suffix(".png") for path in paths]
    source = Source(table, fingerprint_files(root, paths, table.names), paths)
    source.default_crop = None if high else CROP
    return source


def find(root: Path, *names: str) -> Path | None:
    """A file or folder of CelebA, directly in `root` or in the subfolders of the official download."""
    places = (root / below / name for name in names for below in ("", "Anno", "Eval", "Img"))
    return next((p for p in places if p.exists()), None)


def _attributes(root: Path) -> Path | None:
    """The list of attributes of the images that are there: both lists may be."""
    high = find(root, ATTRIBUTES[2])
    if high is not None and find(root, *IMAGES_HQ) and not find(root, *IMAGES):
        return high
    return find(root, *ATTRIBUTES)


def read_table(root: Path) -> tuple[Table, bool]:
    """The annotations under `root`, and whether they are CelebAMask-HQ's; what files don't say stays unsaid."""
    path = _attributes(root)
    if path is None:
        raise LomitError(f"{root}: has none of {', '.join(ATTRIBUTES)}")
    names, attributes, labels = read_attributes(path)
    high = path.name == ATTRIBUTES[2]
    mapping = find(root, MAPPING) if high else None
    original = _mapping(mapping) if mapping is not None else {}
    identity = read_numbers(find(root, *IDENTITY), 0, None)
    partition = read_numbers(find(root, *PARTITION), TRAIN, TEST)
    keys = [original.get(n, n) for n in names]
    unsaid = sum(k not in partition for k in keys)
    if partition and unsaid:
        logger.warning("%s: its partition leaves out %d of %d images; their part is drawn", root, unsaid, len(keys))
    table = Table(
        names=names,
        attributes=attributes,
        labels=labels,
        split=np.array([partition.get(k, UNASSIGNED) for k in keys], dtype=np.int8),
        people=[str(identity.get(k, "")) for k in keys],
        groups=(HAIR,) if set(HAIR) <= set(attributes) else (),
    )
    return table, high


def read_attributes(path: Path) -> tuple[list[str], tuple[str, ...], np.ndarray]:
    """File names, attribute names and labels (int8, N x A) of a list of attributes."""
    if path.suffix == ".csv":
        header, cells = read_rows(path)
        names, lines = [row[0] for _, row in cells], [line for line, _ in cells]
        attributes = tuple(header[1:])
        columns = [
            read_labels(path, column, ((line, row[k]) for line, row in cells)) for k, column in enumerate(attributes, 1)
        ]
        labels = np.stack(columns, axis=1) if columns else np.zeros((len(names), 0), dtype=np.int8)
    else:
        text = _lines(path)
        if len(text) < 3 or not text[0][1].strip()[:10].isdecimal():
            raise LomitError(
                f"{path}: expected the number of images, a line of attribute names, then one line an image"
            )
        count, attributes = int(text[0][1].strip()[:10]), tuple(text[1][1].split())
        rows = [(line, words.split()) for line, words in text[2:]]
        if len(rows) != count:
            raise LomitError(
                f"{path}: the first line promises {count} images, {len(rows)} follow; the file may be cut off"
            )
        for line, (name, *values) in rows:
            if len(values) != len(attributes):
                raise LomitError(f"{path}, line {line} ({name}): {len(values)} values for {len(attributes)} attributes")
            if not set(values) <= {"1", "-1"}:
                k, bad = next((k, v) for k, v in enumerate(values) if v not in ("1", "-1"))
                raise LomitError(f"{path}, line {line} ({name}), {attributes[k]}: {shown(bad)} is neither 1 nor -1")
        names, lines = [words[0] for _, words in rows], [line for line, _ in rows]
        labels = np.array([[v == "1" for v in words[1:]] for _, words in rows], dtype=np.int8)
    if len(set(attributes)) != len(attributes) or not attributes:
        raise LomitError(f"{path}: an attribute is named twice, or there is none")
    _check_once(path, zip(lines, names, strict=True))
    return names, attributes, labels


def read_numbers(path: Path | None, lowest: int, highest: int | None) -> dict[str, int]:
    """A list of file names, each with a number, as a dict; empty where there is no file."""
    if path is None:
        return {}
    rows = [(line, " ".join(row)) for line, row in read_rows(path)[1]] if path.suffix == ".csv" else _lines(path)
    result = {}
    for line, text in rows:
        name, _, number = text.strip().partition(" ")
        number = number.strip()
        value = int(number) if number.isdecimal() and len(number) < 10 else -1
        if value < lowest or (highest is not None and value > highest):
            allowed = f"a number from {lowest} to {highest}" if highest is not None else "a number"
            raise LomitError(f"{path}, line {line}: expected a file name and {allowed}; it is {shown(text)}")
        result[name] = value
    _check_once(path, ((line, text.split()[0]) for line, text in rows))
    return result


def _images(root: Path, names: tuple[str, ...]) -> Path:
    """The folder of images; Kaggle's archive holds it inside a folder of the same name."""
    folder = find(root, *names)
    if folder is None:
        packed = find(root, *(f"{name}.zip" for name in names))
        raise LomitError(f"{root}: no folder {names[0]}/" + (f"; unpack {packed}" if packed else " beside the lists"))
    return folder / folder.name if (folder / folder.name).is_dir() else folder


def _mapping(path: Path) -> dict[str, str]:
    """Name in CelebAMask-HQ -> name in CelebA, from lines of `idx orig_idx orig_file` under a header."""
    rows = [text.split() for _, text in _lines(path)[1:]]
    if not rows or any(len(row) != 3 or not row[0].isdecimal() or len(row[0]) >= 10 for row in rows):
        raise LomitError(f"{path}: expected lines of three values, idx orig_idx orig_file, under a header")
    return {f"{int(index)}.jpg": original for index, _, original in rows}


def _check_once(path: Path, lines_and_names: Iterable[tuple[int, str]]) -> None:
    """Raises LomitError where a name stands in two lines."""
    first: dict[str, int] = {}
    for line, name in lines_and_names:
        if first.setdefault(name, line) != line:
            raise LomitError(f"{path}, line {line}: {name} is already in line {first[name]}; remove one of them")


def _lines(path: Path) -> list[tuple[int, str]]:
    """Line number and text of each line that is not blank."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LomitError(f"{path}: cannot be read as text ({error})") from error
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
