"""The parts that files of pictures are made of, so that a damaged part beside the pixels costs that part alone."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator

from lomit.images.exif import MARK
from lomit.images.tiff import HEADS

HEAD = 64
"""Bytes of a file that tell its kind."""
EXIF, PROFILE = "EXIF", "profile"
"""Kinds of parts that matter: EXIF data and XMP, which say how the picture is turned, and the colour profile."""
PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_PNG_KEPT = {b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"pHYs", b"acTL", b"fcTL", b"fdAT"}
"""Chunks beside the critical ones that say how pixels look; the rest is text, time, profile and EXIF."""
_PNG_KINDS = {b"eXIf": EXIF, b"iCCP": PROFILE}
_XMP = b"XML:com.adobe.xmp"
"""Keyword of the one text that matters."""
_JPEG_SEGMENTS = {MARK: EXIF, b"http://ns.adobe.com/xap/1.0/\0": EXIF, b"ICC_PROFILE\0": PROFILE}
"""What an application segment that matters begins with -> kind."""
_WEBP_CHUNKS = {b"ICCP": (PROFILE, 0x20), b"EXIF": (EXIF, 0x08), b"XMP ": (EXIF, 0x04)}
"""Chunk beside the pixels -> kind, and the flag that announces it."""
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF = {b"avif", b"avis"}
"""Brands of ISO/IEC 23008-12, annex B, as they stand in the first box of a file."""


def is_heic(head: bytes) -> bool:
    """Whether a file that begins so is what phones of some makes take photographs in."""
    return head[8:12] in _HEIC & _brands(head) and not _AVIF & _brands(head)


def is_known(head: bytes) -> bool:
    """Whether a file that begins so is a JPEG, PNG, WebP, TIFF, AVIF or HEIC."""
    begins = head[:2] == _JPEG or head[:8] == PNG or head[:4] in HEADS
    return begins or _is_webp(head) or is_heic(head) or bool(_AVIF & _brands(head))


def _is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _brands(head: bytes) -> set[bytes]:
    length = int.from_bytes(head[:4], "big")
    others = (head[i : i + 4] for i in range(16, min(length, len(head)) - 3, 4))
    return {head[8:12], *others} if head[4:8] == b"ftyp" else set()


def without_metadata(data: bytes, but: Collection[str] = ()) -> bytes:
    """A JPEG, PNG, WebP or AVIF file without what stands beside its pixels.

    Args:
        but: kinds that a JPEG, PNG or WebP file keeps: `EXIF`, `PROFILE`.

    Raises:
        ValueError: for another format, or one whose parts can't be told.
    """
    if data[:2] == _JPEG:
        return _jpeg(data, but)
    if data[:8] == PNG:
        return PNG + b"".join(_png_chunks(data, but))
    if _is_webp(data):
        return _webp(data, but)
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


def _jpeg(data: bytes, but: Collection[str]) -> bytes:
    """Without application segments but JFIF's and Adobe's, which say what the colours are, and without comments."""
    out, at = [_JPEG], 2
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
        segment = data[at:end]
        beside = (0xE1 <= marker <= 0xEF and marker != 0xEE) or marker == 0xFE
        kind = next((kind for mark, kind in _JPEG_SEGMENTS.items() if segment[4:].startswith(mark)), None)
        if not beside or kind in but:
            out.append(segment)
        at = end
    raise ValueError("no pixels")


def _png_chunks(data: bytes, but: Collection[str]) -> Iterator[bytes]:
    at = 8
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        whole = data[at : at + 12 + length]
        text = whole[8:-4].partition(b"\0")[0] if name in (b"tEXt", b"zTXt", b"iTXt") else b""
        kept = name in _PNG_KEPT or (EXIF if text == _XMP else _PNG_KINDS.get(name)) in but
        if not name[:1].islower() or (kept and zlib.crc32(whole[4:-4]) == int.from_bytes(whole[-4:], "big")):
            yield whole
        at += 12 + length
    yield data[at:]


def _webp(data: bytes, but: Collection[str]) -> bytes:
    dropped = {name: flag for name, (kind, flag) in _WEBP_CHUNKS.items() if kind not in but}
    chunks = []
    for name, content in webp_chunks(data):
        if name == b"VP8X" and content:
            content = bytes([content[0] & ~sum(dropped.values())]) + content[1:]
        if name not in dropped:
            chunks.append(name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2))
    kept = b"".join(chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(kept)) + b"WEBP" + kept
