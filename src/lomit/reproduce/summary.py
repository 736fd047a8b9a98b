"""What an experiment gave, as one page of Markdown: what each model cost, the telling rows, the same inputs for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lomit.config import DEMO_SEED
from lomit.data.gallery import RenderedFaces
from lomit.evaluation.pairs import draw_pairs
from lomit.evaluation.results import MEAN, RESULTS, Results, Row, read_results
from lomit.figures.grids import grid, overlay
from lomit.inference.predictor import Predictor
from lomit.report.face_pairs import FacePair
from lomit.report.figures import Subject
from lomit.reproduce.experiments import Experiment, Trained
from lomit.reproduce.stages import Ledger
from lomit.stats.text import NONE, markdown_table

MOST_COLUMNS = 4
FIGURE_PAIRS = 6
BOUNDS = ("floor", "ceiling")
"""Columns that do not depend on the model."""


def summary(experiment: Experiment, out: Path, ledger: Ledger) -> str:
    """The tables of a finished experiment."""
    results = {model.name: _results(model, out) for model in experiment.models}
    parts = [costs_table(experiment.models, ledger)]
    if experiment.claims:
        parts += [claims_table(experiment, results), "\n".join(f"- {note}" for note in _notes(results))]
    return "\n\n".join(parts) + "\n"


def costs_table(models: Sequence[Trained], ledger: Ledger) -> str:
    """Iterations, updates, images seen and time of each model."""
    rows = [["model", "iterations", "updates", "images seen", "processor min", "elapsed min"]]
    for model in models:
        record = ledger.read(f"train/{model.name}")
        updates = ", ".join(f"{name} {round(share * model.steps):,}" for name, share in model.cost.phases.items())
        spent = [f"{seconds / 60:.1f}" for seconds in (record.cpu_seconds, record.seconds)] if record else ["–", "–"]
        rows.append([model.label, f"{model.steps:,}", updates, f"{model.steps * model.cost.images:,}", *spent])
    return markdown_table(rows)


def claims_table(experiment: Experiment, by_model: dict[str, list[Results]]) -> str:
    """The telling rows, one column a model, and beside them what bounds each; turned where the models are many."""
    bounds = [
        b for b in BOUNDS if any(b in row.cells for results in by_model.values() for r in results for row in r.rows)
    ]
    lines = [["measure", *(model.label for model in experiment.models), *bounds, "samples", "people"]]
    for measure, of in experiment.claims:
        rows = [_find(by_model[model.name], measure, of) for model in experiment.models]
        first = next((row for row in rows if row is not None), None)
        if first is None:
            continue
        counted = next(iter(first.cells.values()))
        title = first.section if of == MEAN else f"{first.section}: {first.title}"
        cells = [NONE if row is None else row.text("model") for row in rows]
        limits = [first.text(bound) for bound in bounds]
        lines.append([title, *cells, *limits, f"{counted.samples:,}", f"{counted.people:,}"])
    return markdown_table(list(zip(*lines, strict=True)) if len(experiment.models) > MOST_COLUMNS else lines)


def figure(experiment: Experiment, out: Path) -> Image.Image | None:
    """The same rendered pairs translated by every model, drawn as the evaluation's are; None for no figure."""
    if experiment.drawn is None:
        return None
    subjects = [Subject(m.label, Predictor.from_pretrained(out / "models" / m.name)) for m in experiment.models]
    size = max(subject.predictor.image_size for subject in subjects)
    faces = RenderedFaces(DEMO_SEED, size)
    differ, alike = faces.columns([experiment.drawn]), faces.columns(experiment.alike)
    drawn = draw_pairs(differ, np.arange(len(differ)), FIGURE_PAIRS, DEMO_SEED, alike=alike)
    chosen = [FacePair(int(i), int(e), "") for i, e in zip(drawn.inputs, drawn.exemplars, strict=True)]
    columns: dict[str, list[Image.Image]] = {
        "input": [faces.image(pair.input) for pair in chosen],
        "exemplar": [faces.image(pair.exemplar) for pair in chosen],
    }
    for subject in subjects:
        shown = [subject.translate(faces, pair) for pair in chosen]
        masks = [result.input_mask for result in shown]
        if all(mask is not None for mask in masks):
            laid = zip(columns["input"], masks, strict=True)
            columns[f"mask of {subject.label}"] = [overlay(image, mask) for image, mask in laid if mask is not None]
        columns[subject.label] = [result.image for result in shown]
    return grid(columns, cell=112)


def _results(model: Trained, out: Path) -> list[Results]:
    paths = [out / "results" / f"{model.name}-{protocol}" / RESULTS for protocol in model.protocols]
    return [read_results(path) for path in paths if path.is_file()]


def _find(results: Sequence[Results], measure: str, of: str) -> Row | None:
    """The row of that key in the first evaluation that has it."""
    return next((row for each in results if (row := each.row(measure, of)) is not None), None)


def _notes(by_model: dict[str, list[Results]]) -> list[str]:
    """The protocols' own definitions, each once; those of the first model, whose attributes are the most."""
    first = next(iter(by_model.values()), [])
    return list(dict.fromkeys(note for results in first for note in results.notes))
