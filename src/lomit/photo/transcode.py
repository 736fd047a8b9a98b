"""A film into another: frames changed at their times, in their colours, the sound copied (PyAV, so FFmpeg)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

from lomit.errors import LomitError

CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "webm": ("libvpx-vp9", {"crf": "24", "b": "0", "cpu-used": "4", "row-mt": "1"}),
}
"""Container -> codec and its options, where it is not H.264."""
H264 = ("libx264", {"crf": "17", "preset": "medium", "bf": "0"})
"""Frames in the order in which they are shown: MP4 then knows how long the last one lasts."""
RGB, BT709, UNSPECIFIED = 0, 1, 2
"""FFmpeg's numbers of colour matrices (ITU-T H.273)."""
LIMITED = 1
"""FFmpeg's number of the range 16 to 235."""
PRIMING = 0.03
"""Sound that is over so many seconds before the film begins is left out."""

Turn = tuple[bool, bool, bool]
"""Rows become columns; then mirrored left to right; then top to bottom."""

Change = Callable[[Image.Image, float], Image.Image | None]
"""A frame, RGB, and its time in seconds -> what is shown in its place; None: itself."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoResult:
    """What became of a video.

    Attributes:
        translated: in how many of them a face was translated; the others pass through.
        sound: streams of sound that were copied.
        left_out: streams that the container can't hold, as words.
    """

    frames: int
    translated: int
    sound: int
    left_out: tuple[str, ...]


class _Clock:
    """When the frames of a stream are shown, in ticks of its time base, the film beginning at 0."""

    def __init__(self, source: Any, stream: Any, rate: Fraction) -> None:
        self.stream, self.step = stream, max(1, round(1 / (rate * stream.time_base)))
        # Recordings of broadcasts begin hours after 0.
        self.begin = Fraction(max(0, source.start_time or 0), 1_000_000)
        # AVI says when packets are decoded: the first frame that is shown has the time of the first packet.
        self._decoded: deque[int] | None = deque() if source.format.name == "avi" else None
        self._last: int | None = None
        self.guessed = False

    def ticks(self, stream: Any) -> int:
        """How far a stream's times are to be moved."""
        return round(self.begin / stream.time_base)

    def saw(self, packet: Any) -> None:
        """Takes note of a packet, before it is decoded."""
        if self._decoded is not None and packet.size and packet.dts is not None:
            self._decoded.append(packet.dts)

    def time(self, frame: Any) -> int:
        """The time of the next frame, later than that of the frame before."""
        time = self._decoded.popleft() if self._decoded else frame.pts
        if time is None:
            self.guessed = True
            time = 0 if self._last is None else self._last + self.step
        else:
            time -= self.ticks(self.stream)
        self._last = time if self._last is None else max(time, self._last + 1)
        return self._last


class _Writer:
    """The stream of a film that is written: frames at their times, the last one as long as it was shown."""

    def __init__(
        self, target: Any, container: str, stream: Any, rate: Fraction, frame: Any, image: Image.Image, turn: Turn
    ) -> None:
        self.target, self.size, self.base = target, (frame.width, frame.height), stream.time_base
        codec, options = CODECS.get(container, H264)
        self.stream = target.add_stream(codec, rate=rate, options=options)
        self.stream.width, self.stream.height = image.size
        # Colours at half the resolution, which every player shows, need even sides.
        self.stream.pix_fmt = "yuv444p" if image.width % 2 or image.height % 2 else "yuv420p"
        context = self.stream.codec_context
        context.time_base = self.base
        shape = stream.sample_aspect_ratio
        if shape:
            context.sample_aspect_ratio = 1 / shape if turn[0] else shape
        for name in ("color_primaries", "color_trc"):
            setattr(context, name, getattr(stream.codec_context, name))
        context.colorspace, context.color_range = _colours(frame)
        self._durations: dict[int, int] = {}

    def write(self, ready: Any, time: int, duration: int) -> None:
        """Encodes a frame; time and duration are in ticks of the stream that was read, a duration of 0 is not known."""
        ready.pts, ready.time_base, ready.pict_type = time, self.base, 0
        if duration:
            self._durations[time] = duration
        self._mux(self.stream.encode(ready))

    def close(self) -> None:
        """Encodes what is left."""
        self._mux(self.stream.encode(None))

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            # Encoders take a frame to last as long as the others do.
            if duration := self._durations.pop(packet.pts, 0):
                packet.duration = duration
        self.target.mux(packets)


def transcode(
    source: Any, target: Any, container: str, change: Change, progress: Callable[[int, int], object]
) -> VideoResult:
    """Every packet of a container into another: frames through `change`, sound as it is.  Raises LomitError where there
    is no video in it.

    Args:
        source, target: PyAV's containers, opened.
        container: FFmpeg's name of the target's format.
        progress: called with the number of frames done and the number that the film says it has (0: it does not).
    """
    stream = next((s for s in source.streams.video if not s.disposition & type(s.disposition).attached_pic), None)
    if stream is None:
        raise LomitError(f"{source.name} has no video in it")
    stream.thread_type = "AUTO"
    sound: dict[int, Any] = {}
    left_out: list[str] = []
    for each in source.streams:
        if each.type == "audio" and each.codec_context.name in target.supported_codecs:
            sound[each.index] = each
        elif each.index != stream.index:
            left_out.append(f"{each.type} {getattr(each.codec_context, 'name', '')}".strip())
    rate = Fraction(stream.guessed_rate or stream.average_rate or 25)
    clock = _Clock(source, stream, rate)
    frames = translated = 0
    written: _Writer | None = None
    other_sizes: set[tuple[int, int]] = set()
    waiting: list[Any] = []
    copies: dict[int, Any] = {}
    for packet in source.demux(stream, *sound.values()):
        if packet.stream.index in sound:
            # The header is written with the first packet, so every stream must be there before.
            if packet.dts is not None and _place_sound(packet, clock):
                waiting.append(packet)
        else:
            clock.saw(packet)
            for frame in packet.decode():
                time, duration = clock.time(frame), frame.duration
                turn = _turn(frame)
                if written is not None and (frame.width, frame.height) != written.size:
                    other_sizes.add((frame.width, frame.height))
                    frame = frame.reformat(width=written.size[0], height=written.size[1])
                image = _upright(frame, turn)
                changed = change(image, float(time * stream.time_base))
                if written is None:
                    written = _Writer(target, container, stream, rate, frame, image, turn)
                    copies = {index: target.add_stream_from_template(each) for index, each in sound.items()}
                shown = image if changed is None and any(turn) else changed
                written.write(_encodable(frame, shown, written.stream), time, duration)
                frames, translated = frames + 1, translated + (changed is not None)
                progress(frames, stream.frames)
        if written is not None:
            for held in waiting:
                held.stream = copies[held.stream.index]
                target.mux(held)
            waiting.clear()
    if written is None:
        raise LomitError(f"{source.name} has no frames in it")
    written.close()
    _report(source.name, clock, written, rate, other_sizes)
    return VideoResult(frames, translated, len(copies), tuple(left_out))


def _report(name: str, clock: _Clock, written: _Writer, rate: Fraction, other_sizes: set[tuple[int, int]]) -> None:
    """Lines about what could not be kept."""
    if clock.guessed:
        logger.warning("%s says no times of its frames: they are shown %g a second", name, float(rate))
    if other_sizes:
        words = ", ".join(f"{width} x {height}" for width, height in sorted(other_sizes))
        logger.warning(
            "%s changes its size; frames of %s are scaled to the first's %d x %d", name, words, *written.size
        )


def _place_sound(packet: Any, clock: _Clock) -> bool:
    """Moves a packet of sound to the film's beginning; False for one that is over long before."""
    shift = clock.ticks(packet.stream)
    packet.dts -= shift
    if packet.pts is not None:
        packet.pts -= shift
    # What an edit list cuts off comes with times before 0; a decoder needs the last of it to start with.
    return float((packet.dts + (packet.duration or 0)) * packet.stream.time_base) > -PRIMING


def _turn(frame: Any) -> Turn:
    """What makes a frame upright, by the matrix that it is to be shown with."""
    data = next((bytes(each) for each in frame.side_data if each.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return False, False, False
    # (x, y) of the frame -> (a x + c y, b x + d y) on the screen.
    a, b, _, c, d = np.frombuffer(data, dtype=np.int32)[:5].tolist()
    swap = abs(b) + abs(c) > abs(a) + abs(d)
    return (True, c < 0, b < 0) if swap else (False, a < 0, d < 0)


def _upright(frame: Any, turn: Turn) -> Image.Image:
    """A frame as RGB, turned and mirrored as it is to be shown."""
    swap, mirrored, upside_down = turn
    pixels = frame.to_ndarray(format="rgb24")
    pixels = pixels.swapaxes(0, 1) if swap else pixels
    return Image.fromarray(np.ascontiguousarray(pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1]))


def _colours(frame: Any) -> tuple[int, int]:
    """The matrix and the range (FFmpeg's numbers) in which a frame is to be written: its own; BT.709 for RGB."""
    if frame.colorspace == RGB:
        return BT709, LIMITED
    return int(frame.colorspace), int(frame.color_range)


def _encodable(frame: Any, shown: Image.Image | None, written: Any) -> Any:
    """The frame to encode: what is shown in its place, or itself, which then does not go through RGB."""
    matrix, full = _colours(frame)
    # Left to itself PyAV writes RGB by BT.601, whatever the stream says.
    space = {} if matrix == UNSPECIFIED else {"dst_colorspace": matrix}
    space |= {"dst_color_range": full} if full else {}
    source = frame if shown is None else type(frame).from_image(shown)
    return source.reformat(format=written.pix_fmt, **space)
