"""The paper's classes and numbers, and patterns of one or two facts that labels and logits are turned into.

"We denote Facial Hair when belonging to any of the three classes, Beard, Goatee or Mustache" (5.3); CelebA's annotation
of a beard is the lack of `No_Beard`.  The three overlap, so the logit of facial hair is the largest of theirs: it
decides as "any of them" does, and is the surest of them in probability (independence would count one beard thrice).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lomit.errors import LomitError, did_you_mean

Signed = tuple[str, int]
"""An attribute, and 1 where having it counts, -1 where lacking it does."""
FACTS: dict[str, tuple[tuple[Signed, ...], ...]] = {
    # One annotation of all facial hair, which rendered faces have, is taken where it is there.
    "facial hair": ((("Facial_Hair", 1),), (("Goatee", 1), ("Mustache", 1), ("No_Beard", -1))),
    "gender": ((("Male", 1),),),
    "makeup": ((("Heavy_Makeup", 1),),),
    "wearing lipstick": ((("Wearing_Lipstick", 1),),),
}
"""The paper's name for what an image shows -> attributes of which any says so, the first way known counts."""
NAME_OF = {attribute: name for name, ways in FACTS.items() for way in ways for attribute, _ in way}
"""Attribute -> the paper's name for what it is about."""


@dataclass(frozen=True)
class Printed:
    """What the paper prints for a class and a method: inception score, its standard deviation, accuracy in percent."""

    score: float
    std: float
    accuracy: float


METHODS = ("DRIT", "MUNIT", "LOMIT")
_PRINTED = {
    "facial hair": ((0.3295, 0.24, 23.8), (0.2808, 0.25, 60.0), (0.3105, 0.27, 71.4)),
    "gender": ((0.2703, 0.21, 21.1), (0.1368, 0.19, 53.0), (0.2348, 0.22, 83.9)),
    "wearing lipstick": ((0.2685, 0.20, 19.9), (0.1751, 0.20, 57.1), (0.2528, 0.20, 73.7)),
    "facial hair + gender": ((0.3805, 0.24, 14.3), (0.1972, 0.25, 34.9), (0.2069, 0.23, 68.1)),
    "makeup + wearing lipstick": ((0.2853, 0.21, 16.1), (0.2472, 0.24, 27.3), (0.2834, 0.22, 72.8)),
}
TABLE_1 = {
    name: {method: Printed(*values) for method, values in zip(METHODS, row, strict=True)}
    for name, row in _PRINTED.items()
}
"""The paper's Table 1 (CelebA, 2,000 test images, a classifier of its own): class -> method -> numbers."""


@dataclass(frozen=True)
class Fact:
    """One thing that an image shows or not: any of some attributes.

    Attributes:
        name: what tables call it.
        any_of: the attributes.
    """

    name: str
    any_of: tuple[Signed, ...]

    def of_labels(self, labels: np.ndarray, attributes: Sequence[str]) -> np.ndarray:
        """int8, N x A of -1 (not annotated), 0, 1 -> N of the same: 1 where any is known to hold, 0 where none does."""
        parts = []
        for name, sign in self.any_of:
            y = labels[:, attributes.index(name)]
            parts.append(np.where(y < 0, -1, y if sign > 0 else 1 - y))
        values = np.stack(parts)
        return np.where((values == 1).any(0), 1, np.where((values < 0).any(0), -1, 0)).astype(np.int8)

    def of_logits(self, logits: Tensor, attributes: Sequence[str]) -> Tensor:
        """N x A -> N: the largest logit of the attributes, above 0 where any is decided for."""
        columns = [sign * logits[:, attributes.index(name)] for name, sign in self.any_of]
        return torch.stack(columns).amax(0)


@dataclass(frozen=True)
class ScoredClass:
    """A class: the pattern of its facts.

    Attributes:
        name: its key, and what tables call it.
        facts: K of them.
    """

    name: str
    facts: tuple[Fact, ...]

    def of_labels(self, labels: np.ndarray, attributes: Sequence[str]) -> np.ndarray:
        """int8, N x A -> N x K."""
        return np.stack([fact.of_labels(labels, attributes) for fact in self.facts], axis=1)

    def of_logits(self, logits: Tensor, attributes: Sequence[str]) -> Tensor:
        """N x A -> N x K."""
        return torch.stack([fact.of_logits(logits, attributes) for fact in self.facts], dim=1)


def papers_classes(attributes: Sequence[str]) -> tuple[ScoredClass, ...]:
    """Those of the five classes whose attributes are all among these."""
    found = []
    for name in TABLE_1:
        facts = [_papers_fact(part, attributes) for part in name.split(" + ")]
        known = tuple(fact for fact in facts if fact is not None)
        if len(known) == len(facts):
            found.append(ScoredClass(name, known))
    return tuple(found)


def parse_class(text: str, attributes: Sequence[str]) -> ScoredClass:
    """A class from `A` or `A+B`, attributes or the paper's words for them.

    Raises:
        LomitError: for what is no attribute of the model.
    """
    facts = []
    for word in (part.strip() for part in text.split("+")):
        fact = _papers_fact(word, attributes) or (Fact(word, ((word, 1),)) if word in attributes else None)
        if fact is None:
            raise LomitError(
                f"no class '{word}'{did_you_mean(word, attributes)}; the model's attributes: {', '.join(attributes)}"
            )
        facts.append(fact)
    return ScoredClass(" + ".join(fact.name for fact in facts), tuple(facts))


def papers_name(name: str) -> str:
    """`Goatee + Male` -> `facial hair + gender`; attributes that the paper does not score keep their names."""
    return " + ".join(dict.fromkeys(NAME_OF.get(part, part) for part in name.split(" + ")))


def _papers_fact(name: str, attributes: Sequence[str]) -> Fact | None:
    """A fact of the paper's, None where the attributes don't say."""
    known = (way for way in FACTS.get(name, ()) if all(attribute in attributes for attribute, _ in way))
    return next((Fact(name, way) for way in known), None)
