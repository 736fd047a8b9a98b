"""CelebA's own layout: `img_align_celeba/`, `list_attr_celeba.txt` and, where present, identities and partition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lomit.data.source import TEST, TRAIN
from lomit.data.table import UNASSIGNED, Table, TableSource, fingerprint_files
from lomit.errors import LomitError
from lomit.images import read_image

ATTRIBUTES = "list_attr_celeba.txt"
IDENTITY = "identity_CelebA.txt"
PARTITION = "list_eval_partition.txt"
IMAGES = "img_align_celeba"
CROP = 178
"""Side of the centre crop that StarGAN and LOMIT take; the aligned files are 178 x 218."""

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")


class CelebASource(TableSource):
    """CelebA as it is distributed, or any part of it; also at half size."""

    default_crop = CROP

    def __init__(self, root: Path) -> None:
        """Reads the annotation files.

        Raises:
            LomitError: where a file is missing or a line of it is wrong.
        """
        table = read_table(root)
        images = find(root, IMAGES)
        if images is None:
            raise LomitError(f"{root}: no folder {IMAGES}/ beside {ATTRIBUTES}")
        # Kaggle's archive holds the folder inside a folder of the same name.
        self.folder = images / IMAGES if (images / IMAGES).is_dir() else images
        super().__init__(table, fingerprint_files((self.folder / n for n in table.names), table.names))

    def load(self, index: int) -> Image.Image:
        return read_image(self.folder / self.names[index]).on_white()


def find(root: Path, name: str) -> Path | None:
    """A file or folder of CelebA, directly in `root` or in the subfolders of the official download."""
    places = (root / name, root / "Anno" / name, root / "Eval" / name, root / "Img" / name)
    return next((p for p in places if p.exists()), None)


def read_table(root: Path) -> Table:
    """The annotations under `root`; without an identity or partition file these stay unsaid."""
    path = find(root, ATTRIBUTES)
    if path is None:
        raise LomitError(f"{root}: no {ATTRIBUTES}")
    names, attributes, labels = read_attributes(path)
    identity = read_pairs(find(root, IDENTITY), 0, None)
    partition = read_pairs(find(root, PARTITION), TRAIN, TEST)
    return Table(
        names=names,
        attributes=attributes,
        labels=labels,
        split=np.array([partition.get(n, UNASSIGNED) for n in names], dtype=np.int8),
        people=[str(identity[n]) if n in identity else "" for n in names],
        groups=(HAIR,) if set(HAIR) <= set(attributes) else (),
    )


def read_attributes(path: Path) -> tuple[list[str], tuple[str, ...], np.ndarray]:
    """File names, attribute names and labels (int8, N x A in {0, 1}) of a `list_attr_celeba.txt`."""
    lines = _lines(path)
    if len(lines) < 3 or not lines[0].strip().isdecimal():
        raise LomitError(f"{path}: expected the number of images, a line of attribute names, then one line an image")
    attributes = tuple(lines[1].split())
    count, rows = int(lines[0]), [line.split() for line in lines[2:]]
    if len(rows) != count:
        raise LomitError(f"{path}: the first line promises {count} images, {len(rows)} follow; the file may be cut off")
    names = [row[0] for row in rows]
    labels = np.empty((len(rows), len(attributes)), dtype=np.int8)
    for i, (name, *values) in enumerate(rows):
        if len(values) != len(attributes):
            raise LomitError(f"{path}, line {i + 3} ({name}): {len(values)} values for {len(attributes)} attributes")
        labels[i] = [v == "1" for v in values]
        if not set(values) <= {"1", "-1"}:
            k, bad = next((k, v) for k, v in enumerate(values) if v not in ("1", "-1"))
            raise LomitError(f"{path}, line {i + 3} ({name}), {attributes[k]}: '{bad}' is neither 1 nor -1")
    if len(set(names)) != len(names):
        twice = next(n for i, n in enumerate(names) if n in names[:i])
        raise LomitError(f"{path}: {twice} is listed twice")
    return names, attributes, labels


def read_pairs(path: Path | None, lowest: int, highest: int | None) -> dict[str, int]:
    """A file of lines `name number` as a dict; empty where there is no file."""
    if path is None:
        return {}
    result = {}
    for i, line in enumerate(_lines(path)):
        name, _, number = line.strip().partition(" ")
        number = number.strip()
        if not number.isdecimal() or int(number) < lowest or (highest is not None and int(number) > highest):
            allowed = f"a number from {lowest} to {highest}" if highest is not None else "a number"
            raise LomitError(f"{path}, line {i + 1}: expected a file name and {allowed}, found '{line.strip()}'")
        result[name] = int(number)
    return result


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LomitError(f"{path}: cannot be read as text ({error})") from error
    return [line for line in text.splitlines() if line.strip()]
