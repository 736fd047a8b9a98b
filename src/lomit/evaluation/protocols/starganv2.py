"""The protocol `starganv2`: how near translations come to a domain, and how they vary with the exemplar.

Choi et al. (2020): every ordered pair of domains, every unseen image of the first as a source, ten exemplars of the
second each; FID of all outputs against the training images of the second domain, and the mean distance over the 45
pairs of the ten outputs of a source.  Beside them MUNIT's conditional inception score (Huang et al., 2018): how many
kinds of image the outputs of one source show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from lomit.data.transforms import normalise
from lomit.errors import LomitError
from lomit.evaluation.domains import Crossing, domains_of, draw_crossing
from lomit.evaluation.results import Row
from lomit.evaluation.settings import Outcome, Setting
from lomit.evaluation.translating import TOO_FEW, as_saved, images, in_batches, keep, labels, translate
from lomit.metrics import diversity, fid, inception_score, kid, lpips
from lomit.metrics.features import Extractor, extract, named
from lomit.stats.bootstrap import Estimate
from lomit.stats.proportions import bootstrap

MODEL, FLOOR, CEILING = "model", "sources (floor)", "real (ceiling)"
MOST_FOR_KID = 5_000
"""KID's kernels are quadratic: of larger sets so many images are drawn by the seed."""
MEAN = "mean over domain pairs"


@dataclass(frozen=True)
class Real:
    """What is known of a domain's own images, rows in the domain's order.

    Attributes:
        train, test: features, N x D each.
        modes: probabilities of the attributes that the conditional inception score is of, N x K, of the test images;
            None without a classifier.
    """

    train: Tensor
    test: Tensor
    modes: Tensor | None


def evaluate_starganv2(setting: Setting) -> Outcome:
    """Runs the protocol.

    Raises:
        LomitError: for domains that are not there or have too few images, and without an extractor.
    """
    if setting.extractor is None:
        raise LomitError(
            "give --classifier, or --extractor inception-tv: features are needed to compare sets of images"
        )
    extractor, chosen = setting.extractor, domains_of(setting)
    setting = _with_modes(setting)
    crossings = [
        draw_crossing(setting, source, target, k) for k, (source, target) in enumerate(permutations(chosen, 2))
    ]  # what is missing is said before the first translation
    real = {
        domain.name: Real(
            _of_images(setting, extractor, domain.train, f"train {domain.name}")["features"],
            (test := _of_images(setting, extractor, domain.test, f"test {domain.name}"))["features"],
            test.get("modes"),
        )
        for domain in chosen
    }
    rows: list[Row] = []
    for crossing in crossings:
        found = measure(setting, extractor, crossing)
        rows += summarise(setting, extractor, crossing, found, real)
    sections = list(dict.fromkeys(row.section for row in rows))
    rows = [r for s in sections for r in _with_mean([row for row in rows if row.section == s])]
    facts: dict[str, object] = {
        "extractor": extractor.name,
        "exemplars": setting.choices.exemplars,
        "domains": {d.name: {"train": len(d.train), "test": len(d.test), "people": d.people} for d in chosen},
        "sources": {c.name: len(c.sources) for c in crossings},
        "interval_of_distances": "delete-a-group jackknife over people",
    }
    return Outcome(facts, notes(setting, extractor), rows, counted="samples")


def measure(setting: Setting, extractor: Extractor, crossing: Crossing) -> dict[str, Tensor]:
    """Translates every source by each of its exemplars.

    Returns:
        `features`: M E x D, source after source.  `diversity`: M; `lpips`: M where LPIPS is to be had.  `modes`:
        M x E x K probabilities of the attributes that the conditional inception score is of, with a classifier.
    """
    stage, count = f"starganv2/{crossing.name}", setting.choices.exemplars

    def compute(part: slice) -> dict[str, Tensor]:
        inputs, exemplars = crossing.sources[part].repeat(count), crossing.exemplars[part].reshape(-1)
        y_input, told = labels(setting, inputs), labels(setting, exemplars)
        # A label moves the image into the domain and leaves what else it is told about it.
        y = torch.where(torch.from_numpy(crossing.target.columns).to(told.device), told, y_input)
        saved = []
        for k in range(0, len(inputs), setting.batch_size):
            at = slice(k, k + setting.batch_size)
            x, exemplar = images(setting, inputs[at]), images(setting, exemplars[at])
            saved.append(as_saved(translate(setting, x, exemplar, y[at], y_input[at])))
        outputs = torch.cat(saved)
        keep(setting, stage, range(part.start * count, part.stop * count), inputs, exemplars, outputs)
        features = extract(extractor, [outputs], setting.device)
        each = features.unflatten(0, (-1, count))
        found = {"features": features}
        if count > 1:
            found["diversity"] = diversity.pair_mean(each)
            if setting.modes is not None:
                found["modes"] = _probabilities(setting, outputs).unflatten(0, (-1, count))
            if setting.lpips is not None:
                of_source = normalise(outputs).unflatten(0, (-1, count))
                found["lpips"] = diversity.pair_mean(of_source, setting.lpips)
        return found

    size = max(1, setting.batch_size // count)
    return in_batches(setting, stage, len(crossing.sources), compute, size)


def _of_images(setting: Setting, extractor: Extractor, rows: np.ndarray, stage: str) -> dict[str, Tensor]:
    """`features` of images of the data, N x D, and with a classifier `modes`, N x K."""

    def compute(part: slice) -> dict[str, Tensor]:
        x = torch.from_numpy(np.asarray(setting.cache.images[rows[part]]))
        found = {"features": extract(extractor, [x], setting.device)}
        return found if setting.modes is None else found | {"modes": _probabilities(setting, x)}

    return in_batches(setting, f"starganv2/{stage}", len(rows), compute)


def _with_modes(setting: Setting) -> Setting:
    """Without the classifier's answers where the model has more attributes than a table of their patterns can hold.

    Raises:
        LomitError: where that many were asked for.
    """
    count = len(setting.choices.modes)
    if count > inception_score.MOST_ATTRIBUTES:
        raise LomitError(f"{count} attributes in --modes; at most {inception_score.MOST_ATTRIBUTES} can be scored")
    many = not count and len(setting.cache.attributes) > inception_score.MOST_ATTRIBUTES
    return replace(setting, modes=None) if many else setting


def _probabilities(setting: Setting, x: Tensor) -> Tensor:
    """Of the attributes whose pattern is scored: uint8, B x 3 x H x W -> float32, B x K, on the CPU."""
    assert setting.modes is not None
    return setting.modes(normalise(x.to(setting.device))).sigmoid().float().cpu()


def summarise(
    setting: Setting, extractor: Extractor, crossing: Crossing, found: dict[str, Tensor], domains: dict[str, Real]
) -> list[Row]:
    """Every number of a pair of domains, from `measure`'s values and the domains' own images."""
    cache, seed, count = setting.cache, setting.seed, setting.choices.exemplars
    source, target = crossing.source, crossing.target
    reference, real = domains[target.name].train, domains[target.name].test
    sources = domains[source.name].test[_places(source.test, crossing.sources)]
    who = torch.from_numpy(cache.identity[crossing.sources])
    sets = {
        MODEL: (found["features"], who.repeat_interleave(count)),
        FLOOR: (sources, who),
        CEILING: (real, torch.from_numpy(cache.identity[target.test])),
    }
    stage = f"starganv2/{crossing.name}"

    def distance(measure: str, column: str) -> Estimate:
        features, people = sets[column]
        if measure == fid.FID:
            return fid.estimate(features, people, reference, seed)
        drawn, fixed = _at_most(len(features), seed), _at_most(len(reference), seed + 1)
        return _times(1_000, kid.estimate(features[drawn], people[drawn], reference[fixed], seed))

    flag = f"a domain of fewer than {TOO_FEW} people in the {setting.split} split: too few for a claim"
    flag = flag if min(source.people, target.people) < TOO_FEW else ""
    rows = []
    for measure_name, unit, digits in ((fid.FID, "", 3), (kid.KID, "x 1000", 3)):
        cells = {
            column: setting.store.estimate(
                f"{stage}/{measure_name} {column}",
                lambda m=measure_name, c=column: distance(m, c),  # type: ignore[misc]
            )
            for column in sets
        }
        title = named(measure_name, extractor) + (", x 1000" if unit else "")
        rows.append(Row(title, crossing.name, unit, digits, cells, flag=flag))
    if "diversity" in found:
        exemplars = diversity.pair_mean(real[_places(target.test, crossing.exemplars)])
        both = {MODEL: found["diversity"], CEILING: exemplars}
        cells = {column: bootstrap.mean(v, who, seed) for column, v in both.items()}
        rows.append(Row(named(diversity.DIVERSITY, extractor), crossing.name, "", 4, cells, flag=flag))
    if "modes" in found:
        of_exemplars = domains[target.name].modes
        assert of_exemplars is not None
        shown = {MODEL: found["modes"], CEILING: of_exemplars[_places(target.test, crossing.exemplars)]}
        cells = {column: inception_score.conditional_estimate(p, who, seed) for column, p in shown.items()}
        title = f"{inception_score.CONDITIONAL}-{setting.classifier_name}, nats"
        rows.append(Row(title, crossing.name, "nats", 4, cells, flag=flag))
    if "lpips" in found:
        cells = {MODEL: bootstrap.mean(found["lpips"], who, seed)}
        rows.append(Row(lpips.NAME, crossing.name, "", 4, cells, flag=flag))
    return rows


def _places(rows: np.ndarray, chosen: np.ndarray) -> Tensor:
    """Where chosen rows stand among rows, which ascend."""
    return torch.from_numpy(np.searchsorted(rows, chosen))


def _at_most(count: int, seed: int) -> Tensor:
    """Rows for KID, ascending."""
    if count <= MOST_FOR_KID:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:MOST_FOR_KID].sort().values


def _times(factor: float, e: Estimate) -> Estimate:
    value, low, high = (None if v is None else factor * v for v in (e.value, e.low, e.high))
    return Estimate(value, low, high, e.samples, e.people)


def _with_mean(rows: list[Row]) -> list[Row]:
    """The rows of a measure and their mean; its interval is the mean of theirs, which is wide enough at any dependence.

    People stand in several pairs, so the numbers are not independent; a mean varies at most as much as its terms do on
    average.
    """
    cells = {}
    for column in rows[0].cells:
        terms = [row.cells[column] for row in rows]
        value, low, high = (_mean([getattr(t, end) for t in terms]) for end in ("value", "low", "high"))
        cells[column] = Estimate(value, low, high, sum(t.samples for t in terms), min(t.people for t in terms))
    first = rows[0]
    flag = next((row.flag for row in rows if row.flag), "")
    return [*rows, Row(first.section, MEAN, first.unit, first.digits, cells, flag=flag)]


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _conditional_note(setting: Setting) -> str:
    names = setting.choices.modes or setting.cache.attributes
    return (
        f"{inception_score.CONDITIONAL}-{setting.classifier_name}: mean of KL(p(y|output) || p(y|source)), p(y|source) "
        f"being the mean over the outputs of one source, in nats; y is the pattern of {', '.join(names)} "
        "(MUNIT's conditional inception score; its exponential is what MUNIT prints). It is high where the outputs of "
        "a source show different kinds of image, each clearly; 0 where they are all alike. Ceiling: of the exemplars."
    )


def notes(setting: Setting, extractor: Extractor) -> tuple[str, ...]:
    """How the numbers are defined."""
    count = setting.choices.exemplars
    size = setting.data.image_size
    return (
        f"Every ordered pair of domains; sources and {count} exemplars for each from the {setting.split} split, "
        f"references from the train split. Scored at {size} x {size}: raw decoder output rounded to 8 bits.",
        f"-{extractor.name}: of that network's features. Such numbers compare with those of the same network, by its "
        "hash, and with no others; they are not the FID of papers.",
        "FID and KID: against the target domain's training images. Floor: the sources as they are; ceiling: the "
        "domain's own unseen images. FID is biased, the more the fewer samples there are (below some "
        f"{fid.UNBIASED_FROM:,}), and the columns have unequal counts: compare methods, and read KID, which is not "
        f"biased, beside it. KID is over {MOST_FOR_KID:,} images of a set at most.",
        f"Diversity: mean distance over all pairs of the {count} outputs of a source (ceiling: of its exemplars). "
        "Noise is diverse, too.",
        *([_conditional_note(setting)] if setting.modes is not None and count > 1 else []),
        "[ ]: 95 % intervals over the people in the sources (or images): bootstrap for diversity, jackknife for "
        f"distances. '{MEAN}': its interval is the mean of theirs, which is wide enough; its people are the fewest of "
        "any.",
    )
