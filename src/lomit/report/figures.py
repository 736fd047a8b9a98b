"""The paper's figures of translations (4 to 6, 9 to 11), from the models' own results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from lomit.data.gallery import Faces
from lomit.data.transforms import centre_box, normalise, resize, to_uint8_chw
from lomit.figures.grids import overlay, to_image
from lomit.images import as_picture
from lomit.inference.predictor import Predictor, Result
from lomit.models.base import Guide
from lomit.report.face_pairs import FacePair
from lomit.report.parts import Content, PagePicture, PageTable, Paragraph, picture

CELL = 112
"""Width of a picture on the page, in CSS pixels."""


@dataclass(frozen=True)
class Subject:
    """A model that the figures are about: what the page calls it, and what translates."""

    label: str
    predictor: Predictor

    def translate(self, faces: Faces, pair: FacePair) -> Result:
        """One pair at the model's size, as the evaluation translates it: every method is given exemplar and labels,
        and leaves unused what it does not need.  Masks are on their own grid."""
        predictor = self.predictor
        images = [faces.image(face) for face in (pair.input, pair.exemplar)]
        pixels = np.stack([to_uint8_chw(resize(image, predictor.image_size)) for image in images])
        x, exemplar = normalise(torch.from_numpy(pixels).to(predictor.device)).split(1)
        labels = [list(faces.label(face, predictor.attributes).values()) for face in (pair.input, pair.exemplar)]
        source, target = torch.tensor(labels, device=predictor.device).split(1)
        with torch.inference_mode(), torch.backends.cudnn.flags(deterministic=True, benchmark=False):
            found = predictor.translator.translate(x, Guide(exemplar, target, source=source))
        masks = (None, None) if found.masks is None else (found.masks.input, found.masks.exemplar)
        own, guide = (None if mask is None else to_image(mask[0]) for mask in masks)
        return Result(to_image(found.image[0]), own, guide, found.image[0].permute(1, 2, 0).float().cpu().numpy())


def common(subjects: Sequence[Subject]) -> list[tuple[list[Subject], list[str]]]:
    """Models in groups that know some attribute together, with these attributes."""
    groups: list[tuple[list[Subject], list[str]]] = []
    for subject in subjects:
        for members, names in groups:
            shared = [name for name in names if name in subject.predictor.attributes]
            if shared:
                members.append(subject)
                names[:] = shared
                break
        else:
            groups.append(([subject], list(subject.predictor.attributes)))
    return groups


def comparison(
    caption: str, subjects: Sequence[Subject], faces: Faces, pairs: Sequence[FacePair], masks: bool
) -> PageTable:
    """Figures 4, 5 and 9 to 11: one column a pair, one row each for inputs, masks (where they are asked for, of the
    methods that have some), exemplars and results.
    """
    results = {subject.label: [subject.translate(faces, pair) for pair in pairs] for subject in subjects}
    several = len(subjects) > 1
    rows: list[list[Content]] = []
    for side in ("input", "exemplar"):
        images = [faces.image(getattr(pair, side)) for pair in pairs]
        rows.append([side, *(shown(i, f"{side}: {p.caption}") for i, p in zip(images, pairs, strict=True))])
        for label, found in results.items():
            laid = [getattr(result, f"{side}_mask") for result in found]
            if masks and all(mask is not None for mask in laid):
                of = f"{label}, mask" if several else "its mask"
                alt = f"mask of {label} on the {side}"
                rows.append([of, *(masked(i, m, alt) for i, m in zip(images, laid, strict=True))])
    for label, found in results.items():
        alts = [f"result of {label}: {pair.caption}" for pair in pairs]
        rows.append([label, *(shown(r.image, a) for r, a in zip(found, alts, strict=True))])
    return PageTable(caption, [["", *(pair.caption for pair in pairs)]], rows, "pictures")


def exemplars(caption: str, subjects: Sequence[Subject], faces: Faces, input_: int, others: Sequence[int]) -> PageTable:
    """Figure 6: one input with many exemplars; a method guided by labels alone gives one result for equal labels."""
    rows: list[list[Content]] = [["input", shown(faces.image(input_), "the input"), *[""] * (len(others) - 1)]]
    rows.append(["exemplar", *(shown(faces.image(o), f"exemplar {k}") for k, o in enumerate(others, start=1))])
    for subject in subjects:
        results = [subject.translate(faces, FacePair(input_, other, "")) for other in others]
        alts = [f"result of {subject.label} with exemplar {k}" for k in range(1, len(others) + 1)]
        rows.append([subject.label, *(shown(r.image, a) for r, a in zip(results, alts, strict=True))])
    return PageTable(caption, [["", *(str(k) for k in range(1, len(others) + 1))]], rows, "pictures")


def shown(image: Image.Image, alt: str) -> PagePicture:
    """The centre square of an image, as a cell of a figure."""
    image = as_picture(image).on_white()
    return picture(image.crop(centre_box(image.size)), alt, CELL)


def masked(image: Image.Image, mask: Image.Image, alt: str) -> PagePicture:
    """The centre square in grey with the mask laid over it in colour."""
    image = as_picture(image).on_white()
    return picture(overlay(image.crop(centre_box(image.size)), mask), alt, CELL)


def source_note(faces: Faces, subjects: Sequence[Subject]) -> Paragraph:
    """Where the pictures come from and how they were made."""
    sizes = sorted({subject.predictor.image_size for subject in subjects})
    text = (
        f"Faces: {faces.what}. Drawn, not picked: the same pairs for every model. Translated at "
        f"{', '.join(f'{size} x {size}' for size in sizes)}, the decoder's whole output, nothing blended back."
    )
    return Paragraph((text,), "notes")
