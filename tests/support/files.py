"""Files of pictures that Pillow does not write: kinds of TIFF, EXIF blocks and profiles with something odd in them."""

from __future__ import annotations

import functools
import struct

import numpy as np
from PIL import ImageCms

from lomit.images import tiff
from lomit.images.exif import MARK
from lomit.images.tiff import LONG, SHORT, Entries, Entry, entry

TURNED = {tiff.ORIENTATION: entry(SHORT, 6)}
"""An orientation tag: shown turned clockwise by 90 degrees."""


def text(value: str) -> Entry:
    """A tag of type ASCII, with whatever bytes a camera writes into it."""
    data = value.encode("utf-8") + b"\0"
    return Entry(tiff.TEXT, len(data), data)


def rational(numerator: int, denominator: int) -> Entry:
    return Entry(5, 1, struct.pack("<II", numerator, denominator))


def exif(entries: Entries, nested: dict[int, Entries] | None = None) -> bytes:
    """A block as Pillow's `exif=` takes it."""
    return MARK + tiff.block("<", entries, nested or {})


def tiff_file(
    pixels: np.ndarray,
    photometric: int,
    *,
    order: str = "<",
    bits: int | None = None,
    apart: bool = False,
    packed: bytes | None = None,
) -> bytes:
    """An uncompressed TIFF of these values, H x W or H x W x C.

    Args:
        pixels: the values.
        photometric: 0 where 0 is white, 1 where it is black, 2 for RGB.
        order: of the bytes.
        bits: of a sample.
        apart: one plane after the other.
        packed: the values' bytes, where they are packed more tightly than `pixels`.
    """
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    planes = np.moveaxis(pixels, 2, 0) if apart else pixels[None]
    stored = [plane.astype(pixels.dtype.newbyteorder(order)).tobytes() for plane in planes]
    data = stored if packed is None else [packed]
    width, kind = bits or 8 * pixels.dtype.itemsize, {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    places = [8 + sum(map(len, data[:k])) for k in range(len(data))]
    tags = {
        **{tag: entry(LONG, n, order=order) for tag, n in ((256, pixels.shape[1]), (257, len(pixels)))},
        **{tag: entry(SHORT, *[n] * samples, order=order) for tag, n in ((tiff.BITS, width), (339, kind))},
        259: entry(SHORT, 1, order=order),
        tiff.PHOTOMETRIC: entry(SHORT, photometric, order=order),
        277: entry(SHORT, samples, order=order),
        tiff.PLANAR: entry(SHORT, 1 + apart, order=order),
        273: entry(LONG, *places, order=order),
        279: entry(LONG, *map(len, data), order=order),
        278: entry(LONG, len(pixels), order=order),
    }
    pixels_of = b"".join(data) + b"\0" * (sum(map(len, data)) % 2)
    body, begin = tiff.directory(order, tags, {}, 8 + len(pixels_of))
    return tiff.header(order, begin) + pixels_of + body


@functools.cache
def srgb_profile() -> bytes:
    """The same in every call: a profile holds the second in which it was made."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def linear_profile() -> bytes:
    """A profile that calls itself sRGB but has straight curves: values stand for light itself."""
    data = bytearray(srgb_profile())
    for at, _ in profile_tags(data, b"TRC"):
        data[at + 8 : at + 10], data[at + 12 : at + 16] = bytes(2), (1 << 16).to_bytes(4, "big")  # x to the power of 1
    return bytes(data)


def profile_tags(data: bytes | bytearray, name: bytes) -> list[tuple[int, int]]:
    """Place and length of a profile's tags whose name ends so."""
    count = int.from_bytes(data[128:132], "big")
    entries = [data[132 + 12 * k : 144 + 12 * k] for k in range(count)]
    return [(int.from_bytes(e[4:8], "big"), int.from_bytes(e[8:12], "big")) for e in entries if e[:4].endswith(name)]
