"""Attribute accuracy: does a classifier find the exemplar's attributes in the translated image?"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lomit.errors import LomitError, did_you_mean

Tally = tuple[Tensor, Tensor]
"""Numerators and denominators, N each, float64, as `lomit.stats.bootstrap.ratio` takes them."""
CA = "CA"
"""Name of `class_tallies`; the classifier's follows (`lomit.metrics.features.named`), then the class."""


def correct(logits: Tensor, target: Tensor) -> Tensor:
    """Which decisions are right.

    Args:
        logits: B x A, above 0 decides for the attribute.
        target: B x A, 1 has it, 0 has not, -1 not annotated (never right).

    Returns:
        bool, B x A.
    """
    return ((logits > 0) == (target == 1)) & (target >= 0)


def differing(y1: Tensor, y2: Tensor) -> Tensor:
    """The attributes in which two images differ, both being annotated: N x A each -> bool, N x A."""
    return (y1 >= 0) & (y2 >= 0) & (y1 != y2)


def tallies(right: Tensor, target: Tensor, differs: Tensor, attributes: Sequence[str]) -> dict[str, Tally]:
    """The accuracies of N pairs, each named for what it counts.

    Args:
        right: bool, N x A, from `correct`.
        target: N x A, the exemplar's labels; -1 (not annotated) takes no part.
        differs: bool, N x A, from `differing`.
        attributes: A names.

    Returns:
        An attribute: pairs that differ in it, in either direction.  `changed, each`: every decision about an
        attribute in which its pair differs.  `changed, all at once`: pairs whose changed attributes are all
        right (the paper's combined classes).  `every attribute, each`: every decision, that what does not
        differ stays as it is included.  `every attribute, all at once`: pairs with nothing wrong.
    """
    known = target >= 0
    counted = {name: (right[:, k] & differs[:, k], differs[:, k]) for k, name in enumerate(attributes)}
    counted |= {
        "changed, each": ((right & differs).sum(1), differs.sum(1)),
        "changed, all at once": ((right | ~differs).all(1) & differs.any(1), differs.any(1)),
        "every attribute, each": ((right & known).sum(1), known.sum(1)),
        "every attribute, all at once": ((right | ~known).all(1) & known.any(1), known.any(1)),
    }
    return {name: (numerator.double(), denominator.double()) for name, (numerator, denominator) in counted.items()}


def class_tallies(
    right: Tensor,
    target: Tensor,
    differs: Tensor,
    attributes: Sequence[str],
    classes: Sequence[Sequence[str]],
    every: bool = False,
) -> dict[str, Tally]:
    """The classification accuracy (CA) of Table 1 for classes of one attribute or several.

    A class of several attributes is one label, the pattern of them all: it is right where each of them is.

    Args:
        right, target, differs, attributes: as for `tallies`.
        classes: the attributes of each class.
        every: count pairs that differ in every attribute of the class, the only ones that a method between two
            domains knows, in place of pairs that differ in the class, which is in any of its attributes.

    Returns:
        `A + B` -> a pair counts 1 where it differs in the class and is annotated in all of it.

    Raises:
        LomitError: for an attribute that is not among `attributes`.
    """
    found = {}
    for names in classes:
        for name in names:
            if name not in attributes:
                raise LomitError(f"unknown attribute '{name}'{did_you_mean(name, attributes)}")
        columns = [attributes.index(name) for name in names]
        apart = differs[:, columns]
        counted = (apart.all(1) if every else apart.any(1)) & (target[:, columns] >= 0).all(1)
        hit = right[:, columns].all(1) & counted
        found[" + ".join(names)] = (hit.double(), counted.double())
    return found
