"""EXIF blocks: how a picture is turned, and what of its metadata a picture of other pixels keeps, byte for byte."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import BinaryIO

from PIL import Image
from PIL.ExifTags import IFD, Base

from lomit.images.tiff import (
    HEADS,
    LONG,
    ORIENTATION,
    TEXT,
    Entries,
    Entry,
    block,
    directory,
    entry,
    header,
    read_directory,
)

MARK = b"Exif\0\0"
"""What a JPEG's segment begins with; some programs write it into other files, too."""
DESCRIPTIVE = {
    *(Base.ImageDescription, Base.Make, Base.Model, Base.DateTime, Base.Artist, Base.Copyright),
    *(Base.HostComputer, Base.XResolution, Base.YResolution, Base.ResolutionUnit),
}
"""Tags of the first directory that hold for other pixels, too; in a TIFF they are mixed with those of its strips."""
NESTED = (IFD.Exif, IFD.GPSInfo)
POINTERS = {*NESTED, IFD.Interop}
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Value of the orientation tag -> what makes the pixels upright."""


@dataclass(frozen=True)
class Metadata:
    """The part of an EXIF block that still holds when pixels change: no orientation, no preview.

    Attributes:
        order: byte order of the values, "<" or ">".
        entries: tags of the first directory.
        nested: the directories of the camera and of the place.
    """

    order: str = "<"
    entries: Entries = field(default_factory=dict)
    nested: dict[int, Entries] = field(default_factory=dict)

    def signed(self, software: str, size: tuple[int, int]) -> Metadata:
        """The same for pixels of this size that `software` made."""
        text = software.encode("ascii") + b"\0"
        nested = {tag: dict(inner) for tag, inner in self.nested.items()}
        camera = nested.get(IFD.Exif, {})
        if Base.ExifImageWidth in camera:
            sides = zip((Base.ExifImageWidth, Base.ExifImageHeight), size, strict=True)
            camera |= {tag: entry(LONG, side, order=self.order) for tag, side in sides}
        return Metadata(self.order, {**self.entries, Base.Software: Entry(TEXT, len(text), text)}, nested)

    def in_order(self, order: str) -> Metadata:
        """The same in another byte order."""
        if order == self.order:
            return self

        def swapped(entries: Entries) -> Entries:
            return {tag: each.swapped() for tag, each in entries.items()}

        return Metadata(order, swapped(self.entries), {tag: swapped(inner) for tag, inner in self.nested.items()})

    def block(self, most: int | None = None) -> tuple[bytes, list[int]]:
        """The block, and the tags that were left out for it to have at most so many bytes, the longest first."""
        nested = {tag: dict(inner) for tag, inner in self.nested.items()}
        entries = dict(self.entries)
        dropped: list[int] = []
        while True:
            data = block(self.order, entries, {tag: inner for tag, inner in nested.items() if inner})
            if most is None or len(data) <= most:
                return data, dropped
            holder = max((entries, *nested.values()), key=lambda e: max((len(v.data) for v in e.values()), default=0))
            dropped.append(max(holder, key=lambda tag: len(holder[tag].data)))
            del holder[dropped[-1]]


def orientation(image: Image.Image) -> tuple[int, bool]:
    """The orientation tag of a picture, 1 to 8 (1 where there is none), and whether its EXIF data can be read."""
    data, value, readable = block_of(image), None, True
    try:
        if data is None:
            value = image.getexif().get(ORIENTATION)
        else:
            order, entries = read_directory(io.BytesIO(data), wanted=lambda tag: tag == ORIENTATION)
            value = next(iter(entries[ORIENTATION].numbers(order)), None) if entries else None
    except Exception:  # Pillow, too, raises nearly everything on damaged data
        readable = False
    if value is None:
        xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
        text = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp
        match = re.search(rb'tiff:Orientation(?:="|>)([1-8])', text) if isinstance(text, bytes) else None
        value = int(match[1]) if match else None
    return (value if isinstance(value, int) and value in TURNS else 1), readable


def block_of(image: Image.Image) -> bytes | None:
    """The EXIF block that came with a JPEG, PNG, WebP, AVIF or HEIC picture, without its mark; None: it has none."""
    data = image.info.get("exif")
    if not isinstance(data, bytes):
        return None
    while data.startswith(MARK):
        data = data[len(MARK) :]
    # HEIC puts the length of what comes before the block in front of it.
    return data[4:] if data[:4] not in HEADS and data[4:8] in HEADS else data


def read_metadata(file: BinaryIO) -> Metadata:
    """What is to be kept of an EXIF block or of the first directory of a TIFF file.

    Raises:
        ValueError: where it can't be read at all; a single tag that can't is left out.
    """
    order, entries = read_directory(file, wanted=lambda tag: tag in DESCRIPTIVE or tag in NESTED)
    nested: dict[int, Entries] = {}
    for tag in NESTED:
        places = entries.pop(tag).numbers(order) if tag in entries else ()
        if not places:
            continue
        try:
            inner = read_directory(file, places[0])[1]
        except ValueError:
            continue
        nested[tag] = {t: e for t, e in inner.items() if t not in POINTERS}
    return Metadata(order, entries, nested)


def add_to_tiff(file: BinaryIO, metadata: Metadata) -> None:
    """Adds metadata to a TIFF file that is open for reading and writing; its pixels stay where they are."""
    order, own = read_directory(file)
    metadata = metadata.in_order(order)
    end = file.seek(0, io.SEEK_END)
    file.write(b"\0" * (end % 2))
    body, begin = directory(order, {**own, **metadata.entries}, metadata.nested, end + end % 2)
    file.write(body)
    file.seek(0)
    file.write(header(order, begin))
