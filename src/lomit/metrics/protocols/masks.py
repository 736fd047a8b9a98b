"""The protocol `masks`: what the masks of an input are like, and how well they lie on what is to change."""

from __future__ import annotations

import torch
from torch import Tensor

from lomit.errors import LomitError
from lomit.metrics import bootstrap, masks
from lomit.metrics.pairs import Pairs
from lomit.metrics.places import Places, places_for, single_kinds
from lomit.metrics.protocol import Outcome, Setting
from lomit.metrics.report import Row
from lomit.metrics.translating import (
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

MODEL, WHOLE, CEILING, CEILING_BINARY = "model", "m = 1 (floor)", "ceiling", "ceiling 0/1"


def evaluate_masks(setting: Setting) -> Outcome:
    """Runs the protocol.

    Raises:
        LomitError: for a method without masks, where the split has too few pairs, or where the regions of an
            attribute are not known.
    """
    places, rows = places_for(setting), usable_rows(setting)
    pairs = pairs_of(setting, rows)
    values = measure(setting, places, pairs)
    facts = pair_facts(setting.cache, pairs, len(rows)) | {"regions": "true" if places.true else "landmarks"}
    return Outcome(facts, notes(setting, places, values), summarise(setting, places, pairs, values))


def measure(setting: Setting, places: Places, pairs: Pairs) -> dict[str, Tensor]:
    """`COLUMN/measure` -> float64, N; nan where a pair does not count."""

    def compute(part: slice) -> dict[str, Tensor]:
        inputs, exemplars = pairs.inputs[part], pairs.exemplars[part]
        x, exemplar = images(setting, inputs), images(setting, exemplars)
        result = translate(setting, x, exemplar, labels(setting, exemplars), labels(setting, inputs))
        if result.masks is None:
            raise LomitError(f"the method '{method_name(setting)}' has no masks to measure")
        keep(setting, "masks", range(part.start, part.stop), inputs, exemplars, as_saved(result))
        target, _ = places.targets(inputs, pairs.differs[part])
        target, m = target.to(setting.device), result.masks.input
        grid = (m.shape[-2], m.shape[-1])
        return {
            f"{MODEL}/iou": masks.iou(m, target),
            f"{WHOLE}/iou": masks.iou(torch.ones_like(m), target),
            f"{CEILING}/iou": masks.iou(masks.on_grid(target, grid), target),
            f"{CEILING_BINARY}/iou": masks.iou(masks.on_grid(target, grid, binary=True), target),
            f"{MODEL}/area": masks.area(m),
            f"{CEILING}/area": masks.area(target),
            f"{MODEL}/saturation": masks.saturation(m),
        }

    return in_batches(setting, "masks", len(pairs), compute)


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

    against = "" if places.true else ", by landmarks"
    add(f"IoU with target{against}", "iou")
    differs = torch.from_numpy(pairs.differs)
    for label, only in single_kinds(places.region_of, setting.cache.attributes, differs).items():
        add(f"IoU{against}, pairs that differ in {label} only", "iou", only)
    add("mask area (ceiling: the region's)", "area")
    add("mask saturation", "saturation")
    return rows


def notes(setting: Setting, places: Places, values: dict[str, Tensor]) -> tuple[str, ...]:
    """How the numbers are defined."""
    what = "the input's true regions" if places.true else "regions drawn from dlib's 68 landmarks of the input,"
    found = [
        pairs_note(setting),
        f"IoU at threshold 0.5 of the input's mask, enlarged bilinearly from its own grid to the image, with {what} of "
        "the attributes in which the pair differs. m = 1: a mask of everything. Ceiling: the region averaged onto the "
        "mask's grid and enlarged in the same way; 0/1: also cut at 0.5 on the grid. A soft mask fitted to the outline "
        "can exceed both.",
        f"Saturation: share of the mask within {masks.SATURATED} of 0 or 1; read it beside the area, for a collapsed "
        "mask is saturated, too.",
    ]
    if not places.true:
        count = int(values[f"{MODEL}/iou"].isnan().sum())
        found.append(
            f"Regions by landmarks are where hair or beard is expected, not where it is: a low IoU alone is no fault, "
            f"compare methods. {count} of {setting.pairs} pairs have none, for no face was found."
        )
    return tuple(found)
