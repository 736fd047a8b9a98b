"""What a report is about: training runs, models and evaluations, by a label each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lomit.config import ModelConfig
from lomit.errors import LomitError
from lomit.models.base import read_saved_config
from lomit.report.results import NAME, Results, read_json, read_results
from lomit.weights import WEIGHTS, find_model, read_config

LOG, RUN_CONFIG = "log.jsonl", "config.json"


@dataclass(frozen=True)
class Item:
    """One thing that the page tells of.

    Attributes:
        label: what the page calls it.
        run: folder of its training, with log.jsonl.
        model: folder of its weights.
        results: its evaluation.
    """

    label: str
    run: Path | None = None
    model: Path | None = None
    results: Results | None = None

    def config(self) -> ModelConfig | None:
        """The model's config: that of its weights, else what the evaluation says of it."""
        if self.model is not None:
            return read_config(self.model)
        told = self.results.fact("model") if self.results is not None else None
        if isinstance(told, dict) and isinstance(told.get("config"), dict):
            return read_saved_config({"method": told.get("method"), "model": told["config"]}, f"{self.label}: {NAME}")
        return None


def collect(words: Sequence[str]) -> list[Item]:
    """Finds what each word stands for.

    What has one label is one thing: `hair=runs/hair hair=evaluations/hair` is a run with its evaluation.

    Args:
        words: `PATH`, called after its folder, or `LABEL=PATH`.  A path is a training run, a model (also by name or
            Hub id), a results.json or a folder with one.

    Raises:
        LomitError: for a word that is none of these, and where two runs, models or evaluations have one label.
    """
    items: dict[str, Item] = {}
    for word in words:
        label, found = _found(word)
        before = items.get(label, Item(label))
        taken = {name: value for name, value in vars(before).items() if value is not None and name != "label"}
        for name in found:
            if name in taken:
                kind = {"run": "training runs", "model": "models", "results": "evaluations"}[name]
                raise LomitError(f"two {kind} are called '{label}'; name them: LABEL=PATH")
        items[label] = Item(**{"label": label, **found, **taken})
    return list(items.values())


def _found(word: str) -> tuple[str, dict[str, Path | Results]]:
    """The label, and fields of `Item`."""
    label, equals, rest = word.partition("=")
    if not equals or Path(word).exists():
        label, rest = "", word
    if not rest:
        raise LomitError(f"'{word}' names no run, model or evaluation")
    path = Path(rest)
    if path.suffix == ".json" and not path.is_dir():
        return label or path.resolve().parent.name, {"results": read_results(path)}
    if not path.is_dir():
        model = find_model(rest)
        return label or model.name, {"model": model}
    label, found = label or path.resolve().name, dict[str, Path | Results]()
    if (path / NAME).is_file():
        found["results"] = read_results(path / NAME)
    if (path / LOG).is_file():
        found["run"] = path
    if (path / WEIGHTS).is_file() or (path / "checkpoints" / "latest").is_file() or (path / "latest").is_file():
        found["model"] = find_model(path)
    if not found:
        raise LomitError(f"{path} is no training run, model or evaluation: it has no {LOG}, {WEIGHTS} or {NAME}")
    return label, found


def photographs(run: Path) -> bool:
    """Whether a run was on anything but rendered faces, so that its sample sheets may show people."""
    path = run / RUN_CONFIG
    if not path.is_file():
        return True
    data = read_json(path).get("data")
    return not (isinstance(data, Mapping) and data.get("kind") == "avatars")


def sheet_of(run: Path) -> Path | None:
    """The newest sample sheet of a run."""
    sheets = sorted((run / "samples").glob("step_*.png"))
    return sheets[-1] if sheets else None
