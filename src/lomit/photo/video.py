"""Videos: the face of every frame translated and put back, the sound copied (the `video` extra: PyAV, so FFmpeg)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

from PIL import Image

from lomit.errors import LomitError, require
from lomit.images import Picture, write_file
from lomit.inference.predictor import Predictor
from lomit.photo.align import align
from lomit.photo.batch import look
from lomit.photo.paste import paste
from lomit.photo.tracking import Tracker
from lomit.photo.transcode import VideoResult, transcode
from lomit.photo.translate import ExemplarFace, FrameTranslator

CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
}
"""Suffix of a video's name -> the container that is written under it."""


def translate_video(
    predictor: Predictor,
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    guide: ExemplarFace | None,
    *,
    face: int | Literal["all"] = 0,
    label: Mapping[str, float] | None = None,
    strength: float = 1.0,
    overwrite: bool = False,
    tracker: Tracker | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> VideoResult:
    """Translates the face of every frame, at the video's own size, frame times, length and colours, in 8 bits.

    Frames without the face pass through.  The exemplar's mask is predicted once, beside the first face, so that its
    style is the same throughout; the masks of a followed face are averaged over time.  A video that says that it is to
    be shown turned or mirrored is written so.  What can't be kept is told by a line in the log.  Raises LomitError
    where the `video` or the `faces` extra is missing, for a file that is not a video or is damaged, and as
    `lomit.images.write_file`.

    Args:
        out: the result; its suffix is one of `CONTAINERS`.
        guide: the exemplar, from `align_exemplar`; None where a label takes its place.
        face, label, strength: as for `translate_photo`.
        tracker: gives the faces of each frame; None: one that follows `face`.
        progress: called with the number of frames done and the number that the video says it has (0: it does not).
    """
    container = container_of(out)
    av = load_av()
    following, translate = tracker or Tracker(face), FrameTranslator(predictor, guide, label=label)
    result: list[VideoResult] = []

    def change(image: Image.Image, time: float) -> Image.Image | None:
        """The translated frame, or None where it shows no such face."""
        faces = following.update(image, time)
        if not faces:
            translate.forget()
            return None
        picture = Picture(image, name="frame")
        crops = [(each, align(picture, each, predictor.image_size)) for each in faces]
        for each in translate(crops):
            pasted = paste(picture, each.face, each.before, each.after, each.input_mask, strength=strength)
            picture = Picture(pasted, name="frame")
        return picture.rgb

    def save(file: BinaryIO) -> None:
        try:
            with av.open(str(path)) as source, av.open(file, "w", format=container) as target:
                result.append(transcode(source, target, container, change, progress))
        except av.error.FFmpegError as error:
            raise LomitError(f"{path} can't be read or written as a video: {error.strerror or error}") from error

    if not Path(path).is_file():
        raise LomitError(f"no such file: {path}")
    write_file(out, save, overwrite)
    return result[0]


def container_of(path: str | os.PathLike[str]) -> str:
    """The container that is written under this name.  Raises LomitError where the suffix is none of `CONTAINERS`."""
    suffix = Path(path).suffix.lower()
    if suffix not in CONTAINERS:
        raise LomitError(f"{path}: videos are written as {' '.join(CONTAINERS)}; choose one of these endings")
    return CONTAINERS[suffix]


def load_av() -> Any:
    """PyAV.  Raises LomitError where the `video` extra is not installed."""
    require("a video", "video", "av")
    return importlib.import_module("av")


def first_face(path: str | os.PathLike[str]) -> Image.Image:
    """As `lomit.photo.batch.look`, of a video's first frame.  Raises LomitError where it can't be read."""
    av = load_av()
    try:
        with av.open(str(path)) as source:
            return look(Picture(next(source.decode(video=0)).to_image(), name="frame"))
    except (av.error.FFmpegError, StopIteration, IndexError) as error:
        raise LomitError(f"{path} can't be read as a video") from error
