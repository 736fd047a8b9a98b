"""What a page is told: the values of its components, as JSON."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import PurePath
from typing import Any

from PIL import Image

from lomit.apps.editor.pictures import data_url, mask_url, png_bytes
from lomit.apps.editor.session import Session
from lomit.apps.editor.state import EXEMPLAR, INPUT, MASK_SIDE, REGION, Slot
from lomit.errors import LomitError
from lomit.figures.grids import change

STAGE = 448
"""Side of the squares whose masks are edited, as they are shown."""
CHANGE_FACTOR = 3

Json = dict[str, Any]


def bench(session: Session, alert: str = "") -> Json:
    """The workbench: images, masks, what can be done."""
    predictor = session.models.get(session.settings.model)
    takes_exemplar = "exemplar" in predictor.guides
    notes = {}
    if not predictor.has_masks:
        notes[INPUT] = f"The model '{session.settings.model}' has no masks to edit: it changes the whole image"
    if not takes_exemplar:
        notes[EXEMPLAR] = f"The model '{session.settings.model}' takes no exemplar: choose attributes below"
    predicted, composing = session.predicted(), session.composing
    shown = [REGION[pane] for pane in session.guides] if composing else []
    panes = [
        _pane(slot if pane < len(session.images) or pane in shown else None, predicted.get(pane), notes.get(pane, ""))
        for pane, slot in enumerate(session.slots)
    ]
    if composing:
        for pane in session.guides:
            ticked = session.gives(pane)
            panes[pane]["gives"] = [{"name": name, "on": name in ticked} for name in predictor.places]
    return {
        "answer": session.answer(),
        "alert": alert,
        "settings": session.settings_stamp,
        "about": session.models.about(session.settings.model),
        "threshold": session.settings.threshold if predictor.has_masks else 0,
        "has_masks": predictor.has_masks,
        "can_blend": predictor.can_blend,
        "can_compose": predictor.can_compose,
        "composing": composing,
        "named": bool(predictor.places),
        "panes": panes,
    }


def viewer(session: Session) -> Json:
    """The result and the strip of kept variants."""
    edited = session.render()
    told: Json = {"before": "", "after": "", "change": "", "size": "", "note": "Open an input and an exemplar"}
    if edited is not None:
        (before, url), after = session.before(), session.preview(edited)
        width, height = session.size
        told |= {
            "before": url,
            "after": data_url(after),
            "change": data_url(change(before, after, CHANGE_FACTOR).convert("RGB")),
            "size": f"{width} × {height} pixels",
            "note": "",
        }
    kept = [{"id": v.id, "image": v.images[session.close], "title": v.title} for v in session.kept]
    told |= {"kept": kept, "most": session.limits.kept}
    return told | {"can_close": session.has_face, "close": session.close}


def download(session: Session, what: str) -> Json:
    """A file for the page: `result`, `masks`, `recipe` or `all`."""
    image, edited, recipe = session.finish()
    stem = "__".join(PurePath(origin.name).stem for origin in (recipe.input, *recipe.exemplars))
    # The input's mask is as large as its centre square, others as they are edited.
    sides = (min(image.size) if recipe.input.face is None else MASK_SIDE, *[MASK_SIDE] * len(recipe.exemplars))
    names = ("input-mask", "exemplar-mask", "second-exemplar-mask", "third-exemplar-mask")
    masks = {f"{stem}_{names[k]}.png": png_bytes(edited.mask(k, sides[k])) for k in range(len(edited.masks))}
    # The sum stands as input-mask; what is painted is each exemplar's region.
    regions = ("region", "second-region", "third-region")
    for k, pane in enumerate(session.guides if session.composing else ()):
        masks[f"{stem}_{regions[k]}.png"] = png_bytes(session.mask(REGION[pane]))
    result, made_by = png_bytes(image), recipe.to_json().encode()
    if what == "result":
        return _file(f"{stem}.png", "image/png", result)
    if what == "recipe":
        return _file(f"{stem}.recipe.json", "application/json", made_by)
    if what == "masks":
        if not masks:
            raise LomitError(f"the model '{session.settings.model}' has no masks")
        return _archive(f"{stem}_masks.zip", masks)
    files = {f"{stem}.png": result} | masks | {f"{stem}.recipe.json": made_by} | _originals(session)
    return _archive(f"{stem}.zip", files)


def mask_file(session: Session, pane: int) -> Json:
    """The mask of a pane as a file: a grey square, which `--input-mask` and the page take again."""
    mask, slot = session.mask(pane), session.slots[pane]
    assert slot is not None
    return _file(f"{PurePath(slot.source.name).stem}_mask.png", "image/png", png_bytes(mask))


def _originals(session: Session) -> dict[str, bytes]:
    """The images themselves, so that the recipe finds them beside it."""
    slots = [slot for slot in session.images if slot is not None]
    return {s.source.name: png_bytes(s.source.read().rgb) if s.data is None else s.data for s in slots}


def _archive(name: str, files: dict[str, bytes]) -> Json:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as pack:
        for each, content in files.items():
            pack.writestr(each, content)
    return _file(name, "application/zip", packed.getvalue())


def _file(name: str, kind: str, data: bytes) -> Json:
    return {"name": name, "type": kind, "data": base64.b64encode(data).decode()}


def _pane(slot: Slot | None, predicted: Image.Image | None, note: str) -> Json:
    if slot is None:
        return {
            "image": "", "name": "", "mask": "", "predicted": "", "faces": [], "face": 0,
            "note": note, "revision": None, "operation": 0,
        }  # fmt: skip
    count = len(slot.faces)
    faces = [f"Face {k + 1} of {count}, aligned" for k in range(count)] + ["Centre square as it is"] if count else []
    chosen = next((k for k, face in enumerate(slot.faces) if face is slot.source.face), count)
    shown = "" if predicted is None else mask_url(predicted)
    return {
        "image": data_url(slot.source.seen(STAGE).rgb),
        "name": slot.source.name,
        "mask": shown if slot.mask is None or not shown else mask_url(slot.mask),
        "predicted": shown,
        "faces": faces,
        "face": chosen,
        "note": ". ".join(part for part in (slot.note, note) if part),
        "revision": slot.stamp,
        "operation": slot.operation,
    }
