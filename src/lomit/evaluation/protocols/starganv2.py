"""The protocol `starganv2`: how near translations come to a domain, and how they vary with the exemplar.

Choi et al. (2020): every ordered pair of domains, every unseen image of the first as a source, ten exemplars of the
second each; FID of all outputs against the training images of the second domain, and the mean distance over the 45
pairs of the ten outputs of a source.  Beside them MUNIT's conditional inception score (Huang et al., 2018): how many
kinds of image the outputs of one source show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from lomit.data.cache import Cache
from lomit.data.transforms import normalise
from lomit.errors import LomitError, did_you_mean
from lomit.evaluation.pairs import Facts, names_sha256, usable_rows
from lomit.evaluation.protocols import StarganV2Protocol
from lomit.evaluation.results import MEAN, Row
from lomit.evaluation.settings import TOO_FEW, Findings, Setting, as_saved, images, in_batches, keep, labels, translate
from lomit.metrics import diversity, fid, inception_score, kid, lpips
from lomit.metrics.features import extract, named
from lomit.stats import bootstrap
from lomit.stats.estimate import Estimate

MOST_FOR_KID = 5_000
"""KID's kernels are quadratic: of larger sets so many images are drawn by the seed."""


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
    """From one domain into another: M images to translate, and the E exemplars of each (M x E), rows of the cache."""

    source: Domain
    target: Domain
    sources: np.ndarray
    exemplars: np.ndarray

    @property
    def name(self) -> str:
        """`A to B`."""
        return f"{self.source.name} to {self.target.name}"

    def facts(self, cache: Cache) -> Facts:
        """How many sources are translated, and the hash of all images that its numbers rest on."""
        rows = (self.sources, self.exemplars.reshape(-1), self.target.train, self.source.test, self.target.test)
        names = (" ".join(cache.names[row] for row in part.tolist()) for part in rows)
        return {"sources": len(self.sources), "pairs_sha256": names_sha256(names)}


def evaluate(setting: Setting, options: StarganV2Protocol) -> Findings:
    """Runs the protocol.  Raises LomitError for domains that are not there or have too few images, without an
    extractor, and for more modes than a table of their patterns can hold.
    """
    if setting.extractor is None:
        raise LomitError(
            "give --classifier, or --extractor inception-tv: features are needed to compare sets of images"
        )
    most = inception_score.MOST_ATTRIBUTES
    if len(options.modes) > most:
        raise LomitError(f"{len(options.modes)} attributes in --modes; at most {most} can be scored")
    modes = options.modes or setting.attributes
    if setting.classifier is None or len(modes) > most or options.exemplars < 2:
        modes = ()
    chosen = domains_of(setting, options)
    crossings = [
        draw_crossing(setting, options, source, target, k) for k, (source, target) in enumerate(permutations(chosen, 2))
    ]  # what is missing is said before the first translation
    train = {d.name: _of_images(setting, (), d.train, f"train {d.name}") for d in chosen}
    test = {d.name: _of_images(setting, modes, d.test, f"test {d.name}") for d in chosen}
    rows: list[Row] = []
    for crossing in crossings:
        rows += summarise(setting, crossing, measure(setting, options, modes, crossing), train, test)
    measures = list(dict.fromkeys(row.measure for row in rows))
    rows = [r for m in measures for r in _with_mean([row for row in rows if row.measure == m])]
    facts: Facts = {
        "extractor": setting.extractor.name,
        "exemplars": options.exemplars,
        "domains": {d.name: {"train": len(d.train), "test": len(d.test), "people": d.people} for d in chosen},
        "draws": {c.name: c.facts(setting.cache) for c in crossings},
        "modes": list(modes),
        "interval_of_distances": f"delete-a-group jackknife over {setting.resampled}",
    }
    return Findings(facts, notes(setting, options, modes), rows, counted="samples")


def domains_of(setting: Setting, options: StarganV2Protocol) -> tuple[Domain, ...]:
    """The domains that were asked for.

    Several attributes are a domain each, of the images with that attribute and none of the others; one attribute gives
    the images with it and those without it.  By default these are a method's own domains; of a method without any, the
    first exclusive attributes of the data that the model knows two of, or else the model's first.  Raises LomitError
    for an attribute that the model does not know, or one that is named twice.
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


def draw_crossing(
    setting: Setting, options: StarganV2Protocol, source: Domain, target: Domain, number: int
) -> Crossing:
    """Sources and exemplars of a pair of domains, by the seed and the pair's number.

    Raises LomitError where a domain has too few images of the measured split, or the target of the train split.
    """
    count = options.exemplars
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
    return Crossing(source, target, sources, exemplars)


def measure(
    setting: Setting, options: StarganV2Protocol, modes: tuple[str, ...], crossing: Crossing
) -> dict[str, Tensor]:
    """Translates every source by each of its exemplars.

    Returns:
        `features`: M E x D, source after source.  `diversity`: M; `lpips`: M where LPIPS is to be had.  `modes`:
        M x E x K probabilities of the attributes that the conditional inception score is of, where it is measured.
    """
    assert setting.extractor is not None
    stage, count, extractor = f"starganv2/{crossing.name}", options.exemplars, setting.extractor

    def compute(part: slice) -> dict[str, Tensor]:
        inputs, exemplars = crossing.sources[part].repeat(count), crossing.exemplars[part].reshape(-1)
        y_input, theirs = labels(setting, inputs), labels(setting, exemplars)
        # A label moves the image into the domain and leaves what else it says of it.  Of a method's own domains such a
        # mixture may be none: the exemplar's label is.
        moved = torch.from_numpy(crossing.target.columns).to(theirs.device)
        y = torch.where(moved, theirs, y_input) if setting.translator.domains is None else theirs
        saved = []
        for k in range(0, len(inputs), setting.batch_size):
            at = slice(k, k + setting.batch_size)
            x, exemplar = images(setting, inputs[at]), images(setting, exemplars[at])
            saved.append(as_saved(translate(setting, x, exemplar, y[at], y_input[at])))
        outputs = torch.cat(saved)
        keep(setting, stage, range(part.start * count, part.stop * count), inputs, exemplars, outputs)
        features = extract(extractor, outputs, setting.device)
        found = {"features": features}
        if count > 1:
            found["diversity"] = diversity.pair_mean(features.unflatten(0, (-1, count)))
            if modes:
                found["modes"] = _probabilities(setting, modes, outputs).unflatten(0, (-1, count))
            if setting.lpips is not None:
                of_source = normalise(outputs).unflatten(0, (-1, count))
                found["lpips"] = diversity.pair_mean(of_source, setting.lpips)
        return found

    size = max(1, setting.batch_size // count)
    return in_batches(setting, stage, len(crossing.sources), compute, size)


def _of_images(setting: Setting, modes: tuple[str, ...], rows: np.ndarray, stage: str) -> dict[str, Tensor]:
    """`features` of images of the data, N x D, and where the conditional score is measured `modes`, N x K."""
    assert setting.extractor is not None
    extractor = setting.extractor

    def compute(part: slice) -> dict[str, Tensor]:
        x = torch.from_numpy(np.asarray(setting.cache.images[rows[part]]))
        found = {"features": extract(extractor, x, setting.device)}
        return found | {"modes": _probabilities(setting, modes, x)} if modes else found

    return in_batches(setting, f"starganv2/{stage}", len(rows), compute)


def _probabilities(setting: Setting, modes: tuple[str, ...], x: Tensor) -> Tensor:
    """Of the attributes whose pattern is scored: uint8, B x 3 x H x W -> float32, B x K, on the CPU."""
    return setting.classify(normalise(x.to(setting.device)), modes).sigmoid().float().cpu()


def summarise(
    setting: Setting,
    crossing: Crossing,
    found: dict[str, Tensor],
    train: dict[str, dict[str, Tensor]],
    test: dict[str, dict[str, Tensor]],
) -> list[Row]:
    """Every number of a pair of domains.

    Args:
        found: `measure`'s values.
        train, test: domain -> what `_of_images` says of its images of that split.
    """
    assert setting.extractor is not None
    seed, extractor = setting.seed, setting.extractor
    source, target = crossing.source, crossing.target
    reference, real = train[target.name]["features"], test[target.name]["features"]
    sources = test[source.name]["features"][np.searchsorted(source.test, crossing.sources)]
    given = np.searchsorted(target.test, crossing.exemplars)
    who = setting.people(crossing.sources)
    each = len(found["features"]) // len(who)
    sets = {
        "model": (found["features"], who.repeat_interleave(each)),
        "floor": (sources, who),
        "ceiling": (real, setting.people(target.test)),
    }

    def distance(measure: str, column: str) -> Estimate:
        features, people = sets[column]
        if measure == fid.FID:
            return fid.estimate(features, people, reference, seed)
        drawn, fixed = _at_most(len(features), seed), _at_most(len(reference), seed + 1)
        return kid.estimate(features[drawn], people[drawn], reference[fixed], seed).times(1_000)

    few = f"a domain of fewer than {TOO_FEW} {setting.resampled} in the {setting.split} split: too few for a claim"
    flag = few if min(source.people, target.people) < TOO_FEW else ""
    of_pair = partial(Row, name=crossing.name, of=crossing.name, flag=flag)
    rows = []
    for measure, unit in ((fid.FID, ""), (kid.KID, "x 1000")):
        part = f"starganv2/{crossing.name}/{measure}"
        cells = {c: setting.store.estimate(f"{part} {c}", partial(distance, measure, c)) for c in sets}
        title = named(measure, extractor) + (f", {unit}" if unit else "")
        rows.append(of_pair(measure.lower(), title, cells=cells, unit=unit))
    if "diversity" in found:
        both = {"model": found["diversity"], "ceiling": diversity.pair_mean(real[given])}
        cells = {column: bootstrap.mean(v, who, seed) for column, v in both.items()}
        rows.append(of_pair("diversity", named(diversity.DIVERSITY, extractor), cells=cells, digits=4))
    if "modes" in found:
        both = {"model": found["modes"], "ceiling": test[target.name]["modes"][given]}
        cells = {column: inception_score.conditional_estimate(p, who, seed) for column, p in both.items()}
        rows.append(of_pair("cis", f"{_cis(setting)}, nats", cells=cells, unit="nats", digits=4))
    if "lpips" in found:
        cells = {"model": bootstrap.mean(found["lpips"], who, seed)}
        rows.append(of_pair("lpips", lpips.NAME, cells=cells, digits=4))
    return rows


def _cis(setting: Setting) -> str:
    assert setting.classifier is not None
    return f"{inception_score.CONDITIONAL}-{setting.classifier.name}"


def _at_most(count: int, seed: int) -> Tensor:
    """Rows for KID, ascending."""
    if count <= MOST_FOR_KID:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:MOST_FOR_KID].sort().values


def _with_mean(rows: list[Row]) -> list[Row]:
    """The rows of a measure and their mean, whose interval is the mean of theirs.

    People stand in several pairs, so the numbers are not independent; a mean varies at most as much as its terms do on
    average.
    """
    cells = {}
    for column in rows[0].cells:
        terms = [row.cells[column] for row in rows]
        value, low, high = (_mean([getattr(t, end) for t in terms]) for end in ("value", "low", "high"))
        cells[column] = Estimate(value, low, high, sum(t.samples for t in terms), min(t.people for t in terms))
    flag = next((row.flag for row in rows if row.flag), "")
    return [*rows, replace(rows[0], name=MEAN, of=MEAN, cells=cells, flag=flag)]


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def notes(setting: Setting, options: StarganV2Protocol, modes: tuple[str, ...]) -> tuple[str, ...]:
    """How the numbers are defined."""
    assert setting.extractor is not None
    count, size, people = options.exemplars, setting.size, setting.resampled
    found = [
        f"Every ordered pair of domains; sources and {count} exemplars for each from the {setting.split} split, "
        f"references from the train split. Scored at {size} x {size}: raw decoder output rounded to 8 bits.",
        f"-{setting.extractor.name}: of that network's features. Such numbers compare with those of the same network, "
        "by its hash, and with no others; they are not the FID of papers.",
        "FID and KID: against the target domain's training images. Floor: the sources as they are; ceiling: the "
        "domain's own unseen images. FID is biased, the more the fewer samples there are (below some "
        f"{fid.UNBIASED_FROM:,}), and the columns have unequal counts: compare methods, and read KID, which is not "
        f"biased, beside it. KID is over {MOST_FOR_KID:,} images of a set at most.",
        f"Diversity: mean distance over all pairs of the {count} outputs of a source (ceiling: of its exemplars). "
        "Noise is diverse, too.",
    ]
    if modes:
        found.append(
            f"{_cis(setting)}: mean of KL(p(y|output) || p(y|source)), p(y|source) being the mean over the outputs of "
            f"one source, in nats; y is the pattern of {', '.join(modes)} (MUNIT's conditional inception score; its "
            "exponential is what MUNIT prints). It is high where the outputs of a source show different kinds of "
            "image, each clearly; 0 where they are all alike. Ceiling: of the exemplars."
        )
    found.append(
        f"[ ]: 95 % intervals over the {people} in the sources (or images): bootstrap for diversity, jackknife for "
        f"distances. '{MEAN}': its interval is the mean of theirs, which is wide enough; its {people} are the fewest "
        "of any."
    )
    return tuple(found)
