"""Training curves from the logs of runs: one chart a term, one colour a run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from lomit.errors import LomitError
from lomit.report.inputs import LOG
from lomit.report.parts import Chart, Charts, Content, PagePart, PageTable, Paragraph, Series, line_chart

POINTS = 120
"""Points of a line; longer logs are averaged over as many stretches."""
NAMES = {
    "critic": "critic (Eq. 10)",
    "penalty": "gradient penalty (Eq. 10)",
    "cls_r": "classification, real (Eq. 11)",
    "memorised": "how far D knows its images by heart",
    "real": "D_src of real images",
    "fake": "D_src of translated images",
    "adv": "adversarial (Eq. 10)",
    "cls_f": "classification, translated (Eq. 12)",
    "s_f": "foreground style (Eq. 5)",
    "s_b": "background style (Eq. 6)",
    "c": "content (Eq. 7)",
    "cyc": "cycle (Eq. 8)",
    "x": "self reconstruction (Eq. 9)",
    "R1": "R1 (Eq. 13)",
    "R2": "R2 (Eq. 14)",
    "R3": "R3 (Eq. 15)",
    "mask/mean": "mask, mean",
    "mask/std": "mask, standard deviation",
    "mask/spread": "mask, spread within an image",
    "score": "score that picks the best checkpoint",
    "lr": "learning rate",
    "iterations_per_second": "iterations a second",
}
"""Term of the log -> its heading."""
HELD_OUT = "val/"

Points = list[tuple[float, float]]


@dataclass
class Log:
    """A run's log.

    Attributes:
        terms: name -> (step, value), by step.
        steps: the last one.
        warnings: (step, text).
        skipped: lines that can't be read, as the last one after a crash.
    """

    terms: dict[str, Points] = field(default_factory=dict)
    steps: int = 0
    warnings: list[tuple[int, str]] = field(default_factory=list)
    skipped: int = 0


def read_log(path: Path) -> Log:
    """Reads log.jsonl.  Raises LomitError where it can't be read, or no line of it is one of a log."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise LomitError(f"{path} can't be read: {error.strerror}") from error
    log = Log()
    for line in lines:
        try:
            values = json.loads(line)
            step = int(values["step"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            log.skipped += 1
            continue
        log.steps = max(log.steps, step)
        for name, value in values.items():
            if name == "warning":
                log.warnings.append((step, str(value)))
            elif name != "step" and isinstance(value, (int, float)) and math.isfinite(value):
                log.terms.setdefault(name, []).append((step, float(value)))
    if lines and log.skipped == len(lines):
        raise LomitError(f"{path} is not the log of a training run: no line of it is a JSON object with a 'step'")
    for points in log.terms.values():
        points.sort()
    return log


def curves(runs: Mapping[str, Path]) -> list[PagePart]:
    """A chart for each term of the runs (label -> folder); nothing where no log has a line yet."""
    logs = {label: read_log(folder / LOG) for label, folder in runs.items()}
    for log in logs.values():
        if points := memorised(log):
            log.terms["memorised"] = points
    if not any(log.terms for log in logs.values()):
        return []
    charts = [_chart(term, logs) for term in _terms(logs)]
    held_out = any(name.startswith(HELD_OUT) for log in logs.values() for name in log.terms)
    note = (
        f"Across: iterations. Longer logs are averaged over {POINTS} stretches. Losses as logged, before their weights "
        "of Eq. 16, summed over both directions."
    )
    drawn = Charts(charts, list(logs), "unseen pairs" if held_out else "")
    return [drawn, Paragraph((note,), "notes"), *_warnings(logs)]


def memorised(log: Log) -> Points:
    """How far D_src takes unseen real images for translated ones: (D(train) - D(val)) / (D(train) - D(translated)).

    0: it judges unseen images as it judges those it was trained on; 1: as translated ones, so what it knows is its
    images (Karras et al., "Training generative adversarial networks with limited data", NeurIPS 2020, Eq. 1, r_v).
    Each score of unseen images is set beside the last ones logged before it; empty for a run that logs none.
    """
    seen, fake = dict(log.terms.get("D/real", [])), dict(log.terms.get("D/fake", []))
    both = sorted(seen.keys() & fake.keys())
    points: Points = []
    for step, unseen in log.terms.get(f"{HELD_OUT}real", []):
        before = [s for s in both if s <= step]
        if before and seen[before[-1]] > fake[before[-1]]:
            real = seen[before[-1]]
            points.append((step, (real - unseen) / (real - fake[before[-1]])))
    return points


def _terms(logs: Mapping[str, Log]) -> list[str]:
    """Every term once, in the order of `NAMES`, then the others (the phases' totals) by name."""
    found = dict.fromkeys(_term(name) for log in logs.values() for name in log.terms)
    return [term for term in NAMES if term in found] + sorted(term for term in found if term not in NAMES)


def _term(name: str) -> str:
    """The term that a value of the log is of: `G/cyc` and `val/cyc` are both `cyc`; each phase has its own total."""
    name = name.removeprefix(HELD_OUT)
    phase, _, term = name.partition("/")
    return name if not term or term == "loss" or phase == "mask" else term


def _chart(term: str, logs: Mapping[str, Log]) -> Chart:
    lines = []
    for colour, log in enumerate(logs.values()):
        for name, points in log.terms.items():
            if _term(name) == term:
                lines.append(Series(thinned(points), colour, dashed=name.startswith(HELD_OUT)))
    heading = NAMES.get(term) or (f"{term.removesuffix('/loss')}, total" if term.endswith("/loss") else term)
    ends = "; ".join(
        f"{label} ends at {points[-1][1]:.3g}"
        for label, log in logs.items()
        for name, points in log.terms.items()
        if _term(name) == term and not name.startswith(HELD_OUT)
    )
    alt = f"{heading} by iteration" + (f": {ends}" if ends else "")
    return line_chart(heading, alt, lines)


def thinned(points: Points) -> Points:
    """At most `POINTS` points: means of as many equal stretches."""
    if len(points) <= POINTS:
        return points
    bounds = [round(k * len(points) / POINTS) for k in range(POINTS + 1)]
    parts = [points[a:b] for a, b in pairwise(bounds)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def _warnings(logs: Mapping[str, Log]) -> list[PagePart]:
    rows: list[list[Content]] = []
    for label, log in logs.items():
        counts: dict[str, list[int]] = {}
        for step, text in log.warnings:
            counts.setdefault(text, []).append(step)
        rows += [[label, text, f"{len(s)} times, step {s[0]} to {s[-1]}"] for text, s in counts.items()]
        if log.skipped:
            rows.append([label, f"{log.skipped} unreadable lines of {LOG} left out", ""])
    return [PageTable("Warnings of the runs", [["run", "warning", "when"]], rows, "text")] if rows else []
