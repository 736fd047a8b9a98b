"""Figure 4 a' to c': translations with masks that somebody edited; docs/report.md has the file's form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from lomit.config import from_dict
from lomit.data.transforms import centre_box
from lomit.errors import LomitError
from lomit.evaluation.results import read_numbers
from lomit.figures.grids import overlay
from lomit.images import Picture, read_image, read_mask
from lomit.report.figures import CELL, Subject, masked, shown
from lomit.report.parts import Content, PagePart, PagePicture, PageTable, Paragraph, picture

VERSION = 1
REMOVED = 0.25
"""A mask's value must have fallen by so much for a place to count as removed."""
CUT = (255, 0, 0)


@dataclass(frozen=True)
class EditedPair:
    """A pair with masks (mode L) to use in place of the predicted ones, and what was edited."""

    caption: str
    input: Picture
    exemplar: Picture
    input_mask: Image.Image
    exemplar_mask: Image.Image | None


def read_edits(path: Path) -> list[EditedPair]:
    """Reads the JSON file and the images it names.  Raises LomitError where the file is not of its form, or an
    image is missing, damaged or elsewhere.
    """
    values = read_numbers(path)
    if values.get("mask_edits") != VERSION:
        raise LomitError(f"{path}: 'mask_edits' must be {VERSION}, the version of the format")
    entries = values.get("edits")
    if not isinstance(entries, list) or not entries:
        raise LomitError(f"{path}: 'edits' must be a list of at least one edit")
    return [_edit(entry, path, f"{path}: edit {k}") for k, entry in enumerate(entries, start=1)]


@dataclass(frozen=True)
class _Entry:
    """An edit as it stands in the file."""

    caption: str
    input: str
    exemplar: str
    input_mask: str
    exemplar_mask: str | None = None


def _edit(entry: Any, path: Path, where: str) -> EditedPair:
    found = from_dict(_Entry, entry, where)
    files = {k: _below(path, v, f"{where}.{k}") for k, v in vars(found).items() if k != "caption" and v is not None}
    guide = read_mask(files["exemplar_mask"]) if "exemplar_mask" in files else None
    images = read_image(files["input"]), read_image(files["exemplar"])
    return EditedPair(found.caption, *images, read_mask(files["input_mask"]), guide)


def _below(path: Path, name: str, where: str) -> Path:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in name:
        raise LomitError(f"{where}: '{name}' must be the name of a file beside {path.name}")
    return path.parent / parts


def edited_figure(subjects: Sequence[Subject], edits: Sequence[EditedPair]) -> list[PagePart]:
    """For each model with masks: the pair, predicted and edited masks, both results; nothing without such a model."""
    parts: list[PagePart] = []
    for subject in subjects:
        columns = [_column(subject, edit) for edit in edits]
        if any(column is None for column in columns):
            continue
        names = list(columns[0] or {})
        rows: list[list[Content]] = [[name, *((column or {})[name] for column in columns)] for name in names]
        caption = f"{subject.label}: single attributes by edited masks"
        parts.append(PageTable(caption, [["", *(edit.caption for edit in edits)]], rows, "pictures"))
    note = "Masks edited by hand, as in Figure 4 a' to c'. Red: around what was removed from the predicted mask."
    return [*parts, Paragraph((note,), "notes")] if parts else []


def _column(subject: Subject, edit: EditedPair) -> dict[str, PagePicture] | None:
    """Row's heading -> picture; None for a method without masks."""
    pair = [edit.input], [edit.exemplar]
    if "exemplar" not in subject.predictor.translator.guides:
        return None
    before = subject.predictor.translate(*pair)[0]
    if before.input_mask is None or before.exemplar_mask is None:
        return None
    given: dict[str, Any] = {"input_masks": [edit.input_mask], "exemplar_masks": [edit.exemplar_mask]}
    after = subject.predictor.translate(*pair, **given)[0]
    own, guide = edit.input.on_white(), edit.exemplar.on_white()
    about = f"{subject.label}, {edit.caption}"
    column = {"input": shown(own, f"input: {about}")}
    column["predicted mask"] = masked(own, before.input_mask, f"predicted mask on the input: {about}")
    column["edited mask"] = _cut(own, before.input_mask, edit.input_mask, f"edited mask on the input: {about}")
    column["exemplar"] = shown(guide, f"exemplar: {about}")
    column["its predicted mask"] = masked(guide, before.exemplar_mask, f"predicted mask on the exemplar: {about}")
    edited = edit.exemplar_mask if edit.exemplar_mask is not None else before.exemplar_mask
    column["its edited mask"] = _cut(guide, before.exemplar_mask, edited, f"mask used on the exemplar: {about}")
    column["result, predicted masks"] = shown(before.image, f"result with the predicted masks: {about}")
    column["result, edited masks"] = shown(after.image, f"result with the edited masks: {about}")
    return column


def _cut(image: Image.Image, predicted: Image.Image, edited: Image.Image, alt: str) -> PagePicture:
    """The edited mask over the image, with a rectangle around what was removed."""
    square = image.crop(centre_box(image.size))
    if edited.size == image.size:
        edited = edited.crop(centre_box(image.size))
    edited = edited.resize(square.size, Image.Resampling.BILINEAR)
    laid = overlay(square, edited)
    box = removed(predicted.resize(square.size, Image.Resampling.BILINEAR), edited)
    if box is not None:
        ImageDraw.Draw(laid).rectangle(box, outline=CUT, width=max(1, square.width // 64))
    return picture(laid, alt, CELL)


def removed(predicted: Image.Image, edited: Image.Image) -> tuple[int, int, int, int] | None:
    """The rectangle (left, top, right, bottom, all inside) around what the edit took away; None where nothing.  Masks
    are of mode L and one size.
    """
    fallen = np.asarray(predicted, dtype=np.int16) - np.asarray(edited, dtype=np.int16) > 255 * REMOVED
    if not fallen.any():
        return None
    rows, columns = np.flatnonzero(fallen.any(1)), np.flatnonzero(fallen.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])
