"""Frames of a camera as they come: what `lomit.photo.video` does to a face, fast enough to look into like a mirror."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lomit.data.transforms import Box
from lomit.inference.predictor import Predictor
from lomit.photo.align import crop_to_photo, fit_error, side_of, view
from lomit.photo.faces import Face, find_faces, landmarks
from lomit.photo.paste import LEAST, detail_gain, weights
from lomit.photo.tracking import Tracker, nearest
from lomit.photo.translate import ExemplarFace, FrameTranslator

AGAIN = 0.5
"""Seconds after which the detector looks again for a face that is followed by its landmarks."""
REST = 0.25
"""Seconds between two searches of whole frames."""
WHOLE, NEAR = 320, 112
"""A whole frame, and the neighbourhood of a followed face, are searched at these sizes (longer side, in pixels)."""
ROOM = 0.5
"""That neighbourhood reaches so many sides of the face beyond it: it was there a frame ago."""
POINTS_AT = 200
"""Side in pixels that a followed face is scaled to for its landmarks."""
BENT = 0.08
"""Landmarks that fit the template worse than this (`fit_error`) are not those of a face."""
LARGEST = 2
"""Planes of a crop are enlarged to the face's own size, and to so many times their own at most."""
TINT = np.array([255, 40, 40], dtype=np.float32)
"""Colour of a mask that is shown, levels."""


class LiveTracker(Tracker):
    """Follows the largest face by its landmarks alone, and has the detector confirm it twice a second.

    dlib's landmarks start from a box.  From one frame to the next that of the frame before is near enough, and takes a
    twentieth of the detector's time.
    """

    def __init__(self) -> None:
        super().__init__(0, lambda image, longest: find_faces(image, WHOLE if longest is None else NEAR), ROOM)
        self._looked = -math.inf
        self._box = np.zeros((2, 2))
        """Corners of the detector's box in the training crop, as shares of its side."""
        self._confirmed = False

    def _search(self, image: Image.Image, time: float) -> list[Face]:
        last = self._tracks[0].face if self._tracks else None
        if last is not None and self._confirmed and time - self._looked < AGAIN:
            face = self._followed(image, last)
            if face is not None:
                return [face]
        elif last is None and time - self._looked < REST:
            return []
        self._looked = time
        found = super()._search(image, time)
        here = nearest(found, last, 0.7) if last is not None else next(iter(found), None)
        self._confirmed = here is not None
        if here is not None:
            matrix = crop_to_photo(here)
            corners = np.reshape(here.box, (2, 2)) - matrix[:, 2]
            self._box = corners @ np.linalg.inv(matrix[:, :2]).T
        return found

    def _followed(self, image: Image.Image, last: Face) -> Face | None:
        """The face by its landmarks from its last box on; None where they are not a face's."""
        face = Face(last.box, landmarks(image, last.box, POINTS_AT), last.score)
        if fit_error(face) > BENT:
            return None
        matrix = crop_to_photo(face)
        # Upright, as the detector's boxes are, around the place where the turned one would be.
        (x, y), side = self._box.mean(axis=0) @ matrix[:, :2].T + matrix[:, 2], side_of(face)
        half = np.ptp(self._box, axis=0).max() * side / 2
        box = tuple(round(edge) for edge in (x - half, y - half, x + half, y + half))
        return Face(box, face.landmarks, last.score)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LiveFrame:
    """What became of a frame.

    Attributes:
        image: RGB, at the frame's size.
        found: whether it shows a face; else the frame is as it was.
        seconds: what each step took, by its name.
    """

    image: Image.Image
    found: bool
    seconds: dict[str, float]


class Live:
    """Translates the largest face of one frame after the other.

    As in `translate_video`, the exemplar's mask is predicted once, beside the first face, and masks are averaged over
    time.

    Args:
        exemplar: from `align_exemplar`.
        only: attributes to move, as in `Predictor.translate`; empty: what the predictor moves by default.
        tracker: gives the face of each frame; None: a `LiveTracker`.
    """

    def __init__(
        self, predictor: Predictor, exemplar: ExemplarFace, only: Sequence[str] = (), tracker: Tracker | None = None
    ) -> None:
        self.predictor, self._tracker = predictor, tracker or LiveTracker()
        self.guide(exemplar, only)

    def guide(self, exemplar: ExemplarFace, only: Sequence[str] = ()) -> None:
        """Another exemplar, or other attributes; the face is followed on."""
        self._translate = FrameTranslator(self.predictor, exemplar, only=list(only) or None)

    def frame(self, image: Image.Image, time: float, *, strength: float = 1.0, show_mask: bool = False) -> LiveFrame:
        """The next frame, translated.

        Args:
            image: RGB; another size than before begins anew.
            time: when it was taken, in seconds, not falling.
            strength: factor on the change, 0 to 2.
            show_mask: the frame itself, tinted where the change would be.
        """
        seconds: dict[str, float] = {}
        with _timed(seconds, "find"):
            faces = self._tracker.update(image, time)
        if not faces:
            self._translate.forget()
            return LiveFrame(image, False, seconds)
        face = faces[0]
        with _timed(seconds, "translate"):
            crop = view(image, face, self.predictor.image_size, sharp=2)
            (done,) = self._translate([(face, crop)])
        with _timed(seconds, "paste"):
            if show_mask:
                shown = tint_quickly(image, face, done.input_mask, crop.width)
            else:
                shown = paste_quickly(image, face, crop, done.before, done.after, done.input_mask, strength=strength)
        return LiveFrame(shown, True, seconds)


def paste_quickly(
    image: Image.Image,
    face: Face,
    crop: Image.Image,
    before: Image.Image,
    after: Image.Image,
    mask: Image.Image | None,
    *,
    strength: float = 1.0,
) -> Image.Image:
    """`paste` for a frame in sRGB: a bilinear warp of four enlarged planes in place of eight bicubic ones.

    `paste` adds w (change - (1 - gain) (own - seen)) to what the frame shows (own).  That is linear in own, so that its
    two coefficients are warped in place of what they are made of.

    Args:
        image: the frame, RGB.
        face, mask, strength: as for `paste`.
        crop: the face's crop, which `paste` cuts out anew.
        before, after: `paste`'s `crop_before` and `crop_after`.

    Returns:
        RGB, at the frame's size; a level or two from what `paste` gives.
    """
    weight = weights(mask, crop.width)
    seen, old, new = (np.asarray(each.convert("RGB"), dtype=np.float32) for each in (crop, before, after))
    luma = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    gain = detail_gain(old @ luma, new @ luma)
    weight, lost = strength * weight[..., None], 1 - gain[..., None]
    coefficients = np.concatenate([weight * lost, weight * (new - old + lost * seen)], axis=2)
    placed = _placed(coefficients, face, image.size)
    if placed is None:
        return image
    box, (taken, given) = placed[0], placed[1].split([1, 3])
    own = _planes(image.crop(box))
    return _with(image, own + given - taken * own, box)


def tint_quickly(image: Image.Image, face: Face, mask: Image.Image | None, size: int) -> Image.Image:
    """The frame, tinted by the weight with which `paste_quickly` would change it; `size` is the side of the crops."""
    placed = _placed(weights(mask, size)[..., None], face, image.size)
    if placed is None:
        return image
    box, w = placed
    own = _planes(image.crop(box))
    return _with(image, own + 0.6 * w * (torch.from_numpy(TINT)[:, None, None] - own), box)


def _placed(planes: np.ndarray, face: Face, size: tuple[int, int]) -> tuple[Box, Tensor] | None:
    """`place`, quickly: the part of a frame (width, height) in which not all planes (float32, S x S x C) are 0, and the
    values there, C x H x W; None where nothing lies in the frame.
    """
    rows, columns = np.nonzero(np.abs(planes).max(axis=2) > LEAST)
    if not len(rows):
        return None
    side, matrix = len(planes), crop_to_photo(face)
    low = (np.array([columns.min(), rows.min()]) - 1) / side
    high = (np.array([columns.max(), rows.max()]) + 2) / side
    corners = np.array([(x, y) for x in (low[0], high[0]) for y in (low[1], high[1])]) @ matrix[:, :2].T + matrix[:, 2]
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0).tolist()
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int), size).tolist()
    if left >= right or top >= bottom:
        return None
    # Pixels of the part, from -1 to 1, to places of the crop, from -1 to 1.
    inverse = np.linalg.inv(matrix[:, :2])
    half = np.array([right - left, bottom - top]) / 2
    shift = inverse @ (np.array([left, top]) + half - matrix[:, 2])
    theta = 2 * np.column_stack([inverse * half, shift]) - [[0, 0, 1], [0, 0, 1]]
    here = min(LARGEST * side, max(1, round(side_of(face))))
    enlarged = F.interpolate(
        torch.from_numpy(planes).permute(2, 0, 1)[None],
        (here, here), mode="bicubic", align_corners=False, antialias=here < side,
    )  # fmt: skip
    grid = F.affine_grid(
        torch.from_numpy(theta.astype(np.float32))[None], [1, 1, bottom - top, right - left], align_corners=False
    )
    values = F.grid_sample(enlarged, grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]
    return (left, top, right, bottom), values


def _planes(image: Image.Image) -> Tensor:
    """3 x H x W, float32, levels."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()


def _with(image: Image.Image, planes: Tensor, box: Box) -> Image.Image:
    """A copy of the frame with another part at the box."""
    levels = planes.round_().clamp_(0, 255).byte().permute(1, 2, 0).contiguous()
    copy = image.copy()
    copy.paste(Image.fromarray(levels.numpy()), box[:2])
    return copy


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    begin = clock.perf_counter()
    yield
    seconds[name] = clock.perf_counter() - begin
