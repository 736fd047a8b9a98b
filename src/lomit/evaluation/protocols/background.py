"""The protocol `background`: what changes where nothing was to change."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lomit.data.transforms import denormalise
from lomit.evaluation.labels import REGION_OF
from lomit.evaluation.pairs import Pairs
from lomit.evaluation.protocols.avatars import margin_at
from lomit.evaluation.regions import LabelRegions, LandmarkRegions, Places, by_label_note, draw_by_label, places_for
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
from lomit.metrics import background as kept
from lomit.metrics import identity, masks
from lomit.metrics.ssim import ssim
from lomit.models.base import Translation
from lomit.nn.blocks import resize_mask
from lomit.stats.proportions import bootstrap

MODEL, FLOOR, ABOVE = "model", "self (floor)", "above floor"


def evaluate_background(setting: Setting) -> Outcome:
    """Runs the protocol.

    Raises:
        LomitError: where the split has too few pairs, or the regions of an attribute are not known.
    """
    if setting.labels is not None:
        return _by_label(setting)
    places, rows = places_for(setting), usable_rows(setting)
    pairs = pairs_of(setting, rows)
    values = measure(setting, "background", places, pairs)
    facts = pair_facts(setting.cache, pairs, len(rows)) | {"regions": places.kind}
    told = (pairs_note(setting), *notes(setting, places, values))
    return Outcome(facts, told, summarise(setting, pairs, values))


def _by_label(setting: Setting) -> Outcome:
    """The protocol on label pictures: pairs that differ in hair alone, and pairs that differ in the mouth alone."""
    assert setting.labels is not None
    rows = setting.labels.rows(setting.cache.names, every := usable_rows(setting))
    drawn = draw_by_label(setting, rows)
    # Where a beard or a whole face is, the labels don't tell.
    elsewhere = any(name not in REGION_OF for name in setting.cache.attributes)
    expected = LandmarkRegions(setting) if elsewhere else None
    facts: dict[str, object] = {"regions": LabelRegions.kind, "images_without_labels": len(every) - len(rows)}
    found: list[Row] = []
    told: tuple[str, ...] = ()
    for kind, (pairs, members) in drawn.items():
        places = LabelRegions(setting, kind, expected)
        values = measure(setting, f"background/{kind}", places, pairs)
        facts[kind] = pair_facts(setting.cache, pairs, len(rows)) | {"differ": list(members)}
        rows_of_kind = summarise(setting, pairs, values)
        found += [replace(row, section=f"{row.section}, pairs that differ in {kind} alone") for row in rows_of_kind]
        told = notes(setting, places, values)
    pairs_told = by_label_note(setting, {k: m for k, (_, m) in drawn.items()}, len(every) - len(rows))
    more = ("All regions include the expected ones, drawn from dlib's landmarks, of attributes without a label.",)
    return Outcome(facts, (pairs_told, *told, *(more if elsewhere else ())), found)


def measure(setting: Setting, stage: str, places: Places, pairs: Pairs) -> dict[str, Tensor]:
    """`COLUMN/measure` -> float64, N; nan where a pair does not count."""

    def compute(part: slice) -> dict[str, Tensor]:
        inputs, exemplars = pairs.inputs[part], pairs.exemplars[part]
        x, y = images(setting, inputs), labels(setting, inputs)
        target, everywhere = (t.to(setting.device) for t in places.targets(inputs, pairs.differs[part]))
        margin = margin_at(setting.data.image_size)
        outside = {
            "target": kept.outside(target, margin) & ~target.isnan(),
            "all regions": kept.outside(everywhere, margin) & ~everywhere.isnan(),
        }
        results = {
            MODEL: translate(setting, x, images(setting, exemplars), labels(setting, exemplars), y),
            FLOOR: translate(setting, x, x, y, y),
        }
        keep(setting, stage, range(part.start, part.stop), inputs, exemplars, as_saved(results[MODEL]))
        before, found = denormalise(x), dict[str, Tensor]()
        for column, result in results.items():
            found |= {f"{column}/{name}": v for name, v in _measures(setting, before, result, outside).items()}
        return found

    return in_batches(setting, stage, len(pairs), compute)


def _measures(setting: Setting, before: Tensor, result: Translation, outside: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every measure of a translation of `before` (uint8, B x 3 x S x S)."""
    after = as_saved(result)
    x, x_hat = before.float(), after.float()
    found = {f"change {name}": kept.mean_change(x, x_hat, where) for name, where in outside.items()}
    found["ssim target"] = ssim(x, x_hat, outside["target"])
    if result.masks is not None:
        m = resize_mask(result.masks.input, (x.shape[-2], x.shape[-1])).double()
        change = (x.double() - x_hat.double()).abs().mean(dim=1, keepdim=True)
        found["change own"] = ((1 - m) * change).sum(dim=(1, 2, 3)) / (1 - m).sum(dim=(1, 2, 3))
        found["area"] = masks.area(result.masks.input)
    if setting.embed is not None:
        distances = identity.distance(*setting.embed(before, after))
        found["identity"] = distances
        found["same person"] = 100 * identity.same_person(distances)
    return found


def summarise(setting: Setting, pairs: Pairs, values: dict[str, Tensor]) -> list[Row]:
    """The numbers over all pairs, from `measure`'s values."""
    people = torch.from_numpy(setting.cache.identity[pairs.inputs])
    rows: list[Row] = []

    def add(section: str, name: str, unit: str, digits: int, measure: str, above: bool = True) -> None:
        if f"{MODEL}/{measure}" not in values:
            return
        found = {column: values[f"{column}/{measure}"] for column in (MODEL, FLOOR)}
        if above:
            found[ABOVE] = found[MODEL] - found[FLOOR]
        cells = {column: bootstrap.mean(v, people, setting.seed) for column, v in found.items()}
        rows.append(Row(section, name, unit, digits, cells))

    section = "background kept"
    add(section, "change outside target", "0..255", 2, "change target")
    add(section, "change outside all regions", "0..255", 2, "change all regions")
    add(section, "SSIM outside target", "", 4, "ssim target", above=False)
    section = "by the method's own mask (secondary)"
    add(section, "change under 1 - m", "0..255", 2, "change own", above=False)
    add(section, "mask area", "", 3, "area", above=False)
    section = "identity kept"
    add(section, identity.NAME, "", 3, "identity")
    add(section, f"{identity.NAME}, same person", "%", 1, "same person", above=False)
    return rows


def notes(setting: Setting, places: Places, values: dict[str, Tensor]) -> tuple[str, ...]:
    """How the numbers are defined."""
    size = setting.data.image_size
    found = [
        f"Scored at {size} x {size}: raw decoder output rounded to 8 bits, nothing blended back.",
        f"Change: mean absolute difference from the input. Target: {places.words} of the attributes in which a pair "
        f"differs; all regions: of every attribute; {margin_at(size)} pixels around count as neither. SSIM: 11 x 11 "
        "Gaussian window, sigma 1.5, over outside pixels only. Self: the input translated with itself as exemplar (and "
        "its own label), the method's reconstruction.",
    ]
    if places.kind == "landmarks":
        count = int(values[f"{MODEL}/change target"].isnan().sum())
        found.append(f"{count} of {setting.pairs} pairs do not count: no face was found, or nothing is outside.")
    if f"{MODEL}/area" in values:
        found.append(
            "1 - m: change weighted by what the method's own mask leaves; a mask of everything does not count."
        )
    if f"{MODEL}/identity" in values:
        found.append(
            f"{identity.NAME}: Euclidean distance of dlib's face embeddings; below {identity.SAME_PERSON} two faces "
            "count as one person."
        )
    elif places.kind != "true":
        found.append("Identity was not measured: it needs dlib (pip install 'lomit[faces]').")
    return tuple(found)
