"""Users' images, in and out: any mode in, upright 8-bit RGB for the networks, everything else kept beside it."""

from __future__ import annotations

import errno
import io
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from lomit.errors import LomitError

MAX_PIXELS = 178_956_970
"""Larger images are refused before they are decoded; Pillow's own limit against decompression bombs."""
UPLOADED = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""Formats of images that come from elsewhere."""
SOFTWARE = "lomit"
"""`Software` text of the PNG files written here."""

_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of ISO/IEC 23008-12, annex B, as they stand in the first box of a file."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Picture:
    """A still image, upright, 8 bits a channel.

    Attributes:
        rgb: the colours, mode RGB.  Under transparent pixels they are whatever the file holds.
        alpha: opacity, mode L, or None.
        icc: colour profile of `rgb`, or None where it is sRGB or unknown.
        name: what errors call it.
    """

    rgb: Image.Image
    alpha: Image.Image | None = None
    icc: bytes | None = None
    name: str = "image"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.rgb.size

    def on_white(self) -> Image.Image:
        """RGB with white showing through where the image is transparent, as the training images are read."""
        if self.alpha is None:
            return self.rgb
        return Image.composite(self.rgb, Image.new("RGB", self.size, "white"), self.alpha)

    def with_colours(self, rgb: Image.Image) -> Image.Image:
        """Other colours of the same size, with this image's opacity and profile: RGBA or RGB."""
        image = rgb.copy()
        if self.alpha is not None:
            image.putalpha(self.alpha)
        if self.icc is not None:
            image.info["icc_profile"] = self.icc
        return image


def read_image(path: str | os.PathLike[str]) -> Picture:
    """Reads a still image of any kind that Pillow knows.

    Raises:
        LomitError: where there is no such file, or it is not readable, not an image, damaged, animated or
            larger than `MAX_PIXELS`.
    """
    return _read(path, str(path))


def read_upload(data: bytes, name: str, max_pixels: int) -> Picture:
    """Reads an image that came from elsewhere: only formats whose decoders run no other program.

    Args:
        data: the file.
        name: what errors call it.
        max_pixels: larger images are refused before they are decoded.

    Raises:
        LomitError: as `read_image`.
    """
    Image.init()
    formats = tuple(kind for kind in UPLOADED if kind in Image.OPEN)  # builds of Pillow differ
    return _read(io.BytesIO(data), name, formats, max_pixels)


def read_mask(path: str | os.PathLike[str]) -> Image.Image:
    """Reads a mask: mode L, white is foreground.  Colours are turned into grey.  Raises as `read_image`."""
    return read_image(path).on_white().convert("L")


def as_picture(image: Picture | Image.Image | np.ndarray, name: str = "image") -> Picture:
    """A Pillow image of any mode, or an array H x W, H x W x 3 or H x W x 4 of uint8, as a `Picture`.

    The EXIF orientation is applied.  16-bit grey is scaled, CMYK, grey and Lab with a profile are converted to
    sRGB; an RGB image keeps its values and its profile.

    Raises:
        LomitError: for an animation, an image that is too large, and arrays of another shape or type.
    """
    if isinstance(image, Picture):
        return image
    if isinstance(image, np.ndarray):
        return Picture(*_split(_from_array(image, name), name), name=name)
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(name)
    # Phones append a depth map or a preview to their JPEGs, which are then called MPO: the first is the photograph.
    frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    if frames > 1:
        raise LomitError(f"{name} has {frames} frames; give one still image")
    return Picture(*_split(ImageOps.exif_transpose(image), name), name=name)


def write_png(path: str | os.PathLike[str], image: Image.Image, overwrite: bool = False) -> None:
    """Writes a PNG, whole or not at all.  Raises as `write_file`."""
    write_file(path, lambda file: save_png(file, image), overwrite)


def save_png(file: BinaryIO, image: Image.Image) -> None:
    """A PNG into an open file."""
    info = PngInfo()
    info.add_text("Software", SOFTWARE)
    image.save(file, "PNG", pnginfo=info)


def write_gif(
    path: str | os.PathLike[str], frames: Sequence[Image.Image], milliseconds: int = 120, overwrite: bool = False
) -> None:
    """Writes an endless animation, each frame shown for `milliseconds`.  Raises as `write_file`."""
    first, *rest = [as_picture(frame).on_white() for frame in frames]
    write_file(
        path,
        lambda file: first.save(file, "GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0),
        overwrite,
    )


def write_file(path: str | os.PathLike[str], save: Callable[[BinaryIO], object], overwrite: bool = False) -> None:
    """Calls `save` with a temporary file beside `path` that takes its place when it is complete.

    Missing folders are made.

    Raises:
        LomitError: where `path` exists and `overwrite` is False, where the disk is full or the place is not
            writable; what stood at `path` is then unharmed.
    """
    path = Path(path)
    if not overwrite and os.path.lexists(path):
        raise LomitError(f"{path} exists already; add --overwrite to replace it")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            save(file)
        part.replace(path)
    except OSError as error:
        raise writing_failed(path, error) from error
    finally:
        # Its folder may be missing or a file; then there is nothing to remove.
        if os.path.lexists(part):
            part.unlink()


def writing_failed(path: str | os.PathLike[str], error: OSError) -> LomitError:
    """The line for an OSError that came from writing to `path`."""
    if error.errno in _FULL:
        return LomitError(f"no space left for {path}; free some and run the command again")
    return LomitError(f"can't write {path}: {error.strerror or error}")


def _read(
    source: str | os.PathLike[str] | BinaryIO,
    name: str,
    formats: tuple[str, ...] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Picture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images and odd metadata; what matters is checked here
        try:
            with Image.open(source, formats=formats) as image:
                if image.width * image.height > max_pixels:
                    raise _too_large(name, max_pixels)
                return as_picture(image, name)
        except LomitError:
            raise
        except FileNotFoundError:
            raise LomitError(f"no such file: {name}") from None
        except IsADirectoryError:
            raise LomitError(f"{name} is a folder, not an image") from None
        except PermissionError:
            raise LomitError(f"{name} can't be read: permission denied") from None
        except UnidentifiedImageError:
            if _is_heic(source):
                raise LomitError(f"{name} is a HEIC image, which can't be read; save it as JPEG or PNG first") from None
            raise LomitError(f"{name} is not an image, or its beginning is damaged") from None
        except Image.DecompressionBombError:
            raise _too_large(name, max_pixels) from None
        except MemoryError:
            raise LomitError(f"{name} does not fit into memory; scale it down first") from None
        except Exception as error:  # Pillow's decoders raise nearly everything on damaged data
            line = (str(error) or type(error).__name__).splitlines()[0]
            raise LomitError(f"{name} is truncated or damaged: {line}") from error


def _is_heic(source: str | os.PathLike[str] | BinaryIO) -> bool:
    """Whether it is what phones of some makes take photographs in, for which Pillow has no decoder."""
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:
            return _is_heic(file)
    source.seek(0)
    head = source.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC


def _too_large(name: str, max_pixels: int = MAX_PIXELS) -> LomitError:
    return LomitError(f"{name} has more than {max_pixels / 1e6:.0f} megapixels; scale it down first")


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    coloured = array.ndim == 3 and array.shape[2] in (3, 4)
    if not (array.ndim == 2 or coloured) or not array.size:
        raise LomitError(f"{name}: an array must be H x W, H x W x 3 or H x W x 4; its shape is {array.shape}")
    if array.dtype != np.uint8:
        raise LomitError(f"{name}: an array must hold uint8 in 0..255; its type is {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array))


def _split(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None, bytes | None]:
    """Colours, opacity and profile of an upright image."""
    if image.mode in _DEEP:
        return _eight_bits(image, name).convert("RGB"), None, None
    icc = image.info.get("icc_profile")
    if image.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        # The grey profile of an LA image can't describe the RGB it becomes.
        return rgba.convert("RGB"), rgba.getchannel("A"), icc if image.mode[0] in "RP" else None
    if image.mode in ("CMYK", "L", "LAB") and (icc or image.mode == "LAB"):
        return _to_srgb(image, icc), None, None
    return image.convert("RGB"), None, icc if image.mode in ("RGB", "P") else None


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Deep grey as mode L.

    A 16-bit image spans 0..65535.  Integers and floats of 32 bits come with no range of their own: it is guessed
    from the largest value, 1 (floats), 255 or 65535.
    """
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 65535):
        raise LomitError(f"{name} holds values from {low:g} to {high:g}; save it with 8 or 16 bits a channel")
    full = 65535.0
    if image.mode == "F" and high <= 1:
        full = 1.0
    elif image.mode in ("I", "F") and high <= 255:
        full = 255.0
    return Image.fromarray(np.rint(values.astype(np.float32) * (255 / full)).astype(np.uint8))


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Colours by the image's own profile; without a usable one by Pillow's plain conversion."""
    from PIL import ImageCms

    try:
        own = ImageCms.createProfile("LAB") if icc is None else ImageCms.ImageCmsProfile(io.BytesIO(icc))
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        converted = None
    if converted is None:
        return image.convert("RGB")
    converted.info.pop("icc_profile", None)
    return converted
