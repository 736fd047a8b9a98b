"""Frames of a camera: a rendered face that moves before a wall.  No person's."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from lomit.data.avatars import render_face
from support.photos import smooth

SIZE = (640, 480)
FOUND = (7, 13)
"""Seed and index of a rendered face that dlib's detector takes for one, with a score of 0.6."""
EXEMPLAR = (11, 5)
"""Another one."""


@lru_cache
def rendered(seed: int, index: int, side: int = 280) -> Image.Image:
    return render_face(seed, index, side, regions=False).image


def scene(shift: tuple[int, int] = (0, 0), size: tuple[int, int] = SIZE, side: int = 280) -> Image.Image:
    """The face in the middle of a frame, moved."""
    image = smooth(*size)
    corner = ((size[0] - side) // 2 + shift[0], (size[1] - side) // 2 + shift[1])
    image.paste(rendered(*FOUND, side), corner)
    return image


def path(count: int) -> list[tuple[int, int]]:
    """Where the face is in each frame: around a small ellipse."""
    turns = [2 * math.pi * k / count for k in range(count)]
    return [(round(60 * math.sin(t)), round(20 * math.cos(t))) for t in turns]


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def camera_file(path: Path, frames: Sequence[Image.Image], rate: int = 30) -> Path:
    """A file that Chromium takes for its camera: uncompressed YUV 4:2:0."""
    width, height = frames[0].size
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            y, cb, cr = (np.asarray(plane) for plane in frame.convert("YCbCr").split())
            file.write(b"FRAME\n" + y.tobytes())
            for plane in (cb, cr):
                file.write(plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3)).astype(np.uint8).tobytes())
    return path
