"""The paper's figures of translations (4 to 6, 9 to 11): pairs drawn by a seed, and what models make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from lomit.data.gallery import Faces
from lomit.data.transforms import centre_box, normalise, resize, to_uint8_chw
from lomit.errors import LomitError
from lomit.figures.grids import overlay, to_image
from lomit.images import as_picture
from lomit.inference.predictor import Predictor, Result
from lomit.models.base import Guide
from lomit.report.parts import Content, PagePicture, PageTable, Paragraph, picture

CELL = 112
"""Width of a picture on the page, in CSS pixels."""


@dataclass(frozen=True)
class FacePair:
    """Numbers of two faces, and what is translated into what."""

    input: int
    exemplar: int
    caption: str


def targets(faces: Faces, attributes: Sequence[str]) -> list[tuple[str, ...]]:
    """What a figure's columns are about: each group of exclusive attributes, and each other attribute (Figure 4)."""
    known = [a for a in attributes if a in faces.attributes]
    groups = [tuple(a for a in known if a in group) for group in faces.groups]
    grouped = {a for group in groups for a in group}
    found = {group[0]: group for group in groups if group} | {a: (a,) for a in known if a not in grouped}
    return [found[a] for a in known if a in found]


def pairs(
    faces: Faces, attributes: Sequence[str], count: int, seed: int, about: Sequence[str] | None = None
) -> list[FacePair]:
    """Pairs for a figure: for each target in turn one that differs in it and in little else, then one that does in all.
    Raises LomitError where the faces are labelled with none of the attributes, or no two differ.

    Args:
        attributes: that the models know.
        about: the attributes among them that the figure is about; None, all of them.
    """
    names = [a for a in attributes if a in faces.attributes]
    if not names:
        raise LomitError(
            f"the faces ({faces.what}) are labelled with none of {', '.join(attributes) or 'no attributes'}; "
            "give others with --data.root"
        )
    y = faces.columns(names)
    rng = np.random.default_rng(seed)
    first, second = (rng.integers(len(y), size=6_000) for _ in range(2))
    known = (y[first] >= 0).all(1) & (y[second] >= 0).all(1) & (first != second)
    first, second = first[known], second[known]
    differs = y[first] != y[second]
    kinds = targets(faces, names)
    apart = np.stack([differs[:, [names.index(a) for a in kind]].any(1) for kind in kinds], axis=1)
    asked = np.array([about is None or bool({*kind} & {*about}) for kind in kinds])
    wishes = [np.arange(len(kinds)) == k for k in np.flatnonzero(asked)]
    wishes += [asked] if len(wishes) > 1 else []
    found: list[FacePair] = []
    used: set[int] = set()
    for turn in range(count):
        wish = wishes[turn % len(wishes)]
        # Distance from the wish; pairs that show a face again, or lack a wished difference, come last.
        far = (apart != wish).sum(1) + 100.0 * ~apart[:, wish].any(1)
        far += 1000 * (np.isin(first, list(used)) | np.isin(second, list(used)))
        best = int(far.argmin()) if len(far) else -1
        if best < 0 or far[best] >= 100:
            continue
        a, b = int(first[best]), int(second[best])
        used |= {a, b}
        found.append(FacePair(a, b, _caption(dict(zip(names, zip(y[a], y[b], strict=True), strict=True)))))
    if not found:
        raise LomitError(f"no two of the faces ({faces.what}) differ in {', '.join(names)}; give others")
    return found


def many_exemplars(faces: Faces, attributes: Sequence[str], count: int, seed: int) -> tuple[int, list[int]]:
    """A face, and others that differ from it in an attribute, for Figure 6."""
    first = pairs(faces, attributes, 1, seed)[0]
    y = faces.columns([a for a in attributes if a in faces.attributes])
    others = np.flatnonzero(((y != y[first.input]) & (y >= 0) & (y[first.input] >= 0)).any(1))
    drawn = np.random.default_rng(seed + 1).permutation(others)[:count]
    return first.input, [int(face) for face in drawn]


def _caption(labels: Mapping[str, tuple[int, int]]) -> str:
    """`Black hair → Blond hair, Smiling`: what only the input has, what only the exemplar has; all action units."""
    units = all(name.startswith("AU") for name in labels)
    sides = []
    for side in (0, 1):
        names = [name for name, y in labels.items() if y[side] == 1 and (units or y[1 - side] == 0)]
        sides.append(_list(names))
    return " → ".join(sides)


def _list(names: Sequence[str]) -> str:
    if names and all(name.startswith("AU") for name in names):
        return "AU " + ", ".join(name.removeprefix("AU").replace("_", "+") for name in names)
    return ", ".join(name.replace("_", " ") for name in names) or "none"


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
