"""The protocol `table1`: inception score and classification accuracy by class, as the paper's Table 1 has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lomit.data.sampling import NONE_OR_ALL
from lomit.data.transforms import normalise
from lomit.errors import LomitError
from lomit.evaluation.classes import TABLE_1, ScoredClass, papers_classes, parse_class
from lomit.evaluation.pairs import Pairs, alike_note, draw_pairs, of_data, usable_rows
from lomit.evaluation.protocols import Table1Protocol
from lomit.evaluation.results import Row
from lomit.evaluation.settings import TOO_FEW, Findings, Setting, as_saved, images, in_batches, keep, labels, translate
from lomit.metrics import accuracy, inception_score
from lomit.stats import bootstrap
from lomit.stats.estimate import Estimate

COLUMNS = ("model", "floor", "ceiling")


@dataclass(frozen=True)
class ClassPairs:
    """The pairs of a class of K facts, and for each fact how many people are without and with it."""

    scored: ScoredClass
    pairs: Pairs
    people: dict[str, list[int]]
    facts: dict[str, object]


def evaluate(setting: Setting, options: Table1Protocol) -> Findings:
    """Runs the protocol: for each class as many pairs as the options say, which differ in the class.

    Raises LomitError where the model knows none of the classes, or the split has too few pairs of one.
    """
    # What is missing is said before the first translation.
    drawn = [_draw(setting, options, scored) for scored in classes_of(setting, options)]
    by = None if options.by is None else of_data(setting, (options.by,), "by")
    rows: list[Row] = []
    for each in drawn:
        rows += summarise(setting, options, each, measure(setting, each), by)
    order = list(dict.fromkeys(row.section for row in rows))
    facts = {each.scored.name: each.facts for each in drawn}
    left_out = [name for name in TABLE_1 if not options.classes and name not in facts]
    return Findings(
        {"draws": facts, "attributes": list(setting.attributes)},
        notes(setting, options, left_out),
        sorted(rows, key=lambda row: order.index(row.section)),
    )


def classes_of(setting: Setting, options: Table1Protocol) -> tuple[ScoredClass, ...]:
    """The classes that were asked for, or those of the paper that the model knows.  Raises LomitError without any."""
    attributes, asked = setting.attributes, options.classes
    found = tuple(parse_class(text, attributes) for text in asked) if asked else papers_classes(attributes)
    if not found:
        raise LomitError(
            f"the model knows none of the paper's classes ({', '.join(TABLE_1)}), only {', '.join(attributes)}; "
            "name classes with --classes"
        )
    if len({c.name for c in found}) < len(found):
        raise LomitError("a class is named twice in --classes")
    return found


def _opposite(setting: Setting, options: Table1Protocol) -> bool:
    """Whether pairs go between images with all facts of a class and images with none only."""
    return options.opposite or setting.translator.domains == NONE_OR_ALL


def _draw(setting: Setting, options: Table1Protocol, scored: ScoredClass) -> ClassPairs:
    cache, rows = setting.cache, usable_rows(setting)
    y = scored.of_labels(cache.labels, setting.attributes)
    rows = rows[(y[rows] >= 0).all(1)]
    if _opposite(setting, options):
        rows = rows[NONE_OR_ALL.of(y[rows]) >= 0]
    people = {
        fact: [len(np.unique(cache.identity[rows[y[rows, k] == value]])) for value in (0, 1)]
        for k, fact in enumerate(scored.facts)
    }
    alike = of_data(setting, options.alike, "alike")
    try:
        pairs = draw_pairs(y, rows, options.pairs, setting.seed, alike=alike)
    except LomitError as error:
        raise LomitError(f"class '{scored.name}': {error}") from error
    return ClassPairs(scored, pairs, people, pairs.facts(cache, len(rows)) | {"people_each_way": people})


def measure(setting: Setting, drawn: ClassPairs) -> dict[str, Tensor]:
    """The logits of a class's facts, N x K each, in the translations, the inputs and the exemplars."""
    scored, pairs = drawn.scored, drawn.pairs
    stage = f"table1/{scored.name}"

    def compute(part: slice) -> dict[str, Tensor]:
        inputs, exemplars = pairs.inputs[part], pairs.exemplars[part]
        x, exemplar = images(setting, inputs), images(setting, exemplars)
        saved = as_saved(translate(setting, x, exemplar, labels(setting, exemplars), labels(setting, inputs)))
        keep(setting, stage, range(part.start, part.stop), inputs, exemplars, saved)
        shown = dict(zip(COLUMNS, (normalise(saved), x, exemplar), strict=True))
        return {c: scored.of_logits(setting.classify(image), setting.attributes) for c, image in shown.items()}

    return in_batches(setting, stage, len(pairs), compute)


def summarise(
    setting: Setting, options: Table1Protocol, drawn: ClassPairs, logits: dict[str, Tensor], by: np.ndarray | None
) -> list[Row]:
    """The rows of a class, by the logits of its facts (column -> N x K); `by`: labels of `options.by`, images x 1."""
    assert setting.classifier is not None
    scored, pairs, extractor, seed = drawn.scored, drawn.pairs, setting.classifier.name, setting.seed
    shown, who = setting.people(pairs.inputs), setting.resampled
    target = torch.from_numpy(scored.of_labels(setting.cache.labels, setting.attributes)[pairs.exemplars])
    differs = torch.from_numpy(pairs.differs)
    few = f"fewer than {TOO_FEW} {who} with or without it in the {setting.split} split: too few for a claim"
    flag = few if min(count for counts in drawn.people.values() for count in counts) < TOO_FEW else ""
    paper = TABLE_1.get(scored.name, {})

    def ca(z: Tensor, among: Tensor | None = None) -> Estimate:
        hits, counted = accuracy.class_tally(accuracy.correct(z, target), target, differs)
        return bootstrap.ratio(100 * hits, counted if among is None else counted * among, shown, seed)

    def cells(compute: Callable[[Tensor], Estimate], of: dict[str, Tensor]) -> dict[str, Estimate]:
        return {column: compute(of[column]) for column in COLUMNS}

    tables = {column: inception_score.joint_table(z.double().sigmoid()) for column, z in logits.items()}
    raw = partial(inception_score.estimate, people=shown, seed=seed)
    exponentiated = partial(raw, exponential=True)
    spread = partial(inception_score.spread_estimate, people=shown, seed=seed)
    ca_title, is_title = f"{accuracy.CA}-{extractor}", f"{inception_score.RAW}-{extractor}"

    def row(key: str, section: str, found: dict[str, Estimate], unit: str, digits: int, printed: str = "") -> Row:
        quoted = {method: getattr(values, printed) for method, values in paper.items() if printed}
        return Row(key, section, scored.name, found, scored.name, unit, digits, quoted, flag)

    rows = [
        row("ca", f"{ca_title}, %", cells(ca, logits), "%", 1, "accuracy"),
        row("is", f"{is_title}, nats", cells(raw, tables), "nats", 4, "score"),
        row("is_std", f"{is_title}, standard deviation over images, nats", cells(spread, tables), "nats", 2, "std"),
        row("is_exp", f"{inception_score.EXPONENTIATED}-{extractor}", cells(exponentiated, tables), "", 4),
    ]
    if by is None:
        return rows
    for value, word in ((1, "with"), (0, "without")):
        among = torch.from_numpy(by[pairs.inputs, 0] == value)
        lone = len(shown[among].unique()) < TOO_FEW
        why = flag or (f"fewer than {TOO_FEW} {who} in such inputs: too few for a claim" if lone else "")
        found = cells(partial(ca, among=among), logits)
        section, name = f"{ca_title} by {options.by}, %", f"{scored.name}, inputs {word}"
        rows.append(Row(f"ca_{word}_{options.by}", section, name, found, scored.name, "%", 1, flag=why))
    return rows


def notes(setting: Setting, options: Table1Protocol, left_out: list[str]) -> tuple[str, ...]:
    """How the numbers are defined."""
    size, by = setting.size, options.by
    between = (
        "Pairs go between images with all facts of a class and images with none, the only ones that a method between "
        "two domains knows."
        if _opposite(setting, options)
        else "Pairs of a class of two facts differ in one of them or both."
    )
    return (
        f"{options.pairs} ordered pairs of the {setting.split} split a class, in both directions, that differ in the "
        f"class{alike_note(options.alike)}; [ ]: 95 % bootstrap intervals over {setting.over}. "
        f"Translations are scored at {size} x {size}, raw decoder output rounded to 8 bits.",
        "Floor: the untranslated input; ceiling: the exemplar itself.",
        f"{accuracy.CA}: our classifier finds the exemplar's class in the translation, all facts of it at once. "
        f"{between} Facial hair: any of beard (not No_Beard), goatee, mustache (paper, 5.3), or Facial_Hair where that "
        "is annotated.",
        f"{inception_score.RAW}: mean over images of KL(p(y|x) || p(y)) in nats, y being the pattern of the class's "
        "facts; it can't exceed ln 2 a fact. The paper's scores can only be this form, for the exponential is at "
        "least 1.",
        *(() if by is None else (f"By {by}: whether the input, not the exemplar, is labelled so.",)),
        "The paper's columns are context: other test images, another classifier. Claims rest on the floor, the ceiling "
        "and methods measured here.",
        *([f"Not scored, for the model was not trained on them: {', '.join(left_out)}."] if left_out else []),
    )
