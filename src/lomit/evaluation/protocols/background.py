"""The protocol `background`: what changes where nothing was to change."""

from __future__ import annotations

from lomit.evaluation.draws import Draw, draw
from lomit.evaluation.measures import RowsOf, Values
from lomit.evaluation.protocols import BackgroundProtocol
from lomit.evaluation.protocols.regional import PairBatch, kept_note, not_counted, run, scored_note, under
from lomit.evaluation.results import Row
from lomit.evaluation.settings import Findings, Setting
from lomit.metrics import identity

MEASURES = ("change_target", "change_all", "ssim", "change_own", "own_area", "identity", "same_person")
CHANGED = ("change_target", "change_all", "identity")
"""Measures of which the self translation's is subtracted."""
WHY = {
    "expected": "no face was found, or nothing is outside",
    "labels": "the pixels outside are not labelled, or nothing is outside",
}
"""Kind of region -> why a pair may not count."""


def evaluate(setting: Setting, options: BackgroundProtocol) -> Findings:
    """Runs the protocol.

    Raises:
        LomitError: where the split has too few pairs, or the regions of an attribute are not known.
    """

    def notes(draw: Draw, values: Values) -> list[str]:
        return _notes(setting, draw, values)

    return run(options.name, setting, draw(setting, options), measure, _rows, notes)


def measure(batch: PairBatch) -> Values:
    """`COLUMN/measure` -> float64, B; nan where a pair does not count."""
    results = {"model": batch.translated(), "self": batch.to_itself()}
    batch.keep(results["model"])
    found: Values = {}
    for column, result in results.items():
        found |= under(column, {**batch.kept(result), **batch.under_own_mask(result), **batch.identity(result)})
    above = {key: found[f"model/{key}"] - found[f"self/{key}"] for key in CHANGED if f"model/{key}" in found}
    return found | under("above", above)


def _rows(draw: Draw, rows: RowsOf) -> list[Row]:
    return rows.rows(MEASURES, ("model", "self", "above"), of=draw.of)


def _notes(setting: Setting, draw: Draw, values: Values) -> list[str]:
    """How the numbers are defined."""
    found, kind = [scored_note(setting), kept_note(setting, draw)], draw.regions.kind
    if kind in WHY:
        found.append(not_counted(draw, values["model/change_target"], WHY[kind]))
    if "model/own_area" in values:
        found.append(
            "1 - m: change weighted by what the method's own mask leaves; a mask of everything does not count."
        )
    if "model/identity" in values:
        found.append(
            f"{identity.NAME}: Euclidean distance of dlib's face embeddings; below {identity.SAME_PERSON} two faces "
            "count as one person."
        )
    elif kind != "true":
        found.append("Identity was not measured: it needs dlib (pip install 'lomit[faces]').")
    return found
