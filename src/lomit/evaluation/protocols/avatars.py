"""The protocol `avatars`: unseen rendered faces, whose labels and regions are known exactly.

Each pair is translated as the model does it and, for a method with masks, with m = 1 everywhere (plain AdaIN of the
same weights).  Images are scored as they would be saved: the raw decoder output, rounded to 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from lomit.data.transforms import denormalise, normalise
from lomit.evaluation.pairs import Pairs
from lomit.evaluation.regions import single_kinds
from lomit.evaluation.results import Row
from lomit.evaluation.settings import Outcome, Setting
from lomit.evaluation.translating import (
    as_saved,
    images,
    in_batches,
    keep,
    labels,
    pair_facts,
    pairs_note,
    pairs_of,
    translate,
    usable_rows,
)
from lomit.evaluation.truth import coverage, regions_of
from lomit.metrics import accuracy, background, masks
from lomit.metrics.ssim import ssim
from lomit.models.base import Masks, Translation
from lomit.stats.proportions import bootstrap

MODEL, PLAIN, FLOOR, CEILING, CEILING_BINARY = "model", "m = 1", "floor", "ceiling", "ceiling 0/1"
MARGIN = 1 / 32
"""Width of the margin around a region that counts as neither region nor background, as a share of the side."""

Values = dict[str, Tensor]
"""Name -> one value a pair (N) or one a decision (N x A)."""


def evaluate_rendered(setting: Setting) -> Outcome:
    """Runs the protocol.

    Raises:
        LomitError: where the split has too few pairs or lacks the true regions, or where the method cannot
            translate.
    """
    cache = setting.cache
    regions_of(setting.source, cache.attributes)  # what is missing is said before the first translation
    rows = usable_rows(setting)
    pairs = pairs_of(setting, rows)
    values = measure(setting, pairs)
    return Outcome(pair_facts(cache, pairs, len(rows)), notes(setting, pairs), summarise(setting, pairs, values))


def measure(setting: Setting, pairs: Pairs) -> Values:
    """Translates every pair and takes every measure of it.

    Returns:
        `COLUMN/measure` -> N or N x A values, float64 or bool, nan where a pair does not count.
    """

    def compute(part: slice) -> Values:
        batch = _Batch(setting, pairs, part)
        result = batch.to_exemplar()
        numbers = range(part.start, part.stop)
        keep(setting, "avatars", numbers, pairs.inputs[part], pairs.exemplars[part], as_saved(result))
        found = batch.bounds(result.masks) | batch.measures(MODEL, result, batch.to_itself())
        if result.masks is not None:
            found |= batch.measures(PLAIN, batch.to_exemplar(batch.ones), batch.to_itself(batch.ones))
        return found

    return in_batches(setting, "avatars", len(pairs), compute)


class _Batch:
    """Some of the pairs, on the device."""

    def __init__(self, setting: Setting, pairs: Pairs, part: slice) -> None:
        self.setting = setting
        inputs, exemplars = pairs.inputs[part], pairs.exemplars[part]
        cache, device = setting.cache, setting.device
        self.x, self.exemplar = images(setting, inputs), images(setting, exemplars)
        self.y_input, self.y_exemplar = labels(setting, inputs), labels(setting, exemplars)
        whole = self.x[:, :1] * 0 + 1
        self.ones = Masks(whole, whole)
        all_regions = regions_of(setting.source, cache.attributes)
        both = []
        for index, differs in zip(cache.source_index[inputs], pairs.differs[part], strict=True):
            changed = regions_of(setting.source, _picked(cache.attributes, differs))
            both.append(coverage(setting.source, setting.data, int(index), (changed, all_regions)))
        self.target, everywhere = torch.stack(both, dim=1).unsqueeze(2).to(device)
        """Coverage by the true regions in which a pair differs, B x 1 x S x S; `everywhere`: by those of all
        attributes."""
        margin = margin_at(setting.data.image_size)
        self.outside = {
            "change": background.outside(self.target, margin),
            "beyond": background.outside(everywhere, margin),
        }

    def to_exemplar(self, given: Masks | None = None) -> Translation:
        """The inputs with their exemplars; the exemplars' labels are for methods that are guided by labels."""
        return self._translate(self.exemplar, self.y_exemplar, given)

    def to_itself(self, given: Masks | None = None) -> Translation:
        """The inputs, each with itself as exemplar: how well the model reconstructs what it should keep."""
        return self._translate(self.x, self.y_input, given)

    def _translate(self, exemplar: Tensor, y: Tensor, given: Masks | None) -> Translation:
        return translate(self.setting, self.x, exemplar, y, self.y_input, given)

    def bounds(self, found: Masks | None) -> Values:
        """What no translation can fall below or rise above; of the masks only where the method has some."""
        classify = self.setting.classify
        values = {
            f"{FLOOR}/right": accuracy.correct(classify(self.x), self.y_exemplar),
            f"{CEILING}/right": accuracy.correct(classify(self.exemplar), self.y_exemplar),
        }
        if found is not None:
            grid = (found.input.shape[-2], found.input.shape[-1])
            values |= {
                f"{CEILING}/iou": masks.iou(masks.on_grid(self.target, grid), self.target),
                f"{CEILING_BINARY}/iou": masks.iou(masks.on_grid(self.target, grid, binary=True), self.target),
                f"{CEILING}/area": masks.area(self.target),
            }
        return values

    def measures(self, column: str, result: Translation, own: Translation) -> Values:
        """Every measure of a translation and of the self translation made in the same way."""
        right = accuracy.correct(self.setting.classify(normalise(as_saved(result))), self.y_exemplar)
        values = {f"{column}/right": right}
        before = denormalise(self.x).float()
        for name, image in (("translated", result), ("self", own)):
            after = as_saved(image).float()
            for measure, where in self.outside.items():
                values[f"{column}/{measure} {name}"] = background.mean_change(before, after, where)
            values[f"{column}/ssim {name}"] = ssim(before, after, self.outside["change"])
        if result.masks is not None:
            m = result.masks.input
            values[f"{column}/iou"] = masks.iou(m, self.target)
            values[f"{column}/area"] = masks.area(m)
            values[f"{column}/saturation"] = masks.saturation(m)
        return values


def summarise(setting: Setting, pairs: Pairs, values: Values) -> list[Row]:
    """The numbers over all pairs, from `measure`'s values."""
    attributes = setting.cache.attributes
    people = torch.from_numpy(setting.cache.identity[pairs.inputs])
    target = torch.from_numpy(setting.cache.labels[pairs.exemplars])
    differs = torch.from_numpy(pairs.differs)
    rows: list[Row] = []

    columns = [c for c in (MODEL, PLAIN, FLOOR, CEILING) if f"{c}/right" in values]
    counted = {c: accuracy.tallies(values[f"{c}/right"], target, differs, attributes) for c in columns}
    for name in counted[MODEL]:
        cells = {c: bootstrap.ratio(100 * t[name][0], t[name][1], people, setting.seed) for c, t in counted.items()}
        rows.append(Row("attribute accuracy, %", name, "%", 1, cells))

    def add(section: str, name: str, unit: str, digits: int, per_pair: Values, only: Tensor | None = None) -> None:
        chosen = {c: v if only is None else torch.where(only, v, float("nan")) for c, v in per_pair.items()}
        cells = {c: bootstrap.mean(v, people, setting.seed) for c, v in chosen.items()}
        if cells:
            rows.append(Row(section, name, unit, digits, cells))

    def of(measure: str, *columns: str) -> Values:
        return {c: values[f"{c}/{measure}"] for c in columns if f"{c}/{measure}" in values}

    section = "background kept"
    for measure, place in (("change", "target"), ("beyond", "all regions")):
        after, floor = of(f"{measure} translated", MODEL, PLAIN), of(f"{measure} self", MODEL, PLAIN)
        add(section, f"change outside {place}", "0..255", 2, after)
        add(section, f"change outside {place}, self (floor)", "0..255", 2, floor)
        add(section, f"change outside {place}, above floor", "0..255", 2, {c: after[c] - floor[c] for c in after})
    add(section, "SSIM outside target", "", 4, of("ssim translated", MODEL, PLAIN))
    add(section, "SSIM outside target, self (floor)", "", 4, of("ssim self", MODEL, PLAIN))

    section = "masks"
    overlap = of("iou", MODEL, PLAIN, CEILING, CEILING_BINARY)
    add(section, "IoU with target", "", 3, overlap)
    for label, only in single_regions(setting, pairs).items():
        add(section, f"IoU, pairs that differ in {label} only", "", 3, overlap, only)
    add(section, "mask area (ceiling: the region's)", "", 3, of("area", MODEL, PLAIN, CEILING))
    add(section, "mask saturation", "", 3, of("saturation", MODEL, PLAIN))
    return rows


def single_regions(setting: Setting, pairs: Pairs) -> dict[str, Tensor]:
    """For each kind of region: which pairs differ in attributes of that kind and in no other, bool, N.

    Attributes with the same true regions are of one kind, called after the first of them (hair colours: `hair`).
    """
    return single_kinds(setting.source.region_of, setting.cache.attributes, torch.from_numpy(pairs.differs))


def notes(setting: Setting, pairs: Pairs) -> tuple[str, ...]:
    """How the numbers are defined."""
    size = setting.data.image_size
    margin = margin_at(size)
    return (
        pairs_note(setting),
        "m = 1: the same weights with masks of ones given for input and exemplar (plain AdaIN). Images are scored at "
        f"{size} x {size}, raw decoder output rounded to 8 bits, nothing blended back.",
        "Accuracy against the exemplar's labels by a separately trained classifier. Floor: the untranslated input; "
        "ceiling: the exemplar itself. An attribute's row counts the pairs that differ in it, both directions; "
        "'changed': the attributes in which a pair differs; 'every': all of them, those to be kept included.",
        "Change: mean absolute difference from the input. Target: the input's true regions of the attributes in which "
        f"the pair differs; all regions: of every attribute; {margin} pixels around count as neither. SSIM: 11 x 11 "
        "Gaussian window, sigma 1.5, over outside pixels only. Self: the input translated with itself as exemplar, the "
        "reconstruction floor.",
        "IoU at threshold 0.5 of the input's mask, enlarged bilinearly from its own grid to the image, with the "
        "target. Ceiling: the target averaged onto the mask's grid and enlarged in the same way; 0/1: also "
        "cut at 0.5 on the grid. A soft mask fitted to the outline can exceed both. Saturation: share of the mask "
        "within 0.05 of 0 or 1.",
    )


def margin_at(size: int) -> int:
    """Pixels around a region that count as neither, in images of this side."""
    return round(MARGIN * size)


def _picked(names: Iterable[str], chosen: np.ndarray) -> list[str]:
    return [name for name, take in zip(names, chosen.tolist(), strict=True) if take]
