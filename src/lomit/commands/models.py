"""`lomit models`: what `--model` takes by name."""

from __future__ import annotations

from lomit.models.base import method_of
from lomit.weights import known_models, read_config


def list_models() -> None:
    """Lists the models that can be used by name: those in the package and, in a checkout, under weights/."""
    models = known_models()
    width = max(map(len, models), default=0)
    for name, folder in models.items():
        config = read_config(folder)
        attributes = ", ".join(config.attributes)
        print(f"{name:<{width}}  {method_of(config).name}, {config.image_size} pixels, {attributes}")
    if not models:
        print("no models here; `lomit train` makes one, and --model takes its folder")
