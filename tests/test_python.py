"""The package as a user of Python meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lomit
from doubles import double
from lomit import Edit, LomitError, Predictor
from lomit.data.avatars import render_face

S = 16
RED = Image.new("RGB", (S, S), (255, 0, 0))


def ours() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def test_a_folder_masks_one_edited_and_an_interpolation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("faces").mkdir()
    for index in range(3):
        render_face(3, index, 96, regions=False).image.save(f"faces/{index}.png")
    render_face(3, 7, 80, regions=False).image.save("exemplar.png")

    # As a user would write it.
    predictor = Predictor.from_pretrained("avatars", device="cpu", threads=1)
    paths = sorted(Path("faces").glob("*.png"))
    for path, result in zip(paths, predictor.translate(paths, "exemplar.png"), strict=True):
        result.image.save(f"translated-{path.name}")

    mask, exemplar_mask = predictor.predict_masks(paths[0], "exemplar.png")[0]
    mask[: mask.shape[0] // 2] = 0  # the upper half stays
    edit = Edit(input_mask=mask, exemplar_masks=(exemplar_mask,), strength=1.2)
    edited = predictor.edit(paths[0], "exemplar.png").apply(edit, composite=True)
    edited.save("edited.png")

    for step, result in enumerate(predictor.interpolate(paths[1], "exemplar.png", steps=3)):
        result.image.save(f"step-{step}.png")

    assert sorted(path.name for path in Path().glob("*-*.png")) == [
        "step-0.png", "step-1.png", "step-2.png", "translated-0.png", "translated-1.png", "translated-2.png",
    ]  # fmt: skip
    assert (mask.shape, exemplar_mask.shape, mask.dtype) == ((96, 96), (80, 80), np.float32)
    assert mask.max() > 0.3
    before, after = np.asarray(Image.open(paths[0])), np.asarray(edited)
    assert np.array_equal(before[:44], after[:44])
    assert not np.array_equal(before, after)


@pytest.mark.parametrize(
    "given",
    [
        lambda a: a,
        lambda a: Image.fromarray(a),
        lambda a: a.astype(np.float64) / 255,
        lambda a: torch.from_numpy(a).permute(2, 0, 1),
        lambda a: torch.from_numpy(a).permute(2, 0, 1).float() / 255,
        lambda a: Path("a.png"),
        lambda a: "a.png",
    ],
    ids=["uint8", "PIL", "float", "tensor", "float tensor", "Path", "str"],
)
def test_every_kind_of_image_gives_the_same(given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ours().save("a.png")
    predictor = Predictor(double(S), "cpu")
    image = given(np.array(ours()))
    one = predictor.translate(image, RED)
    (listed,) = predictor.translate([image], [RED])
    (expected,) = predictor.translate([ours()], [RED])
    for result in (one, listed):
        assert np.array_equal(np.asarray(result.image), np.asarray(expected.image))


def test_masks_of_every_kind_mean_the_same(tmp_path: Path) -> None:
    plain = np.zeros((20, 20), dtype=bool)
    plain[:, 10:] = True
    path = tmp_path / "mask.png"
    Image.fromarray(plain.astype(np.uint8)).save(path)  # a map of 0 and 1
    predictor = Predictor(double(S), "cpu")
    kinds = (plain, plain.astype(np.float32), 255 * plain.astype(np.uint8), torch.from_numpy(plain), path)
    first, *others = (predictor.translate(ours(), RED, input_masks=mask).image for mask in kinds)
    for image in others:
        assert np.array_equal(np.asarray(image), np.asarray(first))


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (5, "input 0: give a path, a PIL image, an array or a tensor; it is of type int"),
        (b"png", "it is of type bytes"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"must be H x W.*; its shape is \(2, 4, 4, 3\)"),
        (torch.zeros(20, 30, 3), r"H x W or C x H x W of 1, 3 or 4 channels; its shape is \(20, 30, 3\)"),
        (torch.full((3, 4, 4), -1.0), r"floats must lie in 0\.\.1"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "uint8, bool or floats"),
        ("none.png", "no such file: none.png"),
    ],
)
def test_what_can_not_be_taken_is_said(image: Any, says: str) -> None:
    with pytest.raises(LomitError, match=says):
        Predictor(double(S), "cpu").translate(image, RED)


def test_masks_need_a_method_that_has_them() -> None:
    with pytest.raises(LomitError, match="has no masks"):
        Predictor(double(S, has_masks=False), "cpu").predict_masks(RED, RED)


def test_a_predictor_says_what_it_is() -> None:
    assert repr(Predictor(double(S), "cpu")) == "Predictor(double, 16 pixels, on cpu; attributes: Smiling, Male)"


def test_models_are_listed_without_torch() -> None:
    says = "import sys, lomit; print([m.name for m in lomit.list_models()], 'torch' in sys.modules, dir(lomit))"
    told = subprocess.run([sys.executable, "-c", says], check=True, capture_output=True, text=True).stdout
    assert "'avatars'" in told
    assert "] False [" in told
    assert all(f"'{name}'" in told for name in lomit.__all__)


def test_every_public_name_is_there() -> None:
    for name in lomit.__all__:
        assert getattr(lomit, name) is not None
