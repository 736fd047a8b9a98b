"""Videos: frames, times, sound and rotation in, the same out; the face's place is told."""

from __future__ import annotations

import json
import struct
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
from lomit.inference.editing import Edit, Edited, Editing
from lomit.photo import ExemplarFace, Face
from lomit.photo.tracking import Tracker
from lomit.photo.video import VideoResult, translate_video

av: Any = pytest.importorskip("av")

SIZE = (160, 120)
TIMES = [0, 40, 95, 135, 175, 230, 270, 310]  # milliseconds: not evenly spaced
FACE = Face.from_crop((30, 20, 110, 100))
RED = Image.new("RGB", (16, 16), (220, 40, 40))
GUIDE = ExemplarFace(FACE, RED)


def film(
    path: Path,
    sound: str | None = "aac",
    matrix: int = 2,
    full: int = 0,
    *,
    times: Sequence[int] = TIMES,
    base: Fraction = Fraction(1, 1000),
    late: int = 0,
    last: int = 0,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    container: str | None = None,
    options: dict[str, str] | None = None,
    corner: bool = False,
) -> Path:
    """A film of blue frames that get lighter, with a tone.

    Args:
        path: where it goes.
        sound: codec of the tone; None: no sound.
        matrix, full: FFmpeg's numbers of the colours' matrix and range.
        times: of the frames, in units of `base`.
        base: in seconds.
        late: everything begins so much later.
        last: how long the last frame is shown; 0: the codec says.
        size: of the frames.
        codec, container, options: as FFmpeg calls them.
        corner: the lower right corner is white.
    """
    with av.open(str(path), "w", format=container) as out:
        video = out.add_stream(codec, rate=25, options=options or {"crf": "1"})
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        context = video.codec_context
        context.time_base, context.colorspace, context.color_range = base, matrix, full
        audio = None if sound is None else out.add_stream(sound, rate=48000)
        packets = []
        for i, time in enumerate(times):
            image = Image.new("RGB", size, (40, 60, min(255, 120 + 10 * i)))
            if corner:
                image.paste((255, 255, 255), (size[0] * 7 // 8, size[1] * 5 // 6, *size))
            space = {} if matrix == 2 else {"dst_colorspace": matrix, "dst_color_range": full or 1}
            frame = av.VideoFrame.from_image(image).reformat(format="yuv420p", **space)
            frame.pts, frame.time_base = time + late, base
            packets += video.encode(frame)
        for packet in packets + video.encode(None):
            if last and packet.pts == times[-1] + late:
                packet.duration = last
            out.mux(packet)
        if audio is not None:
            count = max(14400, round(48000 * float(times[-1] * base)))
            tone = np.sin(np.arange(count) ** 1.2 / 100).astype(np.float32)[None]
            for start in range(0, count, 960):
                frame = av.AudioFrame.from_ndarray(tone[:, start : start + 960], format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 48000, start + 48 * late, Fraction(1, 48000)
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


SHOWN = {
    # The matrix of a track's header (a, b, c, d) -> how a player shows a frame.
    (1, 0, 0, 1): lambda frame: frame,
    (0, 1, -1, 0): lambda frame: np.rot90(frame, -1),  # turned clockwise
    (-1, 0, 0, -1): lambda frame: np.rot90(frame, 2),
    (0, -1, 1, 0): lambda frame: np.rot90(frame),
    (-1, 0, 0, 1): lambda frame: frame[:, ::-1],  # mirrored, as front cameras write it
    (1, 0, 0, -1): lambda frame: frame[::-1],
    (0, 1, 1, 0): lambda frame: frame.swapaxes(0, 1),
    (0, -1, -1, 0): lambda frame: np.rot90(frame, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("matrix", SHOWN)
def test_a_film_comes_out_as_a_player_shows_it(
    tmp_path: Path, predictor: Predictor, matrix: tuple[int, int, int, int]
) -> None:
    source = film(tmp_path / "a.mp4", sound=None, corner=True)
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    for i, value in enumerate((*matrix[:2], 0, *matrix[2:])):
        data[at + 4 * i : at + 4 * i + 4] = (value * 65536).to_bytes(4, "big", signed=True)
    source.write_bytes(data)
    seen: list[Image.Image] = []

    class Seeing(Tracker):
        def update(self, image: Image.Image, time: float) -> list[Face]:
            seen.append(image)
            return []

    with av.open(str(source)) as file:
        expected = SHOWN[matrix](next(file.decode(video=0)).to_ndarray(format="rgb24"))
    run(predictor, source, tmp_path / "b.mp4", Seeing(0))
    assert np.array_equal(np.asarray(seen[0]), expected)
    written = frames_of(tmp_path / "b.mp4")[1][0]
    assert np.abs(written.astype(int) - expected).mean() < 4
    with av.open(str(tmp_path / "b.mp4")) as file:
        assert next(file.decode(video=0)).rotation == 0


def length(path: Path) -> int:
    """Of a film, in milliseconds."""
    with av.open(str(path)) as file:
        return round(file.duration / 1000)


EVEN = [40 * k for k in range(10)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("source", ["a.mp4", "a.mkv"])
def test_a_last_frame_that_is_held_stays_as_long(
    tmp_path: Path, predictor: Predictor, source: str, suffix: str
) -> None:
    path = film(tmp_path / source, sound=None, times=EVEN, last=3000)
    assert length(path) == 3360
    run(predictor, path, tmp_path / f"b{suffix}")
    assert abs(length(tmp_path / f"b{suffix}") - 3360) <= 1
    assert frames_of(tmp_path / f"b{suffix}")[0] == EVEN


@pytest.mark.parametrize(("container", "codec"), [("h264", "libx264"), ("hevc", "libx265")])
def test_frames_without_times_are_spread_evenly_with_a_line(
    tmp_path: Path, predictor: Predictor, caplog: pytest.LogCaptureFixture, container: str, codec: str
) -> None:
    source = film(tmp_path / f"a.{container}", sound=None, times=EVEN, codec=codec, container=container)
    run(predictor, source, tmp_path / "b.mp4")
    assert frames_of(tmp_path / "b.mp4")[0] == EVEN
    assert length(tmp_path / "b.mp4") == 400
    assert caplog.messages == [f"{source} says no times of its frames: they are shown 25 a second"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_recording_that_begins_late_begins_at_0(tmp_path: Path, predictor: Predictor, suffix: str) -> None:
    source = film(tmp_path / "a.ts", times=EVEN, late=36_000_000)
    out = tmp_path / f"b{suffix}"
    before, sound = frames_of(source)[0], first_sound(source)
    run(predictor, source, out)
    after = frames_of(out)[0]
    assert [time - after[0] for time in after] == EVEN
    assert abs((first_sound(out) - after[0]) - (sound - before[0])) <= 1, "sound and frames stay together"
    assert max(after[0], first_sound(out)) < 50
    assert length(out) < 450


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_what_an_edit_list_cuts_off_stays_off(tmp_path: Path, predictor: Predictor, suffix: str) -> None:
    source = film(tmp_path / "a.mp4", times=[40 * k for k in range(75)], options={"crf": "20", "g": "10"})
    data, at = bytearray(source.read_bytes()), 0
    for scale in (16000, 48000):  # of the frames and of the sound: begin a second later
        at = data.index(b"elst", at + 1)
        duration, start = struct.unpack_from(">Ii", data, at + 12)
        struct.pack_into(">Ii", data, at + 12, duration - 1000, start + scale)
    source.write_bytes(data)
    assert length(source) == 2000
    out = tmp_path / f"b{suffix}"
    run(predictor, source, out)
    times = frames_of(out)[0]
    assert len(times) == 50
    assert times[-1] - times[0] == 1960
    assert 0 <= times[0] - first_sound(out) <= 60  # a packet before, which a decoder starts from
    # Times of this container are whole milliseconds, which are 48 values.
    before, after = heard(source), heard(out)
    assert min(np.abs(after[24000 + k : 28800 + k] - before[24000:28800]).max() for k in range(-48, 49)) < 0.1


def heard(path: Path) -> np.ndarray:
    """The sound of a film from its first frame on, one value each 48,000th of a second."""
    begin = frames_of(path)[0][0] * 48
    with av.open(str(path)) as file:
        frames = list(file.decode(audio=0))
    # Matroska rounds times to milliseconds, so that of the first frame alone is used.
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    at = round(float(frames[0].time) * 48000) - begin
    return samples[-at:] if at < 0 else np.pad(samples, (at, 0))


def test_an_avi_whose_frames_are_stored_in_another_order(
    tmp_path: Path, predictor: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    b_frames = {"crf": "1", "bf": "3", "b-adapt": "0"}
    disordered = film(tmp_path / "c.avi", sound=None, times=range(10), base=Fraction(1, 25), options=b_frames)
    run(predictor, disordered, tmp_path / "d.mp4")
    times, frames = frames_of(tmp_path / "d.mp4")
    assert times == EVEN
    assert [round(frame[0, 0, 2] / 10) for frame in frames] == [12 + k for k in range(10)]
    assert caplog.messages == []


def test_a_film_that_changes_its_size_is_scaled_to_the_first_with_a_line(
    tmp_path: Path, predictor: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    parts = [
        film(tmp_path / f"{k}.h264", sound=None, times=EVEN[:4], size=size, container="h264", corner=True)
        for k, size in enumerate([(160, 120), (320, 240)])
    ]
    (tmp_path / "a.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    run(predictor, tmp_path / "a.h264", tmp_path / "b.mp4")
    times, frames = frames_of(tmp_path / "b.mp4")
    assert times == EVEN[:8]
    assert {frame.shape for frame in frames} == {(120, 160, 3)}
    for frame in frames:
        assert frame[50:70, 45:60, 0].mean() > 150, "the change lies on the face"
        assert frame[105:118, 145:158].min() > 200, "the white corner is where it was"
    assert "a.h264 changes its size; frames of 320 x 240 are scaled to the first's 160 x 120" in caplog.text


@pytest.mark.parametrize("shared", [True, False])
def test_the_exemplars_mask_is_predicted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool) -> None:
    """Where the translations of a face share what they compute, and where they don't."""
    given: list[Any] = []
    render, translate = Editing.render, Predictor.translate

    def rendered(self: Editing, edit: Edit) -> Edited:
        given.append(edit.exemplar_masks[0])
        return render(self, edit)

    def translated(self: Predictor, *args: Any, **kwargs: Any) -> Any:
        given.append(kwargs["exemplar_masks"])
        return translate(self, *args, **kwargs)

    monkeypatch.setattr(Editing, "render", rendered)
    monkeypatch.setattr(Predictor, "translate", translated)
    monkeypatch.setattr(Predictor, "can_blend", shared)
    run(Predictor(double(), "cpu"), film(tmp_path / "a.mp4", sound=None), tmp_path / "b.mp4")
    if shared:
        assert len(given) == 2 * len(TIMES)
        assert all(mask is given[0] for mask in given)
        return
    predictions = given[::3]  # then under the masks, and the reconstruction
    assert len(predictions) == len(TIMES)
    assert predictions[0] is None
    assert all(mask is not None and mask[0] is predictions[1][0] for mask in predictions[1:])


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
    words = ["--model", "model", "--exemplar-box", "0", "0", "16", "16", "--device", "cpu"]
    monkeypatch.setattr("lomit.photo.tracking.Tracker.update", lambda self, image, time: [FACE])
    assert main(["video", "a.mp4", "red.png", *words, "--out", "films", "--json", "done.json"]) == 0
    assert capsys.readouterr().out == "translated 8 of 8 frames into films/a__red.mp4\n"
    assert json.loads(Path("done.json").read_text()) == {
        "model": "model", "file": "films/a__red.mp4", "frames": 8, "translated": 8,
    }  # fmt: skip
    assert len(frames_of(Path("films/a__red.mp4"))[0]) == 8
    Path("a.mp4").rename(f"{'v' * 200}.mp4")
    Path("red.png").rename(f"{'r' * 200}.png")
    assert main(["video", f"{'v' * 200}.mp4", f"{'r' * 200}.png", *words, "--out", "long"]) == 0
    (made,) = Path("long").iterdir()
    assert made.name.startswith("v" * 180)
    Path(f"{'v' * 200}.mp4").rename("a.mp4")
    Path(f"{'r' * 200}.png").rename("red.png")
    capsys.readouterr()
    for wrong, says in [
        (["a.mp4", "red.png", "--out", "films"], "films/a__red.mp4 exists already"),
        (["a.mp4", "red.png", "--out", "a.mp4", "--overwrite"], "a.mp4 exists already; choose another --out"),
        (["b.mp4", "red.png", "--out", "films"], "no such file: b.mp4"),
        (["a.mp4", "red.png", "--out", "c.wmv"], "videos are written as"),
        (["a.mp4", "--out", "films"], "give EXEMPLAR, or --label"),
        (["a.mp4", "red.png", "--json", "a.mp4", "--overwrite"], "a.mp4 is, or lies in, what this command reads"),
        (["a.mp4", "red.png", "--steps", "3"], "unknown option '--steps'"),
        (["--out", "films"], "give INPUT"),
    ]:
        assert main(["video", *words, *wrong]) == 2
        assert says in capsys.readouterr().err


def test_without_the_extra_a_line_says_so(
    tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)  # import raises ImportError
    with pytest.raises(LomitError, match=r"pip install 'lomit\[video\]'"):
        run(predictor, tmp_path / "a.mp4", tmp_path / "b.mp4")
