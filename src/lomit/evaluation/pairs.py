"""The pairs that a measure is taken on: which images may be paired, the draw by a seed, and regions to measure them by.

Pairs of all kinds are drawn together, or by label pictures those of one kind of region at a time.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lomit.data.cache import Cache
from lomit.errors import LomitError, did_you_mean
from lomit.evaluation.photographs import REGION_OF, untold
from lomit.evaluation.protocols import Differing
from lomit.evaluation.regions import ExpectedRegions, LabelRegions, Regions, TrueRegions
from lomit.evaluation.settings import Setting

MOST_IMAGES = 3_000
"""Pairs are drawn among at most so many images, themselves drawn by the seed; their table is quadratic."""
Facts = dict[str, object]


@dataclass(frozen=True)
class Pairs:
    """Ordered pairs of images.

    Attributes:
        inputs, exemplars: rows of the images, int64, N each.
        differs: bool, N x A: the attributes in which a pair differs.
    """

    inputs: np.ndarray
    exemplars: np.ndarray
    differs: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    def facts(self, cache: Cache, images: int) -> Facts:
        """Their number and that of the people, out of how many images they are drawn, and the hash of their names in
        order: equal for equal pairs."""
        names = (f"{cache.names[i]} {cache.names[e]}" for i, e in zip(self.inputs, self.exemplars, strict=True))
        people = len(np.unique(cache.identity[self.inputs]))
        return {"pairs": len(self), "people": people, "images": images, "pairs_sha256": names_sha256(names)}


@dataclass(frozen=True)
class Draw:
    """Pairs, and the regions by which they are measured.

    Attributes:
        regions: of the inputs.
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


def names_sha256(names: Iterable[str]) -> str:
    """Hash of names in their order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def draw_pairs(
    labels: np.ndarray,
    rows: np.ndarray,
    count: int,
    seed: int,
    differ: np.ndarray | None = None,
    alike: np.ndarray | None = None,
) -> Pairs:
    """Draws ordered pairs that differ in at least one attribute, each at most once, all with equal probability.

    Which pairs are drawn depends on `differ` and `alike` alone, where both are given: methods that know different
    attributes then get the same pairs.  Raises LomitError where there are not that many.

    Args:
        labels: int8, images x A: 1, 0, -1 (not annotated; it never differs).
        seed: equal calls give equal pairs.
        differ: labels of the attributes of which a pair must differ in one, images x B; by default `labels`.
        alike: labels in which no pair may differ, images x C, and all of which must be annotated.
    """
    rng = np.random.default_rng(seed)
    if alike is not None:
        rows = rows[(alike[rows] >= 0).all(1)]
    if len(rows) > MOST_IMAGES:
        rows = np.sort(rng.choice(rows, MOST_IMAGES, replace=False))
    chosen = labels[rows]
    usable = np.zeros((len(rows), len(rows)), dtype=bool)
    for y in (chosen if differ is None else differ[rows]).T:
        usable |= (y[:, None] != y[None, :]) & (y[:, None] >= 0) & (y[None, :] >= 0)
    for y in () if alike is None else alike[rows].T:
        usable &= y[:, None] == y[None, :]
    candidates = np.flatnonzero(usable)
    if len(candidates) < count:
        raise LomitError(
            f"{count} pairs were asked for, but only {len(candidates)} pairs of the {len(rows)} images differ as "
            "they should; ask for fewer with --pairs or give more data"
        )
    first, second = np.divmod(rng.choice(candidates, count, replace=False), len(rows))
    y1, y2 = chosen[first], chosen[second]
    return Pairs(rows[first], rows[second], (y1 != y2) & (y1 >= 0) & (y2 >= 0))


def usable_rows(setting: Setting, split: str | None = None) -> np.ndarray:
    """Rows of the images that a method can be given, int64, ascending: those in its domains, where it has domains.

    Raises LomitError where the split (by default the setting's) is empty.
    """
    split = split or setting.split
    rows = setting.cache.subset(split)
    if not len(rows):
        raise LomitError(f"the data has no image of the {split} split to evaluate on")
    domains = setting.translator.domains
    return rows if domains is None else rows[domains.of(setting.cache.labels[rows]) >= 0]


def of_data(setting: Setting, names: tuple[str, ...], option: str) -> np.ndarray | None:
    """Labels of any attributes of the data, int8, rows of the cache x K; None where none is named.

    Raises LomitError for an attribute that the data does not annotate, which `option` named.
    """
    known = setting.source.attributes
    for name in names:
        if name not in known:
            raise LomitError(
                f"--{option}: the data has no attribute '{name}'{did_you_mean(name, known)}; it has {', '.join(known)}"
            )
    columns = [known.index(name) for name in names]
    return setting.source.labels[setting.cache.source_index][:, columns] if names else None


def draw(setting: Setting, options: Differing, regions: Regions | None = None) -> tuple[list[Draw], Facts, str]:
    """Draws the pairs of a protocol on regions; with label pictures, as many for each region that they tell of.

    Regions are the data's true ones by default, or expected ones.  Returns the pairs, what the results say of them, and
    the note that defines them.  Raises LomitError for an attribute that the data does not annotate or that no region is
    known for, where none of `options.differ` is the model's, where there are too few pairs, and for label pictures that
    can't be used.
    """
    names, rows = options.differ or setting.attributes, usable_rows(setting)
    if not set(names) & set(setting.attributes):
        raise LomitError(
            f"--differ names none of the model's attributes ({', '.join(setting.attributes)}): it could not translate "
            "such pairs"
        )
    if setting.labels is not None:
        return _by_label(setting, options, names, rows)
    regions = regions or (TrueRegions(setting) if setting.source.region_names else ExpectedRegions(setting))
    both = of_data(setting, options.differ, "differ"), of_data(setting, options.alike, "alike")
    pairs = draw_pairs(setting.cache.labels, rows, options.pairs, setting.seed, *both)
    facts: Facts = {"regions": regions.kind, "draws": {"pairs": pairs.facts(setting.cache, len(rows))}}
    note = (
        f"{options.pairs} ordered pairs of the {setting.split} split that differ in at least one of {', '.join(names)}"
        f"{alike_note(options.alike)}; [ ]: 95 % bootstrap intervals over {setting.over}."
    )
    return [Draw(pairs, regions)], facts, note


def alike_note(alike: tuple[str, ...]) -> str:
    """How attributes in which no pair differs go on from what pairs differ in; empty without any."""
    return f" and are alike in {', '.join(alike)}" if alike else ""


def _by_label(
    setting: Setting, options: Differing, names: tuple[str, ...], every: np.ndarray
) -> tuple[list[Draw], Facts, str]:
    """For each region of label pictures: pairs that differ in its attributes and in none of the others."""
    assert setting.labels is not None
    rows = setting.labels.rows(setting.cache.names, every)
    kinds = dict.fromkeys(REGION_OF[name] for name in names if name in setting.attributes and name in REGION_OF)
    members = {kind: [name for name in names if REGION_OF.get(name) == kind] for kind in kinds}
    if not members:
        raise LomitError(f"label pictures tell of hair and mouth, not of {', '.join(names)}; leave out --labels")
    # Where a beard or a whole face is, the labels don't tell.
    unknown = untold(setting.attributes) if options.elsewhere else ()
    expected = ExpectedRegions(setting, unknown) if unknown else None
    draws, facts = [], {}
    for kind, own in members.items():
        others = tuple(dict.fromkeys((*(name for name in names if name not in own), *options.alike)))
        both = of_data(setting, tuple(own), "differ"), of_data(setting, others, "alike")
        try:
            pairs = draw_pairs(setting.cache.labels, rows, options.pairs, setting.seed, *both)
        except LomitError as error:
            raise LomitError(f"pairs that differ in {kind} alone: {error}") from error
        # What is wrong with a picture is said before the first translation.
        for index in setting.cache.source_index[np.unique(pairs.inputs)].tolist():
            setting.labels.shares(setting.source, setting.data, index)
        draws.append(Draw(pairs, LabelRegions(setting, kind, expected), kind))
        facts[kind] = pairs.facts(setting.cache, len(rows)) | {"differ": own}
    without = len(every) - len(rows)
    told = "; ".join(f"{kind}: {', '.join(own)}" for kind, own in members.items())
    note = (
        f"{options.pairs} ordered pairs of the {setting.split} split for each region, that differ in one of its "
        f"attributes ({told}) and in none of the others{alike_note(options.alike)}; [ ]: 95 % bootstrap intervals over "
        f"{setting.over}."
    )
    if without:
        note += f" {without} images of the split have no labels and are left out."
    if unknown:
        note += f" Regions of {', '.join(unknown)} are expected ones, drawn from dlib's landmarks."
    return draws, {"regions": LabelRegions.kind, "images_without_labels": without, "draws": facts}, note
