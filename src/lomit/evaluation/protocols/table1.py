"""The protocol `table1`: inception score and classification accuracy by class, as the paper's Table 1 has them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lomit.data.transforms import normalise
from lomit.errors import LomitError
from lomit.evaluation.classes import TABLE_1, ScoredClass, papers_classes, parse_class
from lomit.evaluation.pairs import Pairs
from lomit.evaluation.results import Row
from lomit.evaluation.settings import Outcome, Setting
from lomit.evaluation.translating import (
    TOO_FEW,
    alike_note,
    as_saved,
    at_the_ends,
    images,
    in_batches,
    keep,
    labels,
    of_data,
    pair_facts,
    pairs_of,
    translate,
    two_domains,
    usable_rows,
)
from lomit.metrics import accuracy, inception_score
from lomit.stats.bootstrap import Estimate
from lomit.stats.proportions import bootstrap

MODEL, FLOOR, CEILING = "model", "floor", "ceiling"
COLUMNS = (MODEL, FLOOR, CEILING)


def evaluate_table1(setting: Setting) -> Outcome:
    """Runs the protocol: for each class as many pairs as the setting says, which differ in the class.

    Raises:
        LomitError: where the model knows none of the classes, or the split has too few pairs of one.
    """
    attributes = setting.cache.attributes
    chosen = classes_of(setting)
    # What is missing is said before the first translation.
    drawn = {c.name: _draw(setting, c) for c in chosen}
    if setting.choices.by is not None:
        of_data(setting, (setting.choices.by,), "by")
    rows: list[Row] = []
    facts: dict[str, object] = {}
    for scored in chosen:
        pairs, count, people = drawn[scored.name]
        logits = measure(setting, scored, pairs)
        rows += summarise(setting, scored, pairs, logits, people)
        facts[scored.name] = pair_facts(setting.cache, pairs, count) | {"people_each_way": people}
    order = list(dict.fromkeys(row.section for row in rows))
    left_out = [name for name in TABLE_1 if not setting.choices.classes and name not in drawn]
    return Outcome(
        {"classes": facts, "attributes": list(attributes)},
        notes(setting, left_out),
        sorted(rows, key=lambda row: order.index(row.section)),
    )


def classes_of(setting: Setting) -> tuple[ScoredClass, ...]:
    """The classes that were asked for, or those of the paper that the model knows.

    Raises:
        LomitError: where there is none.
    """
    attributes = setting.cache.attributes
    asked = setting.choices.classes
    found = tuple(parse_class(text, attributes) for text in asked) if asked else papers_classes(attributes)
    if not found:
        raise LomitError(
            f"the model knows none of the paper's classes ({', '.join(TABLE_1)}), only {', '.join(attributes)}; "
            "name classes with --classes"
        )
    if len({c.name for c in found}) < len(found):
        raise LomitError("a class is named twice in --classes")
    return found


def opposite(setting: Setting) -> bool:
    """Whether pairs go between images with all facts of a class and images with none only."""
    return setting.choices.opposite or two_domains(setting)


def _draw(setting: Setting, scored: ScoredClass) -> tuple[Pairs, int, dict[str, list[int]]]:
    """The pairs of a class, out of how many images they are drawn, and of each fact the people without and with it."""
    cache = setting.cache
    y = scored.of_labels(cache.labels, cache.attributes)
    rows = usable_rows(setting)
    rows = rows[(y[rows] >= 0).all(1)]
    if opposite(setting):
        rows = at_the_ends(y, rows)
    people = {
        fact.name: [len(np.unique(cache.identity[rows[y[rows, k] == value]])) for value in (0, 1)]
        for k, fact in enumerate(scored.facts)
    }
    try:
        return pairs_of(setting, rows, y), len(rows), people
    except LomitError as error:
        raise LomitError(f"class '{scored.name}': {error}") from error


def measure(setting: Setting, scored: ScoredClass, pairs: Pairs) -> dict[str, Tensor]:
    """The logits of a class's facts, N x K each, in the translations, the inputs and the exemplars."""
    stage = f"table1/{scored.name}"

    def compute(part: slice) -> dict[str, Tensor]:
        inputs, exemplars = pairs.inputs[part], pairs.exemplars[part]
        x, exemplar = images(setting, inputs), images(setting, exemplars)
        saved = as_saved(translate(setting, x, exemplar, labels(setting, exemplars), labels(setting, inputs)))
        keep(setting, stage, range(part.start, part.stop), inputs, exemplars, saved)
        shown = {MODEL: normalise(saved), FLOOR: x, CEILING: exemplar}
        names = setting.cache.attributes
        return {column: scored.of_logits(setting.classify(image), names) for column, image in shown.items()}

    return in_batches(setting, stage, len(pairs), compute)


def summarise(
    setting: Setting, scored: ScoredClass, pairs: Pairs, logits: dict[str, Tensor], people: dict[str, list[int]]
) -> list[Row]:
    """The rows of a class.

    Args:
        setting: the seed and the names.
        scored: the class.
        pairs: N of them.
        logits: column -> N x K.
        people: fact -> people without and with it.
    """
    cache, seed, extractor = setting.cache, setting.seed, setting.classifier_name
    shown = torch.from_numpy(cache.identity[pairs.inputs])
    target = torch.from_numpy(scored.of_labels(cache.labels, cache.attributes)[pairs.exemplars])
    names = [fact.name for fact in scored.facts]
    fewest = min(count for counts in people.values() for count in counts)
    flag = f"fewer than {TOO_FEW} people with or without it in the {setting.split} split: too few for a claim"
    flag = flag if fewest < TOO_FEW else ""

    def ca(z: Tensor, among: Tensor | None = None) -> Estimate:
        right = accuracy.correct(z, target)
        tally = accuracy.class_tallies(right, target, torch.from_numpy(pairs.differs), names, [names])
        hits, counted = tally[" + ".join(names)]
        return bootstrap.ratio(100 * hits, counted if among is None else counted * among, shown, seed)

    tables = {column: inception_score.joint_table(z.double().sigmoid()) for column, z in logits.items()}

    def cells(compute: Callable[[Tensor], Estimate], of: dict[str, Tensor]) -> dict[str, Estimate]:
        return {column: compute(of[column]) for column in COLUMNS}

    def row(section: str, unit: str, digits: int, found: dict[str, Estimate], printed: _Printed | None = None) -> Row:
        paper = {} if printed is None else TABLE_1.get(scored.name, {})
        quoted = {f"{method} (paper)": float(getattr(values, printed)) for method, values in paper.items() if printed}
        return Row(section, scored.name, unit, digits, found, quoted, flag)

    def by(name: str) -> list[Row]:
        """The accuracy of inputs with and of those without an attribute of the data."""
        y = of_data(setting, (name,), "by")[pairs.inputs, 0]
        found = []
        for value, word in ((1, "with"), (0, "without")):
            among = torch.from_numpy(y == value)
            few = len(shown[among].unique()) < TOO_FEW
            why = flag or (f"fewer than {TOO_FEW} people in such inputs: too few for a claim" if few else "")
            section, title = f"{accuracy.CA}-{extractor} by {name}, %", f"{scored.name}, inputs {word}"
            found.append(Row(section, title, "%", 1, cells(partial(ca, among=among), logits), flag=why))
        return found

    raw = cells(lambda t: inception_score.estimate(t, shown, seed=seed), tables)
    exponentiated = cells(lambda t: inception_score.estimate(t, shown, exponential=True, seed=seed), tables)
    spread = cells(lambda t: spread_over_images(t, shown, seed), tables)
    return [
        row(f"{accuracy.CA}-{extractor}, %", "%", 1, cells(ca, logits), "accuracy"),
        row(f"{inception_score.RAW}-{extractor}, nats", "nats", 4, raw, "score"),
        row(f"{inception_score.RAW}-{extractor}, standard deviation over images, nats", "nats", 2, spread, "std"),
        row(f"{inception_score.EXPONENTIATED}-{extractor}", "", 4, exponentiated),
        *(by(setting.choices.by) if setting.choices.by is not None else ()),
    ]


_Printed = Literal["accuracy", "score", "std"]


def spread_over_images(table: Tensor, people: Tensor, seed: int) -> Estimate:
    """Standard deviation over images of KL(p(y|x) || p(y)), with its interval; p(y) is that of the whole set.

    Args:
        table: p(y|x), N x C.
        people: N numbers of the person each image shows.
        seed: of the resampling.
    """
    kl = inception_score.divergences(table)
    sums = torch.stack([kl, kl.square(), torch.ones_like(kl)], dim=1)

    def std(s: Tensor) -> Tensor:
        return (s[:, 1] / s[:, 2] - (s[:, 0] / s[:, 2]).square()).clamp_min(0).sqrt()

    return bootstrap.of_sums(sums, people, std, seed)


def notes(setting: Setting, left_out: list[str]) -> tuple[str, ...]:
    """How the numbers are defined."""
    size = setting.data.image_size
    between = (
        "Pairs go between images with all facts of a class and images with none, the only ones that a method between "
        "two domains knows."
        if opposite(setting)
        else "Pairs of a class of two facts differ in one of them or both."
    )
    by = setting.choices.by
    told_apart = () if by is None else (f"By {by}: whether the input, not the exemplar, is labelled so.",)
    more = (f"Not scored, for the model was not trained on their attributes: {', '.join(left_out)}.",)
    return (
        f"{setting.pairs} ordered pairs of the {setting.split} split a class, in both directions, that differ in the "
        f"class{alike_note(setting)}; [ ]: 95 % bootstrap intervals over the people in the inputs. "
        f"Translations are scored at {size} x {size}, raw decoder output rounded to 8 bits.",
        "Floor: the untranslated input; ceiling: the exemplar itself.",
        f"{accuracy.CA}: our classifier finds the exemplar's class in the translation, all facts of it at once. "
        f"{between} Facial hair: any of beard (not No_Beard), goatee, mustache (paper, 5.3), or Facial_Hair where that "
        "is annotated.",
        f"{inception_score.RAW}: mean over images of KL(p(y|x) || p(y)) in nats, y being the pattern of the class's "
        "facts; it can't exceed ln 2 a fact. The paper's scores can only be this form, for the exponential is at "
        "least 1.",
        *told_apart,
        "The paper's columns are context: other test images, another classifier. Claims rest on the floor, the ceiling "
        "and methods measured here.",
        *(more if left_out else ()),
    )
