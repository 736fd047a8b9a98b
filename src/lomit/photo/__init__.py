"""Faces in photographs: found, aligned to the training crop, translated and put back at the photograph's own size."""

from __future__ import annotations

from lomit.photo.alignment import align, place
from lomit.photo.faces import Face, choose_faces, find_faces
from lomit.photo.pasting import paste
from lomit.photo.translating import FaceResult, PhotoResult, translate_photo

__all__ = [
    "Face",
    "FaceResult",
    "PhotoResult",
    "align",
    "choose_faces",
    "find_faces",
    "paste",
    "place",
    "translate_photo",
]
