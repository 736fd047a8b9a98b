"""The models at hand: those in the package and, in a checkout, under `weights/`.  Nothing here loads torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lomit.config import read_json
from lomit.errors import LomitError

CONFIG = "config.json"
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
        models |= {folder.name: folder for folder in sorted(root.glob("*")) if _may_be_model(folder)}
    return dict(sorted(models.items()))


def saved_values(folder: Path) -> dict[str, Any] | None:
    """What a model's config.json says, unchecked; None where it can't be read."""
    try:
        return read_json(folder / CONFIG)
    except LomitError:
        return None


def _may_be_model(folder: Path) -> bool:
    """Whether a folder has a config that is not of another kind; a damaged one is for its reader to complain about."""
    if not (folder / CONFIG).is_file():
        return False
    values = saved_values(folder)
    return values is None or KIND not in values
