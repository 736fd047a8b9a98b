"""Edited masks: the format, and the figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lomit.errors import LomitError
from lomit.inference.predictor import Predictor
from lomit.report.edits import edited_figure, read_edits, removed
from lomit.report.figures import Subject
from report.conftest import shown, write_json

EDIT = {"caption": "hair only", "input": "a.png", "exemplar": "b.png", "input_mask": "m.png", "exemplar_mask": "m.png"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with two images and a mask."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 24, 16, 3), dtype=np.uint8)
    for name, pixels in zip("ab", noise, strict=True):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    Image.new("L", (16, 24)).save(tmp_path / "m.png")
    Image.new("L", (9, 5)).save(tmp_path / "odd.png")
    return tmp_path


def edits_file(place: Path, *entries: Any, **more: Any) -> Path:
    return write_json(place / "edits.json", {"mask_edits": 1, "edits": list(entries)} | more)


def test_figure(place: Path, model: Path) -> None:
    without = {key: value for key, value in EDIT.items() if key != "exemplar_mask"}
    edits = read_edits(edits_file(place, EDIT, {**without, "caption": "no exemplar mask"}))
    subject = Subject("ours", Predictor.from_pretrained(model, "cpu"))
    page = shown(edited_figure([subject], edits))
    alts = [attributes["alt"] for name, attributes in page.tags if name == "img"]
    assert len(alts) == 16
    assert "result with the edited masks: ours, hair only" in alts
    assert "hair only" in page.text
    # Masks of zeros: the result is not that of the predicted masks.
    cells = [attributes["src"] for name, attributes in page.tags if name == "img"]
    before, after = cells[-4:-2], cells[-2:]
    assert before[0] == before[1]
    assert after[0] != before[0]


def test_what_was_removed() -> None:
    predicted, edited = np.full((8, 8), 200, np.uint8), np.full((8, 8), 200, np.uint8)
    edited[2:4, 5:7] = 100
    edited[0, 0] = 160
    edited[7, 7] = 255
    assert removed(Image.fromarray(predicted), Image.fromarray(edited)) == (5, 2, 6, 3)
    assert removed(Image.fromarray(edited), Image.fromarray(edited)) is None


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("x", "edit 1: expected an object"),
        ({**EDIT, "input": 3}, "edit 1.input: expected str, found '3'"),
        ({key: EDIT[key] for key in ("caption", "input", "exemplar")}, "edit 1: the key 'input_mask' is missing"),
        ({**EDIT, "mask": "m.png"}, "edit 1: unknown key 'mask'"),
        ({**EDIT, "input": "../a.png"}, "'../a.png' must be the name of a file beside edits.json"),
        ({**EDIT, "input": "/a.png"}, "'/a.png' must be the name of a file beside edits.json"),
        ({**EDIT, "input": "c.png"}, "no such file"),
        ({**EDIT, "input_mask": "edits.json"}, "is not an image"),
    ],
)
def test_bad_edits_are_one_line(place: Path, entry: Any, says: str) -> None:
    with pytest.raises(LomitError) as raised:
        read_edits(edits_file(place, entry))
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("more", "says"),
    [({"mask_edits": 2}, "'mask_edits' must be 1"), ({"edits": []}, "'edits' must be a list of at least")],
)
def test_other_files_are_refused(place: Path, more: dict[str, Any], says: str) -> None:
    with pytest.raises(LomitError, match=says):
        read_edits(edits_file(place, EDIT, **more))


def test_a_mask_of_another_shape(place: Path, model: Path) -> None:
    edits = read_edits(edits_file(place, {**EDIT, "input_mask": "odd.png"}))
    with pytest.raises(LomitError, match="is 9 x 5; make it as large as the image"):
        edited_figure([Subject("ours", Predictor.from_pretrained(model, "cpu"))], edits)
