"""Domains: sets of images between which a method translates, for measures of sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lomit.data.cache import Cache
from lomit.errors import LomitError, did_you_mean
from lomit.evaluation.pairs import names_sha256, usable_rows
from lomit.evaluation.protocols import StarganV2Protocol
from lomit.evaluation.settings import Setting


@dataclass(frozen=True)
class Domain:
    """Images that share a label.

    Attributes:
        name: an attribute, or `not` and an attribute.
        train, test: rows of the cache in the train split and in the one that is measured, int64, ascending.
        people: number of people in `test`.
        columns: bool, A: the attributes by which the domains are told apart.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    people: int
    columns: np.ndarray


@dataclass(frozen=True)
class Crossing:
    """From one domain into another.

    Attributes:
        name: `A to B`.
        source, target: the domains.
        sources: rows of the images to translate, M.
        exemplars: rows of the exemplars of each, M x E.
    """

    name: str
    source: Domain
    target: Domain
    sources: np.ndarray
    exemplars: np.ndarray

    def facts(self, cache: Cache) -> dict[str, object]:
        """How many sources are translated, and the hash of all images that its numbers rest on."""
        rows = (self.sources, self.exemplars.reshape(-1), self.target.train, self.source.test, self.target.test)
        names = (" ".join(cache.names[row] for row in part.tolist()) for part in rows)
        return {"sources": len(self.sources), "pairs_sha256": names_sha256(names)}


def domains_of(setting: Setting, options: StarganV2Protocol) -> tuple[Domain, ...]:
    """The domains that were asked for.

    Several attributes are a domain each, of the images with that attribute and none of the others; one attribute gives
    the images with it and those without it.  By default these are a method's own domains; of a method without any, the
    first exclusive attributes of the data that the model knows two of, or else the model's first.

    Raises:
        LomitError: for an attribute that the model does not know, or one that is named twice.
    """
    cache, chosen = setting.cache, options.domains or _default(setting)
    for name in chosen:
        if name not in cache.attributes:
            raise LomitError(
                f"no domain '{name}'{did_you_mean(name, cache.attributes)}; the model's attributes: "
                f"{', '.join(cache.attributes)}"
            )
    if len(set(chosen)) < len(chosen):
        raise LomitError("an attribute is named twice in --domains")
    columns = np.array([name in chosen for name in cache.attributes])
    y = cache.labels[:, [cache.attributes.index(name) for name in chosen]]
    if len(chosen) == 1:
        members = {f"not {chosen[0]}": y[:, 0] == 0, chosen[0]: y[:, 0] == 1}
    else:
        alone = (y == 1).sum(1) == 1
        members = {name: alone & (y[:, k] == 1) for k, name in enumerate(chosen)}
    train, test = usable_rows(setting, "train"), usable_rows(setting)
    found = []
    for name, inside in members.items():
        here = test[inside[test]]
        found.append(Domain(name, train[inside[train]], here, len(np.unique(cache.identity[here])), columns))
    return tuple(found)


def draw_crossing(
    setting: Setting, options: StarganV2Protocol, source: Domain, target: Domain, number: int
) -> Crossing:
    """Sources and exemplars of a pair of domains, by the seed and the pair's number.

    Raises:
        LomitError: where a domain has too few images of the measured split, or the target of the train split.
    """
    count, name = options.exemplars, f"{source.name} to {target.name}"
    for domain, part, rows, least in (
        (source, setting.split, source.test, 2),
        (target, setting.split, target.test, max(2, count)),
        (target, "train", target.train, 2),
    ):
        if len(rows) < least:
            raise LomitError(
                f"the domain '{domain.name}' has {len(rows)} images of the {part} split; {least} are needed"
            )
    rng = np.random.default_rng([setting.seed, number])
    sources, most = source.test, options.sources
    if most is not None and most < len(sources):
        sources = np.sort(rng.choice(sources, most, replace=False))
    exemplars = np.stack([rng.choice(target.test, count, replace=False) for _ in sources])
    return Crossing(name, source, target, sources, exemplars)


def _default(setting: Setting) -> tuple[str, ...]:
    attributes = setting.cache.attributes
    if setting.translator.domains is not None:
        # Where its images have one of the attributes each, these are its domains; else they have none or all of them.
        has = setting.cache.labels[usable_rows(setting)] == 1
        return attributes if len(attributes) > 1 and (has.sum(1) == 1).all() else attributes[:1]
    for group in setting.source.groups:
        known = tuple(name for name in attributes if name in group)
        if len(known) > 1:
            return known
    return attributes[:1]
