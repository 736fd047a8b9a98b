"""The pairs that are measured by regions: of all kinds together, or by label pictures of one kind at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lomit.errors import LomitError
from lomit.evaluation import label_pictures
from lomit.evaluation.pairs import Pairs, alike_note, draw_pairs, of_data, pairs_note, usable_rows
from lomit.evaluation.protocols import Differing
from lomit.evaluation.regions import ExpectedRegions, LabelRegions, Regions, TrueRegions
from lomit.evaluation.settings import Setting


@dataclass(frozen=True)
class Draw:
    """Pairs, and the regions by which they are measured.

    Attributes:
        pairs: N of them.
        regions: of their inputs.
        of: the region in which all of them differ alone; empty where they differ in any.
    """

    pairs: Pairs
    regions: Regions
    of: str = ""

    @property
    def singles(self) -> dict[str, Tensor]:
        """For each kind of region: which pairs differ in attributes of that kind and in no other, bool, N.

        Attributes with the same regions are of one kind, called after the first of them (hair colours: `hair`).  Where
        another kind begins with that one, too, the kind of more regions is called after them all: `hair and face`.
        """
        kinds: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for k, regions in enumerate(self.regions.region_of.values()):
            kinds[regions].append(k)
        differs, found = torch.from_numpy(self.pairs.differs), {}
        for regions, columns in kinds.items():
            others = [k for k in range(differs.shape[1]) if k not in columns]
            shared = len(regions) > 1 and sum(other[0] == regions[0] for other in kinds) > 1
            name = " and ".join(regions) if shared else regions[0]
            found[name] = differs[:, columns].any(1) & ~differs[:, others].any(1)
        return found


@dataclass(frozen=True)
class Draws:
    """All pairs of a protocol, what the results say of them, and the note that defines them."""

    draws: Sequence[Draw]
    facts: dict[str, object]
    note: str


def draw(setting: Setting, options: Differing, regions: Regions | None = None) -> Draws:
    """Draws the pairs of a protocol on regions; with label pictures, as many for each region that they tell of.

    Args:
        setting: split, seed, label pictures.
        options: how many, and what they differ in.
        regions: by which they are measured; by default the data's true ones, or expected ones.

    Raises:
        LomitError: for an attribute that the data does not annotate or that no region is known for, where none of
            `options.differ` is the model's, where there are too few pairs, and for label pictures that can't be used.
    """
    count, differ, alike = options.pairs, options.differ, options.alike
    if differ and not set(differ) & set(setting.attributes):
        raise LomitError(
            f"--differ names none of the model's attributes ({', '.join(setting.attributes)}): it could not translate "
            "such pairs"
        )
    if setting.labels is not None:
        return _by_label(setting, options)
    regions = regions or (TrueRegions(setting) if setting.source.region_names else ExpectedRegions(setting))
    rows = usable_rows(setting)
    both = of_data(setting, differ, "differ"), of_data(setting, alike, "alike")
    pairs = draw_pairs(setting.cache.labels, rows, count, setting.seed, *both)
    facts: dict[str, object] = {"regions": regions.kind, "draws": {"pairs": pairs.facts(setting.cache, len(rows))}}
    return Draws([Draw(pairs, regions)], facts, pairs_note(setting, count, differ or setting.attributes, alike))


def _by_label(setting: Setting, options: Differing) -> Draws:
    """For each region of label pictures: pairs that differ in its attributes and in none of the others."""
    assert setting.labels is not None
    every, names, alike = usable_rows(setting), options.differ or setting.attributes, options.alike
    rows = setting.labels.rows(setting.cache.names, every)
    members = {
        kind: tuple(name for name in names if label_pictures.REGION_OF.get(name) == kind)
        for kind in dict.fromkeys(label_pictures.REGION_OF.get(name) for name in names if name in setting.attributes)
        if kind is not None
    }
    if not members:
        raise LomitError(f"label pictures tell of hair and mouth, not of {', '.join(names)}; leave out --labels")
    # Where a beard or a whole face is, the labels don't tell.
    untold = label_pictures.untold(setting.attributes) if options.elsewhere else ()
    expected = ExpectedRegions(setting, untold) if untold else None
    draws, facts = [], {}
    for kind, own in members.items():
        others = tuple(dict.fromkeys((*(name for name in names if name not in own), *alike)))
        both = of_data(setting, own, "differ"), of_data(setting, others, "alike")
        try:
            pairs = draw_pairs(setting.cache.labels, rows, options.pairs, setting.seed, *both)
        except LomitError as error:
            raise LomitError(f"pairs that differ in {kind} alone: {error}") from error
        # What is wrong with a picture is said before the first translation.
        for index in setting.cache.source_index[np.unique(pairs.inputs)].tolist():
            setting.labels.shares(setting.source, setting.data, index)
        draws.append(Draw(pairs, LabelRegions(setting, kind, expected), kind))
        facts[kind] = pairs.facts(setting.cache, len(rows)) | {"differ": list(own)}
    without = len(every) - len(rows)
    told = {"regions": LabelRegions.kind, "images_without_labels": without, "draws": facts}
    return Draws(draws, told, _label_note(setting, options, members, without, untold))


def _label_note(
    setting: Setting, options: Differing, members: Mapping[str, Sequence[str]], without: int, untold: Sequence[str]
) -> str:
    told = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in members.items())
    note = (
        f"{options.pairs} ordered pairs of the {setting.split} split for each region, that differ in one of its "
        f"attributes ({told}) and in none of the others{alike_note(options.alike)}; [ ]: 95 % bootstrap intervals over "
        f"{setting.over}."
    )
    if without:
        note += f" {without} images of the split have no labels and are left out."
    if untold:
        note += f" Regions of {', '.join(untold)} are expected ones, drawn from dlib's landmarks."
    return note
