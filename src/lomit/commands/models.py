"""`lomit models`: what `--model` takes by name; `lomit weights`: a model as a folder to share."""

from __future__ import annotations

from collections.abc import Sequence

from lomit.commands.options import call_typed
from lomit.models.base import method_of
from lomit.weights import CARD, WEIGHTS, find_model, known_models, load_pretrained, read_config, save_pretrained


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


def run_weights(argv: Sequence[str]) -> int:
    """`lomit weights MODEL --out DIR [OPTIONS]`; returns the exit code."""
    if argv and not argv[0].startswith("-"):
        argv = ["--model", *argv]
    return call_typed(save_weights, argv, "lomit weights") or 0


def save_weights(model: str, out: str, half: bool = False, overwrite: bool = False) -> None:
    """Writes a model's weights, or those of a run's newest checkpoint, as a folder to share.

    Args:
        model: Name of a model, its folder, or a training run.
        out: Folder to write.
        half: Store float16, half the size.
        overwrite: Replace a model that stands there.
    """
    folder = find_model(model)
    card = folder / CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else None
    save_pretrained(load_pretrained(folder), out, text, half, overwrite)
    file = Path(out) / WEIGHTS
    print(f"{file}: {file.stat().st_size / 2**20:.2f} MiB")
