"""The data and schedules that presets share: the paper's classes (Table 1), rendered faces, one's own images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lomit.config import RunConfig

Preset = tuple[str, Callable[[], RunConfig]]
"""One line of description, and what makes the run's config."""
Data = tuple[str, dict[str, Any]]
"""One line of description, and fields of `DataConfig`."""

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair")
BEARD_AND_GENDER = ("Goatee", "Mustache", "No_Beard", "Male")
MAKEUP = ("Heavy_Makeup", "Wearing_Lipstick")


def _celeba(description: str, *attributes: str, **more: Any) -> Data:
    return f"CelebA: {description}", {"kind": "celeba", "attributes": attributes, **more}


def _avatars(description: str, *attributes: str) -> Data:
    return f"rendered faces: {description}", {"kind": "avatars", "attributes": attributes}


LABELLED: dict[str, Data] = {
    "avatars": _avatars("hair, smile, facial hair", *HAIR, "Smiling", "Facial_Hair"),
    "hair-smile": _celeba("hair colour and smile", *HAIR, "Smiling", require_one_of=HAIR),
    "gender": _celeba("gender", "Male"),
    "facialhair-gender": _celeba("facial hair and gender", *BEARD_AND_GENDER),
    "makeup-lipstick": _celeba("make-up and lipstick", *MAKEUP),
    "folder": ("your own images, with --data.attributes NAME ...", {}),
}
"""For a method that learns several labels at once."""

TWO_DOMAINS: dict[str, Data] = {
    "gender": LABELLED["gender"],
    "facialhair": _celeba("no beard or a beard", "No_Beard"),
    "lipstick": _celeba("lipstick", "Wearing_Lipstick"),
    "smile": _celeba("smile", "Smiling"),
    "blond": _celeba("blond hair", "Blond_Hair"),
    "facialhair-gender": _celeba("men with a goatee, women without", "Goatee", "Male"),
    "makeup-lipstick": LABELLED["makeup-lipstick"],
    "avatars-blond": _avatars("blond hair", "Blond_Hair"),
    "avatars-smile": _avatars("smile", "Smiling"),
    "avatars-facialhair": _avatars("facial hair", "Facial_Hair"),
    "folder": LABELLED["folder"],
}
"""For a method with two domains: images with none of the attributes, images with all of them."""

_OF_ONE = ("gender", "facialhair", "lipstick", "avatars-blond", "avatars-smile", "avatars-facialhair", "folder")
ONE_OF_SEVERAL: dict[str, Data] = {
    "hair": _celeba("hair colour", *HAIR, require_one_of=HAIR),
    "avatars-hair": _avatars("hair colour", *HAIR),
    **{name: TWO_DOMAINS[name] for name in _OF_ONE},
}
"""For a method with a domain for each of several exclusive attributes, or two domains for one attribute."""


def changed(run: RunConfig, image_size: int, model: dict[str, Any], **train: Any) -> RunConfig:
    """The run at an image size, with these fields of its model and of its training changed."""
    return RunConfig(
        model=replace(run.model, image_size=image_size, **model),
        data=replace(run.data, image_size=image_size),
        train=replace(run.train, **train),
    )
