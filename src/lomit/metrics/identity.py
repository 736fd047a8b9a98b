"""Identity kept: how far the embedding of a face moves when the face is translated (dlib, the `faces` extra).

dlib's network (King, 2017) maps a face to 128 numbers; under a Euclidean distance of 0.6 two pictures are taken to show
one person (99.4 % right on Labeled Faces in the Wild, by its author).  It knows photographs; of rendered faces it says
little.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lomit.data.detector import detect_faces, model_file
from lomit.errors import require
from lomit.nn.blocks import float64

NAME = "identity-dlib"
SAME_PERSON = 0.6
"""Distance below which two faces are taken for one person, by the network's author."""
SIDE = 256
"""Smaller pictures are enlarged to this side: the detector looks for faces of 40 pixels, the network for 150."""


def distance(before: Tensor, after: Tensor) -> Tensor:
    """Euclidean distance of embeddings, B x D each -> float64, B; nan where one is nan."""
    return (float64(before) - float64(after)).norm(dim=-1)


def same_person(distances: Tensor) -> Tensor:
    """1 where a distance is below 0.6, else 0; nan where it is nan.  Float64, the shape of the distances."""
    return torch.where(distances.isnan(), torch.nan, float64(distances < SAME_PERSON))


class FaceEmbedder:
    """dlib's embedding of a face and of what became of it; LomitError where the `faces` extra is not installed.

    Both are cut out by the landmarks of the first: a translation leaves the face where it is, and so an output in which
    the detector finds no face still counts, as the bad output that it is.
    """

    def __init__(self) -> None:
        require("identity", "faces", "dlib")
        import dlib

        self._dlib: Any = dlib
        self._landmarks = dlib.shape_predictor(model_file("shape_predictor_5_face_landmarks.dat"))
        self._network = dlib.face_recognition_model_v1(model_file("dlib_face_recognition_resnet_model_v1.dat"))

    def embed(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of images and of their translations: uint8, B x 3 x H x W each -> float64, B x 128 each.

        They are nan where `before` shows no face that the detector finds.
        """
        rows = [self._pair(_picture(x), _picture(y)) for x, y in zip(before, after, strict=True)]
        first, second = (torch.tensor(np.array(part)).reshape(-1, 128) for part in zip(*rows, strict=True))
        return first, second

    def _pair(self, before: Image.Image, after: Image.Image) -> tuple[np.ndarray, np.ndarray]:
        faces = detect_faces(before)
        if not faces:
            return np.full(128, np.nan), np.full(128, np.nan)
        left, top, right, bottom = faces[0][0]
        box = self._dlib.rectangle(left, top, right - 1, bottom - 1)  # dlib's right and bottom are inside the box
        pixels = np.asarray(before)
        landmarks = self._landmarks(pixels, box)
        describe = self._network.compute_face_descriptor
        return np.array(describe(pixels, landmarks)), np.array(describe(np.asarray(after), landmarks))


def _picture(image: Tensor) -> Image.Image:
    """uint8, 3 x H x W -> a picture with a shorter side of 256 at least."""
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())
    scale = max(1, SIDE / min(picture.size))
    size = round(picture.width * scale), round(picture.height * scale)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC)
