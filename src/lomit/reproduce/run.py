"""Runs an experiment: prices it, says what is to be done, does it, and sums it up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lomit.config import DEMO_SEED, from_dict, read_json, to_dict
from lomit.data.gallery import RenderedFaces
from lomit.errors import LomitError
from lomit.evaluation.pairs import draw_pairs
from lomit.evaluation.results import MEAN, RESULTS, Results, Row, read_results
from lomit.figures.grids import grid, overlay
from lomit.images import write_bytes, write_png
from lomit.inference.predictor import Predictor
from lomit.report.figures import FacePair, Subject
from lomit.reproduce.costs import Cost, Costs
from lomit.reproduce.experiments import ConfigOf, Experiment, Setup, Trained
from lomit.reproduce.stages import Call, Ledger
from lomit.stats.estimate import NONE, markdown_table

NIGHT = 36_000.0
"""Seconds: a plan that takes longer comes with a shorter one."""
PLAN, SUMMARY, FIGURE = "plan.json", "summary.md", "figure.png"
MOST_COLUMNS = 4
FIGURE_PAIRS = 6
BOUNDS = ("floor", "ceiling")
"""Columns that do not depend on the model."""


def reproduce(
    name: str,
    make: Callable[[Setup], Experiment],
    out: Path,
    device: torch.device,
    threads: int | None,
    config_of: ConfigOf,
    call: Call,
    *,
    plan: bool = False,
    overwrite: bool = False,
    **given: Any,
) -> int:
    """Goes through the stages that are not finished.  Raises LomitError for a folder of other settings, and what the
    commands raise.

    Args:
        name: of the experiment; a folder belongs to one.
        make: makes the experiment of a setup.
        plan: only say what would be done, and leave the folder alone.
        overwrite: make stages again that were made with other settings.
        given: further fields of the setup.

    Returns:
        0, or the code of the command that was stopped.
    """
    before = read_plan(out, name)
    measured = before.costs if before is not None and before.device == device.type else None
    costs = Costs(device, threads, measured, _say, rough=plan and device.type == "cpu")
    setup = Setup(out, costs, config_of, **given)
    experiment = make(setup)
    ledger = Ledger(out, experiment.stages)
    _say(f"\n{overview(experiment, ledger, device.type)}\n")
    if plan:
        _say("\n".join(stage.command for stage in experiment.stages))
        if costs.rough:
            _say("\nroughly: times and iterations are scaled from a few small images")
        _say(proposal(experiment, make, setup))
        return 0
    ledger.check(overwrite)
    content = json.dumps(to_dict(Plan(name, device.type, costs.known)), indent=1) + "\n"
    write_bytes(out / PLAN, content.encode(), overwrite=True)
    code = ledger.run(call, _say)
    if code:
        return code
    text = summary(experiment, out, ledger)
    write_bytes(out / SUMMARY, text.encode(), overwrite=True)
    picture = figure(experiment, out)
    if picture is not None:
        write_png(out / FIGURE, picture, overwrite=True)
    _say(f"\n{text}\nthe page is {out / 'report.html'}; these tables are in {out / SUMMARY}")
    return 0


def overview(experiment: Experiment, ledger: Ledger, device: str) -> str:
    """Every stage with its state and time."""
    rows = [["stage", "state", "time"]]
    to_go = 0.0
    for stage in experiment.stages:
        state = ledger.state(stage)
        rows.append([stage.name, state, duration(stage.seconds)])
        to_go += stage.seconds if state != "finished" else 0.0
    line = (
        f"about {duration(to_go)} to go on this machine ({device}) if nothing else runs, decoding of the images apart"
    )
    return f"{markdown_table(rows)}\n\n{line}"


def proposal(experiment: Experiment, make: Callable[[Setup], Experiment], setup: Setup) -> str:
    """What to add to the command for it to end within a night; "" where it does anyway."""
    if _seconds(experiment) <= NIGHT:
        return ""
    small = setup.size == 128 and setup.costs.device.type == "cpu"
    # With one iteration a model, what is left is all the rest.
    rest = make(replace(setup, size=64 if small else setup.size, minutes=None, steps=1))
    minutes = int((NIGHT - _seconds(rest)) / 60 / max(1, len(rest.models)))
    options = ("--size 64 " if small else "") + f"--minutes {minutes}"
    fits = f"to end within {duration(NIGHT)}, add {options}" if minutes >= 1 else "too much for a night; name --methods"
    return f"\n{fits}; --quick is a smoke run of minutes"


def _seconds(experiment: Experiment) -> float:
    return sum(stage.seconds for stage in experiment.stages)


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`, `5 days 3 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h"


@dataclass(frozen=True)
class Plan:
    """What is kept of an experiment before its first stage: its name, and what things cost on this kind of device, so
    that the iterations do not change when it is resumed.
    """

    experiment: str
    device: str
    costs: Mapping[str, Cost]


def read_plan(out: Path, name: str) -> Plan | None:
    """What an earlier start wrote; None where there was none.  Raises LomitError where it is damaged, or of another
    experiment.
    """
    path = out / PLAN
    if not path.is_file():
        return None
    try:
        plan = from_dict(Plan, read_json(path), str(path))
    except LomitError as error:
        raise LomitError(f"{error}; remove it to plan again") from error
    if plan.experiment != name:
        raise LomitError(f"{out} belongs to lomit reproduce {plan.experiment}; choose another --out")
    return plan


def summary(experiment: Experiment, out: Path, ledger: Ledger) -> str:
    """The tables of a finished experiment."""
    results = {model.name: _results(model, out) for model in experiment.models}
    parts = [costs_table(experiment.models, ledger)]
    if experiment.claims:
        # The protocols' own definitions, each once; those of the first model, whose attributes are the most.
        first = next(iter(results.values()), [])
        notes = dict.fromkeys(f"- {note}" for each in first for note in each.notes)
        parts += [claims_table(experiment, results), "\n".join(notes)]
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


def _say(line: str) -> None:
    print(line, flush=True)
