"""The paper's classes and numbers, and patterns of one or two facts that labels and logits are turned into.

"We denote Facial Hair when belonging to any of the three classes, Beard, Goatee or Mustache" (5.3); CelebA's annotation
of a beard is the lack of `No_Beard`.  The three overlap, so the logit of facial hair is the largest of theirs: it
decides as "any of them" does, and is the surest of them in probability (independence would count one beard thrice).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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


class Printed(NamedTuple):
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
class ScoredClass:
    """A class: the pattern of K facts, each of which holds where any of some attributes does.

    Attributes:
        facts: what tables call a fact -> the attributes.
    """

    facts: Mapping[str, tuple[Signed, ...]]

    @property
    def name(self) -> str:
        """Its key, and what tables call it."""
        return " + ".join(self.facts)

    def of_labels(self, labels: np.ndarray, attributes: Sequence[str]) -> np.ndarray:
        """int8, N x A of -1 (not annotated), 0, 1 -> N x K of the same: 1 where a fact is known to hold."""
        columns = []
        for any_of in self.facts.values():
            y = labels[:, [attributes.index(name) for name, _ in any_of]]
            values = np.where(y < 0, -1, np.where([sign > 0 for _, sign in any_of], y, 1 - y))
            columns.append(np.where((values == 1).any(1), 1, np.where((values < 0).any(1), -1, 0)))
        return np.stack(columns, axis=1).astype(np.int8)

    def of_logits(self, logits: Tensor, attributes: Sequence[str]) -> Tensor:
        """N x A -> N x K: the largest logit of a fact's attributes, above 0 where any is decided for."""
        signed = [
            torch.stack([sign * logits[:, attributes.index(name)] for name, sign in any_of], dim=1)
            for any_of in self.facts.values()
        ]
        return torch.stack([each.amax(1) for each in signed], dim=1)


def papers_classes(attributes: Sequence[str]) -> tuple[ScoredClass, ...]:
    """Those of the five classes whose attributes are all among these."""
    ways = [{fact: _papers_way(fact, attributes) for fact in name.split(" + ")} for name in TABLE_1]
    return tuple(ScoredClass(facts) for facts in ways if all(facts.values()))


def parse_class(text: str, attributes: Sequence[str]) -> ScoredClass:
    """A class from `A` or `A+B`, attributes or the paper's words for them.

    Raises LomitError for what is no attribute of the model.
    """
    facts = {}
    for word in (part.strip() for part in text.split("+")):
        facts[word] = _papers_way(word, attributes) or (((word, 1),) if word in attributes else ())
        if not facts[word]:
            raise LomitError(
                f"no class '{word}'{did_you_mean(word, attributes)}; the model's attributes: {', '.join(attributes)}"
            )
    return ScoredClass(facts)


def papers_name(name: str) -> str:
    """`Goatee + Male` -> `facial hair + gender`; attributes that the paper does not score keep their names."""
    return " + ".join(dict.fromkeys(NAME_OF.get(part, part) for part in name.split(" + ")))


def _papers_way(fact: str, attributes: Sequence[str]) -> tuple[Signed, ...]:
    """The attributes that tell of a fact of the paper's; none where the model does not know them."""
    known = (way for way in FACTS.get(fact, ()) if all(attribute in attributes for attribute, _ in way))
    return next(known, ())
