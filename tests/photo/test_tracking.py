"""Faces from frame to frame, found by a detector that does what it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from lomit.photo import Face
from lomit.photo.tracking import HOLD, PATIENCE, OneEuro, Tracker

FRAME = Image.new("RGB", (400, 300))
STEP = 1 / 32


def face(x: float, y: float, side: int = 60) -> Face:
    return Face.from_crop((round(x), round(y), round(x) + side, round(y) + side))


def told(frames: Sequence[Sequence[Face]]) -> Callable[[Image.Image, int | None], list[Face]]:
    """Gives the faces of one frame after the other; nothing is found in a part of a frame."""
    waiting = iter(frames)
    return lambda image, longest: list(next(waiting)) if image.size == FRAME.size else []


def run(which: int | str, frames: Sequence[Sequence[Face]]) -> list[list[Face]]:
    tracker = Tracker(which, told(frames))  # type: ignore[arg-type]
    return [tracker.update(FRAME, i * STEP) for i in range(len(frames))]


def lefts(faces: Sequence[Face]) -> list[int]:
    return [f.box[0] for f in faces]


def test_a_steady_face_with_noisy_landmarks_gets_steadier() -> None:
    rng = np.random.default_rng(0)
    noisy = [[Face(f.box, f.landmarks + rng.normal(0, 1, (5, 2)))] for f in [face(100, 100)] * 100]
    seen = np.array([faces[0].landmarks for faces in run(0, noisy)])[20:]
    raw = np.array([faces[0].landmarks for faces in noisy])[20:]
    assert np.diff(seen, axis=0).std() < 0.4 * np.diff(raw, axis=0).std()
    assert np.abs(seen.mean(axis=0) - face(100, 100).landmarks).max() < 0.5


def test_a_moving_face_is_followed_closely() -> None:
    frames = [[face(20 + 6 * i, 100)] for i in range(40)]  # 2.5 widths a second
    lag = [
        np.hypot(*(followed[0].landmarks - there[0].landmarks).mean(axis=0))
        for followed, there in zip(run(0, frames), frames, strict=True)
    ]
    assert max(lag[10:]) < 0.05 * 60


def test_the_filter_keeps_what_stands_still() -> None:
    points = np.arange(10.0).reshape(5, 2)
    smoothing = OneEuro(points, 0.0)
    for i in range(1, 5):
        np.testing.assert_allclose(smoothing.update(points, i * STEP, 60), points)
    np.testing.assert_allclose(smoothing.update(points + 1, 4 * STEP, 60), points, err_msg="time stands still")


def test_a_short_loss_is_bridged_and_a_long_one_passes_through() -> None:
    held = int(HOLD / STEP)
    frames = [[face(100, 100)]] * 3 + [[]] * (held + 3) + [[face(102, 100)]] * 2
    found = [len(faces) for faces in run(0, frames)]
    assert found == [1] * (3 + held) + [0] * 3 + [1, 1]


def test_another_face_does_not_take_the_place_of_a_lost_one_at_once() -> None:
    other, mine = face(300, 200, 50), face(50, 50)
    frames = [[mine, other]] * 3 + [[other]] * (int(PATIENCE / STEP) + 5)
    seen = run(0, frames)
    assert lefts(seen[2]) == [50]
    assert all(lefts(faces) in ([50], []) for faces in seen[: int(PATIENCE / STEP)])
    assert lefts(seen[-1]) == [300]


def test_the_chosen_face_is_followed_though_sizes_change_places() -> None:
    frames = [[face(50, 50, 60), face(250, 100, 50)]] * 2 + [[face(250, 100, 70), face(50, 50, 60)]] * 3
    assert {tuple(lefts(faces)) for faces in run(0, frames)} == {(50,)}
    assert {tuple(lefts(faces)) for faces in run(1, frames)} == {(250,)}


def test_all_faces_are_followed() -> None:
    frames = [[face(50, 50)], [face(50, 50), face(250, 100)], [face(250, 102), face(52, 50)]]
    assert [lefts(faces) for faces in run("all", frames)] == [[50], [50, 250], [52, 250]]


@pytest.mark.parametrize(("room", "side"), [(1.0, 180), (0.5, 120)])
def test_a_face_is_looked_for_near_its_last_place_first(room: float, side: int) -> None:
    asked: list[tuple[int, int]] = []

    def find(image: Image.Image, longest: int | None) -> list[Face]:
        asked.append(image.size)
        return [face(100, 100)] if image.size == FRAME.size else [face(60 * room + 2, 60 * room)]

    tracker = Tracker(0, find, room)
    tracker.update(FRAME, 0.0)
    (moved,) = tracker.update(FRAME, STEP)
    assert asked == [FRAME.size, (side, side)]
    assert moved.box[:2] == (102, 100), "in the pixels of the frame"
