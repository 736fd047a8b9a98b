"""What `avatars`, `background` and `masks` measure of pairs: change outside regions, and masks against them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lomit.data.transforms import denormalise
from lomit.evaluation.draws import Draw, Draws
from lomit.evaluation.measures import MEASURES, RowsOf, Values
from lomit.evaluation.results import Row
from lomit.evaluation.settings import Findings, Setting
from lomit.evaluation.translating import as_saved, images, in_batches, keep, labels, translate
from lomit.metrics import background, identity, masks
from lomit.metrics.ssim import ssim
from lomit.models.base import Masks, Translation
from lomit.nn.blocks import resize_mask

MARGIN = 1 / 32
"""Width of the margin around a region that counts as neither region nor background, as a share of the side."""


def margin_at(size: int) -> int:
    """Pixels around a region that count as neither, in images of this side."""
    return round(MARGIN * size)


class PairBatch:
    """Some of the pairs of a draw, on the device.

    Attributes:
        x, exemplar: B x 3 x S x S in [-1, 1].
        y_input, y_exemplar: their labels, B x A.
        target, everywhere: coverage by the regions in which a pair differs, and by those of all attributes, each
            B x 1 x S x S in [0, 1].
    """

    def __init__(self, setting: Setting, draw: Draw, stage: str, part: slice) -> None:
        self.setting, self.draw, self.stage, self.part = setting, draw, stage, part
        inputs, exemplars = draw.pairs.inputs[part], draw.pairs.exemplars[part]
        self.x, self.exemplar = images(setting, inputs), images(setting, exemplars)
        self.y_input, self.y_exemplar = labels(setting, inputs), labels(setting, exemplars)
        self.target, self.everywhere = draw.regions.targets(inputs, draw.pairs.differs[part])

    def translated(self, given: Masks | None = None) -> Translation:
        """The inputs with their exemplars; the exemplars' labels are for methods that are guided by labels."""
        return translate(self.setting, self.x, self.exemplar, self.y_exemplar, self.y_input, given)

    def to_itself(self, given: Masks | None = None) -> Translation:
        """The inputs, each with itself as exemplar: how well the model reconstructs what it should keep."""
        return translate(self.setting, self.x, self.x, self.y_input, self.y_input, given)

    def keep(self, result: Translation) -> None:
        """Keeps the translated images, where that is asked for."""
        pairs, part = self.draw.pairs, self.part
        inputs, exemplars = pairs.inputs[part], pairs.exemplars[part]
        keep(self.setting, self.stage, range(part.start, part.stop), inputs, exemplars, as_saved(result))

    def kept(self, result: Translation) -> Values:
        """Measure -> how an image differs from the input outside of regions, B."""
        margin = margin_at(self.setting.size)
        outside = {
            name: background.outside(coverage, margin) & ~coverage.isnan()
            for name, coverage in (("target", self.target), ("all", self.everywhere))
        }
        before, after = denormalise(self.x).float(), as_saved(result).float()
        found = {f"change_{name}": background.mean_change(before, after, where) for name, where in outside.items()}
        return found | {"ssim": ssim(before, after, outside["target"])}

    def under_own_mask(self, result: Translation) -> Values:
        """Measure -> how an image differs where the method's own mask leaves it, B; empty without masks."""
        if result.masks is None:
            return {}
        before, after = denormalise(self.x), as_saved(result)
        m = resize_mask(result.masks.input, (before.shape[-2], before.shape[-1])).double()
        change = (before.double() - after.double()).abs().mean(dim=1, keepdim=True)
        weighted = ((1 - m) * change).sum(dim=(1, 2, 3)) / (1 - m).sum(dim=(1, 2, 3))
        return {"change_own": weighted, "own_area": masks.area(result.masks.input)}

    def identity(self, result: Translation) -> Values:
        """Measure -> how far the face's embedding moves, B; empty where faces aren't embedded."""
        if self.setting.embed is None:
            return {}
        distances = identity.distance(*self.setting.embed(denormalise(self.x), as_saved(result)))
        return {"identity": distances, "same_person": 100 * identity.same_person(distances)}

    def masks(self, found: Tensor) -> Values:
        """`COLUMN/measure` -> the inputs' masks (B x 1 x h x w) against the regions, and what bounds them, B."""
        grid, ones = (found.shape[-2], found.shape[-1]), torch.ones_like(found)
        best = masks.on_grid(self.target, grid)
        values = {
            "model/iou": masks.iou(found, self.target),
            "plain/iou": masks.iou(ones, self.target),
            "ceiling/iou": masks.iou(best, self.target),
            "ceiling_binary/iou": masks.iou(masks.on_grid(self.target, grid, binary=True), self.target),
            "model/area": masks.area(found),
            "ceiling/area": masks.area(self.target),
            "model/saturation": masks.saturation(found),
        }
        for column, mask in (("model", found), ("plain", ones), ("ceiling", best)):
            values[f"{column}/soft_iou"] = masks.soft_iou(mask, self.target)
        return values


def run(
    name: str,
    setting: Setting,
    drawn: Draws,
    measure: Callable[[PairBatch], Values],
    rows: Callable[[Draw, RowsOf], list[Row]],
    notes: Callable[[Draw, Values], Sequence[str]],
) -> Findings:
    """Measures all pairs of a protocol.

    Args:
        name: of the protocol.
        setting: the model and the data.
        drawn: the pairs.
        measure: some pairs of a draw -> `COLUMN/measure` -> a value for each, float64 or bool; nan where it does not
            count.
        rows: a draw with its values -> its rows.
        notes: the same -> how the numbers are defined.
    """
    found: list[Row] = []
    told = [drawn.note]
    for draw in drawn.draws:
        stage = f"{name}/{draw.of}" if draw.of else name

        def compute(part: slice, draw: Draw = draw, stage: str = stage) -> Values:
            return measure(PairBatch(setting, draw, stage, part))

        values = in_batches(setting, stage, len(draw.pairs), compute)
        people = setting.people(draw.pairs.inputs)
        found += rows(draw, RowsOf(people, setting.seed, values, draw.regions.target))
        told += notes(draw, values)
    return Findings(drawn.facts, tuple(dict.fromkeys(told)), found)


def not_counted(draw: Draw, values: Tensor, why: str) -> str:
    """How many pairs a measure leaves out, and why."""
    of = f" that differ in {draw.of} alone" if draw.of else ""
    return f"{int(values.isnan().sum())} of {len(draw.pairs)} pairs{of} do not count: {why}."


def under(column: str, values: Values) -> Values:
    """`measure` -> `COLUMN/measure`."""
    return {f"{column}/{name}": value for name, value in values.items()}


def mask_rows(draw: Draw, rows: RowsOf) -> list[Row]:
    """The masks' rows: over all pairs, and of the overlap for pairs that differ in one kind of region alone."""
    columns = ("model", "plain", "ceiling", "ceiling_binary")
    overlap = ("iou", "soft_iou")
    found = rows.rows(overlap, columns, of=draw.of)
    for kind, only in () if draw.of else draw.singles.items():
        found += rows.rows(overlap, columns, only, kind)
    where = [key for key in MEASURES if key.startswith("mean_in_")]
    return found + rows.rows((*where, "area", "saturation"), columns, of=draw.of)


def kept_note(setting: Setting, draw: Draw) -> str:
    """How what is measured outside of regions is defined."""
    return (
        f"Change: mean absolute difference from the input. Target: {draw.regions.words} of the attributes in which a "
        f"pair differs; all regions: of every attribute; {margin_at(setting.size)} pixels around count as neither. "
        "SSIM: 11 x 11 Gaussian window, sigma 1.5, over outside pixels only. Self: the input translated with itself as "
        "exemplar (and its own label), the method's reconstruction."
    )


def mask_note(draw: Draw) -> str:
    """How what is measured of masks is defined."""
    return (
        "IoU at threshold 0.5 of the input's mask, enlarged bilinearly from its own grid to the image, with "
        f"{draw.regions.words} of the attributes in which the pair differs; soft IoU: the sum of the smaller over the "
        "sum of the larger of both. m = 1: a mask of everything. Ceiling: the region averaged onto the mask's grid and "
        "enlarged in the same way; 0/1: also cut at 0.5 on the grid. A soft mask fitted to the outline can exceed "
        f"both. Saturation: share of the mask within {masks.SATURATED} of 0 or 1; read it beside the area, for a "
        "collapsed mask is saturated, too."
    )


def scored_note(setting: Setting) -> str:
    """What images are scored as."""
    size = setting.size
    return f"Scored at {size} x {size}: raw decoder output rounded to 8 bits, nothing blended back."
