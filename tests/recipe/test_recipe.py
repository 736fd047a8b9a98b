"""Recipes: what is written comes back, and makes the same result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lomit.cli import main
from lomit.errors import LomitError
from lomit.images import Picture, as_picture, read_image, write_png
from lomit.inference.editing import Edit
from lomit.inference.predictor import Predictor
from lomit.inference.weights import save_pretrained
from lomit.photo.faces import Face
from lomit.recipe import Portrait, Recipe, Scene, read_recipe
from lomit.recipe.file import Origin, decode_mask, encode_mask, model_hash
from lomit.recipe.portrait import Rendered, content_hash
from support.tiny import tiny_translator

MASK = Image.fromarray(np.random.default_rng(9).integers(0, 256, (64, 64), dtype=np.uint8))


def noise(seed: int, width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a model and two images in a folder."""
    monkeypatch.chdir(tmp_path)
    save_pretrained(tiny_translator("lomit", image_size=32), "model")
    noise(0, 90, 70).save(tmp_path / "me.png")
    noise(1, 50, 50).save(tmp_path / "you.png")
    return tmp_path


def made(work: Path, face: Face | None = None, **edit: Any) -> tuple[Recipe, Image.Image]:
    """A recipe beside its images, and the result that it stands for."""
    sources = [
        Portrait("me.png", lambda: read_image("me.png"), face),
        Portrait("you.png", lambda: read_image("you.png")),
    ]
    scene = Scene(Predictor.from_pretrained("model", "cpu"), sources[0], sources[1:])
    chosen = Edit(**edit)
    image = scene.place(scene.render(chosen), chosen, True)
    origins = [Origin.of(source) for source in sources]
    recipe = Recipe(
        "model", model_hash("model"), origins[0], (origins[1],), chosen, True, None, torch.get_num_threads(),
        content_hash(as_picture(image)),
    )  # fmt: skip
    (work / "recipe.json").write_text(recipe.to_json(), "utf-8")
    return recipe, image


FACE = Face.from_crop((20, 5, 80, 65))


@pytest.mark.parametrize("face", [None, FACE], ids=["square", "face"])
def test_made_again(work: Path, capsys: pytest.CaptureFixture[str], face: Face | None) -> None:
    _, image = made(work, face, input_mask=MASK, exemplar_masks=(MASK,), threshold=0.2, strength=1.2)
    assert main(["recipe", "recipe.json", "--out", "out", "--device", "cpu"]) == 0
    assert "the same, bit for bit" in capsys.readouterr().out
    write_png("editor.png", image)
    assert Path("out/me__you.png").read_bytes() == Path("editor.png").read_bytes()
    assert not np.array_equal(np.asarray(image), np.asarray(Image.open("me.png")))
    assert main(["recipe", "recipe.json", "--out", "out"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_steps_that_a_person_writes_are_done(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grow, lasso = {"do": "grow", "radius": 9}, {"do": "lasso", "points": [[0, 0], [1, 0], [0, 1]], "erase": True}
    stepped, image = made(work, input_mask=MASK, steps=((grow,), (lasso,)))
    values = json.loads(stepped.to_json())
    assert (values["input"]["steps"], values["exemplars"][0]["steps"]) == ([grow], [lasso])
    assert read_recipe("recipe.json").edit.steps == stepped.edit.steps
    plain, _ = made(work, input_mask=MASK)
    values = json.loads(plain.to_json())
    assert "steps" not in values["input"]
    values["input"]["steps"], values["exemplars"][0]["steps"] = [grow], [lasso]
    Path("recipe.json").write_text(json.dumps(values))
    assert main(["recipe", "recipe.json", "--out", "out", "--device", "cpu"]) == 0
    assert "not the same bits" in capsys.readouterr().out
    assert np.array_equal(np.asarray(Image.open("out/me__you.png")), np.asarray(image))
    for wrong, says in ((grow, "steps must be a list"), (["grow"], "steps must be a list"), ([{}], "no operation")):
        values["input"]["steps"] = wrong
        Path("recipe.json").write_text(json.dumps(values))
        assert main(["recipe", "recipe.json", "--out", "other"]) == 2
        assert says in capsys.readouterr().err


def test_the_recipe_and_its_images_are_never_overwritten(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(work)
    before = {path: path.read_bytes() for path in work.glob("*.*")}
    for given in (["recipe.json"], ["me.png", "--input", "me.png"], ["you.png", "--exemplar", "you.png"]):
        assert main(["recipe", "recipe.json", "--overwrite", "--json", *given]) == 2
        assert f"{given[0]} is, or lies in, what this command reads" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in work.glob("*.*")} == before


def test_without_a_device_the_predictor_chooses(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exported model runs on the CPU alone, so that a GPU there must not be chosen for it."""
    made(work)
    asked = []

    def from_pretrained(name: str, device: object) -> Predictor:
        asked.append(device)
        return predictor

    predictor = Predictor.from_pretrained("model", "cpu")
    monkeypatch.setattr(Predictor, "from_pretrained", from_pretrained)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert main(["recipe", "recipe.json", "--out", "out"]) == 0
    assert asked == [None]


def test_long_names_are_cut(work: Path) -> None:
    recipe, _ = made(work)
    names = ["a" * 200 + ".png", "b" * 200 + ".png"]
    values = json.loads(recipe.to_json())
    for image, name in zip((values["input"], *values["exemplars"]), names, strict=True):
        (work / image["name"]).rename(work / name)
        image["name"] = name
    (work / "recipe.json").write_text(json.dumps(values), "utf-8")
    assert main(["recipe", "recipe.json", "--out", "out", "--device", "cpu"]) == 0
    (result,) = (work / "out").iterdir()
    assert result.name.startswith("a" * 180)
    assert len(result.name) < 256


def test_read_back(work: Path) -> None:
    recipe, _ = made(work, FACE, input_mask=MASK, threshold=0.25)
    again = read_recipe("recipe.json")
    assert again.to_json() == recipe.to_json()
    assert again.input.face is not None
    assert np.array_equal(again.input.face.landmarks, FACE.landmarks)
    assert np.array_equal(np.asarray(decode_mask(encode_mask(MASK))), np.asarray(MASK))


def test_images_and_model_from_elsewhere(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(work)
    (work / "else").mkdir()
    for name in ("me.png", "you.png", "model"):
        (work / name).rename(work / "else" / name)
    words = ["recipe", "recipe.json", "--device", "cpu"]
    assert main(words) == 2
    assert "me.png is not beside the recipe; say where it is with --input" in capsys.readouterr().err
    words += ["--input", "else/me.png", "--exemplar", "else/you.png"]
    assert main(words) == 2
    assert "no model 'model'" in capsys.readouterr().err
    assert main([*words, "--model", "else/model"]) == 0
    assert "bit for bit" in capsys.readouterr().out


def test_other_images_and_models_are_refused(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(work)
    noise(5, 90, 70).save("me.png")
    assert main(["recipe", "recipe.json"]) == 2
    assert "me.png is not the image that the recipe calls me.png" in capsys.readouterr().err
    noise(0, 90, 70).save("me.png")
    save_pretrained(tiny_translator("lomit", image_size=32, seed=1), "model", overwrite=True)
    assert main(["recipe", "recipe.json"]) == 2
    assert "is not the one that the recipe was made with" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../../etc/passwd", "x" * 5000, ".."])
def test_names_lead_nowhere_else(work: Path, tmp_path: Path, name: str) -> None:
    from lomit.recipe.file import gather

    made(work)
    values = json.loads(Path("recipe.json").read_text())
    values["input"]["name"] = name
    Path("recipe.json").write_text(json.dumps(values))
    with pytest.raises(LomitError, match="not beside the recipe"):
        gather(read_recipe("recipe.json"), [], tmp_path, read_image)


@pytest.mark.parametrize(("shift", "size"), [(1e5, 1), (0, 1e9)])
def test_a_face_elsewhere_is_refused(work: Path, capsys: pytest.CaptureFixture[str], shift: float, size: float) -> None:
    made(work)
    values = json.loads(Path("recipe.json").read_text())
    face = Face.from_crop((10, 10, 50, 50))
    values["input"]["face"] = {"box": list(face.box), "landmarks": (face.landmarks * size + shift).tolist()}
    Path("recipe.json").write_text(json.dumps(values))
    assert main(["recipe", "recipe.json"]) == 2
    assert "the crop of the face" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda v: v.pop("lomit_recipe"), "is not a recipe"),
        (lambda v: v.update(lomit_recipe=3), "format 3; this lomit reads formats 1 and 2"),
        (lambda v: v.pop("input"), "'input' is missing"),
        (lambda v: v.update(threshold=3), "threshold must lie between"),
        (lambda v: v.update(threshold="much"), "damaged recipe"),
        (lambda v: v["input"].update(mask="!"), "a mask must be a PNG in base64"),
        (lambda v: v["input"].update(mask=encode_mask(Image.new("L", (3, 4)))), "must be square"),
        (lambda v: v["input"].update(face={"box": [0, 0, 1, 1], "landmarks": [[0, 0]]}), "five landmarks"),
        (lambda v: v["input"].update(name="a\0b.png"), "the name of an image"),
        (lambda v: v["input"].update(rendered=[1, 2, 10**9]), "size from 16 to 1024"),
        (lambda v: v.update(threads=0), "threads must lie between"),
        (lambda v: v.update(exemplars=7), "damaged recipe"),
    ],
)
def test_damaged(work: Path, change: Any, line: str) -> None:
    made(work)
    values = json.loads(Path("recipe.json").read_text())
    change(values)
    Path("recipe.json").write_text(json.dumps(values))
    with pytest.raises(LomitError, match=line):
        read_recipe("recipe.json")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\x89PNG", "can't be read as JSON"),
        (b"{", "can't be read as JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1]", "expected an object"),
        (b"{}", "is not a recipe"),
        (None, "no such file"),
    ],
)
def test_no_recipe(tmp_path: Path, content: bytes | None, line: str) -> None:
    file = tmp_path / "x.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(LomitError, match=line):
        read_recipe(file)


def test_the_hash_is_of_pixels(tmp_path: Path) -> None:
    image = noise(3, 20, 10)
    image.save(tmp_path / "a.png", compress_level=0)
    image.save(tmp_path / "b.bmp")
    hashes = {content_hash(read_image(tmp_path / name)) for name in ("a.png", "b.bmp")}
    others = {
        content_hash(as_picture(other)) for other in (noise(4, 20, 10), image.transpose(Image.Transpose.ROTATE_90))
    }
    clear = Picture(image, Image.new("L", image.size))
    assert len(hashes) == 1
    assert len(hashes | others | {content_hash(clear)}) == 4


def test_rendered_faces_need_no_file() -> None:
    rendered = Rendered(2019, 3, 64)
    assert rendered.picture().size == (64, 64)
    source = Portrait("face.png", rendered.picture, rendered=rendered)
    origin = Origin.of(source)
    assert origin.source(rendered.picture()).rendered == rendered


def test_scaled_sources_keep_the_face_in_place() -> None:
    source = Portrait("me.png", lambda: as_picture(noise(0, 400, 200)), Face.from_crop((100, 20, 260, 180)))
    small = source.scaled(100)
    assert small.read().size == (100, 50)
    assert small.face is not None
    assert np.allclose(small.face.landmarks * 4, FACE.landmarks * 0 + source.face.landmarks)  # type: ignore[union-attr]
    assert source.scaled(1000).read().size == (400, 200)


@pytest.mark.parametrize("box", [(100, 20, 260, 180), (-40, 90, 120, 250)])  # the second reaches beyond two edges
def test_close_ups_show_the_same_crop(box: tuple[int, int, int, int]) -> None:
    source = Portrait("me.png", lambda: as_picture(noise(0, 400, 200)), Face.from_crop(box))
    close = source.close_up()
    size = min(400, box[2]) - max(0, box[0]), min(200, box[3]) - max(0, box[1])
    assert np.abs(np.subtract(close.read().size, size)).max() <= 1  # whole pixels around it
    whole, part = (np.asarray(one.seen(32).rgb).astype(int) for one in (source, close))
    assert np.abs(whole - part)[2:-2, 2:-2].max() <= 1
    plain = Portrait("me.png", source.read)
    assert plain.close_up() is plain
