"""Identity: distances by hand, and dlib's embedding of a face whose picture anybody may use."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from lomit.data import detector
from lomit.data.detector import model_file
from lomit.errors import LomitError
from lomit.metrics import identity
from lomit.metrics.identity import FaceEmbedder, distance, same_person


def test_distances() -> None:
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(3, 128, generator=g), torch.randn(3, 128, generator=g)
    expected = [math.dist(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert distance(a, b).tolist() == pytest.approx(expected)
    turn, _ = torch.linalg.qr(torch.randn(128, 128, generator=g))
    torch.testing.assert_close(distance(a @ turn, b @ turn), distance(a, b), rtol=1e-4, atol=1e-4)


def test_what_was_not_found_does_not_count() -> None:
    found = same_person(torch.tensor([0.2, 0.6, 0.9, float("nan")]))
    assert found[:3].tolist() == [1, 0, 0]
    assert found[3].isnan()
    assert distance(torch.full((1, 4), float("nan")), torch.zeros(1, 4)).isnan().all()


def face() -> Tensor:
    """A photograph of Eileen Collins by NASA, in the public domain: uint8, 3 x 160 x 160."""
    data = pytest.importorskip("skimage.data")
    return torch.from_numpy(data.astronaut()[20:180, 140:300].transpose(2, 0, 1).copy())


def test_faces() -> None:
    dlib = pytest.importorskip("dlib")
    x = face()
    other = x.clone()
    other[:, :12, :12] = 0  # a corner of the background
    before = torch.stack([x, x, torch.full_like(x, 90)])
    after = torch.stack([other, x.flip(1), x])
    first, second = FaceEmbedder().embed(before, after)
    assert first.shape == second.shape == (3, 128)
    moved = distance(first, second)
    assert moved[0] < 0.1
    assert moved[1] > 0.3  # upside down it is not a face
    assert moved[2].isnan()  # no face in the input
    # dlib's own steps from a picture to an embedding.
    pixels = np.asarray(identity._picture(x))
    assert pixels.shape == (256, 256, 3)
    box = dlib.get_frontal_face_detector()(pixels, 1)[0]
    landmarks = dlib.shape_predictor(model_file("shape_predictor_5_face_landmarks.dat"))(pixels, box)
    network = dlib.face_recognition_model_v1(model_file("dlib_face_recognition_resnet_model_v1.dat"))
    expected = network.compute_face_descriptor(dlib.get_face_chip(pixels, landmarks))
    # The detector's box may lie a few pixels off, for the search is through a picture with a border.
    assert math.dist(first[0].tolist(), list(expected)) < 0.15


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "dlib", None)
        with pytest.raises(LomitError, match=r"pip install 'lomit\[faces\]'"):
            FaceEmbedder()
    pytest.importorskip("dlib")
    monkeypatch.setattr(detector, "find_spec", lambda name: None)
    with pytest.raises(LomitError, match="dlib's models are missing"):
        FaceEmbedder()
