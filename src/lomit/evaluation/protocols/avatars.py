"""The protocol `avatars`: unseen rendered faces, whose labels and regions are known exactly.

Each pair is translated as the model does it and, for a method with masks, with m = 1 everywhere (plain AdaIN of the
same weights).  Images are scored as they would be saved: the raw decoder output, rounded to 8 bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lomit.data.transforms import normalise
from lomit.evaluation import measures
from lomit.evaluation.draws import Draw, draw
from lomit.evaluation.measures import MEASURES, Values
from lomit.evaluation.protocols import AvatarsProtocol
from lomit.evaluation.protocols.regional import (
    PairBatch,
    kept_note,
    mask_note,
    mask_rows,
    rows_of,
    scored_note,
    under,
)
from lomit.evaluation.regions import TrueRegions
from lomit.evaluation.results import Row
from lomit.evaluation.settings import Findings, Setting
from lomit.evaluation.translating import as_saved, in_batches
from lomit.metrics import accuracy
from lomit.models.base import Masks
from lomit.stats import bootstrap

SUMS = ("changed_each", "changed_all", "every_each", "every_all")
"""Measures over several attributes."""


def evaluate(setting: Setting, options: AvatarsProtocol) -> Findings:
    """Runs the protocol.

    Raises:
        LomitError: where the split has too few pairs or lacks the true regions, or where the method cannot translate.
    """
    TrueRegions(setting)  # what is missing is said before the first translation
    drawn = draw(setting, options.pairs, options.differ, options.alike, elsewhere=True)
    (only,) = drawn.draws
    values = measure(setting, only)
    return Findings(drawn.facts, (drawn.note, *notes(setting, only)), summarise(setting, only, values))


def measure(setting: Setting, draw: Draw) -> Values:
    """Translates every pair and takes every measure of it.

    Returns:
        `COLUMN/measure` -> N values, or for `right` N x A; float64 or bool, nan where a pair does not count.
    """

    def compute(part: slice) -> Values:
        batch = PairBatch(setting, draw, part)
        result = batch.translated()
        batch.keep("avatars", result)

        def right(shown: Tensor) -> Tensor:
            return accuracy.correct(setting.classify(shown), batch.y_exemplar)

        found = {"floor/right": right(batch.x), "ceiling/right": right(batch.exemplar)}
        given: dict[str, Masks | None] = {"model": None}
        if result.masks is not None:
            found |= batch.masks(result.masks.input)
            ones = torch.ones_like(batch.x[:, :1])
            given["plain"] = Masks(ones, ones)
        for column, masks in given.items():
            after = result if masks is None else batch.translated(masks)
            own = {f"{name}_self": value for name, value in batch.kept(batch.to_itself(masks)).items()}
            kept = {"right": right(normalise(as_saved(after))), **batch.kept(after), **own}
            kept |= {f"{name}_above": kept[name] - own[f"{name}_self"] for name in ("change_target", "change_all")}
            found |= under(column, kept)
        return found

    return in_batches(setting, "avatars", len(draw.pairs), compute)


def summarise(setting: Setting, draw: Draw, values: Values) -> list[Row]:
    """The numbers over all pairs, from `measure`'s values."""
    people, pairs = setting.people(draw.pairs.inputs), draw.pairs
    target, differs = torch.from_numpy(setting.cache.labels[pairs.exemplars]), torch.from_numpy(pairs.differs)
    columns = [c for c in ("model", "plain", "floor", "ceiling") if f"{c}/right" in values]
    counted = {c: accuracy.tallies(values[f"{c}/right"], target, differs, setting.attributes) for c in columns}
    sums = {MEASURES[key].name: key for key in SUMS}
    rows = []
    for name in counted["model"]:
        cells = {c: bootstrap.ratio(100 * t[name][0], t[name][1], people, setting.seed) for c, t in counted.items()}
        key, of = (sums[name], "") if name in sums else ("accuracy", name)
        rows.append(Row(key, measures.ACCURACY, name, cells, of, "%", 1))
    make = rows_of(setting, draw, values)
    kept = [key for key, m in MEASURES.items() if m.section == measures.KEPT]
    return [*rows, *make.rows(kept, ("model", "plain")), *mask_rows(draw, make)]


def notes(setting: Setting, draw: Draw) -> tuple[str, ...]:
    """How the numbers are defined."""
    return (
        "m = 1: the same weights with masks of ones given for input and exemplar (plain AdaIN). "
        + scored_note(setting),
        "Accuracy against the exemplar's labels by a separately trained classifier. Floor: the untranslated input; "
        "ceiling: the exemplar itself. An attribute's row counts the pairs that differ in it, both directions; "
        "'changed': the attributes in which a pair differs; 'every': all of them, those to be kept included.",
        kept_note(setting, draw),
        mask_note(draw),
    )
