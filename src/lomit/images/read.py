"""Reading users' images: any kind in, and whatever is wrong beside the pixels does not cost the picture."""

from __future__ import annotations

import io
import logging
import os
import stat
import warnings
from dataclasses import replace

from PIL import Image, UnidentifiedImageError

from lomit.errors import LomitError, line_of
from lomit.images.containers import EXIF, HEAD, PROFILE, is_heic, is_known, without_metadata
from lomit.images.picture import MAX_PIXELS, Picture, as_picture, check_size
from lomit.images.tiff import BITS, HEADS, PLANAR, check_lengths

UPLOADED = ("PNG", "JPEG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "TIFF")
"""Formats of images that come from elsewhere."""

_FINAL = (LomitError, MemoryError, Image.DecompressionBombError)
"""Errors that no other way of reading a picture would mend."""

logger = logging.getLogger(__name__)

File = str | os.PathLike[str] | bytes
"""A path, or the content of a file."""


def read_image(path: str | os.PathLike[str]) -> Picture:
    """Reads a still image of any kind that Pillow knows; HEIC by the `heic` extra.

    Metadata that can't be used is left out, with a line in the log.  Raises LomitError where there is no such file, or
    it is not readable, not an image, damaged, animated or larger than `MAX_PIXELS`.
    """
    picture, _ = read_with_header(path, str(path))
    report(picture)
    return picture


def read_rgb(path: str | os.PathLike[str]) -> Image.Image:
    """An image of a data set: RGB on white, without a line about metadata.  Raises as `read_image`."""
    return read_with_header(path, str(path))[0].on_white()


def read_upload(data: bytes, name: str, max_pixels: int) -> Picture:
    """Reads an image that came from elsewhere: only formats whose decoders run no other program.  Raises LomitError as
    `read_image`.

    Args:
        max_pixels: larger images are refused before they are decoded.
    """
    return read_with_header(data, name, UPLOADED, max_pixels)[0]


def read_mask(path: str | os.PathLike[str]) -> Image.Image:
    """Reads a mask: mode L, white is foreground.  Colours are turned into grey; of 0 and 1 alone, 1 is white.  Raises
    LomitError as `read_image`.
    """
    return mask_of(read_image(path))


def mask_of(picture: Picture) -> Image.Image:
    """A picture as a mask, as `read_mask` has it."""
    mask = picture.on_white().convert("L")
    if mask.getextrema()[1] == 1:
        logger.warning("%s holds no value above 1: 1 is taken for white", picture.name)
        return mask.point(lambda value: 255 * value)
    return mask


def report(picture: Picture) -> None:
    """A line about metadata that could not be used, if there is any."""
    if picture.dropped:
        logger.warning("%s: %s can't be read and is left out", picture.name, " and ".join(picture.dropped))


def read_with_header(
    file: File, name: str, formats: tuple[str, ...] | None = None, max_pixels: int | None = None
) -> tuple[Picture, Image.Image]:
    """A picture, and the image that it was made of, for what stands beside its pixels (`format`, `info`).  Raises
    LomitError as `read_image`.
    """
    try:
        if not isinstance(file, bytes) and not stat.S_ISREG(os.stat(file).st_mode):
            raise LomitError(f"{name} is {'a folder' if os.path.isdir(file) else 'not a plain file'}, not an image")
        try:
            return _decode(file, name, formats, max_pixels)
        except _FINAL:
            raise
        except Exception as error:  # Pillow's decoders raise nearly everything on damaged data
            if isinstance(error, OSError) and error.errno is not None:
                raise
            data = _content(file)
            found = _rescued(data, name, formats, max_pixels)
            if found is None:
                raise LomitError(_damage(error, name, data)) from error
            return found
    except (FileNotFoundError, ValueError):  # ValueError: a name that no file can have
        raise LomitError(f"no such file: {name}") from None
    except OSError as error:
        reason = "permission denied" if isinstance(error, PermissionError) else error.strerror or error
        raise LomitError(f"{name} can't be read: {reason}") from None
    except Image.DecompressionBombError:
        most = MAX_PIXELS if max_pixels is None else max_pixels
        raise LomitError(f"{name} has more than {most / 1e6:.0f} megapixels; scale it down first") from None
    except MemoryError:
        raise LomitError(f"{name} does not fit into memory; scale it down first") from None


def _content(file: File) -> bytes:
    """A file as a whole; empty where it begins like nothing that can be rescued, such as a film of any size."""
    if isinstance(file, bytes):
        return file
    with open(file, "rb") as opened:
        head = opened.read(HEAD)
        return head + opened.read() if is_known(head) else b""


def _decode(
    file: File, name: str, formats: tuple[str, ...] | None, max_pixels: int | None
) -> tuple[Picture, Image.Image]:
    Image.init()
    known = None if formats is None else tuple(kind for kind in formats if kind in Image.OPEN)  # builds differ
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images and odd metadata; what matters is checked here
        with io.BytesIO(file) if isinstance(file, bytes) else open(file, "rb") as opened:
            check_lengths(opened)
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=known) as image:
            check_size(image.size, name, max_pixels)
            tags = getattr(image, "tag_v2", {})
            if tags.get(PLANAR) == 2 and max(tags.get(BITS, (8,))) > 8:
                # Pillow would take them for planes of 8 bits.
                raise LomitError(f"{name} is a TIFF with planes of {max(tags[BITS])} bits; save it as PNG")
            return as_picture(image, name), image


def _rescued(
    data: bytes, name: str, formats: tuple[str, ...] | None, max_pixels: int | None
) -> tuple[Picture, Image.Image] | None:
    """What Pillow alone can't read: HEIC, pictures with something damaged beside the pixels.

    Of the latter, EXIF data, XMP and profile that are whole still count.
    """
    try:
        if is_heic(data[:HEAD]):
            try:
                from pillow_heif import register_heif_opener
            except ImportError:
                raise LomitError(f"{name} is HEIC: pip install 'lomit[heic]', or save it as JPEG or PNG") from None
            register_heif_opener()
            return _decode(data, name, formats, max_pixels)
        attempts = dict.fromkeys(without_metadata(data, kept) for kept in ((EXIF, PROFILE), (EXIF,), (PROFILE,), ()))
        attempts.pop(data, None)  # has failed already
    except _FINAL:
        raise
    except Exception:  # its parts can't be told
        return None
    for attempt in attempts:
        try:
            picture, image = _decode(attempt, name, formats, max_pixels)
        except _FINAL:
            raise
        except Exception:  # what was kept is damaged, or the picture itself: then the first error says how
            continue
        return replace(picture, dropped=("damaged data beside its pixels", *picture.dropped)), image
    return None


def _damage(error: Exception, name: str, data: bytes) -> str:
    if isinstance(error, UnidentifiedImageError):
        if data[:4] in HEADS:
            return f"{name} is damaged, or a kind of TIFF that can't be read, such as floats in colour; save it as PNG"
        return f"{name} is not an image, or its beginning is damaged"
    return f"{name} is truncated or damaged: {line_of(error)}"
