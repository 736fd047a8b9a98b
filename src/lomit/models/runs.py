"""The data and schedules that the rivals' presets share: the paper's classes (Table 1), rendered faces, one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from lomit.config import RunConfig

Preset = tuple[str, Callable[[], RunConfig]]
"""One line of description, and what makes the run's config."""
Data = tuple[str, dict[str, Any]]
"""One line of description, and fields of `DataConfig`."""

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair")
OWN: Data = ("your own images, with --data.attributes NAME ...", {})


def _celeba(description: str, *attributes: str, **more: Any) -> Data:
    return f"CelebA: {description}", {"kind": "celeba", "attributes": attributes, **more}


def _avatars(description: str, *attributes: str) -> Data:
    return f"rendered faces: {description}", {"kind": "avatars", "attributes": attributes}


LABELLED: dict[str, Data] = {
    "avatars": _avatars("hair, smile, facial hair", *HAIR, "Smiling", "Facial_Hair"),
    "hair-smile": _celeba("hair colour and smile", *HAIR, "Smiling", require_one_of=HAIR),
    "gender": _celeba("gender", "Male"),
    "facialhair-gender": _celeba("facial hair and gender", "Goatee", "Mustache", "No_Beard", "Male"),
    "makeup-lipstick": _celeba("make-up and lipstick", "Heavy_Makeup", "Wearing_Lipstick"),
    "folder": OWN,
}
"""For a method that learns several labels at once."""

TWO_DOMAINS: dict[str, Data] = {
    "gender": _celeba("gender", "Male"),
    "facialhair": _celeba("no beard or a beard", "No_Beard"),
    "lipstick": _celeba("lipstick", "Wearing_Lipstick"),
    "smile": _celeba("smile", "Smiling"),
    "blond": _celeba("blond hair", "Blond_Hair"),
    "facialhair-gender": _celeba("men with a goatee, women without", "Goatee", "Male"),
    "makeup-lipstick": _celeba("make-up and lipstick", "Heavy_Makeup", "Wearing_Lipstick"),
    "avatars-blond": _avatars("blond hair", "Blond_Hair"),
    "avatars-smile": _avatars("smile", "Smiling"),
    "avatars-facialhair": _avatars("facial hair", "Facial_Hair"),
    "folder": OWN,
}
"""For a method with two domains: images with none of the attributes, images with all of them."""

ONE_OF_SEVERAL: dict[str, Data] = {
    "hair": _celeba("hair colour", *HAIR, require_one_of=HAIR),
    "avatars-hair": _avatars("hair colour", *HAIR),
    **{
        name: TWO_DOMAINS[name]
        for name in (
            "gender",
            "facialhair",
            "lipstick",
            "avatars-blond",
            "avatars-smile",
            "avatars-facialhair",
            "folder",
        )
    },
}
"""For a method with a domain for each of several exclusive attributes, or two domains for one attribute."""


def preset_table(
    method: str, runs: dict[str, Data], at_128: RunConfig, at_64: RunConfig, tiny: RunConfig, tiny_run: str
) -> dict[str, Preset]:
    """Presets METHOD-RUN at 128 and METHOD-RUN-64 at 64 pixels for every run, and METHOD-tiny.

    Args:
        method: registered name.
        runs: what to train on.
        at_128, at_64, tiny: networks and schedules; their data config gives the image size.
        tiny_run: which of the runs `tiny` is trained on.
    """
    presets: dict[str, Preset] = {}
    for name, (description, fields) in runs.items():
        presets[f"{method}-{name}"] = (f"{description}, 128 pixels", partial(with_data, at_128, fields))
        presets[f"{method}-{name}-64"] = (f"{description}, 64 pixels, narrow", partial(with_data, at_64, fields))
    description, fields = runs[tiny_run]
    presets[f"{method}-tiny"] = (
        f"{description}, 32 pixels, minutes on two cores",
        partial(with_data, tiny, fields | {"render_count": 400}),
    )
    return presets


def with_data(run: RunConfig, fields: dict[str, Any]) -> RunConfig:
    """A copy of the run with these fields of its data changed."""
    return replace(run, model=replace(run.model), data=replace(run.data, **fields), train=replace(run.train))


def resized(run: RunConfig, image_size: int, model: dict[str, Any], **train: Any) -> RunConfig:
    """The run at another image size, with these fields of its model and of its training changed."""
    return RunConfig(
        model=replace(run.model, image_size=image_size, **model),
        data=replace(run.data, image_size=image_size),
        train=replace(run.train, **train),
    )
