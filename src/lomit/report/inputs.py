"""What a report is about: training runs, models and evaluations, by a label each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lomit.config import DataConfig, ModelConfig, from_dict
from lomit.errors import LomitError
from lomit.evaluation.results import RESULTS, Results, read_numbers, read_results
from lomit.inference.weights import WEIGHTS, checkpoints_in, find_model, read_config
from lomit.models.registry import read_saved_config

LOG, RUN_CONFIG = "log.jsonl", "config.json"


@dataclass(frozen=True)
class Item:
    """One thing that the page is about: the folders of its training and of its weights, and its evaluations."""

    label: str
    run: Path | None = None
    model: Path | None = None
    results: tuple[Results, ...] = ()

    def config(self) -> ModelConfig | None:
        """The model's config: that of its weights, else what the evaluation says of it."""
        if self.model is not None:
            return read_config(self.model)
        for results in self.results:
            method, config = results.fact("model", "method"), results.fact("model", "config")
            if isinstance(config, dict):
                return read_saved_config({"method": method, "model": config}, f"{self.label}: {RESULTS}")
        return None


def collect(words: Sequence[str]) -> list[Item]:
    """Finds what each word stands for.

    What has one label is one thing: `hair=runs/hair hair=evaluations/hair` is a run with its evaluation.  Raises
    LomitError for a word that is none of these, and where two runs, two models or two evaluations by the same protocol
    that tell of the same have one label.

    Args:
        words: `PATH`, called after its folder, or `LABEL=PATH`.  A path is a training run, a model (also by name or
            Hub id), a results.json or a folder with one.
    """
    items: dict[str, Item] = {}
    for word in words:
        label, found = _found(word)
        before = items.get(label, Item(label))
        keys = [(r.fact("protocol"), row.key) for r in (*before.results, *found.results) for row in r.rows]
        for kind, twice in (
            ("training runs", before.run is not None and found.run is not None),
            ("models", before.model is not None and found.model is not None),
            ("evaluations of one class by one protocol", len(set(keys)) < len(keys)),
        ):
            if twice:
                raise LomitError(f"two {kind} are called '{label}'; name them: LABEL=PATH")
        results = (*before.results, *found.results)
        items[label] = Item(label, before.run or found.run, before.model or found.model, results)
    return list(items.values())


def _found(word: str) -> tuple[str, Item]:
    """What one word stands for."""
    label, equals, rest = word.partition("=")
    if not equals or Path(word).exists():
        label, rest = "", word
    if not rest:
        raise LomitError(f"'{word}' names no run, model or evaluation")
    path = Path(rest)
    if path.suffix == ".json" and not path.is_dir():
        label = label or path.resolve().parent.name
        return label, Item(label, results=(read_results(path),))
    if not path.is_dir():
        model = find_model(rest)
        return label or model.name, Item(label or model.name, model=model)
    label = label or path.resolve().name
    has_model = (path / WEIGHTS).is_file() or checkpoints_in(path) or checkpoints_in(path / "checkpoints")
    found = Item(
        label,
        path if (path / LOG).is_file() else None,
        find_model(path) if has_model else None,
        (read_results(path / RESULTS),) if (path / RESULTS).is_file() else (),
    )
    if found == Item(label):
        raise LomitError(f"{path} is no training run, model or evaluation: it has no {LOG}, {WEIGHTS} or {RESULTS}")
    return label, found


def run_of(model: Path | None) -> Path | None:
    """The run whose checkpoint a model is; None where it is none's."""
    return next((each for each in (model.parents[:2] if model else ()) if (each / LOG).is_file()), None)


def data_of(run: Path) -> DataConfig | None:
    """What a run was trained on, as its config says; None where it doesn't."""
    path = run / RUN_CONFIG
    data = read_numbers(path).get("data") if path.is_file() else None
    return from_dict(DataConfig, data, f"{path}: data") if isinstance(data, dict) else None


def photographs(run: Path) -> bool:
    """Whether a run was on anything but rendered faces, so that its sample sheets may show people."""
    data = data_of(run)
    return data is None or data.kind != "avatars"


def sheet_of(run: Path) -> Path | None:
    """The newest sample sheet of a run."""
    sheets = sorted((run / "samples").glob("step_*.png"))
    return sheets[-1] if sheets else None
