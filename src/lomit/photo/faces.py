"""Faces of a photograph: dlib's detector and its five-point landmarks (the `faces` extra).

dlib's five points are the corners of the eyes and the base of the nose, not CelebA's pupils, nose tip and corners of
the mouth.  Where they lie in the training crop is therefore measured, see `TEMPLATE`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from lomit.data.detector import LONGEST, detect_faces, model_file
from lomit.data.transforms import Box
from lomit.errors import LomitError
from lomit.images import Picture, as_picture

TEMPLATE = np.array([(0.6500, 0.5244), (0.5636, 0.5303), (0.3500, 0.5244), (0.4364, 0.5303), (0.5, 0.6922)])
"""dlib's five points in the training crop, 5 x 2 (x, y), as shares of its side.

Medians over 1,497 images of CelebA's training part (aligned files of 178 x 218, centre crop of 178);
`python benchmarks/photo.py template` measures them.  The order is dlib's: outer and inner corner of the eye on the
picture's right, outer and inner corner of the eye on its left, base of the nose.
"""
POINTS = "shape_predictor_5_face_landmarks.dat"
"""dlib's model of the five points; unlike that of 68 points, it may be used commercially."""
WIDE = 2 * LONGEST
"""A large photograph in which nothing is found is searched again at this size."""
SIZES = (LONGEST, WIDE, 2 * WIDE)
"""At which a large photograph is searched where small faces beside large ones are wanted, too."""
SHARED = 0.5
"""Of two detections that share this much of the smaller one's area, the one of the smaller size searched counts."""
CLEAR = 0.3
"""Detections below this score count only where there is none above: folds and badges score up to 0.1, of CelebA's faces
99 % score more."""
POINTS_AT = 480
"""Landmarks are looked for on a face scaled to this many pixels: dlib rounds them to whole ones, and compares single
pixels, which are noise in a larger face."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face of a photograph.

    Attributes:
        box: the detector's box in the photograph's pixels; it may reach beyond its edges.
        landmarks: float64, 5 x 2 (x, y) in the photograph's pixels, the centre of the first pixel being (0.5, 0.5);
            the order of `TEMPLATE`.
        score: the detector's; 0 is its own threshold, 1 and more are clear faces.
    """

    box: Box
    landmarks: np.ndarray
    score: float = 0.0

    @classmethod
    def from_crop(cls, box: Box) -> Face:
        """The face whose training crop is this box: for faces that the detector does not find.  Raises LomitError for a
        box that is empty or not square.
        """
        left, top, right, bottom = box
        if right - left != bottom - top or right <= left:
            raise LomitError(
                f"the box of a face must be a square left,top,right,bottom; it is {left},{top},{right},{bottom}"
            )
        return cls(box, np.array([left, top]) + TEMPLATE * (right - left))

    def moved(self, x: int, y: int) -> Face:
        """The same face so many pixels to the right and down."""
        left, top, right, bottom = self.box
        return Face((left + x, top + y, right + x, bottom + y), self.landmarks + np.array((x, y)), self.score)


def find_faces(picture: Picture | Image.Image | np.ndarray, longest: int | Sequence[int] | None = None) -> list[Face]:
    """The faces of a photograph, the largest first; an empty list where there is none.  Raises LomitError where the
    `faces` extra is not installed, or the image can't be used.

    Args:
        longest: the photograph is searched at this size at most (longer side, in pixels).  Several, rising: at each of
            them, and what is found at any counts (`SIZES`; takes some seconds).  None: at 640, and where nothing is
            found there, at 1280.  Faces are found from about 40 pixels on at that size.
    """
    check_detector()
    seen = as_picture(picture).on_white()
    sizes = (LONGEST, WIDE) if longest is None else (longest,) if isinstance(longest, int) else longest
    found: list[tuple[Box, float]] = []
    searched = 0
    for size in sizes:
        if searched >= max(seen.size) or (found and longest is None):
            break
        here = [each for each in detect_faces(seen, size) if each[1] >= CLEAR or not found]
        found += [(box, score) for box, score in here if all(_shared(box, other) < SHARED for other, _ in found)]
        searched = size
    clear = [(box, score) for box, score in found if score >= CLEAR] or found
    clear.sort(key=lambda each: _area(each[0]), reverse=True)
    return [Face(box, landmarks(seen, box), score) for box, score in clear]


def _area(box: Box) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def _shared(box: Box, other: Box) -> float:
    """The area that two boxes share, in that of the smaller one."""
    both = max(box[0], other[0]), max(box[1], other[1]), min(box[2], other[2]), min(box[3], other[3])
    return _area(both) / min(_area(box), _area(other))


def sizes_for(which: int | Literal["all"]) -> Sequence[int] | None:
    """`longest` of `find_faces` for a choice as `choose_faces` takes it: the largest face is found quickly."""
    return None if which == 0 else SIZES


def check_detector() -> None:
    """Raises a LomitError where the `faces` extra is not installed."""
    try:
        import dlib  # noqa: F401
    except ImportError as error:
        raise LomitError(
            "finding faces needs dlib: pip install 'lomit[faces]', or say where they are (--face-box, --exemplar-box)"
        ) from error
    model_file(POINTS)


def choose_faces(
    faces: Sequence[Face], which: int | Literal["all"], name: str = "the photograph", option: str = "--face-box"
) -> list[int]:
    """Positions of the chosen faces.  Raises LomitError where there is no face, or not that one.

    Args:
        which: position in `faces`, 0 being the largest, or "all".
        option: the option with which to say where its face is.
    """
    if not faces:
        raise LomitError(
            f"no face found in {name}; say where it is ({option} LEFT,TOP,RIGHT,BOTTOM), or translate the centre "
            "square by lomit translate"
        )
    if which == "all":
        return list(range(len(faces)))
    if not 0 <= which < len(faces):
        count = "one face was" if len(faces) == 1 else f"{len(faces)} faces were"
        raise LomitError(f"there is no face {which + 1} in {name}: {count} found (1 is the largest)")
    return [which]


@functools.cache
def _predictor() -> Any:
    import dlib

    return dlib.shape_predictor(model_file(POINTS))


def landmarks(image: Image.Image, box: Box, at: int = POINTS_AT) -> np.ndarray:
    """The five points of a face, float64, 5 x 2 (x, y) in pixels of the photograph, RGB.  Raises LomitError where the
    `faces` extra is not installed.

    Args:
        box: the detector's box of the face, or one that is near it.
        at: side in pixels that the box is scaled to.
    """
    check_detector()
    import dlib

    predictor = _predictor()
    side = max(box[2] - box[0], box[3] - box[1])
    # Points may lie outside of the box; half its side of surroundings is ample.
    room = side // 2
    left, top = max(0, box[0] - room), max(0, box[1] - room)
    part = image.crop((left, top, min(image.width, box[2] + room), min(image.height, box[3] + room)))
    scale = at / side
    part = part.resize((max(1, round(part.width * scale)), max(1, round(part.height * scale))), reducing_gap=3.0)
    edges = [round((edge - shift) * scale) for edge, shift in zip(box, (left, top, left, top), strict=True)]
    found = predictor(np.asarray(part), dlib.rectangle(edges[0], edges[1], edges[2] - 1, edges[3] - 1))
    return np.array([((p.x + 0.5) / scale + left, (p.y + 0.5) / scale + top) for p in found.parts()])
