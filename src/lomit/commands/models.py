"""`lomit models`: what `--model` takes by name; `lomit weights`: a model as a folder to share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from lomit.commands.groups import WritesJson
from lomit.commands.options import positional
from lomit.inference.catalogue import list_models, read_card


@dataclass
class ListModels(WritesJson):
    """List the models that can be used by name: those in the package and, in a checkout, under weights/."""

    json: Path | None = None
    """File for the list, as JSON; `-` is the standard output."""
    overwrite: bool = False
    """Replace that file."""

    def main(self) -> int:
        self.check_json()
        models = list_models()
        self.write_json([asdict(model) for model in models])
        if self.prints_json:
            return 0
        for model in models:
            says = "damaged: its config.json can't be read"
            if model.method is not None:
                says = f"{model.method}, {model.image_size} pixels, {', '.join(model.attributes)}"
            print(f"{model.name:<{max(len(each.name) for each in models)}}  {says}")
        if not models:
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
        from lomit.inference.weights import WEIGHTS, find_model, load_pretrained, save_pretrained

        folder = find_model(self.model)
        save_pretrained(load_pretrained(folder), self.out, read_card(folder) or None, self.half, self.overwrite)
        size = (self.out / WEIGHTS).stat().st_size / 2**20
        print(f"{self.out / WEIGHTS}: {size:.2f} MiB")
        return 0
