"""The recipe of a result: a small JSON file with the masks in it and hashes of everything it needs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lomit import __version__
from lomit.config import read_json
from lomit.errors import LomitError
from lomit.images import Picture
from lomit.inference.catalogue import CONFIG
from lomit.inference.editing import Edit
from lomit.inference.masks import Step
from lomit.inference.onnx import is_exported
from lomit.inference.predictor import Predictor
from lomit.inference.squares import MaskLike, load_mask
from lomit.inference.weights import WEIGHTS, find_model
from lomit.photo.align import check_place
from lomit.photo.faces import Face
from lomit.recipe.composition import Composition
from lomit.recipe.portrait import Portrait, Rendered, Scene, content_hash

FORMAT, COMPOSED = 1, 2
"""Of the file; with exemplars that have regions of their own it is COMPOSED, which earlier versions would misread."""
MAX_BYTES = 8 * 2**20
"""Larger files are not recipes."""
MAX_MASK_SIDE = 4096
MAX_STEPS = 100
"""Of one mask."""
MAX_EXEMPLARS = 8
"""With regions of their own."""


@dataclass(frozen=True)
class Origin:
    """An image that a recipe needs: its file's name, the hash of its pixels, the face that is meant."""

    name: str
    sha256: str
    face: Face | None = None
    rendered: Rendered | None = None

    @classmethod
    def of(cls, source: Portrait) -> Origin:
        return cls(source.name, content_hash(source.read()), source.face, source.rendered)

    def source(self, picture: Picture) -> Portrait:
        """The image with its face.  Raises LomitError where it is another image than the recipe was made from, or the
        face does not lie in it.
        """
        if content_hash(picture) != self.sha256:
            raise LomitError(f"{picture.name} is not the image that the recipe calls {self.name}: its pixels differ")
        if self.face is not None:
            check_place(self.face, picture)
        return Portrait(self.name, lambda: picture, self.face, self.rendered)


@dataclass(frozen=True)
class Recipe:
    """Everything that a result follows from.

    Attributes:
        model: its name; `model_sha256` is the hash of its files.
        input: the image that is changed.
        exemplars: none, one or two; up to `MAX_EXEMPLARS` where they have regions of their own.
        edit: masks and sliders.
        composite: whether the input is blended back outside the mask.
        label: target attributes, or None.
        threads: threads that the network ran in; sums change their last bits with them.
        result_sha256: `content_hash` of the result.
        gives: where exemplars have regions of their own, what each gives; see `Composition`.  Else empty.
    """

    model: str
    model_sha256: str
    input: Origin
    exemplars: tuple[Origin, ...]
    edit: Edit
    composite: bool
    label: Mapping[str, float] | None
    threads: int
    result_sha256: str
    gives: tuple[tuple[str, ...], ...] = ()

    def scene(self, predictor: Predictor, sources: Sequence[Portrait]) -> Scene:
        """Input and exemplars before the model.  Raises `LomitError` where it can't do what the recipe asks."""
        if self.gives:
            return Composition(predictor, sources[0], sources[1:], self.gives)
        return Scene(predictor, sources[0], sources[1:], self.label)

    def to_json(self) -> str:
        """The file's text."""
        masks = [self.edit.input_mask, *self.edit.exemplar_masks]
        masks += [None] * (1 + len(self.exemplars) - len(masks))
        steps = [*self.edit.steps, *[()] * (len(masks) - len(self.edit.steps))]
        images = [_image(o, m, s) for o, m, s in zip((self.input, *self.exemplars), masks, steps, strict=True)]
        for k, names in enumerate(self.gives):
            region = self.edit.regions[k] if k < len(self.edit.regions) else None
            images[k + 1] |= {"gives": list(names), "region": None if region is None else encode_mask(region)}
        values = {
            "lomit_recipe": COMPOSED if self.gives else FORMAT,
            "lomit_version": __version__,
            "model": {"name": self.model, "sha256": self.model_sha256},
            "input": images[0],
            "exemplars": images[1:],
            "threshold": self.edit.threshold,
            "strength": self.edit.strength,
            "blend": self.edit.blend,
            "composite": self.composite,
            "label": None if self.label is None else dict(self.label),
            "threads": self.threads,
            "result_sha256": self.result_sha256,
        }
        return json.dumps(values, indent=1) + "\n"


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Reads what `Recipe.to_json` wrote.  Raises LomitError where the file is missing, too large, no recipe, of another
    format, or holds a wrong value.
    """
    path = Path(path)
    if os.path.isfile(path) and path.stat().st_size > MAX_BYTES:
        raise LomitError(f"{path} is too large for a recipe")
    values = read_json(path)
    if "lomit_recipe" not in values:
        raise LomitError(f"{path} is not a recipe: it has no 'lomit_recipe'")
    if values["lomit_recipe"] not in (FORMAT, COMPOSED):
        raise LomitError(
            f"{path} is a recipe of format {values['lomit_recipe']}; this lomit reads formats {FORMAT} and {COMPOSED}"
        )
    try:
        return _recipe(values)
    except LomitError as error:
        raise LomitError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        wrong = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise LomitError(f"{path} is a damaged recipe: {wrong}") from None


def model_hash(name_or_path: str | os.PathLike[str]) -> str:
    """SHA-256 of a model's files.  Raises as `find_model`."""
    if is_exported(name_or_path):
        files = [Path(name_or_path)]
    else:
        files = [find_model(name_or_path) / name for name in (CONFIG, WEIGHTS)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _image(origin: Origin, mask: MaskLike | None, steps: Sequence[Step]) -> dict[str, Any]:
    face, rendered = origin.face, origin.rendered
    return {
        "name": origin.name,
        "sha256": origin.sha256,
        "face": None if face is None else {"box": list(face.box), "landmarks": face.landmarks.tolist()},
        "rendered": None if rendered is None else [rendered.seed, rendered.index, rendered.size],
        "mask": None if mask is None else encode_mask(mask),
        **({"steps": [dict(step) for step in steps]} if steps else {}),
    }


def encode_mask(mask: MaskLike) -> str:
    """A mask as a PNG in base64."""
    file = io.BytesIO()
    load_mask(mask, "mask").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def decode_mask(text: str) -> Image.Image:
    """The inverse of `encode_mask`.  Raises LomitError for anything but a square PNG of at most `MAX_MASK_SIDE`."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as image:
            if image.width == image.height <= MAX_MASK_SIDE:
                return image.convert("L")
    except (binascii.Error, OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError):
        raise LomitError("a mask must be a PNG in base64") from None
    raise LomitError(f"a mask must be square, at most {MAX_MASK_SIDE} pixels a side")


def _recipe(values: Mapping[str, Any]) -> Recipe:
    images = [values["input"], *values["exemplars"]]
    origins = [_origin(image) for image in images]
    masks = [None if image["mask"] is None else decode_mask(image["mask"]) for image in images]
    steps = tuple(_steps(image.get("steps", [])) for image in images)
    gives, regions = _parts(images[1:]) if values["lomit_recipe"] == COMPOSED else ((), ())
    edit = Edit(
        masks[0],
        tuple(masks[1:]),
        steps if any(steps) else (),
        float(values["threshold"]),
        float(values["strength"]),
        float(values["blend"]),
        regions,
    )
    label = values["label"]
    threads = int(values["threads"])
    if not 1 <= threads <= 1024:
        raise LomitError(f"threads must lie between 1 and 1024; it is {threads}")
    return Recipe(
        str(values["model"]["name"]),
        str(values["model"]["sha256"]),
        origins[0],
        tuple(origins[1:]),
        edit,
        bool(values["composite"]),
        None if label is None else {str(name): float(value) for name, value in label.items()},
        threads,
        str(values["result_sha256"]),
        gives,
    )


def _parts(exemplars: Sequence[Mapping[str, Any]]) -> tuple[tuple[tuple[str, ...], ...], tuple[MaskLike | None, ...]]:
    """What each exemplar gives, and the mask of its region in the input."""
    if not 1 <= len(exemplars) <= MAX_EXEMPLARS:
        raise LomitError(f"exemplars with regions must be 1 to {MAX_EXEMPLARS}; there are {len(exemplars)}")
    gives = []
    for exemplar in exemplars:
        names = exemplar["gives"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise LomitError("what an exemplar gives must be a list of names")
        gives.append(tuple(names))
    regions = tuple(None if exemplar["region"] is None else decode_mask(exemplar["region"]) for exemplar in exemplars)
    return tuple(gives), regions


def _steps(values: Any) -> tuple[Step, ...]:
    """Steps for a mask: their arguments are checked by whoever takes them."""
    if not isinstance(values, list) or not all(isinstance(step, dict) for step in values) or len(values) > MAX_STEPS:
        raise LomitError(f"steps must be a list of up to {MAX_STEPS} objects")
    return tuple(values)


def _origin(values: Mapping[str, Any]) -> Origin:
    face, rendered = values["face"], values["rendered"]
    if face is not None:
        left, top, right, bottom = (int(edge) for edge in face["box"])
        landmarks = np.array(face["landmarks"], dtype=np.float64)
        if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all():
            raise LomitError("a face needs five landmarks")
        face = Face((left, top, right, bottom), landmarks)
    if rendered is not None:
        seed, index, size = (int(value) for value in rendered)
        if min(seed, index) < 0 or not 16 <= size <= 1024:
            raise LomitError("a rendered face needs a seed, an index and a size from 16 to 1024")
        rendered = Rendered(seed, index, size)
    name = str(values["name"])
    if not name.isprintable():
        raise LomitError("the name of an image has characters in it that can't be shown")
    return Origin(name, str(values["sha256"]), face, rendered)


def gather(
    recipe: Recipe, given: Sequence[str | os.PathLike[str] | None], folder: Path, read: Callable[[Path], Picture]
) -> list[Portrait]:
    """The images of a recipe: those given (None: it is not), else rendered anew, else the files of these names in the
    folder where the recipe lies.  Raises `LomitError` where an image is missing or another one.
    """
    sources = []
    origins = (recipe.input, *recipe.exemplars)
    for origin, path in zip(origins, [*given, *[None] * (len(origins) - len(given))], strict=True):
        if path is None and origin.rendered is not None:
            sources.append(origin.source(origin.rendered.picture()))
            continue
        # The name comes out of a file that may be a stranger's: only its last part counts.
        place = folder / Path(origin.name.replace("\\", "/")).name if path is None else Path(path)
        if path is None and not os.path.isfile(place):
            option = "--input" if origin is recipe.input else "--exemplar"
            raise LomitError(f"{origin.name} is not beside the recipe; say where it is with {option}")
        sources.append(origin.source(read(place)))
    return sources
