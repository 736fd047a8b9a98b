"""Faces in photographs: found, aligned to the training crop, translated and put back at the photograph's own size."""

from __future__ import annotations

from lomit.photo.align import align, place
from lomit.photo.faces import Face, choose_faces, find_faces
from lomit.photo.paste import on_photo, paste
from lomit.photo.translate import (
    ExemplarFace,
    FaceResult,
    PhotoResult,
    align_exemplar,
    translate_crops,
    translate_photo,
)

__all__ = [
    "ExemplarFace",
    "Face",
    "FaceResult",
    "PhotoResult",
    "align",
    "align_exemplar",
    "choose_faces",
    "find_faces",
    "on_photo",
    "paste",
    "place",
    "translate_crops",
    "translate_photo",
]
