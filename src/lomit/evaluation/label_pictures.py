"""Label pictures: where hair, face and mouth are in photographs, drawn by hand or by a face parser.

A label picture is a grey PNG of its image's size, called after the image's stem.  A pixel's value is the number of its
region in `LABELS` (CelebAMask-HQ's classes, merged).  A second picture in the folder `valid` beside them may say
where the labels count: 255 there, 0 elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from lomit.config import DataConfig
from lomit.data.decode import Geometry
from lomit.data.source import Source
from lomit.data.transforms import centre_box
from lomit.errors import LomitError
from lomit.evaluation.landmarks import REGION_OF as EXPECTED

LABELS = ("background", "hair", "skin", "mouth", "other")
"""Regions of a label picture, by its values; skin is the face's with the nose, mouth is with the lips."""
REGION_OF = {name: regions[0] for name, regions in EXPECTED.items() if len(regions) == 1 and regions[0] in LABELS}
"""Attribute -> the one region in which two faces that differ in it differ: hair or mouth.  Of other attributes (beards,
make-up, gender) the labels don't tell where they are."""
FOLDERS = ("labels", "masks")
"""Where label pictures lie in a folder that holds them with others."""
VALID = "valid"
COUNTS = 0.5
"""Share of a pixel that must be labelled for it to count."""


class LabelPictures:
    """The label pictures of a folder.  Raises LomitError where it holds no PNG.

    Args:
        path: the folder of PNGs, or one with `labels/` or `masks/`; `valid/` stands beside the PNGs' folder.
    """

    def __init__(self, path: Path) -> None:
        self.folder = next((path / name for name in FOLDERS if (path / name).is_dir()), path)
        found = {p.stem: p for p in self.folder.glob("*.png")} if self.folder.is_dir() else {}
        if not found:
            raise LomitError(
                f"{path} holds no label pictures: give the folder of the PNGs, or the one with their {FOLDERS[0]}/"
            )
        valid = self.folder.parent / VALID
        self.valid = valid if valid.is_dir() else None
        self.paths = found if self.valid is None else {k: p for k, p in found.items() if (valid / p.name).is_file()}
        self._sizes: dict[str, tuple[int, int]] = {}  # of images: a photograph is decoded once

    def rows(self, names: Sequence[str], rows: np.ndarray) -> np.ndarray:
        """Those of the rows whose image (of `names`) has labels.

        Raises LomitError where none has, or two have the same stem.
        """
        stems = [PurePosixPath(names[row]).stem for row in rows.tolist()]
        if len(set(stems)) < len(stems):
            twice = next(stem for k, stem in enumerate(stems) if stem in stems[:k])
            raise LomitError(f"two images are called '{twice}'; label pictures are found by the stems of the images")
        found = rows[[stem in self.paths for stem in stems]]
        if not len(found):
            needed = f"{stems[0]}.png" + ("" if self.valid is None else f", there and in {self.valid}")
            raise LomitError(f"{self.folder} has labels of none of the {len(rows)} images; the first needs {needed}")
        return found

    def sha256(self) -> str:
        """Hash of the pictures' names and bytes."""
        digest = hashlib.sha256()
        for stem, path in sorted(self.paths.items()):
            digest.update(f"{stem}\0".encode() + path.read_bytes())
            if self.valid is not None:
                digest.update((self.valid / path.name).read_bytes())
        return digest.hexdigest()

    def shares(self, source: Source, config: DataConfig, index: int) -> Tensor:
        """How much of each pixel of an image lies in each region; the labels are cut like it and averaged over a pixel.
        Raises LomitError for a picture of another size or with other values, and where faces are cut out.

        Returns:
            float32, 5 x S x S in [0, 1], in the order of `LABELS`; they sum to 1, and are nan where less than half of a
            pixel is labelled.
        """
        if config.face_crop != "none":
            raise LomitError("label pictures don't follow faces that are cut out; leave out --data.face-crop")
        stem = PurePosixPath(source.names[index]).stem
        path, size = self.paths[stem], self._sizes.get(stem) or source.load(index).size
        self._sizes[stem] = size
        regions = _read(path, size, range(len(LABELS))) == np.arange(len(LABELS))[:, None, None]
        geometry = Geometry.of(source, config)
        if self.valid is None:
            return torch.from_numpy(np.stack([averaged(region, geometry) for region in regions]))
        counts = _read(self.valid / path.name, size, (0, 255)) > 0
        known = averaged(counts, geometry)
        shares = np.stack([averaged(region & counts, geometry) for region in regions]) / np.maximum(known, COUNTS)
        return torch.from_numpy(np.where(known >= COUNTS, shares, np.float32(np.nan)))


def untold(attributes: Sequence[str]) -> tuple[str, ...]:
    """Those of the attributes that label pictures don't tell of."""
    return tuple(name for name in attributes if name not in REGION_OF)


def averaged(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """A mask (bool, H x W) cut like its image and averaged over the pixels of the network's input: float32, S x S."""
    left, top, right, bottom = centre_box((mask.shape[1], mask.shape[0]), geometry.crop, geometry.reference)
    return boxed(mask[top:bottom, left:right], geometry.size)


def boxed(mask: np.ndarray, size: int) -> np.ndarray:
    """A square mask (bool) averaged over size x size pixels: float32."""
    return np.array(Image.fromarray(mask.astype(np.float32)).resize((size, size), Image.Resampling.BOX))


def _read(path: Path, size: tuple[int, int], allowed: Sequence[int]) -> np.ndarray:
    """The values of a grey or indexed picture, H x W."""
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise LomitError(f"{path} can't be read as a picture: {error}") from error
    if values.ndim != 2:
        raise LomitError(f"{path} has {values.shape[2]} channels; a label picture is grey")
    if values.shape != size[::-1]:
        raise LomitError(f"{path} is {values.shape[1]} x {values.shape[0]} pixels; its image is {size[0]} x {size[1]}")
    wrong = np.setdiff1d(values, allowed)
    if len(wrong):
        known = "labels are " + ", ".join(f"{k} {name}" for k, name in enumerate(LABELS))
        known = known if len(allowed) > 2 else "255 says that labels count, 0 that they don't"
        raise LomitError(f"{path} holds the value {wrong[0]}; {known}")
    return values
