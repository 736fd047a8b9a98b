"""Files of photographs: read with what must survive a change of their pixels, written in the format they had."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from PIL import Image, JpegImagePlugin
from PIL.ExifTags import IFD, Base

from lomit.errors import LomitError
from lomit.images import SOFTWARE, Picture, as_picture, read_image, write_file

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

_DESCRIPTIVE = {
    *(Base.ImageDescription, Base.Make, Base.Model, Base.DateTime, Base.Artist, Base.Copyright),
    *(Base.HostComputer, Base.XResolution, Base.YResolution, Base.ResolutionUnit),
}
_NESTED = (IFD.Exif, IFD.GPSInfo)
_LOSSLESS_TIFF = {"tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma"}


@dataclass(frozen=True)
class Photograph:
    """A photograph and what its file says beside the pixels.

    Attributes:
        picture: the pixels, upright.
        format: Pillow's name of the file's format; MPO, a JPEG with a preview behind it, is JPEG here.
        exif: metadata without orientation (the pixels are upright) and without the embedded preview, which would show
            the photograph as it was.
        saving: what Pillow needs to compress it as it was compressed.
    """

    picture: Picture
    format: str
    exif: Image.Exif
    saving: dict[str, Any] = field(default_factory=dict)


def read_photograph(path: str | os.PathLike[str]) -> Photograph:
    """Reads a photograph.  Raises as `lomit.images.read_image`."""
    picture = read_image(path)
    # Read again for what stands in the header; no pixels are decoded.
    with Image.open(path) as image:
        kind = "JPEG" if image.format == "MPO" else str(image.format)
        saving: dict[str, Any] = {}
        if kind == "JPEG":
            saving = _jpeg(image)
        elif kind == "WEBP":
            saving = _webp(path)
        elif kind == "TIFF" and image.info.get("compression") in _LOSSLESS_TIFF:
            saving = {"compression": image.info["compression"]}
        return Photograph(picture, kind, _descriptive(image, picture), saving)


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
        source: where the metadata come from and, if it has the same format, the compression.
        quality: of JPEG and WebP, 1 to 100.  None: as the source was compressed, or 95.
        overwrite: replace a file that exists.

    Raises:
        LomitError: as `lomit.images.write_file`, and for a format or quality that there is not.
    """
    form = FORMATS.get(Path(path).suffix.lower())
    if form is None:
        raise LomitError(f"{path}: photographs are written as {' '.join(FORMATS)}; choose one of these endings")
    if quality is not None and not 1 <= quality <= 100:
        raise LomitError(f"the quality must lie between 1 and 100; it is {quality}")
    saving = dict(source.saving) if form == source.format else {}
    if form in ("JPEG", "WEBP") and (quality is not None or not saving):
        quality = QUALITY if quality is None else quality
        # Colours at half the resolution are the first thing to be seen in a good JPEG.
        saving = {"quality": quality} | ({"subsampling": 0} if form == "JPEG" and quality >= 90 else {})
    elif form == "TIFF":
        # Pillow can't write nested metadata beside compressed pixels.
        nested = any(part in source.exif for part in _NESTED)
        saving = {} if nested else saving or {"compression": "tiff_lzw"}
    icc = image.info.get("icc_profile")
    if icc:
        saving["icc_profile"] = icc
    colours = as_picture(image).on_white() if form == "JPEG" else image
    write_file(path, lambda file: colours.save(file, form, exif=source.exif.tobytes(), **saving), overwrite)


def _descriptive(image: Image.Image, upright: Picture) -> Image.Exif:
    """The metadata that still holds for the upright pixels, as new metadata that says which program wrote it."""
    own, kept = image.getexif(), Image.Exif()
    # A TIFF's metadata is mixed with what describes its own strips of pixels.
    for tag, value in own.items():
        if tag in _DESCRIPTIVE:
            kept[tag] = value
    for part in _NESTED:
        values = dict(own.get_ifd(part))
        if Base.ExifImageWidth in values:
            values |= {Base.ExifImageWidth: upright.size[0], Base.ExifImageHeight: upright.size[1]}
        if values:
            kept[part] = values
    kept[Base.Software] = SOFTWARE
    return kept


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


def _webp(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Lossless where the file is."""
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    # The name of the chunk that holds lossless pixels; it follows the header and, where there is one, the profile.
    return {"lossless": True, "exact": True} if b"VP8L" in head and b"VP8 " not in head else {}
