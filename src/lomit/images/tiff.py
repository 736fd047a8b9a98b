"""Directories of TIFF files, and so EXIF blocks: tags with the bytes of their values, read and written as they are.

Pillow turns values into Python's and back, which loses text that is not ASCII and fails on tags of a wrong type.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

HEADS = {b"II*\0": "<", b"MM\0*": ">"}
"""First four bytes of a TIFF -> its byte order, as `struct` writes it."""
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Type of a value -> its bytes (TIFF 6.0, section 2)."""
TEXT, SHORT, LONG = 2, 3, 4
MOST = 1000
"""Tags of one directory; what has more is no directory."""

BITS, PHOTOMETRIC, ORIENTATION, PLANAR = 258, 262, 274, 284
"""Tags that say how pixels are stored, and how they are turned."""


@dataclass(frozen=True)
class Entry:
    """A tag's value: type, number of values, their bytes in the byte order of the file."""

    type: int
    count: int
    data: bytes

    def numbers(self, order: str) -> tuple[int, ...]:
        """The value as whole numbers; empty where its type is another."""
        code = {1: "B", SHORT: "H", LONG: "I"}.get(self.type)
        return struct.unpack(f"{order}{self.count}{code}", self.data) if code else ()

    def swapped(self) -> Entry:
        """The same value in the other byte order."""
        unit = {5: 4, 10: 4}.get(self.type, SIZES[self.type])
        swapped = np.frombuffer(self.data, dtype=np.uint8).reshape(-1, unit)[:, ::-1].tobytes()
        return replace(self, data=swapped)


Entries = dict[int, Entry]


def entry(kind: int, *values: int, order: str = "<") -> Entry:
    """A value of whole numbers of type `SHORT` or `LONG`."""
    return Entry(kind, len(values), struct.pack(f"{order}{len(values)}{'H' if kind == SHORT else 'I'}", *values))


def read_directory(
    file: BinaryIO, at: int | None = None, wanted: Callable[[int], bool] = lambda tag: True
) -> tuple[str, Entries]:
    """The byte order of a TIFF and the tags of its first directory, or of the one that lies at `at`.

    A tag that doesn't fit into the file, or has an unknown type, is left out; so is one whose value would make all of
    them longer than the file, which is how a small file could fill the memory.

    Raises:
        ValueError: where there is no directory.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(8)
    order = HEADS.get(head[:4])
    if order is None or len(head) < 8:
        raise ValueError("not a TIFF")
    file.seek(struct.unpack(f"{order}I", head[4:])[0] if at is None else at)
    start = file.read(2)
    count = struct.unpack(f"{order}H", start)[0] if len(start) == 2 else 0
    if not 0 < count <= MOST:
        raise ValueError("no directory")
    table = file.read(12 * count)
    entries: Entries = {}
    readable = False
    room = size
    for place in range(0, len(table) - 11, 12):
        tag, kind, number, value = struct.unpack_from(f"{order}HHI4s", table, place)
        length = SIZES.get(kind, 0) * number
        offset = struct.unpack(f"{order}I", value)[0] if length > 4 else 0
        if not length or offset + length * (length > 4) > size:
            continue
        readable = True
        if wanted(tag) and tag not in entries and length <= room:
            if length > 4:
                room -= length
                file.seek(offset)
                value = file.read(length)
            entries[tag] = Entry(kind, number, value[:length])
    if not readable:
        raise ValueError("no tag can be read")
    return order, entries


def check_lengths(file: BinaryIO) -> None:
    """Raises ValueError for a TIFF whose tags have, together, more bytes than the file.

    Each may lie in the file, all in the same place: Pillow would read every one of them into memory.
    """
    room = file.seek(0, io.SEEK_END)
    size = room
    file.seek(0)
    head = file.read(8)
    order = HEADS.get(head[:4])
    at = struct.unpack(f"{order}I", head[4:])[0] if order and len(head) == 8 else 0
    while 0 < at < size:
        file.seek(at)
        table = file.read(12 * int.from_bytes(file.read(2), "little" if order == "<" else "big"))
        fields = struct.iter_unpack(f"{order}HHI4s", table[: len(table) // 12 * 12])
        lengths = [SIZES.get(kind, 0) * number for _, kind, number, _ in fields]
        room -= 6 + len(table) + sum(length for length in lengths if 4 < length <= size)
        if room < 0:
            raise ValueError("its tags are longer than the file")
        following = file.read(4)
        at = struct.unpack(f"{order}I", following)[0] if len(following) == 4 else 0


def directory(order: str, entries: Entries, nested: dict[int, Entries], at: int) -> tuple[bytes, int]:
    """A directory, and those that its tags point to, as the bytes to put at `at`, and where in the file it begins.

    `at` must be even.
    """
    out = b""
    pointers: Entries = {}
    for tag, inner in nested.items():
        body, start = directory(order, inner, {}, at + len(out))
        out += body
        pointers[tag] = entry(LONG, start, order=order)
    begin = at + len(out)
    everything = sorted({**entries, **pointers}.items())
    table = struct.pack(f"{order}H", len(everything))
    values, after = b"", begin + 2 + 12 * len(everything) + 4
    for tag, value in everything:
        data = value.data
        if len(data) > 4:
            place = struct.pack(f"{order}I", after + len(values))
            values += data + b"\0" * (len(data) % 2)
        else:
            place = data.ljust(4, b"\0")
        table += struct.pack(f"{order}HHI", tag, value.type, value.count) + place
    return out + table + bytes(4) + values, begin


def block(order: str, entries: Entries, nested: dict[int, Entries]) -> bytes:
    """A whole TIFF of directories without pixels: what an EXIF block is."""
    body, begin = directory(order, entries, nested, 8)
    return header(order, begin) + body


def header(order: str, begin: int) -> bytes:
    """The first eight bytes of a TIFF whose directory lies at `begin`."""
    return next(head for head, its in HEADS.items() if its == order) + struct.pack(f"{order}I", begin)
