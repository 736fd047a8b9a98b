"""What each page holds: images, masks, sliders, kept variants.  Knows nothing of Gradio."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from threading import Lock

import numpy as np
import torch
from PIL import Image

from lomit.apps.editor.models import Models
from lomit.apps.editor.pictures import data_url
from lomit.apps.editor.samples import Sample
from lomit.apps.editor.state import (
    EXEMPLAR,
    EXEMPLARS,
    INPUT,
    MASK_SIDE,
    PANES,
    REGION,
    EditorSettings,
    Limits,
    Slot,
    Variant,
)
from lomit.errors import LomitError
from lomit.images import Picture, as_picture, mask_of, read_upload
from lomit.inference import masks
from lomit.inference.choice import choose_model
from lomit.inference.editing import Edit, Edited
from lomit.inference.predictor import Predictor
from lomit.photo.batch import look
from lomit.photo.faces import SIZES, Face, find_faces
from lomit.recipe.composition import Composition
from lomit.recipe.file import Origin, Recipe
from lomit.recipe.portrait import Portrait, Scene, content_hash

PREVIEW = 640
"""Longest side of what a page shows of a picture."""


@dataclass
class _Cache:
    """What was computed last, and from what.

    Attributes:
        size: width and height of the input.
        previews: of the close-up, and of the whole picture: the picture, and what it is sent as.
    """

    key: object = None
    scene: Scene | None = None
    size: tuple[int, int] = (0, 0)
    previews: dict[bool, tuple[Portrait, str]] = field(default_factory=dict)


@dataclass
class Session:
    """One page.  Methods raise `LomitError`, and then nothing has changed.

    Attributes:
        slots: the input, the exemplars, and the input once more for each exemplar's region (`REGION`).
        close: whether results are shown close up.
        settings_stamp: changes where a page has to take over the settings, instead of keeping what its sliders say.
    """

    models: Models
    limits: Limits
    samples: Sequence[Sample]
    settings: EditorSettings
    slots: list[Slot | None] = field(default_factory=lambda: [None] * PANES)
    kept: list[Variant] = field(default_factory=list)
    close: bool = False
    settings_stamp: int = 0
    _count: int = 0
    _stamp: int = 0
    _answers: int = 0
    _cache: _Cache = field(default_factory=_Cache)

    def open(self, pane: int, name: str, data: bytes) -> None:
        """Takes an uploaded image: its largest face; its centre square where there is none, or it is all of it."""
        name, read = self._reader(pane, name, data)
        picture = read()
        faces, note = _faces(picture)
        # Decoded anew where all of it is needed: a page holds files, not their pixels.
        # A square is a crop already, as the images of a training set are.
        chosen = faces[0] if faces and picture.size[0] != picture.size[1] else None
        if pane == INPUT and self.settings.choosing:
            note = ". ".join(filter(None, (note, self._choose(look(picture, faces)))))
        self._put(pane, Slot(Portrait(name, read, chosen), faces, data, note=note))

    def _choose(self, image: Image.Image) -> str:
        """Takes the model that an image calls for; returns a sentence about it, or why there is none."""
        try:
            model, why = choose_model(image, "This")
        except LomitError as error:
            return str(error)
        if model == self.settings.model:
            return ""
        self.set(replace(self.settings, model=model, label=first_label(self.models.get(model))))
        return why.partition(" (")[0]

    def sample(self, pane: int, index: int) -> None:
        """Takes one of the samples."""
        self._put(pane, Slot(self.samples[index].source()))

    def face(self, pane: int, index: int) -> None:
        """Another face of the picture, or its centre square where there are no more faces than `index`."""
        slot = self._slot(pane)
        face = slot.faces[index] if 0 <= index < len(slot.faces) else None
        self._put(pane, replace(slot, source=replace(slot.source, face=face, _seen={}), mask=None))

    def remove(self, pane: int) -> None:
        self._put(pane, None)
        own = self.slots[INPUT]
        if REGION.get(pane, INPUT) != INPUT:
            self._put(REGION[pane], own and replace(own, mask=None))

    def compose(self, on: bool) -> None:
        """Whether each exemplar has a region of its own, or two are blended."""
        if not on and len(self._given()) > 2:
            raise LomitError("two exemplars can be blended; remove one first")
        self.settings = replace(self.settings, composing=on)

    def give(self, pane: int, name: str, on: bool) -> None:
        """Has an exemplar give a region, in place of another, or nobody."""
        if pane not in self.guides or name not in self.models.get(self.settings.model).places:
            raise LomitError("there is no such exemplar or region; load the page again")
        if on or name in self.gives(pane):
            self.settings = replace(self.settings, givers={**self.settings.givers, name: pane if on else 0})

    def gives(self, pane: int) -> tuple[str, ...]:
        """The names of what an exemplar gives."""
        places, guides, chosen = self.models.get(self.settings.model).places, self.guides, self.settings.givers
        givers = {name: guides[min(k, len(guides) - 1)] for k, name in enumerate(places)} if guides else {}
        givers |= {name: giver for name, giver in chosen.items() if name in places and giver in (0, *guides)}
        return tuple(name for name in places if givers.get(name) == pane)

    def swap(self) -> None:
        """Input and exemplar, with their masks, change places."""
        own, guide = self.slots[INPUT], self.slots[EXEMPLAR]
        self._put(INPUT, guide)
        self._put(EXEMPLAR, own)

    def stroke(
        self, pane: int, mask: Image.Image | None, stamp: int | None = None, operation: int | None = None
    ) -> None:
        """A mask as it now is.

        Args:
            mask: None for the prediction.
            stamp: of the slot that the stroke was drawn on; None, of what lies there now.  Strokes wait for each other
                in the page, and one may come after its image was replaced or removed; it is left out.
            operation: of the slot likewise, where the stroke was drawn before the latest operation was done.
        """
        if mask is not None and mask.size != (MASK_SIDE, MASK_SIDE):
            raise LomitError(f"a mask must be {MASK_SIDE} x {MASK_SIDE}")
        there = self.slots[pane]
        if stamp is not None and (there is None or there.stamp != stamp):
            return
        if operation is not None and there is not None and operation < there.operation:
            return
        self.slots[pane] = replace(self._slot(pane), mask=mask)

    def operate(self, pane: int, step: object) -> None:
        """Does a step of `lomit.masks.apply` to a mask, edited or predicted.  Raises as that does."""
        slot, (mask, content) = self._slot(pane), self._mask(pane)
        changed = masks.to_image(masks.apply(np.asarray(mask), step, content))  # type: ignore[arg-type]
        self._operated(pane, slot, changed)

    def load_mask(self, pane: int, name: str, data: bytes) -> None:
        """Takes a mask from an uploaded file, see `Portrait.seen_mask`."""
        slot = self._slot(pane)
        self._mask(pane)  # can there be one?
        _, read = self._reader(pane, name, data)
        self._operated(pane, slot, slot.source.seen_mask(mask_of(read()), MASK_SIDE))

    def mask(self, pane: int) -> Image.Image:
        """The mask of a pane as it is drawn, before the threshold: mode L, MASK_SIDE a side."""
        return self._mask(pane)[0]

    def predicted(self) -> dict[int, Image.Image]:
        """Pane -> predicted mask; empty while an image is missing, and for a model without masks."""
        scene = self.scene
        if scene is None:
            return {}
        return dict(zip(self._masked(), scene.predicted(MASK_SIDE, self.edit.blend), strict=False))

    def keep(self) -> None:
        """Adds the present result to the strip."""
        if len(self.kept) >= self.limits.kept:
            raise LomitError(f"the strip holds {self.limits.kept} variants; remove one first")
        edited = self.render()
        if edited is None:
            raise LomitError("there is no result to keep yet")
        self._count += 1
        title = ", ".join(slot.source.name for slot in self.images if slot)
        images = tuple(data_url(self.preview(edited, close)) for close in (False, True))
        self.kept.append(Variant(self._count, title, images, tuple(self.slots), self.settings))

    def restore(self, id: int) -> None:
        """Everything as it was when the variant was kept."""
        variant = next((v for v in self.kept if v.id == id), None)
        if variant is None:
            raise LomitError("that variant is gone")
        for pane, slot in enumerate(variant.slots):
            self._put(pane, slot)
        self.set(variant.settings)

    def set(self, settings: EditorSettings) -> None:
        """Other settings than those that the page's sliders show."""
        self.settings, self.settings_stamp = settings, self.settings_stamp + 1

    def drop(self, id: int) -> None:
        self.kept = [variant for variant in self.kept if variant.id != id]

    @property
    def edit(self) -> Edit:
        """Masks and sliders as they stand."""
        predictor, s, guides = self.models.get(self.settings.model), self.settings, self._guides()
        own = self.slots[INPUT]
        if self.composing:
            regions = tuple(None if r is None else r.mask for r in (self.slots[REGION[pane]] for pane in self.guides))
            masks = tuple(slot.mask for slot in guides)
            return Edit(exemplar_masks=masks, threshold=s.threshold, regions=regions)
        edit = Edit(blend=s.blend if len(guides) > 1 else 0.0, strength=s.strength if predictor.can_blend else 1.0)
        if not predictor.has_masks:
            return edit
        drawn = tuple(slot.mask for slot in guides)
        return replace(edit, input_mask=None if own is None else own.mask, exemplar_masks=drawn, threshold=s.threshold)

    @property
    def scene(self) -> Scene | None:
        """What the model sees; None while an image is missing."""
        predictor = self.models.get(self.settings.model)
        own, guides = self.slots[INPUT], self._guides()
        if own is None or ("exemplar" in predictor.guides and not guides):
            return None
        sources = [own.source, *(guide.source for guide in guides)]
        label, gives = self._label(), self._all_given()
        key = (self.settings.model, tuple(sources), label and tuple(label.items()), gives)
        if key != self._cache.key:
            if gives:
                scene: Scene = Composition(predictor, sources[0], sources[1:], gives)
            else:
                scene = Scene(predictor, sources[0], sources[1:], label)
            self._cache = _Cache(key, scene, own.source.read().size)
        return self._cache.scene

    def render(self) -> Edited | None:
        """The result as it stands, or None while an image is missing."""
        scene = self.scene
        return None if scene is None else scene.render(self.edit)

    def answer(self) -> int:
        """Another number each time: a page takes no notice of an answer that equals the one before it."""
        self._answers += 1
        return self._answers

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the input."""
        return self._cache.size

    @property
    def has_face(self) -> bool:
        """Whether the input is a photograph with an aligned face, which can be shown close up."""
        own = self.slots[INPUT]
        return own is not None and own.source.face is not None

    def before(self) -> tuple[Image.Image, str]:
        """The input as a page shows it: the image, and what it is sent as."""
        preview, url = self._preview(self.close)
        return preview.read().on_white(), url

    def preview(self, edited: Edited, close: bool | None = None) -> Image.Image:
        """The picture as a page shows it; `close` None: as it is chosen."""
        assert self._cache.scene is not None
        source, _ = self._preview(self.close if close is None else close)
        return self._cache.scene.place(edited, self.edit, self.settings.composite, source)

    def _preview(self, close: bool) -> tuple[Portrait, str]:
        assert self._cache.scene is not None
        if close not in self._cache.previews:
            own = self._cache.scene.input
            shown = (own.close_up() if close else own).scaled(PREVIEW)
            self._cache.previews[close] = shown, data_url(shown.read())
        return self._cache.previews[close]

    def finish(self) -> tuple[Image.Image, Edited, Recipe]:
        """The result at the input's own size, its masks, and how it is made anew."""
        scene, edit, s = self.scene, self.edit, self.settings
        if scene is None:
            raise LomitError("there is no result yet: open an input and an exemplar first")
        edited = scene.render(edit)
        image = scene.place(edited, edit, s.composite)
        sources = [slot.source for slot in (self.slots[INPUT], *self._guides()) if slot]
        origins = [Origin.of(source) for source in sources]
        result = content_hash(as_picture(image))
        recipe = Recipe(
            s.model, self.models.hash(s.model), origins[0], tuple(origins[1:]), edit, s.composite, self._label(),
            torch.get_num_threads(), result, self._all_given(),
        )  # fmt: skip
        return image, edited, recipe

    def _mask(self, pane: int) -> tuple[Image.Image, np.ndarray | None]:
        """The mask of a pane, and its image's content code where the model gives one."""
        slot, predicted, scene = self._slot(pane), self.predicted(), self.scene
        if scene is None:
            raise LomitError("there is no mask yet: open an input and an exemplar first")
        if pane not in predicted:
            raise LomitError(f"the model '{self.settings.model}' has no mask of this image to edit")
        content = scene.content
        return slot.mask or predicted[pane], content[list(predicted).index(pane)] if content else None

    def _operated(self, pane: int, slot: Slot, mask: Image.Image) -> None:
        self.slots[pane] = replace(slot, mask=mask, operation=slot.operation + 1)

    def _put(self, pane: int, slot: Slot | None) -> None:
        self._stamp += 1
        self.slots[pane] = slot and replace(slot, stamp=self._stamp)
        if pane == INPUT:
            # Another input: what was painted on the one before is no region of it.
            for region in set(REGION.values()) - {INPUT}:
                self._put(region, slot and replace(slot, mask=None))

    @property
    def images(self) -> list[Slot | None]:
        """The input and the exemplars."""
        return self.slots[: EXEMPLARS[-1] + 1]

    @property
    def guides(self) -> list[int]:
        """The exemplars that the model takes."""
        predictor = self.models.get(self.settings.model)
        if "exemplar" not in predictor.guides:
            return []
        most = len(EXEMPLARS) if predictor.can_compose else 2 if predictor.can_blend else 1
        return self._given()[:most]

    @property
    def composing(self) -> bool:
        """Whether each exemplar has a region of its own."""
        count = len(self.guides)
        return count > 2 or (count > 1 and self.settings.composing and self.models.get(self.settings.model).can_compose)

    def _given(self) -> list[int]:
        return [pane for pane in EXEMPLARS if self.slots[pane] is not None]

    def _guides(self) -> list[Slot]:
        return [slot for slot in (self.slots[pane] for pane in self.guides) if slot is not None]

    def _all_given(self) -> tuple[tuple[str, ...], ...]:
        """What each exemplar gives; empty where they are blended."""
        return tuple(self.gives(pane) for pane in self.guides) if self.composing else ()

    def _masked(self) -> list[int]:
        """The panes of the scene's masks, in its order."""
        if self.composing:
            return [pane for guide in self.guides for pane in (REGION[guide], guide)]
        return [INPUT, *self.guides]

    def _label(self) -> dict[str, float] | None:
        predictor = self.models.get(self.settings.model)
        if "label" not in predictor.guides:
            return None
        return {name: float(name in self.settings.label) for name in predictor.attributes}

    def _slot(self, pane: int) -> Slot:
        slot = self.slots[pane]
        if slot is None:
            raise LomitError("open an image first")
        return slot

    def _reader(self, pane: int, name: str, data: bytes) -> tuple[str, Callable[[], Picture]]:
        """The name that an uploaded file gets, and what reads it."""
        name = self._free_name(pane, name)
        if len(data) > self.limits.upload_bytes:
            raise LomitError(f"{name} has more than {self.limits.upload_bytes >> 20} MB; scale it down first")
        return name, partial(read_upload, data, name, self.limits.upload_pixels)

    def _free_name(self, pane: int, name: str) -> str:
        """The last part of a file's name, made of harmless characters, and unlike the other images'."""
        path = PurePosixPath(name.replace("\\", "/"))
        clean = "".join(c for c in path.name if c.isalnum() or c in "._- ()").strip(". ")[-80:] or "image"
        taken = {slot.source.name for number, slot in enumerate(self.images) if slot and number != pane}
        plain, number = PurePosixPath(clean), 2
        while clean in taken:
            clean = f"{plain.stem}-{number}{plain.suffix}"
            number += 1
        return clean


class Sessions:
    """The sessions of all pages, in memory alone.

    Args:
        make: a new session.
        limits: how many, and how long a silent one may stay when another needs its place.
    """

    def __init__(self, make: Callable[[], Session], limits: Limits) -> None:
        self._make, self._limits, self._lock = make, limits, Lock()
        self._open: dict[str, Session] = {}
        self._used: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, page: str) -> Session:
        """A session for a page that has been loaded; `LomitError` where the editor is full."""
        with self._lock:
            now = time.monotonic()
            if page not in self._open and len(self._open) >= self._limits.sessions:
                longest = min(self._used, key=lambda key: self._used[key])
                if now - self._used[longest] < self._limits.idle:
                    raise LomitError("the editor is full; try again in a while")
                self._drop(longest)
            self._used[page] = now
            return self._open.setdefault(page, self._make())

    def get(self, page: str) -> Session:
        """The session of a page; `LomitError` where it has ended."""
        with self._lock:
            if page not in self._open:
                raise LomitError("this page has lost its images: load it again")
            self._used[page] = time.monotonic()
            return self._open[page]

    def end(self, page: str) -> None:
        """Forgets a page's images."""
        with self._lock:
            self._drop(page)

    def _drop(self, page: str) -> None:
        self._open.pop(page, None)
        self._used.pop(page, None)


def first_label(predictor: Predictor) -> tuple[str, ...]:
    """What is ticked at first: towards the domain with the attributes, as `lomit translate` has it; else nothing."""
    return tuple(predictor.attributes) if "exemplar" in predictor.guides else ()


def _faces(picture: Picture) -> tuple[tuple[Face, ...], str]:
    """The faces of a picture, and a sentence where none is found."""
    try:
        faces = tuple(find_faces(picture, SIZES[:2]))  # the third takes longer than a person likes to wait
    except LomitError:
        return (), "The extra lomit[faces] would find and align faces"
    return faces, "" if faces else "No face found"
