"""The parts that files of pictures are made of, so that a damaged part beside the pixels can be left out."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from lomit.images import tiff

PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = {b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"pHYs", b"acTL", b"fcTL", b"fdAT"}
"""Chunks beside the critical ones that say how pixels look; the rest is text, time, profile and EXIF."""
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of ISO/IEC 23008-12, annex B, as they stand in the first box of a file."""


def is_heic(head: bytes) -> bool:
    """Whether a file that begins so is what phones of some makes take photographs in."""
    length = int.from_bytes(head[:4], "big")
    brands = {head[8:12], *(head[i : i + 4] for i in range(16, min(length, len(head)) - 3, 4))}
    return head[4:8] == b"ftyp" and not brands & {b"avif", b"avis"} and head[8:12] in _HEIC


def without_metadata(data: bytes) -> bytes:
    """A JPEG, PNG, WebP, TIFF or AVIF file without what stands beside its pixels; a TIFF stays turned.

    Raises:
        ValueError: for another format, or one whose parts can't be told.
    """
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    if data[:8] == PNG:
        return PNG + b"".join(_png_chunks(data))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:4] in tiff.HEADS:
        return tiff.without_metadata(data)
    if data[4:8] == b"ftyp" and (at := data.find(b"iinf")) > 0:
        # The list of the file's items: one whose type is unknown is passed over.
        end = at - 4 + int.from_bytes(data[at - 4 : at], "big")
        return data[:at] + data[at:end].replace(b"Exif", b"none") + data[end:]
    raise ValueError("another format")


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of a WebP's chunks."""
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        yield name, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _jpeg(data: bytes) -> bytes:
    """Without application segments but JFIF's and Adobe's, which say what the colours are, and without comments."""
    out, at = [b"\xff\xd8"], 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise ValueError("no marker where one must be")
        marker = data[at + 1]
        if marker == 0xFF:  # a filling byte
            at += 1
            continue
        if marker == 0xDA:  # from here on, the pixels
            return b"".join(out) + data[at:]
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if not (0xE1 <= marker <= 0xEF and marker != 0xEE) and marker != 0xFE:
            out.append(data[at:end])
        at = end
    raise ValueError("no pixels")


def _png_chunks(data: bytes) -> Iterator[bytes]:
    at = 8
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        whole = data[at : at + 12 + length]
        if not name[:1].islower() or (
            name in _PNG_KEPT and zlib.crc32(whole[4:-4]) == int.from_bytes(whole[-4:], "big")
        ):
            yield whole
        at += 12 + length
    yield data[at:]


def _webp(data: bytes) -> bytes:
    kept = b""
    for name, content in webp_chunks(data):
        if name == b"VP8X" and content:
            content = bytes([content[0] & ~0x2C]) + content[1:]  # flags: profile, EXIF, XMP
        if name not in (b"ICCP", b"EXIF", b"XMP "):
            kept += name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(kept)) + b"WEBP" + kept
