"""`lomit data avatars` and `lomit data pack`: sets of faces, rendered or packed into one file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lomit.config import DataConfig
from lomit.data.avatars import write_avatars
from lomit.data.avatars.write import WithRegions
from lomit.data.open import open_source
from lomit.data.pack import Encoding, write_pack


def data_avatars(
    out: Path,
    count: int = 10_000,
    seed: int = 0,
    size: int = 128,
    workers: int = 2,
    regions: WithRegions = "all",
    overwrite: bool = False,
) -> None:
    """Renders labelled faces, with the true mask of every region, into a folder that `--data.root` accepts.

    Args:
        out: Folder to write.
        count: Number of faces; the last tenth is the test part, the twentieth before it the validation part.
        seed: Number of the set; face k of a set is the same whatever the count.
        size: Side of the images in pixels.
        workers: Processes that render.
        regions: Faces that get true masks; they take most of the time.
        overwrite: Replace a set that is already in the folder; what else lies there stays.
    """
    write_avatars(out, count, seed, size, workers, overwrite=overwrite, regions=regions)
    print(f"{count} faces of {size} x {size} pixels are in {out}; dataset.json names the styles' authors and licences")


def data_pack(
    data: DataConfig,
    out: Path,
    quality: int = 90,
    splits: tuple[Literal["train", "val", "test"], ...] = (),
    max_images: int | None = None,
    encoding: Encoding = "jpeg",
    overwrite: bool = False,
) -> None:
    """Writes crops, labels, splits and people of a data set as one file that `--data.root` accepts.

    Args:
        data: The set and how it is cut; all its attributes are packed.
        out: File to write.
        quality: Of JPEG or WebP, 1 to 95.
        splits: Parts to take; all where none is named.
        max_images: At most so many images, drawn at random but always the same ones.
        encoding: How the crops are stored; WebP has a smaller error at the same size.
        overwrite: Replace a file that is already there.
    """
    count = write_pack(open_source(data), data, out, quality, splits, max_images, overwrite, encoding=encoding)
    print(f"{out}: {count} images of {data.image_size} pixels, {out.stat().st_size / 2**20:.1f} MiB")
