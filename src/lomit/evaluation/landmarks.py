"""Regions of a photographed face, drawn from dlib's 68 landmarks (the `faces` extra).

No outline of hair or beard is annotated in photographs, so a region is where such a thing is *expected* on this face:
rough, but fixed by the input alone and so the same for every method.  The landmarks (Sagonas et al., 2013) are 0..16
the jaw from ear to ear, 17..26 the brows, 27..35 the nose, 36..47 the eyes, 48..67 the mouth.

The 68-point model's licence excludes commercial use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from lomit.data.detector import detect_faces, model_file
from lomit.errors import LomitError, did_you_mean, require

REGION_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Bald", "Bangs", "Wavy_Hair"), ("hair",)),
    **dict.fromkeys(("Goatee", "Mustache", "Beard", "No_Beard", "Facial_Hair", "5_o_Clock_Shadow"), ("facial_hair",)),
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


def regions_of(attribute: str) -> tuple[str, ...]:
    """The regions of an attribute.  Raises LomitError for one that no region is known for."""
    if attribute not in REGION_OF:
        raise LomitError(
            f"no region of a photograph is known for '{attribute}'{did_you_mean(attribute, REGION_OF)}; use rendered "
            "faces, or a model without it"
        )
    return REGION_OF[attribute]


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
