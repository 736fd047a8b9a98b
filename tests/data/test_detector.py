"""Finding and cutting out faces."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lomit.data import detector
from lomit.data.detector import crop_face, detect_faces, face_square
from lomit.errors import LomitError


@pytest.mark.parametrize(
    ("box", "margin", "square"),
    [
        ((40, 30, 60, 50), 0.0, (40, 30, 60, 50)),
        ((40, 30, 60, 50), 0.25, (35, 25, 65, 55)),
        ((40, 30, 60, 40), 0.0, (40, 25, 60, 45)),  # as tall as wide, around the same centre
        ((-5, -5, 15, 15), 0.25, (0, 0, 30, 30)),  # moved inside
        ((80, 60, 100, 80), 0.25, (70, 50, 100, 80)),
        ((0, 0, 100, 80), 0.5, (10, 0, 90, 80)),  # no more than the picture has
    ],
)
def test_face_square(box: tuple[int, int, int, int], margin: float, square: tuple[int, int, int, int]) -> None:
    assert face_square(box, (100, 80), margin) == square


def test_without_the_extra_its_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)  # import raises ImportError
    detector._detector.cache_clear()
    with pytest.raises(LomitError, match=r"pip install 'lomit\[faces\]'"):
        detect_faces(Image.new("RGB", (64, 64)))


def test_no_face_in_a_plain_picture() -> None:
    pytest.importorskip("dlib")
    image = Image.fromarray(np.tile(np.linspace(0, 255, 96, dtype=np.uint8), (96, 1))).convert("RGB")
    assert detect_faces(image) == []
    assert crop_face(image) is None


@pytest.mark.data
def test_a_face_is_found_where_it_was_put() -> None:
    pytest.importorskip("dlib")
    root = Path(os.environ["LOMIT_DATA"]) / "emotionet_proxy" / "images"
    photographs = [Image.open(p).convert("RGB") for p in sorted(root.iterdir())[:100:20]]
    found = [detect_faces(p) for p in photographs]
    assert sum(map(bool, found)) >= 4
    photograph, boxes = next((p, b) for p, b in zip(photographs, found, strict=True) if b)
    # The same face, 1.5 times as large, somewhere in a wide picture that is searched at a fifth of its size.
    wide = Image.new("RGB", (3000, 2000), "grey")
    wide.paste(photograph.resize((525, 525)), (1800, 900))
    expected = np.array(boxes[0][0]) * 525 / photograph.width + [1800, 900, 1800, 900]
    assert np.abs(np.array(detect_faces(wide)[0][0]) - expected).max() < 60
    face = crop_face(wide)
    assert face is not None
    assert face.width == face.height
