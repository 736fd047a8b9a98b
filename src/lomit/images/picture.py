"""A still image as networks take it: upright, 8 bits a channel, everything else kept beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from lomit.errors import LomitError
from lomit.images.colour import is_usable, to_srgb
from lomit.images.exif import TURNS, orientation
from lomit.images.tiff import BITS, PHOTOMETRIC

MAX_PIXELS = 178_956_970
"""Larger images are refused before they are decoded; Pillow's own limit against decompression bombs."""
SINGLE = ("MPO", "HEIF")
"""Formats of photographs that hold more images, such as a depth map or a preview, of which one is the photograph."""
OVERSHOOT = 0.1
"""How far floats may lie beyond their range, as a share of it: sharpening and scaling put them there."""

_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")

PROFILE, EXIF = "its colour profile", "its EXIF data"
"""Words of `Picture.dropped`."""


@dataclass(frozen=True)
class Picture:
    """A still image, upright, 8 bits a channel.

    Attributes:
        rgb: the colours, mode RGB.  Under transparent pixels they are whatever the file holds.
        alpha: opacity, mode L, or None.
        icc: colour profile of `rgb`, or None where it is sRGB or unknown.
        name: what errors call it.
        dropped: what could not be used of the file's metadata.
    """

    rgb: Image.Image
    alpha: Image.Image | None = None
    icc: bytes | None = None
    name: str = "image"
    dropped: tuple[str, ...] = ()

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


def as_picture(image: Picture | Image.Image | np.ndarray, name: str = "image") -> Picture:
    """A Pillow image of any mode, or an array H x W, H x W x 3 or H x W x 4, as a `Picture`.

    Arrays hold uint8, bool (True is white) or floats in 0..1; what sharpening puts a tenth beyond is clipped.

    The EXIF orientation is applied.  16-bit grey is scaled, CMYK, grey and Lab with a profile are converted to sRGB; an
    RGB image keeps its values and its profile.  Raises LomitError for an animation, an image that is too large, and
    arrays of another shape or type.
    """
    if isinstance(image, Picture):
        return image
    if isinstance(image, np.ndarray):
        return _picture(_from_array(image, name), name)
    if not isinstance(image, Image.Image):
        raise LomitError(
            f"{name}: give a path, a PIL image, an array or a tensor; it is of type {type(image).__name__}"
        )
    check_size(image.size, name)
    frames = getattr(image, "n_frames", 1) if image.format not in SINGLE else 1
    if frames > 1:
        raise LomitError(f"{name} has {frames} frames; give one still image")
    image.load()
    turned, readable = orientation(image)
    picture = _picture(image, name, TURNS.get(turned))
    return picture if readable else replace(picture, dropped=(*picture.dropped, EXIF))


def check_size(size: tuple[int, int], name: str, max_pixels: int | None = None) -> None:
    """Raises LomitError for an image with more than `max_pixels` (None: `MAX_PIXELS`)."""
    most = MAX_PIXELS if max_pixels is None else max_pixels
    if size[0] * size[1] > most:
        raise LomitError(f"{name} has more than {most / 1e6:.0f} megapixels; scale it down first")


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    coloured = array.ndim == 3 and array.shape[2] in (3, 4)
    if not (array.ndim == 2 or coloured) or not array.size:
        raise LomitError(f"{name}: an array must be H x W, H x W x 3 or H x W x 4; its shape is {array.shape}")
    if array.dtype == bool:
        array = array * np.uint8(255)
    elif array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not -OVERSHOOT <= low <= high <= 1 + OVERSHOOT:
            raise LomitError(f"{name}: an array of floats must lie in 0..1; it has values from {low:g} to {high:g}")
        array = np.rint(255 * array.astype(np.float32).clip(0, 1)).astype(np.uint8)
    if array.dtype != np.uint8:
        raise LomitError(f"{name}: an array must hold uint8, bool or floats in 0..1; its type is {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array))


def _picture(image: Image.Image, name: str, turn: Image.Transpose | None = None) -> Picture:
    """A decoded image, turned upright."""
    rgb, alpha, icc, dropped = _parts(image, name)
    rgb.info = {}  # it is no file's image any more: what is said there would count again, such as how it is turned
    if turn is not None:
        rgb, alpha = rgb.transpose(turn), alpha and alpha.transpose(turn)
    return Picture(rgb, alpha, icc, name, dropped)


def _parts(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None, bytes | None, tuple[str, ...]]:
    """Colours, opacity and profile of an image, and what could not be used of it."""
    if image.mode in _DEEP:
        tags = getattr(image, "tag_v2", {})
        values = eight_bits(np.asarray(image), name, int(tags.get(BITS, (16,))[0]), tags.get(PHOTOMETRIC) == 0)
        return Image.fromarray(values).convert("RGB"), None, None, ()
    icc, alpha = image.info.get("icc_profile"), None
    if image.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        rgb, alpha = rgba.convert("RGB"), rgba.getchannel("A")
    elif image.mode in ("CMYK", "L", "LAB"):
        dropped = (PROFILE,) if icc and not is_usable(icc, image.mode) else ()
        return to_srgb(image, icc), None, None, dropped
    else:
        rgb = image.convert("RGB")
    if not icc or image.mode[0] not in "RP":  # the grey profile of an LA image can't describe the RGB it becomes
        return rgb, alpha, None, ()
    if not is_usable(icc, "RGB"):
        return rgb, alpha, None, (PROFILE,)
    if not is_usable(icc, "RGB", back=True):  # a scanner's or a camera's, in which nothing can be written
        return to_srgb(rgb, icc), alpha, None, ()
    return rgb, alpha, icc, ()


def eight_bits(values: np.ndarray, name: str, bits: int = 16, white_is_zero: bool = False) -> np.ndarray:
    """Values of more than 8 bits as uint8, in the same shape.

    Unsigned integers of up to 16 bits span all of `bits`.  Integers and floats of 32 bits come with no range of their
    own: it is guessed from the largest value, 1 (floats), 255 or 65535.  Raises LomitError for values without a
    sensible range.
    """
    low, high = float(values.min()), float(values.max())
    floating = values.dtype.kind == "f"
    full = 65535.0
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        full = 2.0 ** min(bits, 8 * values.dtype.itemsize) - 1
    elif floating and high <= 1 + OVERSHOOT:
        full = 1.0
    elif high <= 255:
        full = 255.0
    slack = OVERSHOOT if full == 1 else 0.0
    if not (low >= -slack and high <= full + slack):
        raise LomitError(f"{name} holds values from {low:g} to {high:g}; save it with 8 or 16 bits a channel")
    scaled = values.astype(np.float32) * (255 / full)
    return np.rint(np.clip(255 - scaled if white_is_zero else scaled, 0, 255)).astype(np.uint8)
