"""Where hair, face and mouth are in photographs: drawn from dlib's 68 landmarks, or told by label pictures.

No outline of hair or beard is annotated in photographs, so a region is where such a thing is *expected* on this face:
rough, but fixed by the input alone and so the same for every method.  The landmarks (Sagonas et al., 2013) are 0..16
the jaw from ear to ear, 17..26 the brows, 27..35 the nose, 36..47 the eyes, 48..67 the mouth.  The licence of the
68-point model (of the `faces` extra) excludes commercial use.

A label picture, drawn by hand or by a face parser, is a grey PNG of its image's size, called after the image's stem.  A
pixel's value is the number of its region in `LABELS` (CelebAMask-HQ's classes, merged).  A second picture in the folder
`valid` beside them may say where the labels count: 255 there, 0 elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, UnidentifiedImageError
from torch import Tensor

from lomit.config import DataConfig
from lomit.data.decode import Geometry
from lomit.data.detector import detect_faces, model_file
from lomit.data.source import Source
from lomit.data.transforms import centre_box
from lomit.errors import LomitError, did_you_mean, require
from lomit.models.base import FACIAL_HAIR

EXPECTED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Bald", "Bangs", "Wavy_Hair"), ("hair",)),
    **dict.fromkeys(FACIAL_HAIR, ("facial_hair",)),
    **dict.fromkeys(("Smiling", "Wearing_Lipstick", "Mouth_Slightly_Open", "Big_Lips"), ("mouth",)),
    **dict.fromkeys(("AU12", "AU17", "AU20", "AU25", "AU26", "AU25_26"), ("mouth",)),
    **dict.fromkeys(("Eyeglasses", "Arched_Eyebrows", "Bushy_Eyebrows", "Narrow_Eyes"), ("eyes",)),
    **dict.fromkeys(("AU1", "AU2", "AU1_2", "AU4", "AU5", "AU43"), ("eyes",)),
    **dict.fromkeys(("AU6", "Heavy_Makeup", "Pale_Skin", "Rosy_Cheeks"), ("face",)),
    "AU9": ("nose",),
    **dict.fromkeys(("Male", "Young"), ("hair", "face")),
}
"""Attribute -> the regions in which two faces that differ in it are expected to differ."""
SIDE = 256
"""Faces are looked for in pictures of at least this side: the detector needs faces of 40 pixels."""
FOREHEAD = 0.7
"""Height of the hairline above the ends of the jaw, in distances from there to the chin (the rule of facial thirds)."""
CROWN, WIDTH = 1.25, 1.4
"""Reach of the hair: up, in distances to the chin, and to the sides, in half widths of the face."""
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


def regions_of(attribute: str) -> tuple[str, ...]:
    """The regions of an attribute.  Raises LomitError for one that no region is known for."""
    if attribute not in EXPECTED:
        raise LomitError(
            f"no region of a photograph is known for '{attribute}'{did_you_mean(attribute, EXPECTED)}; use rendered "
            "faces, or a model without it"
        )
    return EXPECTED[attribute]


def draw_regions(points: np.ndarray, side: int) -> dict[str, np.ndarray]:
    """The regions of one face.

    Args:
        points: 68 x 2 landmarks (x, y) as shares of the picture's sides.
        side: of the square masks, in pixels.

    Returns:
        Name (hair, face, facial_hair, mouth, nose, eyes) -> bool, side x side.
    """
    p = points.astype(np.float64)
    middle = (p[0] + p[16]) / 2
    across = (p[16] - p[0]) / 2  # half of the face's width
    down = np.array([-across[1], across[0]]) / max(float(np.hypot(*across)), 1e-9)
    chin = float((p[8] - middle) @ down)

    def arc(width: float, height: float) -> np.ndarray:
        """From the right over the top to the left, around the ends of the jaw."""
        t = np.linspace(0, np.pi, 33)[:, None]
        return middle + width * np.cos(t) * across - height * chin * np.sin(t) * down

    low = middle + chin * down
    face = _draw(np.concatenate([p[:17], arc(1, FOREHEAD)]), side)
    head = _draw(np.concatenate([[low + WIDTH * across], arc(WIDTH, CROWN), [low - WIDTH * across]]), side)
    return {
        # A fringe falls over the forehead, so hair reaches down to the brows there.
        "hair": head & ~_draw(p[[*range(17), *range(26, 16, -1)]], side),
        "face": face,
        "facial_hair": _draw(p[[*range(2, 15), 35, 33, 31]], side),
        "mouth": _draw(_grown(p[48:60], 1.5), side),
        "nose": _draw(_grown(p[[27, *range(31, 36)]], 1.3), side),
        "eyes": _draw(_grown(p[[*range(17, 27), 45, 46, 47, 42, 39, 40, 41, 36]], 1.2), side),
    }


def dlib_landmarks() -> Callable[[Image.Image], np.ndarray | None]:
    """dlib's detector and 68-point model as `Judges.find_landmarks`.  Raises LomitError without the `faces` extra."""
    require("a region of a photograph", "faces", "dlib")
    import dlib

    predict: Any = dlib.shape_predictor(model_file("shape_predictor_68_face_landmarks.dat"))

    def find(image: Image.Image) -> np.ndarray | None:
        if min(image.size) < SIDE:
            image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        faces = detect_faces(image)
        if not faces:
            return None
        left, top, right, bottom = faces[0][0]
        found = predict(np.asarray(image), dlib.rectangle(left, top, right - 1, bottom - 1))
        return np.array([(q.x + 0.5, q.y + 0.5) for q in found.parts()]) / image.size

    return find


def _draw(outline: np.ndarray, side: int) -> np.ndarray:
    """The inside of a polygon (N x 2, shares of the sides), bool, side x side."""
    image = Image.new("1", (side, side))
    ImageDraw.Draw(image).polygon([(x * side - 0.5, y * side - 0.5) for x, y in outline.tolist()], fill=1)
    return np.array(image)


def _grown(outline: np.ndarray, factor: float) -> np.ndarray:
    """A polygon enlarged around its centre."""
    centre = outline.mean(axis=0)
    return centre + factor * (outline - centre)


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
