"""Files of photographs: read with what must survive a change of their pixels, written in the format they had."""

from __future__ import annotations

import io
import logging
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from PIL import Image, JpegImagePlugin

from lomit.errors import LomitError
from lomit.images import SOFTWARE, Picture, as_picture, write_file
from lomit.images.containers import webp_chunks
from lomit.images.exif import MARK, Metadata, add_to_tiff, block_of, read_metadata
from lomit.images.read import read_with_header, report

Format = Literal["JPEG", "PNG", "WEBP", "TIFF"]
FORMATS: dict[str, Format] = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    ".png": "PNG",
    ".webp": "WEBP",
}
"""Suffix of a file's name -> the format that is written under it."""
QUALITY = 95
"""Of JPEG and lossy WebP where the input does not say how it was compressed."""
MOST_EXIF = 65_527
"""Bytes of EXIF data that fit into the one segment of a JPEG."""
LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
"""Pixels that libjpeg and libwebp take; the other formats have room for any image that can be read."""
_LOSSLESS_TIFF = {"tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma"}

logger = logging.getLogger(__name__)


class FormatError(LomitError):
    """A photograph can't be written in this format; others may."""


@dataclass(frozen=True)
class Photograph:
    """A photograph and what its file says beside the pixels.

    Attributes:
        format: Pillow's name of the file's format; MPO, a JPEG with a preview behind it, is JPEG here.
        metadata: EXIF data without orientation (the pixels are upright) and without the embedded preview, which would
            show the photograph as it was.
        saving: what Pillow needs to compress it as it was compressed.
    """

    picture: Picture
    format: str
    metadata: Metadata
    saving: dict[str, Any] = field(default_factory=dict)


def read_photograph(path: str | os.PathLike[str]) -> Photograph:
    """Reads a photograph.  Metadata that can't be read is left out, with a line in the log.  Raises LomitError as
    `lomit.images.read_image`.
    """
    picture, image = read_with_header(path, str(path))
    report(picture)
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    saving: dict[str, Any] = {}
    if kind == "JPEG":
        saving = _jpeg(image)
    elif kind == "WEBP" and any(name == b"VP8L" for name, _ in webp_chunks(Path(path).read_bytes())):
        saving = {"lossless": True, "exact": True}
    elif kind == "TIFF" and image.info.get("compression") in _LOSSLESS_TIFF:
        saving = {"compression": image.info["compression"]}
    return Photograph(picture, kind, _metadata(path, image), saving)


def write_photograph(
    path: str | os.PathLike[str],
    image: Image.Image,
    source: Photograph,
    quality: int | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a photograph with the metadata of another, whole or not at all, in the format that its name says.

    Args:
        path: where to; its suffix is one of `FORMATS`.
        image: RGB or RGBA; its profile is taken from its `info`.  A JPEG shows white through transparent parts.
        source: where the metadata comes from and, if it has the same format, the compression.
        quality: of JPEG and WebP, 1 to 100.  None: as the source was compressed, or 95.

    Raises:
        FormatError: for sides that the format can't have, and the like.
        LomitError: as `lomit.images.write_file`, and for a format or quality that there is not.
    """
    form = FORMATS.get(Path(path).suffix.lower())
    if form is None:
        raise LomitError(f"{path}: photographs are written as {' '.join(FORMATS)}; choose one of these endings")
    if quality is not None and not 1 <= quality <= 100:
        raise LomitError(f"the quality must lie between 1 and 100; it is {quality}")
    most = LONGEST_SIDE.get(form)
    if most is not None and max(image.size) > most:
        raise FormatError(
            f"{path} can't be written as {form}: its sides may have at most {most} pixels; choose another --format"
        )
    saving = dict(source.saving) if form == source.format else {}
    if form in ("JPEG", "WEBP") and (quality is not None or not saving):
        quality = QUALITY if quality is None else quality
        # Colours at half the resolution are the first thing to be seen in a good JPEG.
        saving = {"quality": quality} | ({"subsampling": 0} if form == "JPEG" and quality >= 90 else {})
    elif form == "TIFF":
        saving = saving or {"compression": "tiff_lzw"}
    if icc := image.info.get("icc_profile"):
        saving["icc_profile"] = icc
    colours = as_picture(image).on_white() if form == "JPEG" else image
    metadata = source.metadata.signed(SOFTWARE, image.size)
    exif, dropped = metadata.block(MOST_EXIF if form == "JPEG" else None)
    if dropped:
        logger.warning("%s: the longest EXIF values (%d) are left out: a JPEG has no room for them", path, len(dropped))

    def save(file: BinaryIO) -> None:
        if form == "TIFF":
            colours.save(file, form, **saving)
            add_to_tiff(file, metadata)
        else:
            colours.save(file, form, exif=MARK + exif, **saving)

    try:
        write_file(path, save, overwrite)
    except (ValueError, OverflowError, struct.error) as error:  # what else a format can't have
        raise FormatError(f"{path} can't be written as {form}: {error}; choose another --format") from error


def _metadata(path: str | os.PathLike[str], image: Image.Image) -> Metadata:
    """The metadata that still holds for upright pixels; none where it can't be read, of which `report` has told."""
    try:
        if image.format == "TIFF":
            with open(path, "rb") as file:
                return read_metadata(file)
        return read_metadata(io.BytesIO(block_of(image) or b""))
    except ValueError:
        return Metadata()


def _jpeg(image: Image.Image) -> dict[str, Any]:
    """The tables and the subsampling of a JPEG with colours in them; those of a grey or CMYK one don't fit RGB."""
    tables = getattr(image, "quantization", None)
    if image.mode != "RGB" or not tables:
        return {}
    saving: dict[str, Any] = {"qtables": tables, "optimize": True}
    if (sampling := JpegImagePlugin.get_sampling(image)) >= 0:
        saving["subsampling"] = sampling
    if image.info.get("progressive"):
        saving["progressive"] = True
    return saving
