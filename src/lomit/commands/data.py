"""`lomit data avatars` renders a set of faces, `lomit data pack` writes a set as one file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lomit.config import DataConfig


@dataclass
class DataAvatars:
    """Render labelled faces, with the true mask of every region, into a folder that `--data.root` accepts."""

    out: Path
    """Folder to write."""
    count: int = 10_000
    """Number of faces; the last tenth is the test part, the twentieth before it the validation part."""
    seed: int = 0
    """Number of the set; face k of a set is the same whatever the count."""
    size: int = 128
    """Side of the images in pixels."""
    workers: int = 2
    """Processes that render."""
    regions: Literal["all", "test", "none"] = "all"
    """Faces that get true masks; they take most of the time."""
    overwrite: bool = False
    """Replace a set that is already in the folder, where nothing else lies there."""

    def main(self) -> int:
        from lomit.data.avatars.write import write_avatars

        write_avatars(
            self.out, self.count, self.seed, self.size, self.workers, overwrite=self.overwrite, regions=self.regions
        )
        print(
            f"{self.count} faces of {self.size} x {self.size} pixels are in {self.out}; "
            "dataset.json names the styles' authors and licences"
        )
        return 0


@dataclass
class DataPack:
    """Write crops, labels, splits and people of a data set as one file that `--data.root` accepts."""

    out: Path
    """File to write."""
    data: DataConfig = field(default_factory=DataConfig)
    """The set and how it is cut; all its attributes are packed."""
    quality: int = 90
    """Of JPEG or WebP, 1 to 95."""
    splits: tuple[Literal["train", "val", "test"], ...] = ()
    """Parts to take; all where none is named."""
    max_images: int | None = None
    """At most so many images, drawn at random but always the same ones."""
    encoding: Literal["jpeg", "webp"] = "jpeg"
    """How the crops are stored; WebP has a smaller error at the same size."""
    overwrite: bool = False
    """Replace a file that is already there."""

    def main(self) -> int:
        from lomit.data.open import open_source
        from lomit.data.pack import write_pack

        number = write_pack(
            open_source(self.data),
            self.data,
            self.out,
            self.quality,
            self.splits,
            self.max_images,
            self.overwrite,
            encoding=self.encoding,
        )
        size = self.out.stat().st_size / 2**20
        print(f"{self.out}: {number} images of {self.data.image_size} pixels, {size:.1f} MiB")
        return 0
