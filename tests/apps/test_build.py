"""Pictures and folders of a study."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lomit.apps.study.build import build_study
from lomit.apps.study.definition import STUDY, StudyDefinition, read_folder
from lomit.apps.study.design import Stimulus, alternative, design, paper_blocks, require_room
from lomit.apps.study.material import TranslatedFaces, TranslationTable, spoil
from lomit.cli import main
from lomit.data.gallery import Faces
from lomit.errors import LomitError
from lomit.inference.pairs import SUFFIXES
from lomit.inference.predictor import Predictor
from lomit.inference.weights import save_pretrained
from lomit.report.figure7 import read_study
from support.studies import MODELS, Noise, small_blocks, small_study
from support.tiny import tiny_translator

BROWN, BLOND = {"Smiling": 0.0, "Hat": 0.0}, {"Smiling": 1.0, "Hat": 1.0}


class Squares(Faces):
    """Plain colours; every second face shows the person of the one before."""

    what, people = "squares", False
    attributes, groups = ("Smiling", "Hat"), ()

    @property
    def labels(self) -> np.ndarray:
        return np.array([[face // 2 % 2] * 2 for face in range(200)], dtype=np.int8)

    def identity(self, face: int) -> int:
        return face // 2

    def image(self, face: int) -> Image.Image:
        return Image.new("RGB", (16, 16), (face, 255 - face, 7))


def colour(image: Image.Image) -> tuple[int, ...]:
    return image.getpixel((3, 3))  # type: ignore[return-value]


def test_faces_are_drawn_by_class_and_nobody_serves_twice() -> None:
    predictors = {"ours": Predictor(tiny_translator(), "cpu")}
    material = TranslatedFaces(predictors, Squares(), BROWN, BLOND, 20, seed=1)
    chosen = [*material.inputs, *material.exemplars, *material.real]
    assert len({face // 2 for face in chosen}) == len(chosen)
    assert all(face // 2 % 2 == 0 for face in material.inputs)
    assert all(face // 2 % 2 == 1 for face in (*material.exemplars, *material.real))
    assert material.reals == 50 - 20
    again = TranslatedFaces(predictors, Squares(), BROWN, BLOND, 20, seed=1)
    assert (again.inputs, again.exemplars, again.real) == (material.inputs, material.exemplars, material.real)
    assert TranslatedFaces(predictors, Squares(), BROWN, BLOND, 20, seed=2).inputs != material.inputs


def test_people_who_have_images_of_both_classes_are_shared_out() -> None:
    """100 people, each with one image of either class: enough for 50 pairs, however many are asked for."""

    class Both(Squares):
        @property
        def labels(self) -> np.ndarray:
            return np.array([[face % 2] * 2 for face in range(200)], dtype=np.int8)

    predictors = {"ours": Predictor(tiny_translator(), "cpu")}
    assert len(TranslatedFaces(predictors, Both(), BROWN, BLOND, 50, seed=1).inputs) == 50
    material = TranslatedFaces(predictors, Both(), BROWN, BLOND, 60, seed=1)
    with pytest.raises(LomitError, match="squares, Smiling=0,Hat=0 with Smiling=1,Hat=1, gives 50 pairs"):
        require_room(small_blocks(), MODELS, material.room)
    material = TranslatedFaces(predictors, Both(), BROWN, BLOND, 30, seed=1)
    assert material.reals == 40


class Few(Squares):
    """The first faces alone: half of them of either class, each of a person of its own."""

    def __init__(self, count: int) -> None:
        self.count = count

    @property
    def labels(self) -> np.ndarray:
        return np.array([[face % 2] * 2 for face in range(self.count)], dtype=np.int8)

    def identity(self, face: int) -> int:
        return face


@pytest.mark.parametrize("count", [6, 8, 10, 16, 20, 30, 60, 100, 200])
@pytest.mark.parametrize("models", [1, 3])
def test_a_small_set_is_told_at_once_which_numbers_fit(count: int, models: int) -> None:
    """What the line proposes is built; one trial, or one pair, more would not fit."""
    names = MODELS[:models]
    predictors = dict.fromkeys(names, Predictor(tiny_translator(), "cpu"))

    def asked(pairs: int, trials: int, checks: int, practice: int) -> None:
        material = TranslatedFaces(predictors, Few(count), BROWN, BLOND, pairs, seed=1)
        blocks = paper_blocks(names, "first", trials, checks, practice)
        require_room(blocks, names, material.room)
        design(blocks, names, material.pairs, material.reals, 4, seed=1)

    with pytest.raises(LomitError, match="100 pairs were asked for; a participant sees") as raised:
        asked(100, 10, 2, 2)  # of at most 200 people, nobody would be left for the real images
    numbers = re.search(r"--pairs (\d+) --trials (\d+) --checks (\d+) --practice (\d+)", str(raised.value))
    # One pair, and one trial of each model beside a real image, need so many people of the target class.
    assert (numbers is not None) == (count // 2 >= 1 + models)
    if numbers is None:
        assert "nothing fits, give more data or fewer models" in str(raised.value)
        return
    pairs, trials, checks, practice = map(int, numbers.groups())
    asked(pairs, trials, checks, practice)
    for more in ((pairs + 1, trials), (pairs, trials + 1)):
        with pytest.raises(LomitError, match="These would fit"):
            asked(*more, checks, practice)


def test_a_small_table_is_told_at_once_which_numbers_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "made", rows=5)
    words = [
        "study",
        "build",
        "--table",
        str(table),
        "--real",
        str(table.parent / "real"),
        "--out",
        str(tmp_path / "s"),
    ]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "a participant sees 14 pairs and 24 real images of others; the material gives 5 pairs" in said
    assert "These would fit: --trials 1 --checks 2 --practice 2" in said
    assert main([*words, "--trials", "1", "--checks", "2", "--practice", "2"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("method", ["lomit", "stargan", "munit", "drit"])
def test_outputs_are_the_predictors_own(method: str) -> None:
    predictor = Predictor(tiny_translator(method), "cpu")
    material = TranslatedFaces({"it": predictor}, Squares(), BROWN, BLOND, 20, seed=1)
    wanted = [
        Stimulus("output", "it", 3),
        Stimulus("input", "", 3),
        Stimulus("exemplar", "", 3),
        Stimulus("real", "", 0),
    ]
    found = material.pictures(wanted, 0)
    faces = Squares()
    guides = predictor.translator.guides
    given: dict[str, Any] = {"label": BLOND} if "label" in guides else {}
    exemplar = [faces.image(material.exemplars[3])] if "exemplar" in guides else None
    (expected,) = predictor.translate([faces.image(material.inputs[3])], exemplar, **given)
    assert np.array_equal(np.asarray(found[wanted[0]]), np.asarray(expected.image))
    assert colour(found[wanted[1]]) == colour(faces.image(material.inputs[3]))
    assert colour(found[wanted[2]]) == colour(faces.image(material.exemplars[3]))
    assert colour(found[wanted[3]]) == colour(faces.image(material.real[0]))


def test_spoilt_pictures_are_the_same_pixels_elsewhere() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    spoilt = spoil(image, 1)
    before, after = (np.sort(np.asarray(i).reshape(-1, 3), axis=0) for i in (image, spoilt))
    assert np.array_equal(before, after)
    assert (np.asarray(image) != np.asarray(spoilt)).mean() > 0.8
    assert spoil(image, 1).tobytes() == spoilt.tobytes()
    assert spoil(image.resize((37, 37)), 1).size == (37, 37)


def test_a_folder_comes_back_as_it_was_built(tmp_path: Path) -> None:
    folder, owner = small_study(tmp_path / "study")
    assert read_folder(folder.path) == folder
    assert owner not in "".join(p.read_text() for p in folder.path.glob("*.json"))
    used = {p for trials in folder.key.lists for t in trials for p in t.pictures}
    assert set(folder.key.files) == used
    assert {p.stem for p in (folder.path / "images").iterdir()} == set(folder.key.files.values())
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in folder.path.glob("*.json"))
    assert not list(tmp_path.glob(".*"))


def test_the_seed_decides_lists_but_no_secret(tmp_path: Path) -> None:
    first, second = (small_study(tmp_path / name) for name in ("a", "b"))
    assert first[0].key.lists == second[0].key.lists
    assert asdict(first[0].study) == asdict(second[0].study)
    assert first[1] != second[1]
    assert first[0].access != second[0].access
    assert not {*first[0].key.files.values()} & {*second[0].key.files.values()}


def test_files_hold_pixels_and_nothing_else(tmp_path: Path) -> None:
    folder, _ = small_study(tmp_path / "study")
    for name in folder.key.files.values():
        with Image.open(folder.path / "images" / f"{name}.png") as image:
            assert image.info == {}
            assert image.size == (16, 16)


def test_all_files_are_equally_long(tmp_path: Path) -> None:
    """A plain colour, a drawing and noise: what compression makes of them would tell them apart."""

    class Unequal(Noise):
        def found(self, wanted: Sequence[Stimulus]) -> dict[Stimulus, Image.Image]:
            flat = [p for p in wanted if p.kind == "real"]
            return super().found(wanted) | {p: Image.new("RGB", (16, 16), "white") for p in flat}

    study = StudyDefinition(MODELS, small_blocks(), 2, 3, 16)
    build_study(tmp_path / "study", Unequal(MODELS), study)
    assert len({p.stat().st_size for p in (tmp_path / "study" / "images").iterdir()}) == 1


def test_lacking_pictures_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = small_study(tmp_path / "study")
    folder.image(max(folder.key.files)).unlink()
    for words in (["serve", "--port", "0"], ["preview", "--out", str(tmp_path / "page.html")]):
        assert main(["study", words[0], str(folder.path), *words[1:]]) == 2
        error = capsys.readouterr().err
        assert f"lacks 1 of {len(folder.key.files)} pictures" in error
        assert len(error.splitlines()) == 1
    # What was answered can still be counted.
    assert main(["study", "simulate", str(folder.path), "--participants", "2"]) == 0
    assert main(["study", "analyse", str(folder.path), "--simulated"]) == 0


def test_texts_may_be_changed_and_questions_may_not(tmp_path: Path) -> None:
    folder, _ = small_study(tmp_path / "study")
    values = json.loads((folder.path / STUDY).read_text())
    values["texts"]["title"] = "Another title"
    (folder.path / STUDY).write_text(json.dumps(values))
    changed = read_folder(folder.path)
    assert changed.study.texts.title == "Another title"
    assert changed.fingerprint == folder.fingerprint
    other = json.loads(json.dumps(values))
    other["models"][0] = "another name"
    for block in other["blocks"]:
        block["comparisons"] = [["another name", second] for _, second in block["comparisons"]]
    for wrong in ({**values, "blocks": values["blocks"][:1]}, other):
        (folder.path / STUDY).write_text(json.dumps(wrong))
        with pytest.raises(LomitError, match="don't fit together"):
            read_folder(folder.path)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("study.json", "{", "can't be read"),
        ("study.json", "[]", "expected an object"),
        ("study.json", '{"version": 9}', "is of version 9; this lomit reads 1"),
        ("study.json", '{"version": 1}', "the key 'models' is missing"),
        ("study.json", '{"version": 1, "modles": []}', "unknown key 'modles' (did you mean 'models'?)"),
        ("key.json", "{}", "is damaged"),
        ("key.json", '{"pictures": [], "lists": [[{"block": "x"}]]}', "is damaged"),
        ("access.json", '{"owner": "x"}', "the key 'join' is missing"),
        ("access.json", '{"owner": "x", "join": "y"}', "is damaged"),
        ("access.json", '{"owner": 7, "join": []}', "expected str, found '7'"),
        ("study.json", "[" * 100_000, "can't be read"),
        ("study.json", '{"version": 1, "facts": {"a": "\\ud800"}}', "can't be read"),
    ],
)
def test_damaged_folders_are_one_line(tmp_path: Path, file: str, content: str, says: str) -> None:
    folder, _ = small_study(tmp_path / "study")
    (folder.path / file).write_text(content)
    with pytest.raises(LomitError) as raised:
        read_folder(folder.path)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"models": ()}, "at least one model"),
        ({"models": ("a", "a", "b")}, "two models are called 'a'"),
        ({"models": ("real",)}, "'real' can't be a model's name"),
        ({"blocks": ()}, "at least one block"),
        ({"least_checks": 1.5}, "least_checks must lie in 0 to 1"),
        ({"external_id": "a b"}, "external_id must be a name"),
        ({"blocks": (replace(small_blocks()[0], question=" "),)}, "has no question"),
        ({"blocks": (replace(small_blocks()[0], trials=0),)}, "trials must lie in 1 to 500"),
        ({"blocks": (replace(small_blocks()[0], checks=10**30),)}, "checks and practice in 0 to 500"),
        ({"lists": 3}, "lists must be even, 2 to 1000"),
        ({"lists": 10**9}, "lists must be even, 2 to 1000"),
        ({"seed": -1}, "seed must be at least 0, size at least 1; they are -1 and 16"),
        ({"blocks": (replace(small_blocks()[1], comparisons=()),)}, "'comparisons' must say which two models meet"),
        ({"blocks": (replace(small_blocks()[1], comparisons=(("ours", "ours"),)),)}, "must be two of the models"),
        ({"blocks": (replace(small_blocks()[1], context=("mask",)),)}, "context may hold 'input' and 'exemplar'"),
        ({"blocks": (small_blocks()[0], small_blocks()[0])}, "a name of its own"),
    ],
)
def test_studies_that_can_not_be_are_one_line(change: dict[str, Any], says: str) -> None:
    with pytest.raises(LomitError) as raised:
        StudyDefinition(**{"models": MODELS, "blocks": small_blocks(), "lists": 2, "seed": 0, "size": 16} | change)
    assert says in str(raised.value)


def write_table(folder: Path, rows: int = 8) -> Path:
    """Translations made elsewhere: `good` and `bad`, beside inputs, exemplars and real images."""
    (folder / "real").mkdir(parents=True)
    lines = ["input,exemplar,good,bad"]
    for k in range(rows):
        names = [f"{kind}{k}.png" for kind in ("i", "e", "g", "b")]
        for j, name in enumerate(names):
            Image.new("RGB", (40, 32), (k, 50 * j, 0)).save(folder / name)
        lines.append(",".join(names))
    for k in range(12):
        Image.new("RGB", (64, 64), (k, 0, 255)).save(folder / "real" / f"{k}.png")
    (folder / "table.csv").write_text("\n".join(lines))
    return folder / "table.csv"


def test_translations_made_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "made")
    material = TranslationTable(table, table.parent / "real", None, SUFFIXES)
    assert (material.models, material.pairs, material.reals, material.size) == (("good", "bad"), 8, 12, 32)
    words = ["--table", str(table), "--real", str(table.parent / "real"), "--out", str(tmp_path / "study")]
    assert main(["study", "build", *words, "--trials", "2", "--checks", "1", "--practice", "1"]) == 0
    told = capsys.readouterr().out
    assert "owner's token, shown only now: " in told
    assert "may show people" in told
    folder = read_folder(tmp_path / "study")
    for picture in folder.key.files:
        with Image.open(folder.image(picture)) as image:
            red, green, blue = colour(image.convert("RGB"))
        if picture.kind == "real":
            assert (red, blue) == (sorted(map(str, range(12))).index(str(red)) and red, 255)
        else:
            kinds = {"input": 0, "exemplar": 50, "good": 100, "bad": 150}
            assert (red, green) == (picture.number, kinds[picture.model or picture.kind])


def test_a_study_of_models_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Built from two saved models on rendered faces, previewed, simulated, analysed."""
    pytest.importorskip("dicebear")
    attributes = ("Brown_Hair", "Blond_Hair", "Smiling")
    models = []
    for seed, name in enumerate(("one", "two")):
        made = tiny_translator(seed=seed, mask_norm="group", attributes=attributes)
        models.append(str(save_pretrained(made, tmp_path / name)))
    out = tmp_path / "study"
    words = ["--models", f"ours={models[0]}", f"rival={models[1]}", "--out", str(out), "--pairs", "6"]
    assert main(["study", "build", *words, "--trials", "2", "--checks", "1", "--practice", "1", "--lists", "2"]) == 0
    folder = read_folder(out)
    assert folder.study.models == ("ours", "rival")
    assert not folder.study.people
    assert [block.name for block in folder.study.blocks] == ["realism", "style", "background"]
    page = tmp_path / "preview.html"
    assert main(["study", "preview", str(out), "--out", str(page)]) == 0
    text = page.read_text()
    assert text.count("<img") == sum(len(t.pictures) for t in folder.key.lists[0])
    assert text.count("<b>ours</b>") == sum(
        alternative(p) == "ours" for t in folder.key.lists[0] for p in (t.left, t.right)
    )
    assert main(["study", "simulate", str(out), "--participants", "3", "--strengths", "ours=1"]) == 0
    results = tmp_path / "results"
    assert main(["study", "analyse", str(out), "--simulated", "--out", str(results)]) == 0
    read = read_study(results / "study.json")
    assert (read.participants, read.simulated) == (3, True)
    assert [entry.model for entry in read.realism] == ["ours", "rival"]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["build", "--models", "avatars"], "give --out; see lomit study build --help"),
        (["build", "--out", "x"], "give --models, or --table"),
        (["build", "--models", "avatars", "--table", "t.csv", "--out", "x"], "--table takes the place of --models"),
        (["build", "--models", "avatars", "--out", "{study}"], "exists already; choose another --out"),
        (["build", "--models", "avatars", "--real", "x", "--out", "x"], "--real goes with --table"),
        (["build", "--models", "avatars", "--trials", "0", "--out", "x"], "--trials must lie in 1 to 500; it is 0"),
        (["build", "--models", "no-such", "--checks", "501", "--out", "x"], "--checks must lie in 0 to 500; it is 501"),
        (["build", "--models", "no-such", "--least-checks", "2", "--out", "x"], "--least-checks must lie in 0 to 1"),
        (["build", "--models", "no-such", "--external-id", "a b", "--out", "x"], "--external-id must be a name"),
        (["build", "--models", *"abcdefghijklmnopqrstu", "--out", "x"], "--models takes 20 at most; 21 were given"),
        (["build", "--models", "no-such", "--out", "x"], "no-such"),
        (["build", "--models", "avatars", "avatars", "--out", "x"], "two models are called 'avatars'"),
        (["build", "--models", "ours=", "--out", "x"], "'ours=' names no model; give LABEL=MODEL"),
        (["build", "--models", "real=avatars", "--out", "x"], "'real' can't be a model's name"),
        (["build", "--models", "avatars", "--input-label", "Hair", "--out", "x"], "--input-label needs NAME=1"),
        (["build", "--models", "avatars", "--input-label", "Male=1", "--out", "x"], "have no attribute 'Male'"),
        (["build", "--models", "avatars", "--pairs", "9999", "--out", "x"], "9999 pairs were asked for; a participant"),
        (["build", "--models", "avatars", "--pairs", "5", "--out", "x"], "5 pairs were asked for; a participant"),
        (["build", "--models", "avatars", "--lists", "3", "--out", "x"], "--lists must be even, 2 to 1000"),
        (["build", "--models", "avatars", "--design", "none.json", "--out", "x"], "can't be read as JSON"),
        (["build", "--models", "avatars", "--consent", "none.txt", "--out", "x"], "can't be read as text"),
        (["build", "--models", "avatars", "--completion-url", "http://x", "--out", "x"], "must begin with https://"),
        (["build", "--table", "none.csv", "--out", "x"], "none.csv can't be read as CSV"),
        (["serve"], "give DIR; see lomit study serve --help"),
        (["serve", "nowhere"], "nowhere is no study: it has no study.json"),
        (["serve", "{study}", "--port", "99999"], "--port must lie in 0 to 65535"),
        (["serve", "{study}", "--rate", "0"], "--rate must be above 0"),
        (["serve", "{study}", "--host", "no.such.host.invalid"], "can't listen at no.such.host.invalid"),
        (["invite", "{study}", "--count", "0"], "--count must lie in 1 to 100000"),
        (["preview", "{study}"], "give --out; see lomit study preview --help"),
        (["invite", "{study}", "--url", "lab.example"], "--url must be an address such as"),
        (["preview", "{study}", "--out", "{study}/../there.html"], "exists already; add --overwrite"),
        (["preview", "{study}", "--out", "{study}/key.json", "--overwrite"], "--out must lie outside of"),
        (["preview", "{study}", "--out", "x.html", "--list", "9"], "--list must lie in 1 to 4"),
        (["simulate", "{study}", "--strengths", "ours"], "--strengths needs NAME=S"),
        (["simulate", "{study}", "--strengths", "StarGAN=1"], "'StarGAN' is not compared in this study"),
        (["simulate", "{study}", "--careless", "2"], "--careless must lie in 0 to 1"),
        (["analyse", "{study}"], "has no answers yet"),
        (["analyse", "{study}", "--least-checks", "2"], "--least-checks must lie in 0 to 1"),
        (["analyse", "{study}", "--panel", "x.csv"], "--panel: this study stores no names of a panel"),
        (["analyse", "{study}", "--out", "{study}", "--overwrite"], "--out must lie outside of"),
        (["analyse", "{study}", "--json", "{study}/study.json", "--overwrite"], "--json must lie outside of"),
        (["analyse", "{study}", "--panel", "{study}/images/x.csv"], "--panel must lie outside of"),
        (["analyse", "{study}", "--json", "{study}/../there.html"], "exists already; choose another place"),
        (["analyse", "{study}", "--out", "x", "--json", "x/study.json"], "two results would be written to x/study"),
        (["plan", "--share", "0.5"], "--share must lie in 0 to 1 and not be 0.5"),
        (["plan", "--power", "1"], "--power must lie in 0 to 1"),
        (["plan", "--studies", "5"], "--studies must lie in 100 to 1000000; it is 5"),
        (["plan", "--participants", "100000000"], "--participants must lie in 1 to 100000"),
        (["plan", "--trials", "0"], "--trials must lie in 1 to 1000"),
        (["plan", "--seed", "-1"], "--seed must be at least 0; it is -1"),
        (["plan", "--share", "0.501", "--trials", "1", "--studies", "100"], "participants are not enough"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    argv: list[str], says: str, a_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = {p: p.read_bytes() for p in a_study.glob("*.json")}
    assert main(["study", *(word.replace("{study}", str(a_study)) for word in argv)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
    assert {p: p.read_bytes() for p in a_study.glob("*.json")} == before
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def a_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = small_study(tmp_path_factory.mktemp("one") / "study")[0].path
    (path.parent / "there.html").touch()
    return path


def test_plans_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "plan", "--share", "0.7", "--studies", "500"]) == 0
    told = capsys.readouterr().out
    assert "participants: both tests find the difference in 80 % of studies" in told
    assert main(["study", "plan", "--share", "0.7", "--participants", "9", "--studies", "500"]) == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if line.lstrip().startswith("9 ")]) == 1


def test_invitations_are_personal_links(a_study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "invite", str(a_study), "--count", "3", "--url", "https://lab.example/study/"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(set(lines)) == 3
    assert all(line.startswith("https://lab.example/study/s/") and line.endswith("/") for line in lines)


def test_blocks_of_ones_own_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "made")
    design = tmp_path / "design.json"
    design.write_text(
        json.dumps([{"name": "same", "question": "Who?", "kind": "models", "context": ["input"], "trials": 3}])
    )
    words = ["--table", str(table), "--out", str(tmp_path / "study"), "--design", str(design)]
    assert main(["study", "build", *words]) == 0
    (read,) = read_folder(tmp_path / "study").study.blocks
    assert (read.question, read.comparisons, read.trials) == ("Who?", (("good", "bad"),), 3)
    for entries, says in (
        ({}, "list of blocks"),
        ([{"name": "x"}], "block 1 needs question, kind"),
        ([3], "block 1 needs"),
    ):
        design.write_text(json.dumps(entries))
        capsys.readouterr()
        assert main(["study", "build", *words[:-4], "--out", str(tmp_path / "other"), *words[-2:]]) == 2
        assert says in capsys.readouterr().err
