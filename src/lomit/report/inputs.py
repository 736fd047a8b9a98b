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
        results: its evaluations.
    """

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
                return read_saved_config({"method": method, "model": config}, f"{self.label}: {NAME}")
        return None


def collect(words: Sequence[str]) -> list[Item]:
    """Finds what each word stands for.

    What has one label is one thing: `hair=runs/hair hair=evaluations/hair` is a run with its evaluation.

    Args:
        words: `PATH`, called after its folder, or `LABEL=PATH`.  A path is a training run, a model (also by name or
            Hub id), a results.json or a folder with one.

    Raises:
        LomitError: for a word that is none of these, and where two runs, two models or two evaluations by the same
            protocol that tell of the same have one label.
    """
    items: dict[str, Item] = {}
    for word in words:
        label, found = _found(word)
        before = items.get(label, Item(label))
        told = [
            f"{r.fact('protocol')}: {row.section}, {row.name}"
            for r in (*before.results, *found.results)
            for row in r.rows
        ]
        for kind, twice in (
            ("training runs", before.run is not None and found.run is not None),
            ("models", before.model is not None and found.model is not None),
            ("evaluations of one class by one protocol", len(set(told)) < len(told)),
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
    has_model = any((path / name).is_file() for name in (WEIGHTS, "latest", "checkpoints/latest"))
    found = Item(
        label,
        path if (path / LOG).is_file() else None,
        find_model(path) if has_model else None,
        (read_results(path / NAME),) if (path / NAME).is_file() else (),
    )
    if found == Item(label):
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
