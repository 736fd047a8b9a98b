"""Whatever a user gets wrong: one clear line, exit code 2, nothing lost."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from doubles import bomb, saved_double
from lomit.cli import main

TRANSLATE = ("translate", "--device", "cpu", "--model", "model", "--out", "out")
PAIR = ("good.png", "red.png")
BAD = ("bad.png", "red.png")


def nothing() -> None:
    """Nothing to prepare."""


def write(name: str, content: bytes) -> Callable[[], None]:
    def prepare() -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)

    return prepare


def truncated() -> None:
    content = Path("good.png").read_bytes()
    Path("bad.png").write_bytes(content[: len(content) // 2])


def large() -> None:
    bomb(Path("bad.png"), 20_000, 20_000)


def animated() -> None:
    Image.new("RGB", (8, 8), "red").save("bad.gif", save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")])


def unreadable() -> None:
    # Modes do not stop root, a link to itself does.
    Path("bad.png").symlink_to("bad.png")


def config_key() -> None:
    path = Path("model/config.json")
    path.write_text(path.read_text().replace("image_size", "image_sise"))


def config_value() -> None:
    path = Path("model/config.json")
    config = json.loads(path.read_text())
    config["model"]["image_size"] = "sixteen"
    path.write_text(json.dumps(config))


def other_shape() -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file("model/model.safetensors")
    save_file(tensors | {"gain": torch.ones(5)}, "model/model.safetensors")


def half_written() -> None:
    path = Path("model/model.safetensors")
    path.write_bytes(path.read_bytes()[:-4])


def pickled() -> None:
    torch.save({"gain": torch.ones(3)}, "weights.pth")


def existing() -> None:
    write("out/good__red.png", b"precious")()


def same_stem(*names: str) -> Callable[[], None]:
    def prepare() -> None:
        for name in names:
            Path(name).parent.mkdir(exist_ok=True)
            Image.new("L", (8, 8)).save(name)

    return prepare


def two_of_a_name() -> None:
    for name in ("a/x__y.png", "a/x.png", "b/z.png", "b/y__z.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(name)


CASES: dict[str, tuple[Callable[[], None], tuple[str, ...], str]] = {
    # what is wrong: (how it comes about, words after the options above, what the line says)
    "not an image": (write("bad.png", b"hello"), BAD, "bad.png is not an image"),
    "empty file": (write("bad.png", b""), BAD, "bad.png is not an image"),
    "truncated": (truncated, BAD, "bad.png is truncated or damaged"),
    "bad exemplar": (truncated, ("good.png", "bad.png"), "bad.png is truncated or damaged"),
    "bad mask": (truncated, (*PAIR, "--input-mask", "bad.png"), "bad.png is truncated or damaged"),
    "bomb": (large, BAD, "bad.png has more than 179 megapixels"),
    "animation": (animated, ("bad.gif", "red.png"), "bad.gif has 2 frames; give one still image"),
    "unreadable": (unreadable, BAD, "no such file or folder: bad.png"),
    "no input": (nothing, ("none.png", "red.png"), "no such file or folder: none.png"),
    "no exemplar": (nothing, ("good.png", "none.png"), "no such file or folder: none.png"),
    "no mask": (nothing, (*PAIR, "--exemplar-mask", "none.png"), "no such file or folder: none.png"),
    "empty folder": (lambda: Path("empty").mkdir(), ("empty", "red.png"), "no images in empty"),
    "mask of another shape": (
        lambda: Image.new("L", (5, 7)).save("mask.png"),
        (*PAIR, "--input-mask", "mask.png"),
        "the mask of good.png is 5 x 7; make it as large as the image (30 x 20) or square",
    ),
    "no mask in the folder": (
        lambda: Path("masks").mkdir() or Image.new("L", (8, 8)).save("masks/other.png"),
        (*PAIR, "--input-mask", "masks"),
        "masks holds no mask for good.png: it must be called good.png",
    ),
    "two masks of one stem": (
        same_stem("masks/good.png", "masks/good.jpg"),
        (*PAIR, "--input-mask", "masks"),
        "masks/good.jpg and masks/good.png share the stem 'good', by which masks are matched; rename one",
    ),
    "a mask for two images": (
        same_stem("folder/good.png", "folder/good.jpg", "masks/good.png"),
        ("folder", "red.png", "--input-mask", "masks"),
        "folder/good.jpg and folder/good.png share the stem 'good'",
    ),
    "no model": (nothing, (*PAIR, "--model", "avatar-64x"), "no model 'avatar-64x'"),
    "config key": (config_key, PAIR, "unknown key 'image_sise' (did you mean 'image_size'?)"),
    "config value": (config_value, PAIR, "config.json: model.image_size: expected int, found 'sixteen'"),
    "other shape": (other_shape, PAIR, "'gain' has the shape (5,), expected (3,)"),
    "half-written": (half_written, PAIR, "model.safetensors is damaged or half-written"),
    "pickle": (pickled, (*PAIR, "--model", "weights.pth"), "weights.pth is refused: a pickle can run any code"),
    "results exist": (existing, PAIR, "1 result would overwrite what is there (first: out/good__red.png)"),
    "out is a file": (write("out", b"precious"), PAIR, "out is a file; --out must be a folder"),
    "results of one name": (
        two_of_a_name,
        ("a", "b"),
        "two results would be called x__y__z.png",
    ),
    "JSON on the exemplar": (nothing, (*PAIR, "--json", "red.png", "--overwrite"), "red.png is, or lies in, what this"),
    "JSON on the table": (
        write("p.csv", b"input,exemplar\ngood.png,red.png\n"),
        ("--pairs", "p.csv", "--json", "./p.csv", "--overwrite"),
        "p.csv is, or lies in, what this command reads; choose another file to write",
    ),
    "JSON on a mask": (
        write("m.png", b"mine"),
        (*PAIR, "--exemplar-mask", "m.png", "--json", "m.png", "--overwrite"),
        "m.png is, or lies in, what this command reads",
    ),
    "JSON in the model": (nothing, (*PAIR, "--json", "model/config.json", "--overwrite"), "model/config.json is, or"),
    "JSON on a folder": (nothing, (*PAIR, "--json", "model"), "model is a folder; give the file to write"),
    "no table": (nothing, ("--pairs", "none.csv"), "none.csv can't be read: No such file or directory"),
    "table without columns": (
        write("p.csv", b"a,b\n1,2\n"),
        ("--pairs", "p.csv"),
        "needs the columns input and exemplar in its first line; it has a, b",
    ),
    "empty table": (write("p.csv", b"input,exemplar\n"), ("--pairs", "p.csv"), "p.csv has no rows"),
    "table of nothing": (write("p.csv", b""), ("--pairs", "p.csv"), "it has nothing"),
    "table with a gap": (write("p.csv", b"input,exemplar\ngood.png\n"), ("--pairs", "p.csv"), "row 1: input or"),
    "table that is an image": (nothing, ("--pairs", "good.png"), "good.png is not a CSV table"),
    "table and input": (nothing, ("--pairs", "p.csv", *PAIR), "--pairs takes the place of INPUT and EXEMPLAR"),
    "nothing given": (nothing, (), "give INPUT and EXEMPLAR, or --pairs"),
    "folders that do not match": (
        two_of_a_name,
        ("a", "red.png", "--match", "zip"),
        "--match zip needs as many inputs as exemplars; there are 2 and 1",
    ),
    "steps": (nothing, (*PAIR, "--steps", "1"), "--steps must be at least 2; it is 1"),
    "batch size": (nothing, (*PAIR, "--batch-size", "0"), "--batch-size must be at least 1; it is 0"),
    "processes": (nothing, (*PAIR, "--processes", "-1"), "--processes must be at least 1; it is -1"),
    "label of another kind": (nothing, (*PAIR, "--label", "Male=2"), "--label needs NAME=1 or NAME=0"),
    "label twice": (nothing, (*PAIR, "--label", "Male=1", "Male=0"), "--label names 'Male' twice"),
    "label unknown": (nothing, (*PAIR, "--label", "male=1"), "unknown attribute 'male' (did you mean 'Male'?)"),
    "label alone": (nothing, ("good.png", "--label", "Male=1"), "the double needs an exemplar"),
    "random and exemplar": (nothing, (*PAIR, "--random", "2"), "--random takes the place of EXEMPLAR"),
    "random and table": (nothing, ("--pairs", "p.csv", "--random", "2"), "--pairs and --random exclude each other"),
    "no random": (nothing, ("good.png", "--random", "0"), "--random must be at least 1; it is 0"),
    "random without a prior": (nothing, ("good.png", "--random", "2"), "'double' has no random styles to draw"),
    "random and steps": (nothing, ("good.png", "--random", "2", "--steps", "3"), "--steps needs EXEMPLAR"),
    "gif without steps": (nothing, (*PAIR, "--gif"), "--gif needs --steps"),
    "two exemplars without steps": (nothing, (*PAIR, "red.png"), "two exemplars need --steps"),
    "three exemplars": (nothing, (*PAIR, "red.png", "red.png"), "two exemplars at most, the ends of --steps; 3 given"),
    "masks with steps": (nothing, (*PAIR, "--steps", "2", "--input-mask", "red.png"), "--steps predicts its masks"),
    "device": (nothing, (*PAIR, "--device", "gpu"), "no device 'gpu' here; give cpu, cuda where there is"),
    "device without values": (nothing, (*PAIR, "--device", "meta"), "no device 'meta' here"),
    "device of a Mac": (nothing, (*PAIR, "--device", "mps"), "no device 'mps' here; give cpu"),
    "threads": (nothing, (*PAIR, "--threads", "0"), "--threads must lie in 1 to 1024; it is 0"),
    "list given twice": (nothing, (*PAIR, "--label", "A=1", "--label", "B=1"), "--label is given twice"),
    "JSON exists": (write("done.json", b"mine"), (*PAIR, "--json", "done.json"), "done.json exists already"),
    "pipe": (lambda: os.mkfifo("e.png"), ("good.png", "e.png"), "e.png is not a plain file, not an image"),
    "folder of pipes": (
        lambda: Path("pipes").mkdir() or os.mkfifo("pipes/e.png"),
        ("good.png", "pipes"),
        "no images in pipes",
    ),
}  # fmt: skip


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    saved_double(Path("model"))
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save("good.png")
    Image.new("RGB", (16, 16), "red").save("red.png")
    return tmp_path


def files(folder: Path) -> dict[str, str]:
    """Path -> digest of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error, apart from the names of skipped images."""
    told = capsys.readouterr()
    lines = [line for line in told.err.splitlines() if not line.startswith("lomit: skipped:")]
    assert told.out == ""
    assert len(lines) == 1, lines
    assert lines[0].startswith("lomit: error: ")
    return lines[0]


@pytest.mark.parametrize("case", CASES)
def test_one_line_code_2_and_nothing_lost(case: str, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare, words, expected = CASES[case]
    prepare()
    before = files(work)
    assert main([*TRANSLATE, *words]) == 2
    assert expected in error_line(capsys)
    assert files(work) == before


def test_one_pixel_works(work: Path) -> None:
    Image.new("RGB", (1, 1), (1, 2, 3)).save("one.png")
    assert main([*TRANSLATE, "one.png", "one.png"]) == 0
    with Image.open("out/one__one.png") as image:
        assert image.size == (1, 1)
        assert image.getpixel((0, 0)) == (1, 2, 3)


def test_no_space_left(work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    existing()
    before = files(work)

    def full(self: Image.Image, file: object, *args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    assert main([*TRANSLATE, *PAIR, "--overwrite"]) == 2
    assert "no space left for out/good__red.png" in error_line(capsys)
    assert files(work) == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("good.png",), "give both INPUT and EXEMPLAR"),
        (("none.png", "red.png"), "no such file: none.png"),
        (("--model", "none"), "no model 'none'"),
        ((), "knows none of the rendered faces' attributes"),
        (("--seed", "-3"), "--seed must be at least 0; it is -3"),
        (("good.png", "red.png", "--out", "x" * 300), "a name is too long for "),
    ],
)
def test_demo(words: tuple[str, ...], expected: str, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("model/config.json")
    path.write_text(path.read_text().replace("Smiling", "Bangs"))
    before = files(work)
    assert main(["demo", "--model", "model", "--device", "cpu", *words]) == 2
    assert expected in error_line(capsys)
    assert files(work) == before


def test_names_that_are_too_long_together_are_cut(work: Path) -> None:
    long, other = "a" * 184 + ".png", "b" * 189 + ".png"
    for name in (long, other):
        Image.new("RGB", (8, 8)).save(name)
    assert main([*TRANSLATE, long, other, "--save-masks"]) == 0
    names = sorted(path.name for path in Path("out").iterdir())
    assert len(names) == 3
    assert all(len(name) < 255 and name.startswith("a" * 80) for name in names)
