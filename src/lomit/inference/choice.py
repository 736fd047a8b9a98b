"""Which model an image gets where none is named: one of photographs, or the packaged one of rendered faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lomit.config import read_json
from lomit.data.transforms import centre_box
from lomit.errors import LomitError
from lomit.inference.catalogue import CONFIG, known_models, read_card

RENDERED, RENDERED_BY_NAME = "avatars", "avatars-places-64"
"""The model of rendered faces, and the one whose masks go by names (in a checkout)."""
PHOTOGRAPHS = ("celeba-hair-smile-64", "celeba-hair-smile-places-64", "celeba-all-64", "celeba-all-128")
"""Models of photographs; the first that is at hand is taken."""
BY_NAME = ("celeba-hair-smile-places-64",)
"""Those of them whose masks go by names."""
SIDE, EVEN, EDGE, FLAT = 64, 2, 24, 0.4
"""See `is_rendered`."""


def is_rendered(image: Image.Image) -> bool:
    """Whether an image is a rendered face: of its pixels off the edges, more than 40 % equal their neighbours.

    Seen is the middle half of the centre square, scaled to 64 pixels.  A pixel is off the edges where it differs from
    the ones to its right and below by at most 24 of 255 in each channel, and equals them where by at most 2.
    docs/photo.md has the errors.

    Args:
        image: RGB.
    """
    square = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=centre_box(image.size), reducing_gap=3.0)
    a = np.asarray(square).astype(int)[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]
    steps = np.maximum(abs(a[:-1, 1:] - a[:-1, :-1]), abs(a[1:, :-1] - a[:-1, :-1])).max(axis=-1)
    return bool((steps <= EVEN).sum() > FLAT * (steps <= EDGE).sum())


def choose_model(image: Image.Image, name: str, by_name: bool = False) -> tuple[str, str]:
    """The model for an image, and a line that says why.

    Args:
        image: RGB.
        name: what the line calls it.
        by_name: whether what is moved is named, which the masks of some models alone can do.

    Raises:
        LomitError: for a photograph where no model of photographs is at hand.
    """
    if is_rendered(image):
        model = RENDERED_BY_NAME if by_name and RENDERED_BY_NAME in known_models() else RENDERED
        return model, f"{name} is a rendered face: the model is '{model}' (--model takes another)"
    return model_of_photographs(name, by_name)


def model_of_photographs(name: str, by_name: bool = False) -> tuple[str, str]:
    """The model for what is a photograph; as `choose_model`."""
    known = known_models()
    model = next((each for each in (BY_NAME if by_name else ()) + PHOTOGRAPHS if each in known), None)
    if model is None:
        raise LomitError(
            f"{name} is a photograph, and no model of photographs is installed: give --model a folder under weights/ "
            f"of a checkout of lomit, or your own training run (--model {RENDERED} takes it for a rendered face)"
        )
    return model, f"{name} is a photograph: the model is '{model}' (--model takes another)"


def of_photographs(model: Path) -> bool:
    """Whether a model's card or, of a checkpoint, its run's data says that it was trained on photographs."""
    for run in (model, *model.parents[:2]):
        try:
            return bool(read_json(run / CONFIG)["data"]["kind"] != RENDERED)
        except (LomitError, KeyError, TypeError):
            continue
    return "photographs of faces" in read_card(model).partition("\n\n|")[0]
