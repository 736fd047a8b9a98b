"""The models at hand: those in the package and, in a checkout, under `weights/`.  Nothing here loads torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lomit.config import read_json
from lomit.errors import LomitError

CONFIG, CARD = "config.json", "README.md"
KIND = "kind"
"""Key that only the config.json of what is not a translator has."""

PACKAGE = Path(__file__).parents[1]


def packaged() -> Path:
    """Folder of the networks in the package."""
    return PACKAGE / "pretrained"


def known_models() -> dict[str, Path]:
    """Name -> folder of the models in the package and, in a checkout, under `weights/`.

    Folders of another kind, such as attribute classifiers, may stand beside them.
    """
    models: dict[str, Path] = {}
    for root in (PACKAGE.parents[1] / "weights", packaged()):
        folders = [folder for folder in sorted(root.glob("*")) if (folder / CONFIG).is_file()]
        # A damaged config is for its reader to complain about.
        models |= {folder.name: folder for folder in folders if KIND not in (saved_values(folder) or {})}
    return dict(sorted(models.items()))


def saved_values(folder: Path) -> dict[str, Any] | None:
    """What a model's config.json says, unchecked; None where it can't be read."""
    try:
        return read_json(folder / CONFIG)
    except LomitError:
        return None


def read_card(folder: Path) -> str:
    """The text of a model's card; "" where there is none that can be read."""
    try:
        return (folder / CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


@dataclass(frozen=True)
class KnownModel:
    """A model that `Predictor.from_pretrained` and `--model` take by name; its method and its size in pixels are None
    where its config.json is damaged.
    """

    name: str
    method: str | None = None
    image_size: int | None = None
    attributes: tuple[str, ...] = ()


def list_models() -> list[KnownModel]:
    """The models in the package and, in a checkout, under `weights/`.

    Their configs are read as they stand: to check them, torch would have to be loaded.
    """
    return [_described(name, saved_values(folder)) for name, folder in known_models().items()]


def _described(name: str, values: dict[str, Any] | None) -> KnownModel:
    match values:
        case {"method": str(method), "model": {**model}}:
            size, names = model.get("image_size"), model.get("attributes", [])
            size = size if isinstance(size, int) else None
            if isinstance(names, list) and all(isinstance(each, str) for each in names):
                return KnownModel(name, method, size, tuple(names))
    return KnownModel(name)
