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
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import Image, features

from lomit.config import DataConfig
from lomit.data.decode import Geometry, Skipped, decode_usable
from lomit.data.folder import pack_regions, unpack_regions
from lomit.data.source import Source
from lomit.data.table import SPLITS, Table, TableSource
from lomit.errors import LomitError
from lomit.images import write_file

FORMAT, VERSION = "lomit-pack", 2
"""A pack of JPEG is still of version 1, so that older releases read it."""
Encoding = Literal["jpeg", "webp"]
SUFFIX: dict[str, str] = {"jpeg": "jpg", "webp": "webp"}
INDEX, LABELS = "pack.json", "labels.npy"


class PackSource(TableSource):
    """A set read back from a pack file."""

    def __init__(self, path: Path) -> None:
        """Opens the file and reads its index.

        Raises:
            LomitError: where it is no pack, or damaged.
        """
        self.path = path
        self._archive: tuple[int, zipfile.ZipFile] | None = None
        try:
            with zipfile.ZipFile(path) as archive:
                index = json.loads(archive.read(INDEX))
                labels = np.load(io.BytesIO(archive.read(LABELS)), allow_pickle=False)
            if index["format"] != FORMAT:
                raise ValueError(f"format {index['format']}")
            if index["version"] > VERSION:
                raise LomitError(f"{path}: written by a newer lomit (pack version {index['version']}); update lomit")
            table = Table(
                names=index["names"],
                attributes=tuple(index["attributes"]),
                labels=labels,
                split=np.array(index["split"], dtype=np.int8),
                people=index["people"],
                groups=tuple(tuple(g) for g in index["groups"]),
            )
            self.encoding: str = index.get("encoding", "jpeg")
            if self.encoding not in SUFFIX:
                raise ValueError(f"images are {self.encoding}")
            if labels.shape != (len(table.names), len(table.attributes)) or labels.dtype != np.int8:
                raise ValueError(f"labels are {labels.dtype} {labels.shape}")
            if not len(table.names) == len(table.split) == len(table.people):
                raise ValueError("names, split and people differ in length")
            fingerprint = index["fingerprint"]
            self.region_names = tuple(index["region_names"])
            self.region_of = {a: tuple(r) for a, r in index["region_of"].items()}
        except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
            raise LomitError(f"{path}: not a pack file, or a damaged one ({error})") from error
        _require(self.encoding)
        super().__init__(table, fingerprint)

    def _read(self, member: str) -> io.BytesIO:
        # A zip file's position is shared by processes that inherit it, so each process opens its own.
        if self._archive is None or self._archive[0] != os.getpid():
            self._archive = os.getpid(), zipfile.ZipFile(self.path)
        try:
            return io.BytesIO(self._archive[1].read(member))
        except KeyError as error:
            raise FileNotFoundError(f"{self.path} has no {member}") from error
        except (zipfile.BadZipFile, zlib.error) as error:
            raise OSError(f"{member} in {self.path}: {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_archive": None}

    def load(self, index: int) -> Image.Image:
        with Image.open(self._read(_image(index, self.encoding))) as image:
            return image.convert("RGB")

    def regions(self, index: int) -> dict[str, np.ndarray]:
        try:
            data = self._read(_region(index))
        except FileNotFoundError:
            return {}
        with Image.open(data) as image:
            return unpack_regions(np.asarray(image.convert("L")), self.region_names)


def is_pack(path: Path) -> bool:
    """Whether a file is a zip archive with a pack's index in it."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return INDEX in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _image(index: int, encoding: str) -> str:
    return f"images/{index:06d}.{SUFFIX[encoding]}"


def _require(encoding: str) -> None:
    """Raises LomitError where Pillow was built without WebP; its wheels have it."""
    if encoding == "webp" and not features.check("webp"):
        raise LomitError("this Pillow was built without WebP; install its wheel (pip install --force-reinstall pillow)")


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
    max_bytes: int | None = None,
    encoding: Encoding = "jpeg",
) -> int:
    """Writes the crops, labels, splits, people and true masks of a source as one file.

    Args:
        source: the set; all of its attributes are written.
        config: `image_size`, `crop`, `face_crop` and `workers` are read.
        out: the file; it appears when it is complete.
        quality: of JPEG or WebP, 1 to 95.
        splits: which of train, val, test to take; none named takes all.
        max_images: at most so many, drawn at random but always the same ones.
        overwrite: replace a file that is there.
        progress: show a bar on a terminal.
        max_bytes: lower the quality until the file is no larger; `quality` is where it starts.
        encoding: of the crops; WebP has a smaller error at the same size.

    Returns:
        The number of images in the file.

    Raises:
        LomitError: for a file that is already there, a wrong argument, too many unreadable images, no space left.
    """
    rows = _chosen(source, splits, max_images)
    if not 1 <= quality <= 95:
        raise LomitError(f"the JPEG quality must lie in 1..95; it is {quality}")
    _require(encoding)
    if max_bytes is not None:
        quality = fitting_quality(source, rows, config, quality, max_bytes, encoding)
    count = 0

    def save(file: BinaryIO) -> None:
        nonlocal count, quality
        while True:
            with zipfile.ZipFile(file, "w") as archive:
                count = _write(archive, source, rows, config, quality, progress, encoding)
            if max_bytes is None or file.seek(0, os.SEEK_END) <= max_bytes or quality <= LOWEST:
                return
            quality -= 1  # the images that it was judged from were smaller than most
            file.seek(0)
            file.truncate()

    write_file(out, save, overwrite)
    return count


LOWEST = 30
"""Quality under which a pack is not written: blocks show then."""
TRIED = 400
"""Images from which the size of the others is judged."""
MARGIN = 0.98
"""Share of the size allowed that is aimed at: the images judged from are a sample."""


def fitting_quality(
    source: Source, rows: Sequence[int], config: DataConfig, highest: int, max_bytes: int, encoding: Encoding = "jpeg"
) -> int:
    """The best quality at which a pack should be no larger, judged from every so-many-th image.

    Args:
        source, config: as for `write_pack`.
        rows: of the images to pack.
        highest: not to be exceeded.
        max_bytes: of the file.
        encoding: of the crops.

    Raises:
        LomitError: where `LOWEST` is not low enough.
    """
    geometry = Geometry.of(source, config)
    step = max(1, len(rows) // TRIED)
    usable = list(decode_usable(source, rows[::step], geometry, 0, False, Skipped(len(rows))))
    if not usable:
        return highest
    sample = [pixels for _, pixels in usable]
    masks = [len(_mask_png(source, row, config, geometry) or b"") for row, _ in usable]
    # What is no image: true masks, the zip's two entries for each file, names and labels.
    entries = 1 + sum(map(bool, masks)) / len(masks)
    fixed = sum(len(source.names[row]) + len(source.attributes) for row in rows) + 1024
    fixed += round(len(rows) * (128 * entries + sum(masks) / len(masks)))
    low, high = min(LOWEST, highest), highest + 1  # the first fits or nothing does, the second is out of the question

    def size(quality: int) -> float:
        return fixed + len(rows) * sum(len(_encoded(pixels, quality, encoding)) for pixels in sample) / len(sample)

    if size(low) > MARGIN * max_bytes:
        raise LomitError(
            f"{len(rows)} images of {config.image_size} pixels don't fit into {max_bytes / 2**20:.3g} MiB even at "
            f"quality {low}; take fewer (--max-images, --splits) or allow more"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) <= MARGIN * max_bytes else (low, middle)
    return low


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


def _write(
    archive: zipfile.ZipFile,
    source: Source,
    rows: list[int],
    config: DataConfig,
    quality: int,
    progress: bool,
    encoding: Encoding,
) -> int:
    """Fills the archive; the number of images."""
    geometry = Geometry.of(source, config)
    skipped = Skipped(len(rows))
    digest = hashlib.blake2b(digest_size=16)
    taken: list[int] = []
    for row, pixels in decode_usable(source, rows, geometry, config.workers, progress, skipped):
        encoded = _encoded(pixels, quality, encoding)
        archive.writestr(_image(len(taken), encoding), encoded)  # stored: it does not compress any further
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
        "people": _people(source, taken),
        "groups": source.groups,
        "region_names": source.region_names,
        "region_of": source.region_of,
    }
    archive.writestr(INDEX, json.dumps(index), zipfile.ZIP_DEFLATED)
    labels = io.BytesIO()
    np.save(labels, source.labels[taken])
    archive.writestr(LABELS, labels.getvalue(), zipfile.ZIP_DEFLATED)
    return len(taken)


def _people(source: Source, rows: list[int]) -> list[str]:
    """Keys of the people, "" where the set does not know them."""
    if isinstance(source, TableSource):
        return [source.table.people[i] for i in rows]
    return [str(p) for p in source.identity[rows].tolist()]


def data_pack(
    data: DataConfig,
    out: Path,
    quality: int = 90,
    splits: tuple[Literal["train", "val", "test"], ...] = (),
    max_images: int | None = None,
    max_mb: float | None = None,
    encoding: Encoding = "jpeg",
    overwrite: bool = False,
) -> None:
    """Writes crops, labels, splits and people of a data set as one file that `--data.root` accepts.

    Args:
        data: The set and how it is cut; all its attributes are packed.
        out: File to write.
        quality: Of JPEG or WebP, 1 to 95.
        splits: Parts to take; all where none is named.
        max_images: At most so many images, drawn at random but always the same ones.
        max_mb: Largest size of the file in MiB; the quality is lowered until it fits.
        encoding: How the crops are stored; WebP has a smaller error at the same size.
        overwrite: Replace a file that is already there.
    """
    from lomit.data.open import open_source  # open.py reads packs, so it imports this module

    source = open_source(data)
    if max_mb is not None and max_mb <= 0:
        raise LomitError(f"--max-mb must be positive; it is {max_mb:g}")
    max_bytes = None if max_mb is None else int(max_mb * 2**20)
    count = write_pack(
        source, data, out, quality, splits, max_images, overwrite, max_bytes=max_bytes, encoding=encoding
    )
    print(f"{out}: {count} images of {data.image_size} pixels, {out.stat().st_size / 2**20:.1f} MiB")
