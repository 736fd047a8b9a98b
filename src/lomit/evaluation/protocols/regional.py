"""What `avatars`, `background` and `masks` measure of pairs: change outside regions, and masks against them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lomit.data.transforms import denormalise
from lomit.evaluation.pairs import Draw, draw
from lomit.evaluation.protocols import Differing
from lomit.evaluation.regions import Regions
from lomit.evaluation.results import Row
from lomit.evaluation.settings import Findings, Setting
from lomit.evaluation.translating import as_saved, images, in_batches, keep, labels, translate
from lomit.metrics import background, identity, masks
from lomit.metrics.ssim import ssim
from lomit.models.base import Masks, Translation
from lomit.nn.blocks import resize_mask
from lomit.stats import bootstrap

MARGIN = 1 / 32
"""Width of the margin around a region that counts as neither region nor background, as a share of the side."""
ACCURACY, KEPT, OWN, MASKS = "attribute accuracy, %", "background kept", "by the method's own mask (secondary)", "masks"
IDENTITY, TARGET, EVERYWHERE = "identity kept", "change outside {target}", "change outside all regions"
PLACES = ("hair", "skin", "mouth", "other", "background")
"""Regions of label pictures in which a mask's mean is told."""
MEASURES = {
    "changed_each": (ACCURACY, "changed, each", "%", 1),
    "changed_all": (ACCURACY, "changed, all at once", "%", 1),
    "every_each": (ACCURACY, "every attribute, each", "%", 1),
    "every_all": (ACCURACY, "every attribute, all at once", "%", 1),
    "change_target": (KEPT, TARGET, "0..255", 2),
    "change_target_self": (KEPT, f"{TARGET}, self (floor)", "0..255", 2),
    "change_target_above": (KEPT, f"{TARGET}, above floor", "0..255", 2),
    "change_all": (KEPT, EVERYWHERE, "0..255", 2),
    "change_all_self": (KEPT, f"{EVERYWHERE}, self (floor)", "0..255", 2),
    "change_all_above": (KEPT, f"{EVERYWHERE}, above floor", "0..255", 2),
    "ssim": (KEPT, "SSIM outside {target}", "", 4),
    "ssim_self": (KEPT, "SSIM outside {target}, self (floor)", "", 4),
    "change_own": (OWN, "change under 1 - m", "0..255", 2),
    "own_area": (OWN, "mask area", "", 3),
    "identity": (IDENTITY, identity.NAME, "", 3),
    "same_person": (IDENTITY, f"{identity.NAME}, same person", "%", 1),
    "iou": (MASKS, "IoU with {target}", "", 3),
    "soft_iou": (MASKS, "soft IoU with {target}", "", 3),
    **{f"mean_in_{region}": (MASKS, f"mask's mean in {region}", "", 3) for region in PLACES},
    "area": (MASKS, "mask area (ceiling: the region's)", "", 3),
    "saturation": (MASKS, "mask saturation", "", 3),
}
"""Key of a measure -> section, name, unit and digits of its rows."""

Values = dict[str, Tensor]
"""`COLUMN/measure` -> a value for each pair, N, float64 or bool; nan where a pair does not count."""


@dataclass(frozen=True)
class Measured:
    """The pairs of a draw, with their values."""

    setting: Setting
    draw: Draw
    values: Values

    @property
    def people(self) -> Tensor:
        """The person that each pair's input shows, N."""
        return self.setting.people(self.draw.pairs.inputs)

    def rows(
        self, measures: Iterable[str], columns: Sequence[str], only: Tensor | None = None, of: str | None = None
    ) -> list[Row]:
        """The rows of some measures, as far as there are values for them.

        Args:
            only: bool, N: the pairs that count; all of them by default.
            of: the kind of region in which these differ alone; by default the draw's.
        """
        found, of = [], self.draw.of if of is None else of
        for key in measures:
            values = {c: self.values[f"{c}/{key}"] for c in columns if f"{c}/{key}" in self.values}
            if only is not None:
                values = {column: v.where(only, float("nan")) for column, v in values.items()}
            cells = {column: bootstrap.mean(v, self.people, self.setting.seed) for column, v in values.items()}
            if cells:
                section, name, unit, digits = MEASURES[key]
                alone = f", pairs that differ in {of} alone" if of else ""
                title = name.format(target=self.draw.regions.target) + alone
                found.append(Row(key, section, title, cells, of, unit, digits))
        return found

    def mask_rows(self) -> list[Row]:
        """The masks' rows: over all pairs, and of the overlap for pairs that differ in one kind of region alone."""
        columns, overlap = ("model", "plain", "ceiling", "ceiling_binary"), ("iou", "soft_iou")
        found = self.rows(overlap, columns)
        for kind, only in () if self.draw.of else self.draw.singles.items():
            found += self.rows(overlap, columns, only, kind)
        where = [f"mean_in_{region}" for region in PLACES]
        return found + self.rows((*where, "area", "saturation"), columns)

    def not_counted(self, measure: str, why: str) -> str:
        """How many pairs a measure of the model leaves out, and why, for the notes."""
        of = f" that differ in {self.draw.of} alone" if self.draw.of else ""
        left_out = int(self.values[f"model/{measure}"].isnan().sum())
        return f"{left_out} of {len(self.draw.pairs)} pairs{of} do not count: {why}."

    def kept_note(self) -> str:
        """How what is measured outside of regions is defined."""
        return (
            f"Change: mean absolute difference from the input. Target: {self.draw.regions.words} of the attributes in "
            f"which a pair differs; all regions: of every attribute; {margin_at(self.setting.size)} pixels around "
            "count as neither. SSIM: 11 x 11 Gaussian window, sigma 1.5, over outside pixels only. Self: the input "
            "translated with itself as exemplar (and its own label), the method's reconstruction."
        )

    def mask_note(self) -> str:
        """How what is measured of masks is defined."""
        return (
            "IoU at threshold 0.5 of the input's mask, enlarged bilinearly from its own grid to the image, with "
            f"{self.draw.regions.words} of the attributes in which the pair differs; soft IoU: the sum of the smaller "
            "over the sum of the larger of both. m = 1: a mask of everything. Ceiling: the region averaged onto the "
            "mask's grid and enlarged in the same way; 0/1: also cut at 0.5 on the grid. A soft mask fitted to the "
            f"outline can exceed both. Saturation: share of the mask within {masks.SATURATED} of 0 or 1; read it "
            "beside the area, for a collapsed mask is saturated, too."
        )

    def scored_note(self) -> str:
        """What images are scored as."""
        size = self.setting.size
        return f"Scored at {size} x {size}: raw decoder output rounded to 8 bits, nothing blended back."


def margin_at(size: int) -> int:
    """Pixels around a region that count as neither, in images of this side."""
    return round(MARGIN * size)


class PairBatch:
    """Some of the pairs of a draw, on the device.

    Attributes:
        inputs, exemplars: rows of the images, B.
        x, exemplar: B x 3 x S x S in [-1, 1].
        y_input, y_exemplar: their labels, B x A.
        target, everywhere: coverage by the regions in which a pair differs, and by those of all attributes, each
            B x 1 x S x S in [0, 1].
    """

    def __init__(self, setting: Setting, draw: Draw, stage: str, part: slice) -> None:
        self.setting, self.draw, self.stage, self.part = setting, draw, stage, part
        inputs, exemplars = self.inputs, self.exemplars = draw.pairs.inputs[part], draw.pairs.exemplars[part]
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
        numbers = range(self.part.start, self.part.stop)
        keep(self.setting, self.stage, numbers, self.inputs, self.exemplars, as_saved(result))

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
        before, m = denormalise(self.x), result.masks.input
        left = 1 - resize_mask(m, (before.shape[-2], before.shape[-1])).double()
        return {"change_own": background.mean_change(before, as_saved(result), left), "own_area": masks.area(m)}

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
    setting: Setting,
    options: Differing,
    measure: Callable[[PairBatch], Values],
    rows: Callable[[Measured], list[Row]],
    notes: Callable[[Measured], Sequence[str]],
    regions: Regions | None = None,
) -> Findings:
    """Draws and measures all pairs of a protocol; `regions` and errors as of `lomit.evaluation.pairs.draw`."""
    draws, facts, note = draw(setting, options, regions)
    found: list[Row] = []
    told = [note]
    for each in draws:
        stage = f"{options.name}/{each.of}" if each.of else options.name

        def compute(part: slice, each: Draw = each, stage: str = stage) -> Values:
            return measure(PairBatch(setting, each, stage, part))

        measured = Measured(setting, each, in_batches(setting, stage, len(each.pairs), compute))
        found += rows(measured)
        told += notes(measured)
    return Findings(facts, tuple(dict.fromkeys(told)), found)


def under(column: str, values: Values) -> Values:
    """`measure` -> `COLUMN/measure`."""
    return {f"{column}/{name}": value for name, value in values.items()}
