"""The protocols on pairs with regions: change outside of them, and masks against them.

`avatars`: unseen rendered faces, whose labels and regions are known exactly.  Each pair is translated as the model does
it and, for a method with masks, with m = 1 everywhere (plain AdaIN of the same weights).  Images are scored as they
would be saved: the raw decoder output, rounded to 8 bits.  `background`: what changes where nothing was to change.
`masks`: what the masks of an input are like, and how well they lie on what is to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lomit.data.transforms import denormalise, normalise
from lomit.errors import LomitError
from lomit.evaluation.pairs import Draw, draw
from lomit.evaluation.protocols import Differing
from lomit.evaluation.regions import LabelRegions, TrueRegions
from lomit.evaluation.results import Row
from lomit.evaluation.settings import Findings, Setting, as_saved, images, in_batches, keep, labels, translate
from lomit.metrics import accuracy, background, identity, masks
from lomit.metrics.background import ssim
from lomit.models.base import Masks, Translation
from lomit.models.registry import method_of
from lomit.nn.blocks import float64, resize_mask
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

BACKGROUND = ("change_target", "change_all", "ssim", "change_own", "own_area", "identity", "same_person")
ABOVE = ("change_target", "change_all", "identity")
"""Measures of which the self translation's is subtracted."""
WHY = {
    "expected": "no face was found, or nothing is outside",
    "labels": "the pixels outside are not labelled, or nothing is outside",
}
"""Kind of region -> why a pair may not count."""

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
        left = 1 - float64(resize_mask(m, (before.shape[-2], before.shape[-1])))
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


def evaluate(setting: Setting, options: Differing) -> Findings:
    """Draws and measures all pairs of a protocol.

    Raises LomitError as `lomit.evaluation.pairs.draw`, for `avatars` on a set without true regions, and for `masks` of
    a method without any.
    """
    measure, rows, notes = PROTOCOLS[options.name]
    draws, facts, note = draw(setting, options, TrueRegions(setting) if options.name == "avatars" else None)
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


def measure_avatars(batch: PairBatch) -> Values:
    """Every measure of some pairs; `right` is B x A."""
    result = batch.translated()
    batch.keep(result)

    def right(shown: Tensor) -> Tensor:
        return accuracy.correct(batch.setting.classify(shown), batch.y_exemplar)

    found = {"floor/right": right(batch.x), "ceiling/right": right(batch.exemplar)}
    given: dict[str, Masks | None] = {"model": None}
    if result.masks is not None:
        found |= batch.masks(result.masks.input)
        ones = torch.ones_like(batch.x[:, :1])
        given["plain"] = Masks(ones, ones)
    for column, chosen in given.items():
        after = result if chosen is None else batch.translated(chosen)
        own = {f"{name}_self": value for name, value in batch.kept(batch.to_itself(chosen)).items()}
        kept = {"right": right(normalise(as_saved(after))), **batch.kept(after), **own}
        kept |= {f"{name}_above": kept[name] - own[f"{name}_self"] for name in ("change_target", "change_all")}
        found |= under(column, kept)
    return found


def avatars_rows(measured: Measured) -> list[Row]:
    """Accuracy of each attribute and of all, what was kept outside of regions, and the masks."""
    setting, pairs, people = measured.setting, measured.draw.pairs, measured.people
    target, differs = torch.from_numpy(setting.cache.labels[pairs.exemplars]), torch.from_numpy(pairs.differs)
    columns = [c for c in ("model", "plain", "floor", "ceiling") if f"{c}/right" in measured.values]
    counted = {c: accuracy.tallies(measured.values[f"{c}/right"], target, differs, setting.attributes) for c in columns}
    sums = {name: key for key, (section, name, *_) in MEASURES.items() if section == ACCURACY}
    found = []
    for name in counted["model"]:
        cells = {c: bootstrap.ratio(100 * t[name][0], t[name][1], people, setting.seed) for c, t in counted.items()}
        key, of = (sums[name], "") if name in sums else ("accuracy", name)
        found.append(Row(key, ACCURACY, name, cells, of, "%", 1))
    kept = [key for key, (section, *_) in MEASURES.items() if section == KEPT]
    return found + measured.rows(kept, ("model", "plain")) + measured.mask_rows()


def avatars_notes(measured: Measured) -> tuple[str, ...]:
    """How the numbers are defined."""
    return (
        "m = 1: the same weights with masks of ones given for input and exemplar (plain AdaIN). "
        + measured.scored_note(),
        "Accuracy against the exemplar's labels by a separately trained classifier. Floor: the untranslated input; "
        "ceiling: the exemplar itself. An attribute's row counts the pairs that differ in it, both directions; "
        "'changed': the attributes in which a pair differs; 'every': all of them, those to be kept included.",
        measured.kept_note(),
        measured.mask_note(),
    )


def measure_background(batch: PairBatch) -> Values:
    """Change outside the regions and of the person, of the translation and of the self translation."""
    results = {"model": batch.translated(), "self": batch.to_itself()}
    batch.keep(results["model"])
    found: Values = {}
    for column, result in results.items():
        found |= under(column, {**batch.kept(result), **batch.under_own_mask(result), **batch.identity(result)})
    above = {key: found[f"model/{key}"] - found[f"self/{key}"] for key in ABOVE if f"model/{key}" in found}
    return found | under("above", above)


def background_rows(measured: Measured) -> list[Row]:
    """Every measure, beside the floor."""
    return measured.rows(BACKGROUND, ("model", "self", "above"))


def background_notes(measured: Measured) -> list[str]:
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


def measure_masks(batch: PairBatch) -> Values:
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


def masks_notes(measured: Measured) -> list[str]:
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


Parts = tuple[Callable[[PairBatch], Values], Callable[[Measured], list[Row]], Callable[[Measured], Sequence[str]]]
PROTOCOLS: dict[str, Parts] = {
    "avatars": (measure_avatars, avatars_rows, avatars_notes),
    "background": (measure_background, background_rows, background_notes),
    "masks": (measure_masks, Measured.mask_rows, masks_notes),
}
"""Protocol -> what it measures of pairs, its rows, how they are defined."""
