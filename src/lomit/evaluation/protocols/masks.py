"""The protocol `masks`: what the masks of an input are like, and how well they lie on what is to change."""

from __future__ import annotations

from lomit.errors import LomitError
from lomit.evaluation.draws import Draw, draw
from lomit.evaluation.measures import Values
from lomit.evaluation.protocols import MasksProtocol
from lomit.evaluation.protocols.regional import PairBatch, mask_note, mask_rows, rows_of
from lomit.evaluation.regions import LabelRegions
from lomit.evaluation.results import Row
from lomit.evaluation.settings import Findings, Setting
from lomit.evaluation.translating import in_batches
from lomit.metrics import masks
from lomit.models.registry import method_of


def evaluate(setting: Setting, options: MasksProtocol) -> Findings:
    """Runs the protocol.

    Raises:
        LomitError: for a method without masks, where the split has too few pairs, or where the regions of an
            attribute are not known.
    """
    drawn = draw(setting, options.pairs, options.differ, options.alike, elsewhere=False)
    rows: list[Row] = []
    told: list[str] = []
    for each in drawn.draws:
        values = measure(setting, each)
        rows += mask_rows(each, rows_of(setting, each, values))
        told += notes(each, values)
    return Findings(drawn.facts, (drawn.note, *dict.fromkeys(told)), rows)


def measure(setting: Setting, draw: Draw) -> Values:
    """`COLUMN/measure` -> float64, N; nan where a pair does not count."""
    stage = f"masks/{draw.of}" if draw.of else "masks"

    def compute(part: slice) -> Values:
        batch = PairBatch(setting, draw, part)
        result = batch.translated()
        if result.masks is None:
            raise LomitError(f"the method '{method_of(setting.translator.config).name}' has no masks to measure")
        batch.keep(stage, result)
        m = result.masks.input
        found = batch.masks(m)
        if isinstance(draw.regions, LabelRegions):
            best = masks.on_grid(batch.target, (m.shape[-2], m.shape[-1]))
            for name, share in draw.regions.shares(draw.pairs.inputs[part]).items():
                found[f"model/mean_in_{name}"] = masks.mean_in(m, share)
                found[f"ceiling/mean_in_{name}"] = masks.mean_in(best, share)
        return found

    return in_batches(setting, stage, len(draw.pairs), compute)


def notes(draw: Draw, values: Values) -> list[str]:
    """How the numbers are defined."""
    found = [mask_note(draw)]
    if draw.regions.kind == "labels":
        found.append(
            "Labels are cut like their image and averaged over its pixels; pixels without labels don't count. The "
            "mask's mean in a region weighs each pixel by the region's share of it."
        )
    if draw.regions.kind == "expected":
        count = int(values["model/iou"].isnan().sum())
        found.append(
            "Expected regions are where hair or a beard is expected, not where it is: a low IoU alone is no fault, "
            f"compare methods. {count} of {len(draw.pairs)} pairs have none, for no face was found."
        )
    return found
