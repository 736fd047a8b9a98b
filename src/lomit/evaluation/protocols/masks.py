"""The protocol `masks`: what the masks of an input are like, and how well they lie on what is to change."""

from __future__ import annotations

from lomit.errors import LomitError
from lomit.evaluation.protocols import MasksProtocol
from lomit.evaluation.protocols.regional import Measured, PairBatch, Values, run
from lomit.evaluation.regions import LabelRegions
from lomit.evaluation.settings import Findings, Setting
from lomit.metrics import masks
from lomit.models.registry import method_of


def evaluate(setting: Setting, options: MasksProtocol) -> Findings:
    """Runs the protocol.  Raises LomitError as `draw`, and for a method without masks."""
    return run(setting, options, measure, Measured.mask_rows, notes)


def measure(batch: PairBatch) -> Values:
    """The input's masks against the regions."""
    result, regions = batch.translated(), batch.draw.regions
    if result.masks is None:
        name = method_of(batch.setting.translator.config).name
        raise LomitError(f"the method '{name}' has no masks to measure")
    batch.keep(result)
    m = result.masks.input
    found = batch.masks(m)
    if isinstance(regions, LabelRegions):
        best = masks.on_grid(batch.target, (m.shape[-2], m.shape[-1]))
        for name, share in regions.shares(batch.inputs).items():
            found[f"model/mean_in_{name}"] = masks.mean_in(m, share)
            found[f"ceiling/mean_in_{name}"] = masks.mean_in(best, share)
    return found


def notes(measured: Measured) -> list[str]:
    """How the numbers are defined."""
    found, draw = [measured.mask_note()], measured.draw
    if draw.regions.kind == "labels":
        found.append(
            "Labels are cut like their image and averaged over its pixels; pixels without labels don't count. The "
            "mask's mean in a region weighs each pixel by the region's share of it."
        )
        found.append(measured.not_counted("iou", f"no pixel of the input is labelled as {draw.of}"))
    if draw.regions.kind == "expected":
        found.append(
            "Expected regions are where hair or a beard is expected, not where it is: a low IoU alone is no fault, "
            "compare methods."
        )
        found.append(measured.not_counted("iou", "no face was found"))
    return found
