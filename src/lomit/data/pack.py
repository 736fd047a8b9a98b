"""A whole set as one file: a plain zip archive of JPEG or WebP crops, an index and labels.

    pack.json              format, version, size, names, attributes, split, people, groups, regions
    labels.npy             int8, N x A
    images/000000.jpg      N of them, size x size; .webp in a pack of WebP
    regions/000000.png     where true masks are known: 8-bit grey, bit k is set where region k is

10,690 photographs of CelebA at 64 pixels take 18 MiB at quality 85 and 22 MiB at 90, at 128 pixels 46 MiB at 85.
In 32 MiB at 128 pixels, JPEG has room for quality 65 and WebP for about 80: 33.3 and 36.3 dB against the crops.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import Image

from lomit.config import DataConfig
from lomit.data.decode import Geometry, Skipped, decode_usable
from lomit.data.folder import pack_regions, unpack_regions
from lomit.data.source import SPLITS, Source, Table
from lomit.errors import LomitError
from lomit.images import MAX_PIXELS, read_upload, write_file

FORMAT, VERSION = "lomit-pack", 2
"""A pack of JPEG is still of version 1, so that older releases read it."""
Encoding = Literal["jpeg", "webp"]
SUFFIX: dict[str, str] = {"jpeg": "jpg", "webp": "webp"}
MOST_BYTES = 1 << 30
"""Of a file in the archive; the index of ten million images would have less."""
INDEX, LABELS = "pack.json", "labels.npy"


class PackSource(Source):
    """A set read back from a pack file."""

    def __init__(self, path: Path) -> None:
        """Opens the file and reads its index.  Raises LomitError where it is no pack, or damaged."""
        self.path = path
        self._archive: tuple[int, zipfile.ZipFile] | None = None
        try:
            with zipfile.ZipFile(path) as archive:
                index = json.loads(_member(archive, INDEX))
                labels = np.load(io.BytesIO(_member(archive, LABELS)), allow_pickle=False)
                content = hashlib.blake2b(digest_size=16)
                for member in archive.infolist():
                    content.update(f"{member.filename} {member.file_size} {member.CRC}\n".encode("utf-8", "replace"))
            if index["format"] != FORMAT:
                raise ValueError(f"format {index['format']}")
            if index["version"] > VERSION:
                raise LomitError(f"{path}: written by a newer lomit (pack version {index['version']}); update lomit")
            table = Table(
                names=_words(index["names"]),
                attributes=tuple(_words(index["attributes"])),
                labels=labels,
                split=np.array(index["split"], dtype=np.int8),
                people=_words(index["people"]),
                groups=tuple(tuple(_words(g)) for g in index["groups"]),
            )
            self.encoding: str = index.get("encoding", "jpeg")
            if self.encoding not in SUFFIX:
                raise ValueError(f"images are {self.encoding}")
            if labels.shape != (len(table.names), len(table.attributes)) or labels.dtype != np.int8:
                raise ValueError(f"labels are {labels.dtype} {labels.shape}")
            if not len(set(table.names)) == len(table.split) == len(table.people):
                raise ValueError("names, split and people differ in length")
            if not set(table.split.tolist()) <= set(SPLITS.values()) or not np.isin(labels, (-1, 0, 1)).all():
                raise ValueError("a split or a label is out of its range")
            self.region_names = tuple(_words(index["region_names"]))
            self.region_of = {a: tuple(_words(r)) for a, r in index["region_of"].items()}
        except LomitError:
            raise
        except Exception as error:  # a damaged zip archive, index or array says so in many ways
            raise LomitError(f"{path}: not a pack file, or a damaged one ({error})") from error
        super().__init__(table, content.hexdigest())

    def _read(self, member: str) -> bytes:
        # A zip file's position is shared by processes that inherit it, so each process opens its own.
        if self._archive is None or self._archive[0] != os.getpid():
            self._archive = os.getpid(), zipfile.ZipFile(self.path)
        try:
            return _member(self._archive[1], member)
        except KeyError as error:
            raise FileNotFoundError(f"{self.path} has no {member}") from error
        except Exception as error:  # a damaged archive says so in many ways
            raise OSError(f"{member} in {self.path}: {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_archive": None}

    def load(self, index: int) -> Image.Image:
        member = _image(index, self.encoding)
        return read_upload(self._read(member), f"{member} in {self.path}", MAX_PIXELS).on_white()

    def regions(self, index: int) -> dict[str, np.ndarray]:
        try:
            data = self._read(_region(index))
        except FileNotFoundError:
            return {}
        masks = read_upload(data, f"{_region(index)} in {self.path}", MAX_PIXELS)
        return unpack_regions(np.asarray(masks.on_white().convert("L")), self.region_names)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A file of the archive.  Raises what `zipfile` raises, and ValueError for one that is far too large."""
    if archive.getinfo(name).file_size > MOST_BYTES:
        raise ValueError(f"{name} is too large")
    return archive.read(name)


def _words(values: Any) -> list[str]:
    """A list of words as it is.  Raises ValueError for anything else."""
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise ValueError("a list of words is none")
    return values


def is_pack(path: Path) -> bool:
    """Whether a file is a zip archive with a pack's index in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return INDEX in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _image(index: int, encoding: str) -> str:
    return f"images/{index:06d}.{SUFFIX[encoding]}"


def _region(index: int) -> str:
    return f"regions/{index:06d}.png"


def write_pack(
    source: Source,
    config: DataConfig,
    out: Path,
    quality: int = 90,
    splits: Sequence[str] = (),
    max_images: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
    encoding: Encoding = "jpeg",
) -> int:
    """Writes the crops, labels, splits, people and true masks of a source as one file.  Raises LomitError for a file
    that is already there, a wrong argument, too many unreadable images, no space left.

    Args:
        config: `image_size`, `crop`, `face_crop` and `workers` are read.
        out: the file; it appears when it is complete.
        quality: of JPEG or WebP, 1 to 95.
        splits: which of train, val, test to take; none named takes all.
        max_images: at most so many, drawn at random but always the same ones.

    Returns:
        The number of images in the file.
    """
    rows = _chosen(source, splits, max_images)
    if not 1 <= quality <= 95:
        raise LomitError(f"the JPEG quality must lie in 1..95; it is {quality}")
    geometry, skipped, taken = Geometry.of(source, config), Skipped(len(rows)), list[int]()

    def save(file: BinaryIO) -> None:
        digest = hashlib.blake2b(digest_size=16)
        with zipfile.ZipFile(file, "w") as archive:
            for row, pixels in decode_usable(source, rows, geometry, config.workers, progress, skipped):
                encoded = _encoded(pixels, quality, encoding)
                # Stored: it does not compress any further.
                archive.writestr(_image(len(taken), encoding), encoded)
                digest.update(encoded)
                mask = _mask_png(source, row, config, geometry)
                if mask is not None:
                    archive.writestr(_region(len(taken)), mask)
                taken.append(row)
            skipped.report()
            index = {
                "format": FORMAT,
                "version": 1 if encoding == "jpeg" else VERSION,
                "encoding": encoding,
                "size": config.image_size,
                "fingerprint": digest.hexdigest(),
                "names": [source.names[i] for i in taken],
                "attributes": source.attributes,
                "split": source.split[taken].tolist(),
                "people": [source.table.people[i] for i in taken],
                "groups": source.groups,
                "region_names": source.region_names,
                "region_of": source.region_of,
            }
            archive.writestr(INDEX, json.dumps(index), zipfile.ZIP_DEFLATED)
            labels = io.BytesIO()
            np.save(labels, source.labels[taken])
            archive.writestr(LABELS, labels.getvalue(), zipfile.ZIP_DEFLATED)

    write_file(out, save, overwrite)
    return len(taken)


def _encoded(pixels: np.ndarray, quality: int, encoding: Encoding) -> bytes:
    """A crop, uint8 3 x H x W, as a picture file."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {"optimize": True} if encoding == "jpeg" else {"method": 4}
    Image.fromarray(pixels.transpose(1, 2, 0)).save(buffer, encoding.upper(), quality=quality, **options)
    return buffer.getvalue()


def _mask_png(source: Source, row: int, config: DataConfig, geometry: Geometry) -> bytes | None:
    """The true masks of an image as one PNG, None where they are not known."""
    masks = source.regions(row) if config.face_crop == "none" else {}
    if not masks:
        return None
    buffer = io.BytesIO()
    Image.fromarray(geometry.apply_mask(pack_regions(masks, source.region_names))).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _chosen(source: Source, splits: Sequence[str], max_images: int | None) -> list[int]:
    """Rows of the images to take, ascending."""
    for name in splits:
        if name not in SPLITS:
            raise LomitError(f"unknown split '{name}'; known: {', '.join(SPLITS)}")
    rows = np.flatnonzero(np.isin(source.split, [SPLITS[name] for name in splits or SPLITS]))
    if max_images is not None and max_images < 1:
        raise LomitError(f"--max-images must be at least 1; it is {max_images}")
    if not len(rows):
        raise LomitError(f"the data has no image in {', '.join(splits or SPLITS)}")
    return sorted(np.random.default_rng(0).permutation(rows)[:max_images].tolist())
