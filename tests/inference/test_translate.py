"""`lomit translate` and `lomit demo`: which files come out, with what in them."""

from __future__ import annotations

import importlib.util
import json
import shutil
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from doubles import saved_double
from lomit import Predictor
from lomit.cli import main
from lomit.errors import LomitError
from lomit.inference.batch import JobOutcome, Settings
from lomit.inference.pairs import Guidance, Input, Job, Jobs, check_results, pair_up
from lomit.inference.weights import save_pretrained
from lomit.inference.worker import AHEAD, Worker
from lomit.models.lomit.config import LomitConfig
from lomit.models.lomit.model import Lomit
from support.tiny import seeing_places

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a model, a folder of three inputs and a folder of two exemplars."""
    monkeypatch.chdir(tmp_path)
    saved_double(Path("model"))
    rng = np.random.default_rng(0)
    for folder in ("inputs", "exemplars"):
        Path(folder).mkdir()
    for i, name in enumerate(("a", "b", "c")):
        Image.fromarray(rng.integers(0, 200, (20 + i, 30, 3), dtype=np.uint8)).save(f"inputs/{name}.png")
    for name in ("blue", "red"):
        Image.new("RGB", (18, 18), COLOURS[name]).save(f"exemplars/{name}.png")
    return tmp_path


def run(*words: str) -> int:
    return main(["translate", "--model", "model", "--device", "cpu", "--out", "out", *words])


def made(folder: str = "out") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def left_colour(name: str) -> tuple[int, ...]:
    """The colour that the double painted into the left half of the centre square."""
    with Image.open(Path("out") / name) as image:
        pixel = image.convert("RGB").getpixel(((image.width - min(image.size)) // 2 + 1, image.height // 2))
        assert isinstance(pixel, tuple)
        return pixel


def test_image_with_exemplar(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inputs/a.png", "exemplars/red.png") == 0
    assert made() == ["a__red.png"]
    assert left_colour("a__red.png") == COLOURS["red"]
    with Image.open("out/a__red.png") as image:
        assert image.size == (30, 20)
    assert capsys.readouterr().out == "translated 1 pair into out (1 file)\n"


def test_folder_with_exemplar(work: Path) -> None:
    assert run("inputs", "exemplars/red.png", "--batch-size", "2") == 0
    assert made() == ["a__red.png", "b__red.png", "c__red.png"]
    assert {left_colour(name) for name in made()} == {COLOURS["red"]}


def test_folder_with_folder(work: Path) -> None:
    assert run("inputs", "exemplars") == 0
    assert made() == [f"{i}__{e}.png" for i in "abc" for e in ("blue", "red")]
    assert left_colour("b__blue.png") == COLOURS["blue"]
    assert left_colour("b__red.png") == COLOURS["red"]


def test_folders_one_to_one(work: Path) -> None:
    Path("inputs/b.png").unlink()
    assert run("inputs", "exemplars", "--match", "zip") == 0
    assert made() == ["a__blue.png", "c__red.png"]


def test_images_of_one_name_and_other_files_in_a_folder(work: Path) -> None:
    Image.new("RGB", (20, 20)).save("inputs/a.jpg")
    Path("inputs/notes.txt").write_text("not an image, not taken for one")
    Path("inputs/._a.png").write_bytes(b"hidden")
    assert run("inputs", "exemplars/red.png") == 0
    assert made() == ["a_jpg__red.png", "a_png__red.png", "b__red.png", "c__red.png"]


def test_table_of_pairs(work: Path) -> None:
    Path("table").mkdir()
    rows = "exemplar,note,input\n../exemplars/red.png,x,../inputs/a.png\nexemplars/blue.png,,inputs/b.png\n"
    Path("table/pairs.csv").write_text("\ufeff" + rows, encoding="utf-8")  # a spreadsheet's byte order mark
    assert run("--pairs", "table/pairs.csv", "--save-masks") == 0
    kinds = ("", "_exemplar-mask", "_input-mask")
    assert made() == [f"{row}{kind}.png" for row in ("0001", "0002") for kind in kinds]
    assert left_colour("0001.png") == COLOURS["red"]
    assert left_colour("0002.png") == COLOURS["blue"]


@pytest.mark.parametrize(
    ("words", "files", "failed"),
    [
        (
            ("--pairs", "pairs.csv"),
            ["0002.png"],
            ["row 0001: no such file: none.png", "row 0003: no such file: none.png"],
        ),
        (("inputs", "exemplars"), [f"{i}__red.png" for i in "ac"], ["exemplars/blue.png is", "inputs/b.png is"]),
        (
            ("inputs", "exemplars/red.png", "--input-mask", "masks"),
            ["a__red.png"],
            ["inputs/b.png is not an image", "the mask of inputs/c.png is 5 x 9"],
        ),
    ],
    ids=["table", "folders", "masks"],
)
def test_what_failed_is_listed_last_and_stops_nothing(
    work: Path, words: tuple[str, ...], files: list[str], failed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("inputs/a.png", "none.png"), ("inputs/c.png", "exemplars/red.png"), ("inputs/c.png", "none.png")]
    Path("pairs.csv").write_text("input,exemplar\n" + "".join(f"{a},{b}\n" for a, b in rows))
    for damaged in ("inputs/b.png", "exemplars/blue.png"):
        Path(damaged).write_bytes(b"damaged")
    Path("masks").mkdir()
    for name, size in {"a": (20, 20), "b": (20, 20), "c": (5, 9)}.items():
        Image.new("L", size, 255).save(f"masks/{name}.png")
    assert run(*words, "--batch-size", "2", "--json", "done.json") == 1
    assert made() == files
    told = capsys.readouterr()
    head, *lines = told.err.splitlines()
    assert head == f"lomit: 2 {'rows' if 'pairs.csv' in words else 'images'} failed:"
    assert all(line.startswith(f"  {error}") for line, error in zip(sorted(lines), failed, strict=True))
    pairs, written = (f"{len(files)} {noun}{'s' * (len(files) > 1)}" for noun in ("pair", "file"))
    assert told.out == f"translated {pairs} into out ({written})\n"
    done = json.loads(Path("done.json").read_text())
    assert (done["pairs"], done["files"]) == (len(files), len(files))
    assert sorted(f"  {error}" for error in done["failed"]) == sorted(lines)


def test_where_everything_failed(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        Path(f"inputs/{name}.png").write_bytes(b"damaged")
    assert run("inputs", "exemplars") == 1
    told = capsys.readouterr()
    assert told.out == "translated 0 pairs into out (0 files)\n"
    assert told.err.count("is not an image") == 3


def test_json_on_standard_output_is_alone_there(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inputs/a.png", "exemplars/red.png", "--json", "-") == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"model": "model", "pairs": 1, "files": 1, "failed": []}
    assert told.err == "translated 1 pair into out (1 file)\n"


def test_millions_of_pairs_are_made_one_by_one(work: Path) -> None:
    """2,000 inputs with 2,000 exemplars: nothing is as long as the pairs are many."""
    for folder, suffix in (("many", "png"), ("more", "jpg")):
        Path(folder).mkdir()
        for n in range(2_000):
            Path(f"{folder}/face_{n}.{suffix}").touch()
    tracemalloc.start()
    jobs = pair_up("many", ["more"], "all")
    check_results(jobs, Path("out"), [".png", "_input-mask.png"], overwrite=False)
    first = list(islice(jobs, 2_001))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(jobs), first[0].name, first[-1].name) == (4_000_000, "face_0__face_0", "face_1__face_0")
    assert peak < 20 * 2**20


@pytest.mark.parametrize(
    ("inputs", "guidances", "endings", "repeated"),
    [
        (("a", "b"), ("c", "d"), (".png",), None),
        (("x", "x__y"), ("z", "y__z"), (".png",), "x__y__z.png"),
        (("x", "x_"), ("_z", "z"), (".png",), "x___z.png"),
        (("a_jpg", "a_jpg"), ("c",), (".png",), "a_jpg__c.png"),
        (("a",), ("c", "c_input-mask"), (".png", "_input-mask.png"), "a__c_input-mask.png"),
        (("a",), ("c", "c_input-mask"), (".png",), None),
        (("x", "x__y"), ("z", "w"), (".png",), None),
    ],
)
def test_names_that_two_results_would_share(
    inputs: tuple[str, ...], guidances: tuple[str, ...], endings: tuple[str, ...], repeated: str | None
) -> None:
    jobs = Jobs([Input(name, Path(name)) for name in inputs], [Guidance(name) for name in guidances])
    assert jobs.repeated(endings) == repeated
    every = [f"{job.name}{ending}" for job in jobs for ending in endings]
    assert (len(set(every)) < len(every)) == (repeated is not None)
    assert jobs.written([*every, "a__.png", "notes.txt"], endings) == every


def test_long_names_are_cut(work: Path) -> None:
    names = ["é" * 90, "é" * 89 + "e"]
    for name in names:
        shutil.copy("inputs/a.png", f"inputs/{name}.png")
    shutil.copy("exemplars/red.png", f"exemplars/{'x' * 240}.png")
    assert run("inputs", f"exemplars/{'x' * 240}.png", "--save-masks") == 0
    assert len(made()) == 5 * 3


def test_masks_are_saved_and_taken_back(work: Path) -> None:
    pair = ("inputs/a.png", "exemplars/red.png")
    assert run(*pair, "--save-masks") == 0
    mask = np.asarray(Image.open("out/a__red_input-mask.png"))
    assert mask.shape == (20, 20)
    assert mask[0, 0] == 255
    assert mask[0, -1] == 0
    Image.fromarray(255 - mask).save("edited.png")
    assert run(*pair, "--input-mask", "edited.png", "--exemplar-mask", "edited.png", "--overwrite") == 0
    assert left_colour("a__red.png") != COLOURS["red"]
    with Image.open("out/a__red.png") as image:
        assert image.getpixel((24, 10)) == COLOURS["red"]


def test_masks_out_of_a_folder(work: Path) -> None:
    Path("masks").mkdir()
    for name in "abc":
        Image.new("L", (20, 20), 0 if name == "b" else 255).save(f"masks/{name}.png")
    assert run("inputs", "exemplars/red.png", "--input-mask", "masks") == 0
    assert left_colour("a__red.png") == COLOURS["red"]
    assert left_colour("b__red.png") != COLOURS["red"]


def test_steps_between_two_exemplars_and_their_animation(work: Path) -> None:
    assert run("inputs/a.png", "exemplars/red.png", "exemplars/blue.png", "--steps", "3", "--gif") == 0
    assert made() == ["a__red__blue.gif", *(f"a__red__blue_step-0{i}.png" for i in (1, 2, 3))]
    assert [left_colour(name) for name in made()[1:]] == [(255, 0, 0), (128, 0, 128), (0, 0, 255)]
    with Image.open("out/a__red__blue.gif") as image:
        assert (image.n_frames, image.size) == (3, (30, 20))


def test_steps_from_the_inputs_own_style(work: Path) -> None:
    assert run("exemplars/blue.png", "exemplars/red.png", "--steps", "2", "--save-masks") == 0
    assert len(made()) == 4
    assert [left_colour(f"blue__red_step-0{i}.png") for i in (1, 2)] == [COLOURS["blue"], COLOURS["red"]]


def test_each_exemplar_in_a_region_of_its_own(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_pretrained(seeing_places(), "places")
    words = ["translate", "inputs", "hair=exemplars/red.png", "smiling=exemplars/blue.png", "--out", "out"]
    assert main([*words, "--model", "places", "--device", "cpu", "--save-masks", "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["pairs"], told["files"]) == (3, 6)
    stems = [f"{name}__hair-red__smiling-blue" for name in "abc"]
    assert made() == sorted(f"{stem}{end}.png" for stem in stems for end in ("", "_input-mask"))
    predictor = Predictor.from_pretrained("places", "cpu")
    result = predictor.compose("inputs/a.png", {"smiling": "exemplars/blue.png", "hair": "exemplars/red.png"})
    with Image.open(f"out/{stems[0]}.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(result.image))
    assert main([*words, "--model", "places", "--device", "cpu"]) == 2
    assert "would overwrite what is there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("hair=exemplars/red.png", "exemplars/blue.png"), "say what is taken from each exemplar, NAME=IMAGE"),
        (("hair=",), "say what is taken from each exemplar, NAME=IMAGE; there is 'hair='"),
        (("hair=none.png",), "no such file: none.png"),
        (("hair=exemplars",), "exemplars is a folder: give an image"),
        (("hair=exemplars/red.png", "hair=exemplars/blue.png"), "'hair' is given two exemplars"),
        (("hair=exemplars/red.png", "--only", "hair"), "NAME=IMAGE says what is moved; leave out --only"),
        (("hair=exemplars/red.png", "--steps", "3"), "NAME=IMAGE does not go with --steps"),
        (("hair=exemplars/red.png", "--input-mask", "exemplars/red.png"), "leave out --input-mask"),
        (("hair=exemplars/red.png", "--label", "Smiling=1"), "NAME=IMAGE takes the place of --label"),
        (("hair=exemplars/red.png", "--random", "1"), "--random takes the place of EXEMPLAR"),
        (("hiar=exemplars/red.png",), "the masks of this model don't go by names: take one whose masks do"),
    ],
)
def test_regions_that_can_not_be(
    work: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert run("inputs/a.png", *words) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1
    assert not Path("out").exists()


def test_a_file_may_have_an_equals_sign_in_its_name(work: Path) -> None:
    Path("exemplars/red.png").rename("hair=red.png")
    assert run("inputs/a.png", "hair=red.png") == 0
    assert made() == ["a__hair=red.png"]


def test_composite_leaves_the_rest_to_the_bit(work: Path) -> None:
    assert run("inputs/a.png", "exemplars/red.png", "--composite") == 0
    before, after = (np.asarray(Image.open(path)) for path in ("inputs/a.png", "out/a__red.png"))
    assert np.array_equal(before[:, 19:], after[:, 19:])


def test_results_are_not_overwritten_unless_told_to(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = ("inputs", "exemplars/red.png")
    Path("out").mkdir()
    Path("out/b__red.png").write_text("mine")
    assert run(*pair) == 2
    assert made() == ["b__red.png"], "refused before anything is written"
    assert Path("out/b__red.png").read_text() == "mine"
    assert "1 result would overwrite what is there (first: out/b__red.png)" in capsys.readouterr().err
    assert run(*pair, "--overwrite") == 0
    assert left_colour("b__red.png") == COLOURS["red"]


def test_inputs_are_never_overwritten(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Image.new("RGB", (8, 8)).save("out/0001.png")
    before = Path("out/0001.png").read_bytes()
    Path("pairs.csv").write_text("input,exemplar\nout/0001.png,exemplars/red.png\n")
    assert run("--pairs", "pairs.csv", "--overwrite") == 2
    assert "is an input, exemplar or mask and would be overwritten" in capsys.readouterr().err
    assert Path("out/0001.png").read_bytes() == before


@pytest.fixture
def tiny_lomit(work: Path) -> str:
    """A real model that other processes know too."""
    torch.manual_seed(0)
    config = LomitConfig(
        attributes=("Black_Hair", "Blond_Hair", "Brown_Hair", "Smiling", "Facial_Hair"),
        image_size=32, width=4, d_width=4, res_blocks=1, mask_convs=1,
    )  # fmt: skip
    return str(save_pretrained(Lomit(config), work / "lomit"))


def test_several_processes_make_the_same_files(tiny_lomit: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("inputs/b.png").write_bytes(b"damaged")
    words = ["translate", "--model", tiny_lomit, "inputs", "exemplars", "--batch-size", "1", "--precision", "float32"]
    assert main([*words, "--out", "one"]) == 1
    assert main([*words, "--out", "two", "--processes", "2"]) == 1
    assert made("one") == made("two")
    assert len(made("one")) == 4
    for name in made("one"):
        one, two = (np.asarray(Image.open(Path(folder) / name)).astype(int) for folder in ("one", "two"))
        assert np.abs(one - two).max() <= 1
    assert capsys.readouterr().err.count("inputs/b.png is not an image") == 2


def test_reading_and_writing_beside_the_network_change_nothing(
    tiny_lomit: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same files, the same messages in the same order as one batch after the other."""
    rng = np.random.default_rng(1)
    for i in range(9):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(f"inputs/{i}.png")
    for name in ("a", "5"):
        Path(f"inputs/{name}.png").write_bytes(b"damaged")
    words = ["translate", "--model", tiny_lomit, "inputs", "exemplars", "--batch-size", "3"]
    assert main([*words, "--save-masks", "--out", "overlapped"]) == 1
    told = capsys.readouterr()

    def in_turn(self: Worker, batches: Sequence[Sequence[Job]]) -> Iterator[JobOutcome]:
        for batch in batches:
            outcomes, writes = self._compute(self._load_all(batch))
            for write in writes:
                write()
            yield from outcomes

    monkeypatch.setattr(Worker, "run_all", in_turn)
    assert main([*words, "--save-masks", "--out", "in-turn"]) == 1
    plain = capsys.readouterr()
    assert told.err == plain.err
    assert told.err.index("inputs/5.png") < told.err.index("inputs/a.png")
    assert told.out.replace("overlapped", "in-turn") == plain.out
    assert made("overlapped") == made("in-turn")
    assert len(made("in-turn")) == 3 * 2 * 10
    for name in made("in-turn"):
        assert Path("overlapped", name).read_bytes() == Path("in-turn", name).read_bytes()


def test_reading_runs_ahead_but_not_far(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    load = Worker._load

    def counted(self: Worker, job: Job) -> object:
        read.append(threading.get_ident())
        return load(self, job)

    monkeypatch.setattr(Worker, "_load", counted)
    source, guidance = Input("a", Path("inputs/a.png")), Guidance("red", (Path("exemplars/red.png"),))
    jobs = [Job(f"{i:02d}", source, guidance) for i in range(12)]
    settings = Settings("model", Path("out"), "cpu")
    running = Worker(settings).run_all([[job] for job in jobs])
    assert next(running).job.name == "00"
    assert threading.get_ident() not in read
    assert len(read) <= 2 * AHEAD + 2
    running.close()
    assert len(made()) < 12, "what had not begun is left undone"
    assert not [name for name in made() if name.startswith(".")]
    assert threading.active_count() == 1 or not [t for t in threading.enumerate() if "ThreadPool" in t.name]


def test_a_result_that_cannot_be_written_ends_the_run(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, *_: object) -> None:
        raise LomitError(f"no space left for {path}")

    monkeypatch.setattr("lomit.inference.worker.write_png", full)
    assert run("inputs", "exemplars", "--batch-size", "1") == 2
    assert capsys.readouterr().err.splitlines()[-1] == "lomit: error: no space left for out/a__blue.png"


def test_an_interrupt_ends_the_threads_too(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupted(self: Worker, *rest: object) -> object:
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(Worker, "_results", interrupted)
    assert run("inputs", "exemplars", "--batch-size", "1") == 130
    assert len(calls) == 1
    assert not [t for t in threading.enumerate() if "ThreadPool" in t.name]
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--compile", "--steps", "2"), "--compile does not go with --steps"),
        (("--compile",), "--compile needs a C++ compiler, such as g++; install one or leave out --compile"),
    ],
)
def test_where_nothing_can_be_compiled(
    work: Path, words: tuple[str, ...], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lomit.inference.compiled.shutil.which", lambda name: None)
    assert run("inputs/a.png", "exemplars/red.png", *words) == 2
    assert line in capsys.readouterr().err


def test_demo_with_two_images(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["demo", "--model", "model", "inputs/a.png", "exemplars/red.png"]
    assert main(words) == 0
    kinds = ("change", "exemplar-mask", "exemplar", "input-mask", "input", "result")
    assert made("demo") == [*(f"01_{kind}.png" for kind in kinds), "grid.png"]
    assert "demo/grid.png" in capsys.readouterr().out
    with Image.open("demo/01_result.png") as result, Image.open("demo/01_change.png") as change:
        assert result.size == change.size == (30, 20)
    # An earlier demo's files are replaced, a file of the user's is not.
    assert main(words) == 0
    Image.new("RGB", (8, 8)).save("demo/01_input.png")
    assert main(words) == 2
    assert "demo/01_input.png is in the way" in capsys.readouterr().err
    with Image.open("demo/01_input.png") as image:
        assert image.size == (8, 8)


@pytest.mark.skipif(importlib.util.find_spec("resvg_py") is None, reason="needs the avatars extra")
def test_demo_with_rendered_faces(tiny_lomit: str) -> None:
    from lomit.config import DEMO_SEED as SEED
    from lomit.data.avatars import render_face
    from lomit.figures.demo import WISHES, rendered_pairs

    assert main(["demo", "--model", tiny_lomit]) == 0
    assert len(made("demo")) == 6 * len(WISHES) + 1
    pairs = rendered_pairs(("Black_Hair", "Blond_Hair", "Brown_Hair", "Smiling", "Facial_Hair"), 32, SEED)
    by_pixels = {render_face(SEED, i, 32, regions=False).image.tobytes(): i for i in range(200)}
    for pair, (_, wanted, offered) in zip(pairs, WISHES, strict=True):
        own, other = (
            render_face(SEED, by_pixels[picture.rgb.tobytes()], 32, regions=False).labels
            for picture in (pair.input, pair.exemplar)
        )
        assert wanted.items() <= own.items()
        assert offered.items() <= other.items()
    # A model that does not know facial hair is shown no such pair.
    assert len(rendered_pairs(("Black_Hair", "Blond_Hair", "Brown_Hair", "Smiling"), 32, SEED)) == 4
