"""`lomit models`: what `--model` takes by name; `lomit weights`: a model as a folder to share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lomit.commands.groups import WritesJson
from lomit.commands.options import positional
from lomit.inference.catalogue import known_models, saved_values


@dataclass
class ListModels(WritesJson):
    """List the models that can be used by name: those in the package and, in a checkout, under weights/."""

    json: Path | None = None
    """File for the list, as JSON; `-` is the standard output."""
    overwrite: bool = False
    """Replace that file."""

    def main(self) -> int:
        """Prints a line a model.  Raises `LomitError` where the JSON can't be written."""
        self.check_json()
        rows = [{"name": name, **_shown(folder)} for name, folder in known_models().items()]
        self.write_json(rows)
        if self.prints_json:
            return 0
        for name, method, size, attributes in (row.values() for row in rows):
            says = "damaged: its config.json can't be read"
            if method is not None:
                says = f"{method}, {size} pixels, {', '.join(attributes)}"
            print(f"{name:<{max(len(row['name']) for row in rows)}}  {says}")
        if not rows:
            print("no models here; `lomit train` makes one, and --model takes its folder")
        return 0


def _shown(folder: Path) -> dict[str, Any]:
    """Method, size and attributes of a model, of a damaged one none.

    Read as they stand: to check them, torch would have to be loaded.
    """
    match saved_values(folder):
        case {"method": str(method), "model": {**model}}:
            size, names = model.get("image_size"), model.get("attributes", [])
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                return {"method": method, "image_size": size, "attributes": names}
    return {"method": None, "image_size": None, "attributes": []}


@dataclass
class Weights:
    """Write a model's weights, or those of a run's newest checkpoint, as a folder to share."""

    model: str = field(metadata=positional("MODEL"))
    """Name of a model, its folder, or a training run."""
    out: Path
    """Folder to write."""
    half: bool = False
    """Store float16, half the size."""
    overwrite: bool = False
    """Replace a model that stands there."""

    def main(self) -> int:
        """Writes the folder.  Raises as `find_model` and `save_pretrained`."""
        from lomit.inference.weights import CARD, WEIGHTS, find_model, load_pretrained, save_pretrained

        folder = find_model(self.model)
        card = folder / CARD
        text = card.read_text(encoding="utf-8") if card.is_file() else None
        save_pretrained(load_pretrained(folder), self.out, text, self.half, self.overwrite)
        size = (self.out / WEIGHTS).stat().st_size / 2**20
        print(f"{self.out / WEIGHTS}: {size:.2f} MiB")
        return 0
