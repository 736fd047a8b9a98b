"""Videos: frames, times, sound and rotation in, the same out; the face's place is told."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from doubles import double, saved_double
from lomit import Predictor
from lomit.cli import main
from lomit.errors import LomitError
from lomit.photo import ExemplarFace, Face
from lomit.photo.tracking import Tracker
from lomit.photo.video import VideoResult, translate_video

av: Any = pytest.importorskip("av")

SIZE = (160, 120)
TIMES = [0, 40, 95, 135, 175, 230, 270, 310]  # milliseconds: not evenly spaced
FACE = Face.from_crop((30, 20, 110, 100))
RED = Image.new("RGB", (16, 16), (220, 40, 40))
GUIDE = ExemplarFace(FACE, RED)


def film(path: Path, sound: str | None = "aac", matrix: int = 2, full: int = 0) -> Path:
    """A film of blue frames that get lighter, with a tone; matrix and range are FFmpeg's numbers."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "1"})
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        context = video.codec_context
        context.time_base, context.colorspace, context.color_range = Fraction(1, 1000), matrix, full
        audio = None if sound is None else out.add_stream(sound, rate=48000)
        for i, time in enumerate(TIMES):
            frame = av.VideoFrame.from_image(Image.new("RGB", SIZE, (40, 60, 120 + 10 * i)))
            space = {} if matrix == 2 else {"dst_colorspace": matrix, "dst_color_range": full or 1}
            frame = frame.reformat(format="yuv420p", **space)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None:
            tone = np.sin(np.arange(14400) / 20).astype(np.float32)[None]
            for start in range(0, 14400, 960):
                frame = av.AudioFrame.from_ndarray(tone[:, start : start + 960], format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
                out.mux(audio.encode(frame))
            out.mux(audio.encode(None))
    return path


def sound_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(audio=0) if packet.size]


def first_sound(path: Path) -> int:
    with av.open(str(path)) as file:
        packet = next(file.demux(audio=0))
        return round(float(packet.pts * packet.time_base) * 1000)


def frames_of(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
    return [round(float(f.time) * 1000) for f in frames], [f.to_ndarray(format="rgb24") for f in frames]


def told(frames: Sequence[int] = range(len(TIMES)), face: Face = FACE) -> Tracker:
    """A tracker that sees the face in these frames alone."""

    class Told(Tracker):
        count = -1

        def update(self, image: Image.Image, time: float) -> list[Face]:
            self.count += 1
            return [face] if self.count in frames else []

    return Told(0)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(double(), "cpu")


def run(predictor: Predictor, source: Path, out: Path, tracker: Tracker | None = None) -> VideoResult:
    return translate_video(predictor, source, out, GUIDE, tracker=tracker or told())


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_frames_keep_their_times_and_the_sound_is_copied(tmp_path: Path, predictor: Predictor, suffix: str) -> None:
    source, out = film(tmp_path / "a.mp4"), tmp_path / f"b{suffix}"
    result = run(predictor, source, out)
    assert result == VideoResult(8, 8, 1, ())
    (times, before), (kept, after) = frames_of(source), frames_of(out)
    assert times == TIMES
    # A sound that begins before 0 moves both where the container has no negative times.
    assert [time - kept[0] for time in kept] == TIMES
    assert first_sound(out) - kept[0] == first_sound(source)
    assert sound_of(out) == sound_of(source)
    for old, new in zip(before, after, strict=True):
        assert np.abs(new.astype(int) - old)[:, 115:].mean() < 3, "beside the face"
        assert new[50:70, 45:60, 0].mean() > 150, "the left half of the crop is red"


@pytest.mark.parametrize(("matrix", "full"), [(1, 1), (1, 2), (5, 1), (9, 1)])
def test_colours_and_how_they_are_coded_stay(tmp_path: Path, predictor: Predictor, matrix: int, full: int) -> None:
    source, out = film(tmp_path / "a.mp4", None, matrix, full), tmp_path / "b.mp4"
    run(predictor, source, out, told([1, 2, 3]))
    before, after = frames_of(source)[1], frames_of(out)[1]
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        assert np.abs(old[0, 0].astype(int) - [40, 60, 120 + 10 * i]).max() <= 4
        assert np.abs(new.astype(int) - old)[:, 115:].max() <= 4
    with av.open(str(source)) as a, av.open(str(out)) as b:
        one, two = (next(file.decode(video=0)) for file in (a, b))
        assert (one.colorspace, one.color_range) == (two.colorspace, two.color_range)


def test_frames_without_the_face_pass_through(tmp_path: Path, predictor: Predictor) -> None:
    source, out = film(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    done: list[tuple[int, int]] = []
    result = translate_video(
        predictor, source, out, GUIDE, tracker=told([0, 1, 5]), progress=lambda n, total: done.append((n, total))
    )
    assert (result.frames, result.translated) == (8, 3)
    assert done == [(n, 8) for n in range(1, 9)]
    red = [frame[50:70, 45:60, 0].mean() > 150 for frame in frames_of(out)[1]]
    assert [i for i, is_red in enumerate(red) if is_red] == [0, 1, 5]


def test_sound_that_the_container_does_not_hold_is_named(tmp_path: Path, predictor: Predictor) -> None:
    result = run(predictor, film(tmp_path / "a.mp4"), tmp_path / "b.webm")
    assert (result.sound, result.left_out) == (0, ("audio aac",))
    assert len(frames_of(tmp_path / "b.webm")[0]) == 8


@pytest.mark.parametrize("size", [(161, 121), (160, 121)])
def test_odd_sizes_and_films_without_sound(tmp_path: Path, predictor: Predictor, size: tuple[int, int]) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        video = out.add_stream("ffv1", rate=25)
        video.width, video.height = size
        video.pix_fmt = "bgr0"
        for i in range(3):
            frame = av.VideoFrame.from_image(Image.new("RGB", size, (40, 60, 120))).reformat(format="bgr0")
            frame.pts = i
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    result = run(predictor, tmp_path / "a.mkv", tmp_path / "b.mp4")
    assert result == VideoResult(3, 3, 0, ())
    assert frames_of(tmp_path / "b.mp4")[1][0].shape == (size[1], size[0], 3)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_film_on_its_side_comes_out_upright(tmp_path: Path, predictor: Predictor, degrees: int) -> None:
    source = film(tmp_path / "a.mp4", sound=None)
    # The matrix of the track's header: shown turned clockwise by so many degrees.
    c, s = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    for i, value in enumerate((c, s, 0, -s, c)):
        data[at + 4 * i : at + 4 * i + 4] = (value * 65536).to_bytes(4, "big", signed=True)
    source.write_bytes(data)
    seen: list[Image.Image] = []

    class Seeing(Tracker):
        def update(self, image: Image.Image, time: float) -> list[Face]:
            seen.append(image)
            return []

    with av.open(str(source)) as file:
        frame = next(file.decode(video=0))
        expected = np.rot90(frame.to_ndarray(format="rgb24"), -degrees // 90)
    run(predictor, source, tmp_path / "b.mp4", Seeing(0))
    assert np.array_equal(np.asarray(seen[0]), expected)
    assert frames_of(tmp_path / "b.mp4")[1][0].shape == expected.shape
    with av.open(str(tmp_path / "b.mp4")) as file:
        assert next(file.decode(video=0)).rotation == 0


def test_the_exemplars_mask_is_predicted_once(tmp_path: Path, predictor: Predictor) -> None:
    given: list[object] = []

    class Watching(Predictor):
        def translate(self, *args: Any, **kwargs: Any) -> Any:
            given.append(kwargs["exemplar_masks"])
            return super().translate(*args, **kwargs)

    run(Watching(double(), "cpu"), film(tmp_path / "a.mp4", sound=None), tmp_path / "b.mp4")
    predictions = given[::3]  # then under the masks, and the reconstruction
    assert len(predictions) == len(TIMES)
    assert predictions[0] is None
    assert all(masks is not None for masks in predictions[1:])


def test_what_goes_wrong_leaves_nothing_behind(tmp_path: Path, predictor: Predictor) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a film" * 100)
    for source, out, says in [
        ("a.mp4", "b.mp4", "can't be read or written as a video"),
        ("none.mp4", "b.mp4", "no such file"),
        ("a.mp4", "b.txt", "videos are written as .mp4"),
        ("a.mp4", "a.mp4", "exists already"),
    ]:
        with pytest.raises(LomitError, match=says):
            run(predictor, tmp_path / source, tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("dlib")
    monkeypatch.chdir(tmp_path)
    saved_double(Path("model"))
    film(Path("a.mp4"))
    RED.save("red.png")
    words = ["translate", "--model", "model", "--device", "cpu", "--exemplar", "red.png", "--exemplar-box", "0,0,16,16"]
    monkeypatch.setattr("lomit.photo.tracking.Tracker.update", lambda self, image, time: [FACE])
    assert main([*words, "--video", "a.mp4", "--out", "films"]) == 0
    assert capsys.readouterr().out == "translated 8 of 8 frames into films/a__red.mp4\n"
    assert len(frames_of(Path("films/a__red.mp4"))[0]) == 8
    for wrong, says in [
        (["--video", "a.mp4", "--out", "films"], "films/a__red.mp4 exists already"),
        (["--video", "a.mp4", "--out", "a.mp4", "--overwrite"], "a.mp4 exists already; choose another --out"),
        (["--video", "b.mp4", "--out", "films"], "no such file: b.mp4"),
        (["--video", "a.mp4", "--out", "c.wmv"], "videos are written as"),
        (["--video", "a.mp4", "--input", "red.png"], "--video takes the place of --input"),
        (["--video", "a.mp4", "--steps", "3"], "--steps does not go with --video"),
        (["--video", "a.mp4", "--format", "png"], "--format does not go with --video"),
    ]:
        assert main([*words, *wrong]) == 2
        assert says in capsys.readouterr().err


def test_without_the_extra_a_line_says_so(
    tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)  # import raises ImportError
    with pytest.raises(LomitError, match=r"pip install 'lomit\[video\]'"):
        run(predictor, tmp_path / "a.mp4", tmp_path / "b.mp4")
