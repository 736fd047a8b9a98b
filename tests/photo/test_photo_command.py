"""`lomit photo`: which files come out, and what a user can get wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lomit.photo.batch
from doubles import saved_double
from lomit import Predictor
from lomit.cli import main
from lomit.inference.weights import save_pretrained
from lomit.photo import Face, translate_photo
from support.photos import noise, smooth
from support.tiny import seeing_places

THEIRS = ("--exemplar-box", "0", "0", "40", "40")
BOXES = ("--face-box", "40", "30", "140", "130", *THEIRS)


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a model, a folder of photographs and an exemplar."""
    monkeypatch.chdir(tmp_path)
    saved_double(Path("model"))
    Path("photos").mkdir()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    smooth(150, 200).save("photos/turned.jpg", exif=exif, quality=95)
    smooth(200, 150).save("photos/plain.png")
    smooth(200, 150).save("photos/old.bmp")
    Image.new("RGB", (40, 40), "red").save("red.png")
    return tmp_path


def run(*words: str) -> int:
    """`words` begin with the input."""
    return main(["photo", words[0], "red.png", "--model", "model", "--device", "cpu", "--out", "out", *words[1:]])


def made() -> list[str]:
    return sorted(path.name for path in Path("out").iterdir()) if Path("out").exists() else []


def test_a_photograph_keeps_its_size_its_format_and_its_metadata(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("photos/turned.jpg", *BOXES) == 0
    assert made() == ["turned__red.jpg"]
    assert capsys.readouterr().out == "translated 1 face in 1 photograph into out (1 file)\n"
    with Image.open("out/turned__red.jpg") as image:
        assert (image.size, image.getexif()[0x010F], image.getexif().get(0x0112, 1)) == ((200, 150), "A camera", 1)
        red = np.asarray(image)[60:100, 50:70].astype(int).mean(axis=(0, 1))
    with Image.open("photos/turned.jpg") as image:
        before = np.asarray(image.rotate(-90, expand=True))[60:100, 50:70].astype(int).mean(axis=(0, 1))
    assert red[0] > before[0] + 30


def test_a_folder_and_its_masks() -> None:
    assert run("photos", *BOXES, "--save-masks") == 0
    parts = ["_face-1_crop", "_face-1_exemplar-mask", "_face-1_input-mask", "_face-1_output", "_mask"]
    names = {"old__red": ".png", "plain__red": ".png", "turned__red": ".jpg"}
    assert made() == sorted(
        [name + suffix for name, suffix in names.items()] + [f"{name}{part}.png" for name in names for part in parts]
    )
    with Image.open("out/plain__red_mask.png") as mask, Image.open("out/plain__red.png") as result:
        untouched = np.asarray(mask) == 0
        same = (np.asarray(result) == np.asarray(smooth(200, 150))).all(axis=2)
    assert same[untouched].all()
    assert not same.all()


def test_another_format() -> None:
    assert run("photos/plain.png", *BOXES, "--format", "jpeg", "--quality", "80") == 0
    assert made() == ["plain__red.jpg"]


def test_each_exemplar_in_a_region_of_its_own(work: Path) -> None:
    save_pretrained(seeing_places(), "places")
    noise(40, 40).save("noise.png")
    words = ["photo", "photos/plain.png", "hair=red.png", "smiling=noise.png", "--model", "places", "--device", "cpu"]
    assert main([*words, "--out", "out", "--save-masks", *BOXES]) == 0
    name = "plain__hair-red__smiling-noise"
    assert made() == sorted(
        f"{name}{end}.png" for end in ("", "_mask", "_face-1_crop", "_face-1_input-mask", "_face-1_output")
    )
    predictor = Predictor.from_pretrained("places", "cpu")
    faces = [Face.from_crop((40, 30, 140, 130))]
    theirs = {name: [Face.from_crop((0, 0, 40, 40))] for name in ("hair", "smiling")}
    exemplars = {"hair": "red.png", "smiling": "noise.png"}
    result = translate_photo(predictor, "photos/plain.png", exemplars, faces=faces, exemplar_faces=theirs)
    with Image.open(f"out/{name}.png") as image, Image.open(f"out/{name}_mask.png") as mask:
        assert np.array_equal(np.asarray(image), np.asarray(result.image))
        weight, changed = np.asarray(mask), (np.asarray(image) != np.asarray(smooth(200, 150))).any(axis=2)
    assert changed.any()
    assert not changed[weight == 0].any()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("hair=red.png", "--only", "hair"), "NAME=IMAGE says what is moved; leave out --only"),
        (("hair=red.png",), "the masks of this model don't go by names: take one whose masks do (docs/models.md), or"),
    ],
)
def test_regions_that_can_not_be(words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["photo", "photos/plain.png", *words, "--model", "model", "--device", "cpu", *BOXES]) == 2
    assert says in capsys.readouterr().err


def test_no_strength_no_change() -> None:
    assert run("photos/plain.png", *BOXES, "--strength", "0") == 0
    with Image.open("out/plain__red.png") as result:
        assert np.array_equal(np.asarray(result), np.asarray(smooth(200, 150)))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--face", "2"), "there is no face 2 in photos/plain.png: one face was found"),
        (("--face", "0"), "--face must be 1 (the largest face), 2, ... or all; it is '0'"),
        (("--exemplar-face", "all"), "--exemplar-face must be INT; it is 'all'"),
        (("--exemplar-face", "0"), "--exemplar-face must be at least 1; it is 0"),
        (("--face-box", "1", "2", "3"), "--face-box must be LEFT TOP RIGHT BOTTOM; it is '1 2 3'"),
        (("--face-box", "0", "0", "10", "20"), "must be a square"),
        (
            ("--face-box", "300", "0", "310", "10"),
            "300,0,310,10, lies outside of photos/plain.png, which has 200 x 150 pixels",
        ),
        (("--face-box", "0", "0", "99999999", "99999999"), "is far larger than photos/plain.png"),
        (("--exemplar-box", "-90", "0", "0", "90"), "lies outside of red.png"),
        (("--strength", "3"), "the strength must lie between 0 and 2"),
        (("--processes", "2"), "unknown option '--processes'"),
        (("--quality", "0", "--format", "jpeg"), "the quality must lie between 1 and 100"),
        (("--input-mask", "photos/old.bmp.txt"), "no such file"),
    ],
)
def test_what_a_user_gets_wrong(words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("photos/plain.png", *BOXES, *words) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1
    assert made() == []


def test_what_is_there_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/plain__red.png").write_bytes(b"mine")
    assert run("photos/plain.png", *BOXES) == 2
    assert "would overwrite what is there (first: out/plain__red.png)" in capsys.readouterr().err
    assert Path("out/plain__red.png").read_bytes() == b"mine"
    assert run("photos/plain.png", *BOXES, "--overwrite") == 0
    Path("out/plain__red_mask.png").write_bytes(b"mine")
    assert run("photos/plain.png", *BOXES, "--save-masks", "--format", "jpeg") == 2
    assert "would overwrite what is there (first: out/plain__red_mask.png)" in capsys.readouterr().err
    assert made() == ["plain__red.png", "plain__red_mask.png"]


def test_without_the_extra_its_name_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)  # import raises ImportError
    assert run("photos/plain.png") == 2
    assert "pip install 'lomit[faces]'" in capsys.readouterr().err
    # With both places given, no detector is needed.
    assert run("photos/plain.png", *BOXES) == 0


def test_photographs_without_a_face(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("dlib")
    assert run("photos/plain.png", *THEIRS) == 2
    assert "no face found in photos/plain.png; say where it is (--face-box" in capsys.readouterr().err
    assert run("photos", *THEIRS) == 1
    told = capsys.readouterr()
    assert told.out == "translated 0 faces in 0 photographs into out (0 files)\n"
    assert told.err.startswith("lomit: 3 photographs failed:\n  no face found in photos/")


def test_one_photograph_stops_none_of_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is raised for it: metadata and encoders fail in many ways."""
    read = lomit.photo.batch.read_photograph

    def odd(path: Path) -> object:
        if path.name == "plain.png":
            raise ValueError("EXIF data is too long")
        return read(path)

    monkeypatch.setattr("lomit.photo.batch.read_photograph", odd)
    Path("photos/damaged.jpg").write_bytes(b"damaged")
    assert run("photos", *BOXES, "--json", "photos/plain.png", "--overwrite") == 2
    assert "photos/plain.png is, or lies in, what this command reads" in capsys.readouterr().err
    assert run("photos", *BOXES, "--json", "done.json") == 1
    assert made() == ["old__red.png", "turned__red.jpg"]
    done = json.loads(Path("done.json").read_text())
    assert {key: done[key] for key in ("photographs", "faces", "files")} == {"photographs": 2, "faces": 2, "files": 2}
    assert done["failed"] == [
        "photos/damaged.jpg is not an image, or its beginning is damaged",
        "photos/plain.png: ValueError: EXIF data is too long",
    ]
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["lomit: 2 photographs failed:", *(f"  {error}" for error in done["failed"])]
    with pytest.raises(ValueError, match="too long"):  # alone, it is a bug and keeps its traceback
        run("photos/plain.png", *BOXES)


def test_a_side_that_the_format_cannot_have_stops_none_of_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    smooth(17_000, 200).save("photos/panorama.png")
    assert run("photos", *BOXES, "--format", "webp") == 1
    assert made() == ["old__red.webp", "plain__red.webp", "turned__red.webp"]
    first, second = capsys.readouterr().err.splitlines()
    assert first == "lomit: 1 photograph failed:"
    assert second.startswith("  out/panorama__red.webp can't be written as WEBP: ")
    assert run("photos/panorama.png", *BOXES, "--format", "webp") == 2, "alone, there is nothing to go on with"


def test_an_exemplars_mask_of_another_size_stops_none_of_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    Path("exemplars").mkdir()
    Path("masks").mkdir()
    for name, size in (("blue", (40, 40)), ("green", (30, 20)), ("red", (40, 40))):
        Image.new("RGB", (40, 40), name).save(f"exemplars/{name}.png")
        Image.new("L", size, "white").save(f"masks/{name}.png")
    words = ["photo", "photos/plain.png", "exemplars", "--model", "model", "--device", "cpu", "--out", "out", *BOXES]
    assert main([*words, "--exemplar-mask", "masks"]) == 1
    assert made() == ["plain__blue.png", "plain__red.png"]
    assert capsys.readouterr().err.splitlines() == [
        "lomit: 1 photograph failed:",
        "  the mask of exemplars/green.png is 30 x 20; make it as large as the photograph (40 x 40), or square for the "
        "crop of the face",
    ]
