"""The protocol `masks`: what the masks of an input are like, and how well they lie on what is to change."""

from __future__ import annotations

import torch
from torch import Tensor

from lomit.errors import LomitError
from lomit.evaluation.labels import LABELS
from lomit.evaluation.pairs import Pairs
from lomit.evaluation.regions import LabelRegions, Places, by_label_note, draw_by_label, places_for, single_kinds
from lomit.evaluation.results import Row
from lomit.evaluation.settings import Outcome, Setting
from lomit.evaluation.translating import (
    as_saved,
    images,
    in_batches,
    keep,
    labels,
    method_name,
    pair_facts,
    pairs_note,
    pairs_of,
    translate,
    usable_rows,
)
from lomit.metrics import masks
from lomit.stats.proportions import bootstrap

MODEL, WHOLE, CEILING, CEILING_BINARY = "model", "m = 1 (floor)", "ceiling", "ceiling 0/1"


def evaluate_masks(setting: Setting) -> Outcome:
    """Runs the protocol.

    Raises:
        LomitError: for a method without masks, where the split has too few pairs, or where the regions of an
            attribute are not known.
    """
    if setting.labels is not None:
        return _by_label(setting)
    places, rows = places_for(setting), usable_rows(setting)
    pairs = pairs_of(setting, rows)
    values = measure(setting, "masks", places, pairs)
    facts = pair_facts(setting.cache, pairs, len(rows)) | {"regions": places.kind}
    return Outcome(facts, notes(setting, places, values), summarise(setting, places, pairs, values))


def _by_label(setting: Setting) -> Outcome:
    """The protocol on label pictures: pairs that differ in hair alone, and pairs that differ in the mouth alone."""
    assert setting.labels is not None
    rows = setting.labels.rows(setting.cache.names, every := usable_rows(setting))
    facts: dict[str, object] = {"regions": LabelRegions.kind, "images_without_labels": len(every) - len(rows)}
    found, drawn = [], draw_by_label(setting, rows)
    for kind, (pairs, members) in drawn.items():
        values = measure(setting, f"masks/{kind}", LabelRegions(setting, kind), pairs)
        facts[kind] = pair_facts(setting.cache, pairs, len(rows)) | {"differ": list(members)}
        people = torch.from_numpy(setting.cache.identity[pairs.inputs])
        for name, key in LABELLED.items():
            cells = {
                column: bootstrap.mean(values[f"{column}/{key}"], people, setting.seed)
                for column in (MODEL, WHOLE, CEILING, CEILING_BINARY)
                if f"{column}/{key}" in values
            }
            found.append(Row(f"masks, pairs that differ in {kind} alone", name, "", 3, cells))
    return Outcome(
        facts,
        (
            by_label_note(setting, {k: m for k, (_, m) in drawn.items()}, len(every) - len(rows)),
            "Region: the input's label picture, cut like the image and averaged over its pixels; pixels without labels "
            "don't count. The mask is the input's, enlarged bilinearly from its own grid to the image. IoU: both cut "
            "at 0.5; soft IoU: sum of the smaller over sum of the larger. m = 1: a mask of everything. Ceiling: the "
            "region averaged onto the mask's grid and enlarged in the same way; 0/1: also cut at 0.5 on the grid.",
            f"Saturation: share of the mask within {masks.SATURATED} of 0 or 1; read it beside the area, for a "
            "collapsed mask is saturated, too.",
        ),
        found,
    )


LABELLED = {
    "IoU with the region": "iou",
    "soft IoU with the region": "soft iou",
    **{f"mask's mean in {name}": f"in {name}" for name in ("hair", "skin", "mouth", "other", "background")},
    "mask area (ceiling: the region's)": "area",
    "mask saturation": "saturation",
}
"""Rows on label pictures: name -> measure."""


def measure(setting: Setting, stage: str, places: Places, pairs: Pairs) -> dict[str, Tensor]:
    """`COLUMN/measure` -> float64, N; nan where a pair does not count."""

    def compute(part: slice) -> dict[str, Tensor]:
        inputs, exemplars = pairs.inputs[part], pairs.exemplars[part]
        x, exemplar = images(setting, inputs), images(setting, exemplars)
        result = translate(setting, x, exemplar, labels(setting, exemplars), labels(setting, inputs))
        if result.masks is None:
            raise LomitError(f"the method '{method_name(setting)}' has no masks to measure")
        keep(setting, stage, range(part.start, part.stop), inputs, exemplars, as_saved(result))
        target, _ = places.targets(inputs, pairs.differs[part])
        target, m = target.to(setting.device), result.masks.input
        grid = (m.shape[-2], m.shape[-1])
        best = masks.on_grid(target, grid)
        found = {
            f"{MODEL}/iou": masks.iou(m, target),
            f"{WHOLE}/iou": masks.iou(torch.ones_like(m), target),
            f"{CEILING}/iou": masks.iou(best, target),
            f"{CEILING_BINARY}/iou": masks.iou(masks.on_grid(target, grid, binary=True), target),
            f"{MODEL}/area": masks.area(m),
            f"{CEILING}/area": masks.area(target),
            f"{MODEL}/saturation": masks.saturation(m),
        }
        if isinstance(places, LabelRegions):
            shares = places.shares(inputs).to(setting.device).split(1, dim=1)
            for column, mask in ((MODEL, m), (WHOLE, torch.ones_like(m)), (CEILING, best)):
                found[f"{column}/soft iou"] = masks.soft_iou(mask, target)
            for column, mask in ((MODEL, m), (CEILING, best)):
                for name, share in zip(LABELS, shares, strict=True):
                    found[f"{column}/in {name}"] = masks.mean_in(mask, share)
        return found

    return in_batches(setting, stage, len(pairs), compute)


def summarise(setting: Setting, places: Places, pairs: Pairs, values: dict[str, Tensor]) -> list[Row]:
    """The numbers over all pairs, from `measure`'s values."""
    people = torch.from_numpy(setting.cache.identity[pairs.inputs])
    rows: list[Row] = []

    def add(name: str, measure: str, only: Tensor | None = None) -> None:
        cells = {}
        for column in (MODEL, WHOLE, CEILING, CEILING_BINARY):
            if f"{column}/{measure}" in values:
                v = values[f"{column}/{measure}"]
                cells[column] = bootstrap.mean(v if only is None else v.where(only, torch.nan), people, setting.seed)
        rows.append(Row("masks", name, "", 3, cells))

    against = "target" if places.kind == "true" else "expected region"
    add(f"IoU with {against}", "iou")
    differs = torch.from_numpy(pairs.differs)
    for label, only in single_kinds(places.region_of, setting.cache.attributes, differs).items():
        add(
            f"IoU with {against}, pairs that differ in {label} only"
            if places.kind != "true"
            else f"IoU, pairs that differ in {label} only",
            "iou",
            only,
        )
    add("mask area (ceiling: the region's)", "area")
    add("mask saturation", "saturation")
    return rows


def notes(setting: Setting, places: Places, values: dict[str, Tensor]) -> tuple[str, ...]:
    """How the numbers are defined."""
    found = [
        pairs_note(setting),
        "IoU at threshold 0.5 of the input's mask, enlarged bilinearly from its own grid to the image, with "
        f"{places.words} of the attributes in which the pair differs. m = 1: a mask of everything. Ceiling: the region "
        "averaged onto the mask's grid and enlarged in the same way; 0/1: also cut at 0.5 on the grid. A soft mask "
        "fitted to the outline can exceed both.",
        f"Saturation: share of the mask within {masks.SATURATED} of 0 or 1; read it beside the area, for a collapsed "
        "mask is saturated, too.",
    ]
    if places.kind != "true":
        count = int(values[f"{MODEL}/iou"].isnan().sum())
        found.append(
            f"Expected regions are where hair or a beard is expected, not where it is: a low IoU alone is no fault, "
            f"compare methods. {count} of {setting.pairs} pairs have none, for no face was found."
        )
    return tuple(found)
