"""Finding faces in photographs with dlib's detector, the one the paper's footnote names (the `faces` extra)."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from lomit.data.transforms import Box
from lomit.errors import LomitError, require

MARGIN = 0.25
"""Room on each side of the detector's box, which ends at brows and chin, as a share of its side."""
BORDER = 0.25
"""Black border added before searching, as a share of the longer side: the detector misses faces that fill a picture."""
UNSURE = -0.3
"""Detections with a score under 0 count from here on, and only where there is none above."""
LONGEST = 640
"""Pictures are searched at this size at most; the detector's time grows with the pixels."""


@functools.cache
def _detector() -> Any:
    """dlib's frontal face detector (histograms of gradients); its weights are part of the library."""
    require("finding faces", "faces", "dlib")
    import dlib

    return dlib.get_frontal_face_detector()


def model_file(name: str) -> str:
    """A file of face_recognition_models, found without importing it: that needs a part of setuptools that is gone.
    Raises LomitError where the `faces` extra is not installed.
    """
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise LomitError("dlib's models are missing: pip install 'lomit[faces]'")
    path = Path(spec.submodule_search_locations[0]) / "models" / name
    if not path.is_file():
        raise LomitError(f"{path} is missing; install face_recognition_models again")
    return str(path)


def detect_faces(image: Image.Image, longest: int = LONGEST) -> list[tuple[Box, float]]:
    """Boxes of the faces in an RGB picture, in its pixels, the largest first, with the detector's score of each (0 is
    its own threshold); boxes may reach beyond the picture's edges.

    Finds frontal faces from about 40 pixels on, of the picture scaled to `longest` where it is larger.  Raises
    LomitError where the `faces` extra is not installed.
    """
    detector = _detector()
    scale = min(1.0, longest / max(image.size))
    border = round(BORDER * scale * max(image.size))
    searched = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    # Doubling the picture once (1) finds faces under 80 pixels.
    found, scores, _ = detector.run(np.asarray(ImageOps.expand(searched, border)), 1, UNSURE)
    scored = list(zip(found, scores, strict=True))
    boxes = []
    for r, score in [(r, score) for r, score in scored if score >= 0] or scored:
        # dlib's right and bottom are inside the box, ours outside.
        left, top, right, bottom = ((e - border) / scale for e in (r.left(), r.top(), r.right() + 1, r.bottom() + 1))
        boxes.append(((round(left), round(top), round(right), round(bottom)), float(score)))
    return sorted(boxes, key=lambda b: (b[0][2] - b[0][0]) * (b[0][3] - b[0][1]), reverse=True)


def face_square(box: Box, size: tuple[int, int], margin: float = MARGIN) -> Box:
    """The square around a face, with a margin, moved and if need be shrunk to lie inside a picture of `size`."""
    width, height = size
    left, top, right, bottom = box
    side = min(round(max(right - left, bottom - top) * (1 + 2 * margin)), width, height)
    x = min(max(0, round((left + right - side) / 2)), width - side)
    y = min(max(0, round((top + bottom - side) / 2)), height - side)
    return x, y, x + side, y + side


def crop_face(image: Image.Image, margin: float = MARGIN) -> Image.Image | None:
    """The largest face of an RGB picture with a margin, square; None where the detector finds none."""
    found = detect_faces(image)
    return image.crop(face_square(found[0][0], image.size, margin)) if found else None
