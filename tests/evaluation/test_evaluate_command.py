"""`lomit classifier train` and `lomit evaluate` on painted faces, as a user calls them."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lomit.classifier.network import AttributeClassifier, file_sha256
from lomit.cli import main
from lomit.data.folder import read_table
from lomit.evaluation.store import IMAGES, PARTS
from lomit.inference.weights import save_pretrained
from lomit.models import get_method
from lomit.models.lomit.config import LomitConfig
from lomit.models.lomit.model import Lomit
from support.painted import ATTRIBUTES


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained LOMIT."""
    torch.manual_seed(0)
    config = LomitConfig(ATTRIBUTES, 32, width=4, d_width=4, res_blocks=1, mask_convs=1, mask_norm="group")
    return save_pretrained(get_method("lomit").build(config), tmp_path_factory.mktemp("m") / "tiny")


@pytest.fixture(scope="module")
def classifier(painted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command trains; its attributes come in another order than the model's."""
    out = tmp_path_factory.mktemp("c") / "classifier"
    words = ("--attributes", "Smiling", "Blue_Hat", "Red_Hat", "--training.epochs", "12", "--training.lr", "5e-3")
    assert main(train(painted, out, *words)) == 0
    return out


def train(painted: Path, out: Path, *more: str) -> list[str]:
    return [
        "classifier", "train", "--data.root", str(painted), "--data.cache-dir", str(painted / "cache"),
        "--out", str(out), "--image-size", "32", "--width", "8",
        "--training.epochs", "4", "--training.batch-size", "8", *more,
    ]  # fmt: skip


def evaluate(model: Path, painted: Path, classifier: Path, *more: str, protocol: str = "avatars") -> list[str]:
    """The words of a command line; `more` replaces what stands there by default."""
    words = {"--data.root": str(painted), "--data.cache-dir": str(painted / "cache"), "--device": "cpu"}
    words |= {"--classifier": str(classifier)} if protocol in ("avatars", "table1", "starganv2") else {}
    words |= {"--pairs": "30"} if protocol != "starganv2" else {}
    given = [word for name, value in words.items() if name not in more for word in (name, value)]
    return ["evaluate", protocol, str(model), *given, *more]


def test_classifier_and_its_card(classifier: Path) -> None:
    config = json.loads((classifier / "config.json").read_text())
    assert config["classifier"]["attributes"] == ["Smiling", "Blue_Hat", "Red_Hat"]
    assert config["training"]["images"] == {"train": 72, "val": 12}
    assert config["training"]["people"] == {"train": 24, "val": 4}
    card = (classifier / "README.md").read_text()
    for name in ATTRIBUTES:
        scores = config["validation"][name]
        assert scores["images"] == 12
        row = next(line for line in card.splitlines() if line.startswith(f"| {name} "))
        assert f"| {100 * scores['accuracy']:.1f} [{100 * scores['low']:.1f}, {100 * scores['high']:.1f}] " in row
        assert f"| {scores['auc']:.3f} [{scores['auc_low']:.3f}, {scores['auc_high']:.3f}] " in row
        assert f"| {scores['ece_before']:.3f} " in row
        assert f"| {scores['ece_after']:.3f} " in row
        assert f"| {scores['temperature']:.2f} " in row
        assert f"| {scores['people']} ({scores['people_with']}) " in row
    assert config["training"]["settings"]["lr"] == 5e-3
    assert "72 images of 24 people" in card
    assert "CelebA" not in card


def test_images_are_counted_where_nobody_is_known(
    painted: Path, tmp_path: Path, model: Path, classifier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "nobody"
    shutil.copytree(painted, root, ignore=shutil.ignore_patterns("cache"))
    lines = (root / "attributes.csv").read_text().splitlines()
    (root / "attributes.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    assert main(train(root, tmp_path / "c")) == 0
    printed = capsys.readouterr().out
    assert "validated on images (who is shown is not known) it has not seen" in printed
    card = (tmp_path / "c" / "README.md").read_text()
    assert "72 images to train on, 12 others to validate" in card
    assert "bootstrap intervals over images" in card
    assert "Who is shown is not known: each image counts as a person" in card
    assert "people (with)" not in printed + card
    assert main(evaluate(model, root, classifier, "--out", str(tmp_path / "e"))) == 0
    table = (tmp_path / "e" / "results.md").read_text()
    assert "people" not in table
    assert "over the inputs (whom they show is not known)" in table
    assert json.loads((tmp_path / "e" / "results.json").read_text())["interval"]["over"] == "images"


def test_attributes_are_chosen_in_either_way(painted: Path, tmp_path: Path) -> None:
    words = ("--attributes", "Smiling", "Red_Hat", "Smiling", "Blue_Hat")
    assert main(train(painted, tmp_path / "c", *words)) == 0
    config = json.loads((tmp_path / "c" / "config.json").read_text())
    assert config["classifier"]["attributes"] == ["Smiling", "Red_Hat", "Blue_Hat"]


def test_evaluation_is_printed_and_written(
    model: Path, painted: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--out", str(tmp_path / "e"), "--json", str(tmp_path / "mine.json"))
    assert main(evaluate(model, painted, classifier, *more)) == 0
    assert (tmp_path / "mine.json").read_bytes() == (tmp_path / "e" / "results.json").read_bytes()
    table, text = (tmp_path / "e" / "results.md").read_text(), (tmp_path / "e" / "results.json").read_text()
    assert table in capsys.readouterr().out
    values = json.loads(text)
    assert values["protocol"] == "avatars"
    assert values["draws"]["pairs"]["pairs"] == 30
    assert values["model"]["sha256"] == file_sha256(model / "model.safetensors")
    assert values["classifier"]["sha256"] == file_sha256(classifier / "model.safetensors")
    assert values["versions"]["torch"] == torch.__version__
    # The classifier's logits have found the model's attributes.
    for row in values["results"][: len(ATTRIBUTES)]:
        assert row["cells"]["ceiling"]["value"] >= 80
        assert row["cells"]["floor"]["value"] <= 20
    # No number without its counts, and its interval around it.
    for row in values["results"]:
        cells = list(row["cells"].values())
        assert cells
        for cell in cells:
            assert 0 < cell["people"] <= cell["samples"] <= 30
            assert cell["low"] <= cell["value"] <= cell["high"] or cell["people"] < 4
        shown = [cell["value"] for cell in cells]
        printed = next(p for p in (numbers(line, row) for line in table.splitlines()) if p is not None)
        assert sorted(printed) == pytest.approx(sorted(shown), abs=0.051)


def test_translations_are_measured_in_the_precision_that_was_named(
    model: Path, painted: Path, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    translated: set[bool] = set()
    classified: set[bool] = set()

    def spied(function: Callable[..., object], seen: set[bool]) -> Callable[..., object]:
        def call(*given: object, **named: object) -> object:
            seen.add(torch.is_autocast_enabled("cpu"))
            return function(*given, **named)

        return call

    monkeypatch.setattr(Lomit, "translate", spied(Lomit.translate, translated))
    monkeypatch.setattr(AttributeClassifier, "forward", spied(AttributeClassifier.forward, classified))
    found = {}
    for form in ("float32", "bfloat16"):
        translated.clear()
        assert main(evaluate(model, painted, classifier, "--precision", form, "--out", str(tmp_path / form))) == 0
        assert translated == {form == "bfloat16"}
        found[form] = json.loads((tmp_path / form / "results.json").read_text())
    assert classified == {False}, "what judges is always in float32"
    note = "Translations were computed in bfloat16, not in float32."
    assert note in found["bfloat16"]["notes"]
    assert note in (tmp_path / "bfloat16" / "results.md").read_text()
    assert "precision" not in found["float32"]
    assert found["bfloat16"].pop("precision") == "bfloat16"
    assert found["bfloat16"]["results"] != found["float32"]["results"]
    capsys.readouterr()
    assert main(evaluate(model, painted, classifier, "--precision", "auto")) == 2
    assert "--precision" in capsys.readouterr().err


def test_choices_are_made_on_people_of_the_other_split(
    model: Path, painted: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, set[str]] = {}
    for split in ("test", "val"):
        out = tmp_path / split
        assert main(evaluate(model, painted, classifier, "--split", split, "--out", str(out), "--keep-images")) == 0
        values = json.loads((out / "results.json").read_text())
        assert values["data"]["split"] == split
        assert f"30 ordered pairs of the {split} split" in (out / "results.md").read_text()
        names[split] = {word for file in (out / IMAGES).rglob("*.png") for word in file.stem.split("_")[1:3]}
    assert names["val"] == {f"{k:03d}" for k in range(72, 84)}
    assert names["test"] <= {f"{k:03d}" for k in range(84, 120)}
    assert main(evaluate(model, painted, classifier, "--split", "train")) == 2
    assert "--split" in capsys.readouterr().err


def numbers(line: str, row: dict[str, Any]) -> list[float] | None:
    """The values in a table's line, if it is the line of that row."""
    name, *cells = [cell.strip() for cell in line.split("|")[1:-1]] or [""]
    if name not in (row["name"], f"{row['name']}, {row['unit']}"):
        return None
    return [float(cell.split()[0]) for cell in cells[:-2] if cell != "–"]


def test_json_on_standard_output_is_alone_there(
    model: Path, painted: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(evaluate(model, painted, classifier, "--json", "-", "--out", str(tmp_path / "e"))) == 0
    said = capsys.readouterr()
    assert said.out == (tmp_path / "e" / "results.json").read_text()
    assert said.err.splitlines()[-1] == f"written to {tmp_path / 'e'}/results.json and results.md"


def test_faces_and_models_are_never_overwritten(
    model: Path, painted: Path, classifier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (painted / "attributes.csv", model / "config.json"):
        before = path.read_bytes()
        assert main(evaluate(model, painted, classifier, "--json", str(path), "--overwrite")) == 2
        assert f"{path} is, or lies in, what this command reads" in capsys.readouterr().err
        assert path.read_bytes() == before


def test_same_seed_same_bytes(model: Path, painted: Path, classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for more in ((), ("--batch-size", "16"), ("--seed", "1")):
        assert main(evaluate(model, painted, classifier, "--json", "-", *more)) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert json.loads(printed[0])["results"] != json.loads(printed[2])["results"]


@pytest.mark.parametrize(
    ("protocol", "words", "says"),
    [
        ("avatars", ["--classifier", "{none}"], "is not a classifier: it has no config.json"),
        ("avatars", ["--classifier", "{model}"], "holds a translator, not a classifier"),
        ("avatar", [], "unknown command 'evaluate avatar' (did you mean 'avatars'?)"),
        ("avatars", ["--domains", "Smiling"], "unknown option '--domains'"),
        ("masks", ["--opposite"], "unknown option '--opposite'"),
        ("starganv2", ["--pairs", "20"], "unknown option '--pairs'"),
        ("table1", [], "the model knows none of the paper's classes"),
        ("table1", ["--classes", "Smilin"], "no class 'Smilin' (did you mean 'Smiling'?)"),
        ("starganv2", ["--sources", "1"], "--sources must be at least 2; it is 1"),
        ("starganv2", ["--domains", "Hat"], "no domain 'Hat' (did you mean 'Red_Hat'?)"),
        ("starganv2", ["--weights", "{none}"], "--weights go with --extractor"),
        ("starganv2", ["--extractor", "inception-tv", "--weights", "{none}"], "no weights of Inception-v3 at"),
        ("starganv2", ["--lpips-weights", "{none}"], "no weights of AlexNet (for LPIPS) at"),
        ("starganv2", ["--modes", "Hat"], "the classifier does not know 'Hat'"),
        ("avatars", ["--keep-images"], "--keep-images needs --out"),
        ("avatars", ["--pairs", "0"], "--pairs must be at least 1"),
        ("avatars", ["--pairs", "100000"], "100000 pairs were asked for, but only"),
        ("avatars", ["--seed", "-1"], "--seed must be at least 0"),
        ("avatars", ["--batch-size", "0"], "--batch-size must be at least 1"),
        ("avatars", ["--data.root", "{none}"], "no such folder or file"),
        ("avatars", ["--device", "toaster"], "no device 'toaster' here"),
        ("avatars", ["--out", "{full}"], "holds results.json already; choose another --out or add --overwrite"),
        ("avatars", ["--json", "{full}/results.json"], "results.json exists already; add --overwrite to replace it"),
        ("avatars", ["--pair", "3"], "see lomit evaluate avatars --help"),
    ],
)
def test_bad_input_is_one_line(
    model: Path, painted: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    protocol: str, words: list[str], says: str,
) -> None:  # fmt: skip
    (tmp_path / "results.json").write_text("mine")
    places = {"none": tmp_path / "none", "model": model, "full": tmp_path}
    more = [word.format(**places) for word in words]
    assert main(evaluate(model, painted, classifier, *more, protocol=protocol)) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert (tmp_path / "results.json").read_text() == "mine"


CHOICES = {
    "avatars": ("--pairs", "30"),
    "table1": ("--pairs", "20", "--classes", "Smiling", "Red_Hat+Smiling"),
    "starganv2": ("--domains", "Smiling", "--exemplars", "2", "--sources", "8"),
    "background": ("--pairs", "30"),
    "masks": ("--pairs", "30"),
}


@pytest.mark.parametrize("protocol", CHOICES)
def test_what_was_stopped_is_taken_up_to_the_bit(
    model: Path, painted: Path, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], protocol: str,
) -> None:  # fmt: skip
    calls = []
    translate = Lomit.translate

    def counted(self: Lomit, *args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return translate(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Lomit, "translate", counted)
    words = (*CHOICES[protocol], "--batch-size", "4", "--keep-images", "--out")
    stop = -1
    assert main(evaluate(model, painted, classifier, *words, str(tmp_path / "whole"), protocol=protocol)) == 0
    needed = len(calls)
    calls.clear()
    stop = needed - 1  # in the last batches
    out = tmp_path / "stopped"
    assert main(evaluate(model, painted, classifier, *words, str(out), protocol=protocol)) == 130
    assert (out / PARTS).is_dir()
    assert not (out / "results.json").exists()
    # Another setting is refused and costs nothing.
    capsys.readouterr()
    assert main(evaluate(model, painted, classifier, *words, str(out), "--seed", "1", protocol=protocol)) == 2
    assert "holds an unfinished evaluation with another setting: seed was 0, now 1" in capsys.readouterr().err
    calls.clear()
    stop = -1
    assert main(evaluate(model, painted, classifier, *words, str(out), protocol=protocol)) == 0
    assert 0 < len(calls) < needed / 2
    files = {p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*") if p.is_file()}
    assert files == {p.relative_to(out) for p in out.rglob("*") if p.is_file()}
    for name in files:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    pictures = len([name for name in files if name.parts[0] == IMAGES])
    assert pictures == {"table1": 40, "starganv2": 2 * 2 * 8}.get(protocol, 30)
    for row in json.loads((out / "results.json").read_text())["results"]:
        for cell in row["cells"].values():
            assert cell["samples"] >= cell["people"] > 0
            assert cell["low"] is not None or cell["people"] < 2


def test_what_is_taken_up_has_the_same_classifier_and_the_same_cut(
    model: Path, painted: Path, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """By its weights, not by its place; and the faces are cut in the same way."""
    monkeypatch.setattr("lomit.data.detector.crop_face", lambda image, margin: image)
    translate, calls, out = Lomit.translate, list[int](), tmp_path / "e"

    def stops(self: Lomit, *args: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return translate(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Lomit, "translate", stops)
    shutil.copytree(classifier, tmp_path / "c")
    shutil.copytree(classifier, tmp_path / "moved" / "c")

    def run(place: str, *more: str) -> int:
        words = ("--classes", "Smiling", "--batch-size", "8", "--data.face-crop", "dlib", "--out", str(out), *more)
        return main(evaluate(model, painted, tmp_path / place, *words, protocol="table1"))

    assert run("c") == 130
    weights = load_file(tmp_path / "c" / "model.safetensors")
    save_file({name: 2 * tensor for name, tensor in weights.items()}, tmp_path / "c" / "model.safetensors")
    assert run("c") == 2
    assert "another setting: classifier.sha256 was" in capsys.readouterr().err
    assert run("moved/c", "--data.face-margin", "0.5") == 2
    assert "another setting: geometry.margin was 0.25, now 0.5" in capsys.readouterr().err
    assert run("moved/c") == 0


def test_a_wrong_classifier_is_told_before_the_images_are_decoded(
    model: Path, painted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(evaluate(model, painted, model, "--data.cache-dir", str(tmp_path / "cache"))) == 2
    assert "holds a translator, not a classifier" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_protocols_that_need_no_classifier(
    model: Path, painted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data.root", str(painted), "--data.cache-dir", str(painted / "cache"), "--device", "cpu"]
    for protocol in ("background", "masks"):
        assert main(["evaluate", protocol, str(model), *data, "--pairs", "8", "--json", "-"]) == 0
        values = json.loads(capsys.readouterr().out)
        assert values["regions"] == "true"
        assert "classifier" not in values
    assert main(["evaluate", "starganv2", str(model), *data]) == 2
    assert "give --classifier" in capsys.readouterr().err


def test_without_classifier_or_data(model: Path, painted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "avatars", str(model), "--data.root", str(painted)]) == 2
    assert "give --classifier" in capsys.readouterr().err
    assert main(["classifier", "train"]) == 2
    assert "set --data.root" in capsys.readouterr().err


def test_attribute_that_the_classifier_does_not_know(
    model: Path, painted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(painted, tmp_path / "c", "--attributes", "Smiling")) == 0
    assert main(evaluate(model, painted, tmp_path / "c")) == 2
    assert "the classifier does not know 'Red_Hat', it knows Smiling" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--attributes", "Smilin"], "no attribute 'Smilin' (did you mean 'Smiling'?)"),
        (["--training.epochs", "0"], "epochs must be at least 1"),
        (["--image-size", "20"], "image_size must be a multiple of 16"),
        (["--out", "{full}"], "holds README.md already; choose another --out or add --overwrite"),
        (["--data.root", "{none}"], "no such folder or file"),
        (["--weights", "{none}"], "the small network learns from scratch"),
        (["--network", "inception-v3"], "needs a torchvision that fits this torch"),
        (["--network", "resnet"], "see lomit classifier train --help"),
    ],
)
def test_training_a_classifier_with_bad_input(
    painted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    words: list[str], says: str,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "torchvision", None)
    (tmp_path / "README.md").write_text("mine")
    places = {"none": tmp_path / "none", "full": tmp_path}
    assert main(train(painted, tmp_path / "new", *(w.format(**places) for w in words))) == 2
    assert says in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == "mine"
    assert not (tmp_path / "new").exists()


def test_faces_without_attributes_are_labelled_and_measured(
    model: Path, painted: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The classifier's answers are those of the labels; with them a folder of bare images can be evaluated."""
    root = tmp_path / "bare"
    shutil.copytree(painted / "images", root / "images")
    shutil.copytree(painted / "regions", root / "regions")
    shutil.copy(painted / "dataset.json", root)
    words = ["classifier", "label", str(root / "images"), "--classifier", str(classifier)]
    images = sorted((root / "images").iterdir())
    assert main([*words, "--out", str(root / "attributes.csv")]) == 0
    assert "120 images labelled with Smiling, Blue_Hat, Red_Hat" in capsys.readouterr().out
    told, true = (read_table(folder / "attributes.csv")[0] for folder in (root, painted))
    assert told.names == true.names
    columns = [true.attributes.index(name) for name in told.attributes]
    assert (told.labels == true.labels[:, columns]).mean() > 0.9
    assert (told.split == 2).all()
    data = ["--data.root", str(root), "--data.cache-dir", str(tmp_path / "cache"), "--device", "cpu"]
    assert main(["evaluate", "masks", str(model), *data, "--pairs", "8"]) == 0
    assert main([*words, "--out", str(tmp_path / "sure.csv"), "--sure", "0.999"]) == 0
    sure = read_table(tmp_path / "sure.csv")[0].labels
    assert (sure == -1).any()
    assert ((sure == told.labels) | (sure == -1)).all()
    capsys.readouterr()
    for more, says in (
        (["--out", str(root / "attributes.csv")], "exists already; add --overwrite to replace it"),
        (["--sure", "0.4"], "--sure must lie between 0.5 and 1; it is 0.4"),
        (["--classifier", str(tmp_path)], "is not a classifier"),
    ):
        assert main([*words, *more]) == 2
        assert says in capsys.readouterr().err
    for folder, says in ((tmp_path / "none", "can't be read"), (tmp_path, "no images in")):
        assert main(["classifier", "label", str(folder), "--classifier", str(classifier)]) == 2
        assert says in capsys.readouterr().err
    for out, says in ((tmp_path, "is a folder; give the file to write"), (images[0], "what this command reads")):
        assert main([*words, "--out", str(out), "--overwrite"]) == 2
        assert says in capsys.readouterr().err
    assert main(["classifier", "label"]) == 2
    assert "give FOLDER and --classifier" in capsys.readouterr().err


def test_an_image_that_cannot_be_read_leaves_the_others_their_labels(
    painted: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    for number, image in enumerate(sorted((painted / "images").iterdir())[:5]):
        shutil.copy(image, faces / f'{number}, "odd".png')
    (faces / '1, "odd".png').write_bytes(b"damaged")
    words = ["classifier", "label", str(faces), "--classifier", str(classifier), "--device", "cpu", "--threads", "1"]
    tables = []
    for size in ("1", "2", "16"):
        assert main([*words, "--batch-size", size, "--overwrite"]) == 1
        said = capsys.readouterr()
        assert "4 images labelled" in said.out
        assert "lomit: 1 image failed:" in said.err
        tables.append((faces / "attributes.csv").read_text())
    assert len(set(tables)) == 1
    names = [row["image"] for row in csv.DictReader(tables[0].splitlines())]
    assert names == [f'{number}, "odd".png' for number in (0, 2, 3, 4)]
    kept = tmp_path / "kept.csv"
    for image in faces.glob("*.png"):
        image.write_bytes(b"damaged")
    assert main([*words, "--out", str(kept)]) == 1
    assert "lomit: 5 images failed:" in capsys.readouterr().err
    assert not kept.exists()
    assert main([*words, "--device", "toaster", "--overwrite"]) == 2
    assert "no device 'toaster' here" in capsys.readouterr().err
    assert main([*words, "--batch-size", "0", "--overwrite"]) == 2
    assert "--batch-size must be at least 1; it is 0" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "label"])
def test_a_classifier_runs_on_the_cpu_unless_told_otherwise(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["classifier", command, "--help"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "--device" in line)
    assert "(default: cpu)" in line
    assert "CUDA" not in line
