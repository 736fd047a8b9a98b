"""The model that an image gets where none is named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lomit.cli import main
from lomit.data.avatars import render_face
from lomit.errors import LomitError
from lomit.inference import choice
from lomit.inference.catalogue import known_models
from lomit.inference.choice import (
    BY_NAME,
    PHOTOGRAPHS,
    RENDERED,
    RENDERED_BY_NAME,
    choose_model,
    is_rendered,
    of_photographs,
)
from lomit.inference.weights import load_pretrained


def like_a_photograph(seed: int = 0, side: int = 128) -> Image.Image:
    """Shades without a flat spot: noise at several scales."""
    rng, image = np.random.default_rng(seed), np.zeros((side, side, 3))
    for scale in (2, 8, 32):
        coarse = Image.fromarray(rng.integers(0, 256, (scale, scale, 3), dtype=np.uint8))
        image += np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), dtype=float) / 3
    return Image.fromarray((image + rng.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("side", [64, 100, 256])
def test_rendered_faces_are_told_by_their_flat_areas(side: int) -> None:
    assert all(is_rendered(render_face(5, index, side, regions=False).image) for index in range(12))


def test_shades_are_a_photograph() -> None:
    shaded = like_a_photograph()
    assert not is_rendered(shaded)
    assert not is_rendered(shaded.filter(ImageFilter.GaussianBlur(2)))
    framed = Image.new("RGB", (256, 256), "white")  # what is flat around a face does not count
    framed.paste(shaded, (64, 64))
    assert not is_rendered(framed)


@pytest.mark.data
def test_photographs_of_the_validation_part_are_photographs() -> None:
    root = Path(os.environ["LOMIT_DATA"]) / "celeba"
    parts = (line.split() for line in (root / "list_eval_partition.txt").read_text().splitlines())
    names = [name for name, part in parts if part == "1"]
    rendered = [name for name in names if is_rendered(Image.open(root / "img_align_celeba" / name).convert("RGB"))]
    assert len(names) > 500
    assert rendered == []


def test_without_a_model_of_photographs_a_line_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "known_models", lambda: {RENDERED: Path()})
    with pytest.raises(LomitError, match=r"a\.jpg is a photograph, and no model .* is installed: give --model"):
        choose_model(like_a_photograph(), "a.jpg")
    assert choose_model(render_face(5, 0, 64, regions=False).image, "b.png")[0] == RENDERED


@pytest.mark.parametrize(
    ("draw", "named"),
    [
        (like_a_photograph, BY_NAME[0]),
        (lambda: render_face(5, 0, 64, regions=False).image, RENDERED_BY_NAME),
    ],
)
def test_what_is_named_takes_a_model_whose_masks_go_by_names(draw: Callable[[], Image.Image], named: str) -> None:
    model, why = choose_model(draw(), "a.jpg", by_name=True)
    assert model == named
    assert model in why
    assert load_pretrained(model).places


@pytest.mark.parametrize("command", ["translate", "demo"])
@pytest.mark.parametrize(
    ("draw", "says", "model"),
    [
        (lambda: like_a_photograph(), "is a photograph", PHOTOGRAPHS[0]),
        (lambda: render_face(5, 0, 64, regions=False).image, "is a rendered face", RENDERED),
    ],
)
def test_commands_take_the_model_by_the_input_and_say_so(
    command: str,
    draw: Callable[[], Image.Image],
    says: str,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if model not in known_models():
        pytest.skip("no checkout")
    monkeypatch.chdir(tmp_path)
    draw().save("a.png")
    more = ["--json", "-"] if command == "translate" else []
    assert main([command, "a.png", "a.png", "--out", "out", *more]) == 0
    out, err = capsys.readouterr()
    assert f"a.png {says}: the model is '{model}' (--model takes another)" in (err if more else out)
    assert not more or json.loads(out)["model"] == model


def test_the_first_image_that_can_be_read_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.png").write_bytes(b"damaged")
    render_face(5, 0, 64, regions=False).image.save("in/b.png")
    assert main(["translate", "in", "in/b.png", "--out", "out"]) == 1
    assert "in/b.png is a rendered face" in capsys.readouterr().out


def test_what_a_model_was_trained_on_is_told_by_its_card_or_its_run(tmp_path: Path) -> None:
    known = known_models()
    assert not of_photographs(known[RENDERED])
    assert all(of_photographs(folder) for name, folder in known.items() if name.startswith("celeba-"))
    checkpoint = tmp_path / "checkpoints" / "step_0000001"
    checkpoint.mkdir(parents=True)
    for kind, expected in (("auto", True), ("avatars", False)):
        (tmp_path / "config.json").write_text(json.dumps({"data": {"kind": kind}}))
        assert of_photographs(checkpoint) is expected
