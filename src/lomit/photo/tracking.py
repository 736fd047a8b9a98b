"""Faces from frame to frame: followed by place and size, landmarks and masks smoothed, short losses bridged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from lomit.photo.faces import Face, find_faces

MIN_CUTOFF = 1.5
"""Cutoff for a face that stands still, in Hz: lower is steadier."""
BETA = 8.0
"""Rise of the cutoff, in Hz, with the speed in widths of the face a second: higher lags less."""
SPEED_CUTOFF = 1.0
"""Cutoff for the speed itself, in Hz."""
HOLD = 0.2
"""A face that is not found stays where it was for this many seconds."""
PATIENCE = 1.0
"""For this many seconds after a single face was lost, only a face near its place is taken for it."""
SEARCHED = 320
"""The neighbourhood of a followed face is searched at this size."""
STEADY = 0.5
"""Weight of a new frame's mask; the rest is that of the frames before."""


class OneEuro:
    """The 1 euro filter of points: a low pass whose cutoff grows with the speed (Casiez et al., CHI 2012)."""

    def __init__(self, points: np.ndarray, time: float) -> None:
        self.points, self.time = points.astype(np.float64), time
        self._speed = np.zeros_like(self.points)

    def update(self, points: np.ndarray, time: float, unit: float) -> np.ndarray:
        """The smoothed points, N x 2 in pixels; speeds are counted in `unit` pixels a second."""
        step = time - self.time
        if step <= 0:
            return self.points
        speed = (points - self.points) / step / unit
        self._speed += _alpha(SPEED_CUTOFF, step) * (speed - self._speed)
        # One cutoff for all points: each with its own would bend the face.
        cutoff = MIN_CUTOFF + BETA * float(np.hypot(*self._speed.mean(axis=0)))
        self.points = self.points + _alpha(cutoff, step) * (points - self.points)
        self.time = time
        return self.points


@dataclass
class _Track:
    """A followed face, as it was found last, and when."""

    face: Face
    filter: OneEuro
    seen: float

    def follow(self, face: Face, time: float) -> None:
        side = face.box[2] - face.box[0]
        points = self.filter.update(face.landmarks, time, side)
        self.face, self.seen = Face(face.box, points.copy(), face.score), time


class Tracker:
    """Gives the chosen faces of one frame after the other.

    Args:
        which: position of the face by size in the first frame that has so many, or "all".
        find: finds the faces of an image, the largest first.
        room: the neighbourhood of a followed face reaches so many of its sides beyond it.
    """

    def __init__(
        self,
        which: int | Literal["all"],
        find: Callable[[Image.Image, int | None], Sequence[Face]] = find_faces,
        room: float = 1.0,
    ) -> None:
        self.which, self._find, self._room = which, find, room
        self._tracks: list[_Track] = []
        self._lost: _Track | None = None

    def update(self, image: Image.Image, time: float) -> list[Face]:
        """The chosen faces of the next frame, in the order in which they came up; empty where there is none.

        Args:
            image: the frame, RGB, all frames of one size.
            time: when it is shown, in seconds, not falling.
        """
        found = self._search(image, time)
        for track in self._tracks:
            match = nearest(found, track.face, 0.7)
            if match is not None:
                found.remove(match)
                track.follow(match, time)
        for track in [t for t in self._tracks if time - t.seen > HOLD]:
            self._tracks.remove(track)
            self._lost = track
        new: Sequence[Face] = ()
        if self.which == "all":
            new = found
        elif not self._tracks and (chosen := self._choose(found, time)) is not None:
            new = [chosen]
        self._tracks += [_Track(face, OneEuro(face.landmarks, time), time) for face in new]
        return [track.face for track in self._tracks]

    def _search(self, image: Image.Image, time: float) -> list[Face]:
        """The faces of a frame; a single face is looked for around its last place first, which is much faster."""
        if self.which != "all" and self._tracks:
            left, top, right, bottom = self._tracks[0].face.box
            room = round(self._room * (right - left))
            corner = max(0, left - room), max(0, top - room)
            box = (*corner, min(image.width, right + room), min(image.height, bottom + room))
            if box[0] < box[2] and box[1] < box[3]:
                near = [face.moved(*corner) for face in self._find(image.crop(box), SEARCHED)]
                if nearest(near, self._tracks[0].face, 0.7) is not None:
                    return near
        return list(self._find(image, None))

    def _choose(self, found: Sequence[Face], time: float) -> Face | None:
        assert self.which != "all"
        if self._lost is not None:
            near = nearest(found, self._lost.face, 2.0)
            if near is not None or time - self._lost.seen <= PATIENCE:
                return near
        return found[self.which] if self.which < len(found) else None


class SteadyMasks:
    """Averages the masks of followed faces over time, as long as the number of faces stays."""

    def __init__(self) -> None:
        self._last: list[Image.Image] = []

    def __call__(self, masks: list[Image.Image | None]) -> list[Image.Image | None]:
        """The masks to use for a frame's faces: mode L; as they are where a method has none."""
        found = [mask for mask in masks if mask is not None]
        if len(found) == len(self._last):
            found = [Image.blend(old, new, STEADY) for old, new in zip(self._last, found, strict=True)]
        self._last = found
        return list(found) if len(found) == len(masks) else masks

    def forget(self) -> None:
        """The next frame begins anew."""
        self._last = []


def _alpha(cutoff: float, step: float) -> float:
    """Weight of the newest value in an exponential filter with this cutoff (Hz) and time step (s)."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))


def nearest(faces: Sequence[Face], last: Face, reach: float) -> Face | None:
    """The face nearest to the last place, of half to twice the size and within `reach` of its sides; or None."""
    side = last.box[2] - last.box[0]

    def distance(face: Face) -> float:
        return float(np.hypot(*(_centre(face) - _centre(last)))) / side

    alike = [face for face in faces if side / 2 <= face.box[2] - face.box[0] <= 2 * side and distance(face) <= reach]
    return min(alike, key=distance, default=None)


def _centre(face: Face) -> np.ndarray:
    return np.array([face.box[0] + face.box[2], face.box[1] + face.box[3]]) / 2
