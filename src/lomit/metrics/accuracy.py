"""Attribute accuracy: does a classifier find the exemplar's attributes in the translated image?"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lomit.nn.blocks import float64

Tally = tuple[Tensor, Tensor]
"""Numerators and denominators, N each, float64, as `lomit.stats.bootstrap.ratio` takes them."""
CA = "CA"
"""Name of `class_tally`; the classifier's follows (`lomit.metrics.features.named`), then the class."""


def correct(logits: Tensor, target: Tensor) -> Tensor:
    """Which decisions are right, bool, B x A: a logit above 0 decides for the attribute.

    The target is 1 (has it), 0 (has not) or -1 (not annotated, never right).
    """
    return ((logits > 0) == (target == 1)) & (target >= 0)


def tallies(right: Tensor, target: Tensor, differs: Tensor, attributes: Sequence[str]) -> dict[str, Tally]:
    """The accuracies of N pairs, each named for what it counts.

    `right` is what `correct` says, N x A, the target N x A, the exemplar's labels; `differs` says in which attributes a
    pair differs, both images being annotated.

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
    return {name: (float64(numerator), float64(denominator)) for name, (numerator, denominator) in counted.items()}


def class_tally(right: Tensor, target: Tensor, differs: Tensor) -> Tally:
    """The classification accuracy (CA) of Table 1 for a class of K attributes; args as for `tallies`, N x K.

    The class is one label, the pattern of them all: it is right where each of them is.  A pair counts where it differs
    in any of them and is annotated in all.
    """
    counted = differs.any(1) & (target >= 0).all(1)
    return float64(right.all(1) & counted), float64(counted)
