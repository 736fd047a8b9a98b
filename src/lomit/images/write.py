"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lomit.errors import LomitError
from lomit.images.picture import as_picture

SOFTWARE = "lomit"
"""`Software` text of the files written here."""
LONGEST_STEM = 200
"""Bytes of a file's name without its suffixes; file systems take 255 with them."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


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

    Missing folders are made.  The file that `save` is given can be read, too.  Raises LomitError where `path` exists
    and `overwrite` is False, where the disk is full or the place is not writable; what stood at `path` is then
    unharmed.
    """
    path = Path(path)
    if not overwrite and os.path.lexists(path):
        raise LomitError(f"{path} exists already; add --overwrite to replace it")
    # A short name of its own: that of `path` may be as long as a name can be.
    short = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    part = path.with_name(f".{short}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w+b") as file:
            save(file)
        part.replace(path)
    except OSError as error:
        raise writing_failed(path, error) from error
    finally:
        # Its folder may be missing or a file; then there is nothing to remove.
        if os.path.lexists(part):
            part.unlink()


def write_bytes(path: str | os.PathLike[str], content: bytes, overwrite: bool = False) -> None:
    """Writes a file, whole or not at all.  Raises as `write_file`."""
    write_file(path, lambda file: file.write(content), overwrite)


def writing_failed(path: str | os.PathLike[str], error: OSError) -> LomitError:
    """The line for an OSError that came from writing to `path`."""
    if error.errno in _FULL:
        return LomitError(f"no space left for {path}; free some and run the command again")
    return LomitError(f"can't write {path}: {error.strerror or error}")


def short_stem(stem: str, most: int = LONGEST_STEM) -> str:
    """A name for files, cut to `most` bytes where it is longer; different names stay different."""
    data = stem.encode("utf-8", "surrogateescape")
    if len(data) <= most:
        return stem
    mark = hashlib.blake2b(data, digest_size=6).hexdigest()
    return f"{data[: most - 13].decode('utf-8', 'ignore')}~{mark}"
