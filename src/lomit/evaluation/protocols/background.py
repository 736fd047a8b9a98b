"""The protocol `background`: what changes where nothing was to change."""

from __future__ import annotations

from lomit.evaluation.draws import Draw, draw
from lomit.evaluation.measures import Values
from lomit.evaluation.protocols import BackgroundProtocol
from lomit.evaluation.protocols.regional import PairBatch, kept_note, rows_of, scored_note, under
from lomit.evaluation.results import Row
from lomit.evaluation.settings import Findings, Setting
from lomit.evaluation.translating import in_batches
from lomit.metrics import identity

CHANGED = ("change_target", "change_all", "identity")
"""Measures of which the self translation's is subtracted."""


def evaluate(setting: Setting, options: BackgroundProtocol) -> Findings:
    """Runs the protocol.

    Raises:
        LomitError: where the split has too few pairs, or the regions of an attribute are not known.
    """
    drawn = draw(setting, options.pairs, options.differ, options.alike, elsewhere=True)
    rows: list[Row] = []
    told: list[str] = []
    for each in drawn.draws:
        values = measure(setting, each)
        made = rows_of(setting, each, values)
        rows += made.rows(("change_target", "change_all", "ssim", "change_own", "own_area", "identity", "same_person"),
                          ("model", "self", "above"), of=each.of)  # fmt: skip
        told += notes(setting, each, values)
    return Findings(drawn.facts, (drawn.note, *dict.fromkeys(told)), rows)


def measure(setting: Setting, draw: Draw) -> Values:
    """`COLUMN/measure` -> float64, N; nan where a pair does not count."""
    stage = f"background/{draw.of}" if draw.of else "background"

    def compute(part: slice) -> Values:
        batch = PairBatch(setting, draw, part)
        results = {"model": batch.translated(), "self": batch.to_itself()}
        batch.keep(stage, results["model"])
        found: Values = {}
        for column, result in results.items():
            found |= under(column, {**batch.kept(result), **batch.under_own_mask(result), **batch.identity(result)})
        above = {key: found[f"model/{key}"] - found[f"self/{key}"] for key in CHANGED if f"model/{key}" in found}
        return found | under("above", above)

    return in_batches(setting, stage, len(draw.pairs), compute)


def notes(setting: Setting, draw: Draw, values: Values) -> list[str]:
    """How the numbers are defined."""
    found = [scored_note(setting), kept_note(setting, draw)]
    if draw.regions.kind == "expected":
        count = int(values["model/change_target"].isnan().sum())
        found.append(f"{count} of {len(draw.pairs)} pairs do not count: no face was found, or nothing is outside.")
    if "model/own_area" in values:
        found.append(
            "1 - m: change weighted by what the method's own mask leaves; a mask of everything does not count."
        )
    if "model/identity" in values:
        found.append(
            f"{identity.NAME}: Euclidean distance of dlib's face embeddings; below {identity.SAME_PERSON} two faces "
            "count as one person."
        )
    elif draw.regions.kind != "true":
        found.append("Identity was not measured: it needs dlib (pip install 'lomit[faces]').")
    return found
