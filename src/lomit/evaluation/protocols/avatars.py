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
from lomit.evaluation.measures import MEASURES, RowsOf, Values
from lomit.evaluation.protocols import AvatarsProtocol
from lomit.evaluation.protocols.regional import PairBatch, kept_note, mask_note, mask_rows, run, scored_note, under
from lomit.evaluation.regions import TrueRegions
from lomit.evaluation.results import Row
from lomit.evaluation.settings import Findings, Setting
from lomit.evaluation.translating import as_saved
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

    def rows(draw: Draw, rows: RowsOf) -> list[Row]:
        return accuracy_rows(setting, draw, rows) + kept_rows(draw, rows)

    def notes(draw: Draw, values: Values) -> tuple[str, ...]:
        return _notes(setting, draw)

    return run(options.name, setting, draw(setting, options, TrueRegions(setting)), measure, rows, notes)


def measure(batch: PairBatch) -> Values:
    """Takes every measure of some pairs.

    Returns:
        `COLUMN/measure` -> B values, or for `right` B x A; float64 or bool, nan where a pair does not count.
    """
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
    for column, masks in given.items():
        after = result if masks is None else batch.translated(masks)
        own = {f"{name}_self": value for name, value in batch.kept(batch.to_itself(masks)).items()}
        kept = {"right": right(normalise(as_saved(after))), **batch.kept(after), **own}
        kept |= {f"{name}_above": kept[name] - own[f"{name}_self"] for name in ("change_target", "change_all")}
        found |= under(column, kept)
    return found


def accuracy_rows(setting: Setting, draw: Draw, made: RowsOf) -> list[Row]:
    """Accuracy of each attribute and of all, over all pairs."""
    values, people, pairs = made.values, made.people, draw.pairs
    target, differs = torch.from_numpy(setting.cache.labels[pairs.exemplars]), torch.from_numpy(pairs.differs)
    columns = [c for c in ("model", "plain", "floor", "ceiling") if f"{c}/right" in values]
    counted = {c: accuracy.tallies(values[f"{c}/right"], target, differs, setting.attributes) for c in columns}
    sums = {MEASURES[key].name: key for key in SUMS}
    rows = []
    for name in counted["model"]:
        cells = {c: bootstrap.ratio(100 * t[name][0], t[name][1], people, setting.seed) for c, t in counted.items()}
        key, of = (sums[name], "") if name in sums else ("accuracy", name)
        rows.append(Row(key, measures.ACCURACY, name, cells, of, "%", 1))
    return rows


def kept_rows(draw: Draw, made: RowsOf) -> list[Row]:
    """What was kept outside of regions, and the masks."""
    kept = [key for key, m in MEASURES.items() if m.section == measures.KEPT]
    return made.rows(kept, ("model", "plain")) + mask_rows(draw, made)


def _notes(setting: Setting, draw: Draw) -> tuple[str, ...]:
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
