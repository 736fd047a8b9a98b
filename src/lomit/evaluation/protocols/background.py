"""The protocol `background`: what changes where nothing was to change."""

from __future__ import annotations

from lomit.evaluation.protocols import BackgroundProtocol
from lomit.evaluation.protocols.regional import Measured, PairBatch, Values, run, under
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
    """Runs the protocol.  Raises LomitError as `draw`."""
    return run(setting, options, measure, rows, notes)


def measure(batch: PairBatch) -> Values:
    """Change outside the regions and of the person, of the translation and of the self translation."""
    results = {"model": batch.translated(), "self": batch.to_itself()}
    batch.keep(results["model"])
    found: Values = {}
    for column, result in results.items():
        found |= under(column, {**batch.kept(result), **batch.under_own_mask(result), **batch.identity(result)})
    above = {key: found[f"model/{key}"] - found[f"self/{key}"] for key in CHANGED if f"model/{key}" in found}
    return found | under("above", above)


def rows(measured: Measured) -> list[Row]:
    """Every measure, beside the floor."""
    return measured.rows(MEASURES, ("model", "self", "above"))


def notes(measured: Measured) -> list[str]:
    """How the numbers are defined."""
    found, kind = [measured.scored_note(), measured.kept_note()], measured.draw.regions.kind
    if kind in WHY:
        found.append(measured.not_counted("change_target", WHY[kind]))
    if "model/own_area" in measured.values:
        found.append(
            "1 - m: change weighted by what the method's own mask leaves; a mask of everything does not count."
        )
    if "model/identity" in measured.values:
        found.append(
            f"{identity.NAME}: Euclidean distance of dlib's face embeddings; below {identity.SAME_PERSON} two faces "
            "count as one person."
        )
    elif kind != "true":
        found.append("Identity was not measured: it needs dlib (pip install 'lomit[faces]').")
    return found
