"""Videos: the face of every frame translated and put back, the sound copied (the `video` extra: PyAV, so FFmpeg)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import Image

from lomit.errors import LomitError
from lomit.images import Picture, write_file
from lomit.photo.align import align
from lomit.photo.paste import paste
from lomit.photo.tracking import Tracker
from lomit.photo.translate import ExemplarFace, translate_crops
from lomit.predictor import Predictor

CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
}
"""Suffix of a video's name -> the container that is written under it."""
CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "webm": ("libvpx-vp9", {"crf": "24", "b": "0", "cpu-used": "4", "row-mt": "1"}),
}
"""Container -> codec and its options, where it is not H.264."""
H264 = ("libx264", {"crf": "17", "preset": "medium"})
RGB, BT709, UNSPECIFIED = 0, 1, 2
"""FFmpeg's numbers of colour matrices (ITU-T H.273)."""
LIMITED = 1
"""FFmpeg's number of the range 16 to 235."""
STEADY = 0.5
"""Weight of a new frame's mask; the rest is that of the frames before."""


@dataclass(frozen=True)
class VideoResult:
    """What became of a video.

    Attributes:
        frames: how many it has.
        translated: in how many of them a face was translated; the others pass through.
        sound: streams of sound that were copied.
        left_out: streams that the container can't hold, as words.
    """

    frames: int
    translated: int
    sound: int
    left_out: tuple[str, ...]


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
    """Translates the face of every frame, at the video's own size, frame times and colours, in 8 bits.

    Frames without the face pass through.  The exemplar's mask is predicted once, beside the first face, so that its
    style is the same throughout; the masks of a followed face are averaged over time.  A video that says that it is to
    be shown rotated is written rotated.

    Args:
        predictor: the model.
        path: the video.
        out: the result; its suffix is one of `CONTAINERS`.
        guide: the exemplar, from `align_exemplar`; None where a label takes its place.
        face, label, strength: as for `translate_photo`.
        overwrite: replace a file that exists.
        tracker: gives the faces of each frame; None: one that follows `face`.
        progress: called with the number of frames done and the number that the video says it has (0: it does not).

    Raises:
        LomitError: where the `video` or the `faces` extra is missing, for a file that is not a video or is damaged, and
            as `lomit.images.write_file`.
    """
    container = container_of(out)
    av = load_av()
    worker = _Frames(predictor, guide, label, strength, tracker or Tracker(face))
    result: list[VideoResult] = []

    def save(file: BinaryIO) -> None:
        try:
            with av.open(str(path)) as source, av.open(file, "w", format=container) as target:
                result.append(_transcode(source, target, container, worker, progress))
        except av.error.FFmpegError as error:
            raise LomitError(f"{path} can't be read or written as a video: {error.strerror or error}") from error

    if not Path(path).is_file():
        raise LomitError(f"no such file: {path}")
    write_file(out, save, overwrite)
    return result[0]


def container_of(path: str | os.PathLike[str]) -> str:
    """The container that is written under this name.

    Raises:
        LomitError: where the suffix is none of `CONTAINERS`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in CONTAINERS:
        raise LomitError(f"{path}: videos are written as {' '.join(CONTAINERS)}; choose one of these endings")
    return CONTAINERS[suffix]


def load_av() -> Any:
    """PyAV.  Raises a LomitError where the `video` extra is not installed."""
    try:
        import av
    except ImportError as error:
        raise LomitError("videos need PyAV: pip install 'lomit[video]'") from error
    return av


class _Frames:
    """Translates one frame after the other."""

    def __init__(
        self,
        predictor: Predictor,
        guide: ExemplarFace | None,
        label: Mapping[str, float] | None,
        strength: float,
        tracker: Tracker,
    ) -> None:
        self.predictor, self.guide, self.label, self.strength, self.tracker = predictor, guide, label, strength, tracker
        self._masks: list[Image.Image] = []

    def __call__(self, image: Image.Image, time: float) -> Image.Image | None:
        """The translated frame, or None where it shows no such face."""
        faces = self.tracker.update(image, time)
        if not faces:
            self._masks = []
            return None
        picture = Picture(image, name="frame")
        crops = [(face, align(picture, face, self.predictor.image_size)) for face in faces]
        results = translate_crops(self.predictor, crops, self.guide, label=self.label, steady=self._steadied)
        if self.guide is not None and self.guide.mask is None and results[0].exemplar_mask is not None:
            self.guide = replace(self.guide, mask=results[0].exemplar_mask)
        for each in results:
            pasted = paste(picture, each.face, each.before, each.after, each.input_mask, strength=self.strength)
            picture = Picture(pasted, name="frame")
        return picture.rgb

    def _steadied(self, masks: list[Image.Image | None]) -> list[Image.Image | None]:
        """The masks averaged over time, as long as the number of faces stays."""
        found = [mask for mask in masks if mask is not None]
        if len(found) == len(self._masks):
            found = [Image.blend(old, new, STEADY) for old, new in zip(self._masks, found, strict=True)]
        self._masks = found
        return list(found) if len(found) == len(masks) else masks


def _transcode(
    source: Any, target: Any, container: str, translate: _Frames, progress: Callable[[int, int], object]
) -> VideoResult:
    """Every packet of a container into another: frames through `translate`, sound as it is."""
    if not source.streams.video:
        raise LomitError(f"{source.name} has no video in it")
    stream = source.streams.video[0]
    stream.thread_type = "AUTO"
    sound: dict[int, Any] = {}
    left_out: list[str] = []
    for each in source.streams:
        if each.type == "audio" and each.codec_context.name in _held(target):
            sound[each.index] = each
        elif each.index != stream.index:
            left_out.append(f"{each.type} {getattr(each.codec_context, 'name', '')}".strip())
    packets = source.demux(stream, *sound.values())
    frames = translated = 0
    written: Any = None
    waiting: list[Any] = []
    copies: dict[int, Any] = {}
    for packet in packets:
        if packet.stream.index in sound:
            if packet.dts is None:
                continue
            # The header is written with the first packet, so every stream must be there before.
            waiting.append(packet)
        else:
            for frame in packet.decode():
                image = _upright(frame)
                changed = translate(image, float(frame.time or 0))
                if written is None:
                    written = _video_stream(target, container, stream, frame, image)
                    copies = {index: target.add_stream_from_template(each) for index, each in sound.items()}
                target.mux(written.encode(_encodable(frame, image, changed, written)))
                frames, translated = frames + 1, translated + (changed is not None)
                progress(frames, stream.frames)
        if written is not None:
            for held in waiting:
                held.stream = copies[held.stream.index]
                target.mux(held)
            waiting.clear()
    if written is None:
        raise LomitError(f"{source.name} has no frames in it")
    target.mux(written.encode(None))
    return VideoResult(frames, translated, len(copies), tuple(left_out))


def _held(target: Any) -> set[str]:
    return set(target.supported_codecs)


def _upright(frame: Any) -> Image.Image:
    """A frame as RGB, turned as it is to be shown."""
    turns = round(frame.rotation / 90) % 4
    # FFmpeg's angle and numpy's turns are both counterclockwise.
    return Image.fromarray(np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns)))


def _video_stream(target: Any, container: str, stream: Any, frame: Any, image: Image.Image) -> Any:
    """The stream to write, with the frame times and colours of the one read."""
    codec, options = CODECS.get(container, H264)
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    written = target.add_stream(codec, rate=rate, options=options)
    written.width, written.height = image.size
    # Colours at half the resolution, which every player shows, need even sides.
    written.pix_fmt = "yuv444p" if image.width % 2 or image.height % 2 else "yuv420p"
    context = written.codec_context
    context.time_base = stream.time_base
    shape = stream.sample_aspect_ratio
    if shape:
        context.sample_aspect_ratio = 1 / shape if round(frame.rotation / 90) % 2 else shape
    for name in ("color_primaries", "color_trc"):
        setattr(context, name, getattr(stream.codec_context, name))
    context.colorspace, context.color_range = _colours(frame)
    return written


def _colours(frame: Any) -> tuple[int, int]:
    """The matrix and the range (FFmpeg's numbers) in which a frame is to be written: its own; BT.709 for RGB."""
    if frame.colorspace == RGB:
        return BT709, LIMITED
    return int(frame.colorspace), int(frame.color_range)


def _encodable(frame: Any, image: Image.Image, changed: Image.Image | None, written: Any) -> Any:
    """The frame to encode, at its time.  One that was not changed does not go through RGB."""
    matrix, full = _colours(frame)
    # Left to itself PyAV writes RGB by BT.601, whatever the stream says.
    space = {} if matrix == UNSPECIFIED else {"dst_colorspace": matrix}
    space |= {"dst_color_range": full} if full else {}
    if changed is None and not round(frame.rotation / 90) % 4:
        ready = frame.reformat(format=written.pix_fmt, **space)
    else:
        rgb = type(frame).from_image(image if changed is None else changed)
        ready = rgb.reformat(format=written.pix_fmt, **space)
    ready.pts, ready.time_base = frame.pts, frame.time_base
    ready.pict_type = 0
    return ready
