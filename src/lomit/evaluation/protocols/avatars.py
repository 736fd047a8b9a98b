"""The protocol `avatars`: unseen rendered faces, whose labels and regions are known exactly.

Each pair is translated as the model does it and, for a method with masks, with m = 1 everywhere (plain AdaIN of the
same weights).  Images are scored as they would be saved: the raw decoder output, rounded to 8 bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lomit.data.transforms import normalise
from lomit.evaluation.protocols import AvatarsProtocol
from lomit.evaluation.protocols.regional import ACCURACY, KEPT, MEASURES, Measured, PairBatch, Values, run, under
from lomit.evaluation.regions import TrueRegions
from lomit.evaluation.results import Row
from lomit.evaluation.settings import Findings, Setting
from lomit.evaluation.translating import as_saved
from lomit.metrics import accuracy
from lomit.models.base import Masks
from lomit.stats import bootstrap


def evaluate(setting: Setting, options: AvatarsProtocol) -> Findings:
    """Runs the protocol.  Raises LomitError as `draw`, and for a set without true regions."""
    return run(setting, options, measure, rows, notes, TrueRegions(setting))


def measure(batch: PairBatch) -> Values:
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
    for column, masks in given.items():
        after = result if masks is None else batch.translated(masks)
        own = {f"{name}_self": value for name, value in batch.kept(batch.to_itself(masks)).items()}
        kept = {"right": right(normalise(as_saved(after))), **batch.kept(after), **own}
        kept |= {f"{name}_above": kept[name] - own[f"{name}_self"] for name in ("change_target", "change_all")}
        found |= under(column, kept)
    return found


def rows(measured: Measured) -> list[Row]:
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


def notes(measured: Measured) -> tuple[str, ...]:
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
