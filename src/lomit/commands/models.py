"""`lomit models`: what `--model` takes by name; `lomit weights`: a model as a folder to share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lomit.commands.groups import write_json
from lomit.commands.options import positional
from lomit.inference.catalogue import known_models, saved_values


@dataclass
class ListModels:
    """List the models that can be used by name: those in the package and, in a checkout, under weights/."""

    json: Path | None = None
    """File for the list, as JSON; `-` is the standard output."""

    def main(self) -> int:
        """Prints a line a model."""
        # Read as it stands: to check it, torch would have to be loaded.
        configs = {name: saved_values(folder) or {} for name, folder in known_models().items()}
        rows = []
        for name, values in configs.items():
            model = values.get("model", {})
            size, attributes = model.get("image_size"), model.get("attributes", [])
            rows.append({"name": name, "method": values.get("method"), "image_size": size, "attributes": attributes})
        write_json(self.json, rows)
        if str(self.json) == "-":
            return 0
        for row in rows:
            name, method, size, attributes = row.values()
            says = "damaged: its config.json can't be read"
            if method is not None:
                says = f"{method}, {size} pixels, {', '.join(attributes)}"
            print(f"{name:<{max(map(len, configs))}}  {says}")
        if not rows:
            print("no models here; `lomit train` makes one, and --model takes its folder")
        return 0


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
        from lomit.weights import CARD, WEIGHTS, find_model, load_pretrained, save_pretrained

        folder = find_model(self.model)
        card = folder / CARD
        text = card.read_text(encoding="utf-8") if card.is_file() else None
        save_pretrained(load_pretrained(folder), self.out, text, self.half, self.overwrite)
        size = (self.out / WEIGHTS).stat().st_size / 2**20
        print(f"{self.out / WEIGHTS}: {size:.2f} MiB")
        return 0
