"""Users' images, in and out: any mode in, upright 8-bit RGB for the networks, everything else kept beside it."""

from __future__ import annotations

from lomit.images.picture import MAX_PIXELS, Picture, as_picture
from lomit.images.read import mask_of, read_image, read_mask, read_rgb, read_upload
from lomit.images.write import (
    SOFTWARE,
    save_png,
    short_stem,
    write_bytes,
    write_file,
    write_gif,
    write_png,
    writing_failed,
)

__all__ = [
    "MAX_PIXELS",
    "SOFTWARE",
    "Picture",
    "as_picture",
    "mask_of",
    "read_image",
    "read_mask",
    "read_rgb",
    "read_upload",
    "save_png",
    "short_stem",
    "write_bytes",
    "write_file",
    "write_gif",
    "write_png",
    "writing_failed",
]
