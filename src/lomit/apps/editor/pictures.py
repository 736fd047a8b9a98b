"""Pictures on their way to a page.  They travel inside the messages, so that none lies on the disk."""

from __future__ import annotations

import base64
import io

from PIL import Image

from lomit.images import Picture, as_picture, save_png
from lomit.images.colour import to_srgb


def data_url(image: Picture | Image.Image) -> str:
    """An image as JPEG in sRGB, on white where it is transparent."""
    file, picture = io.BytesIO(), as_picture(image)
    to_srgb(picture.on_white(), picture.icc).save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def mask_url(mask: Image.Image) -> str:
    """A mask as PNG, without loss."""
    file = io.BytesIO()
    mask.convert("L").save(file, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def png_bytes(image: Image.Image) -> bytes:
    """The file that `lomit.images.write_png` writes."""
    file = io.BytesIO()
    save_png(file, image)
    return file.getvalue()
