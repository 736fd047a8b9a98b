"""The protocols of `lomit evaluate`: what each measures is in its module; how it is called and told to a user, here."""

from __future__ import annotations

from dataclasses import dataclass

from lomit.evaluation.protocols.avatars import evaluate_rendered
from lomit.evaluation.protocols.background import evaluate_background
from lomit.evaluation.protocols.masks import evaluate_masks
from lomit.evaluation.protocols.starganv2 import evaluate_starganv2
from lomit.evaluation.protocols.table1 import evaluate_table1
from lomit.evaluation.settings import Protocol


@dataclass(frozen=True)
class Entry:
    """A protocol.

    Attributes:
        run: what runs it.
        about: one line for a user.
        classifier: whether it needs the attribute classifier.
        pairs: whether the number of pairs is its to choose.
        choices: the names of those `Choices`, and of other options, that mean something to it.
        photographs: what it needs of `Setting` where the data has no true regions.
    """

    run: Protocol
    about: str
    classifier: bool = True
    pairs: bool = True
    choices: frozenset[str] = frozenset()
    photographs: frozenset[str] = frozenset()


PAIRED = frozenset({"differ", "alike"})
LABELLED = PAIRED | {"labels"}

PROTOCOLS: dict[str, Entry] = {
    "avatars": Entry(
        evaluate_rendered, "accuracy, background and masks on rendered faces, with and without masks", choices=PAIRED
    ),
    "table1": Entry(
        evaluate_table1,
        "inception score and classification accuracy of the paper's classes",
        choices=frozenset({"classes", "opposite", "alike", "by"}),
    ),
    "starganv2": Entry(
        evaluate_starganv2,
        "FID, KID, diversity and conditional inception score for every pair of domains, ten exemplars each",
        classifier=False,
        pairs=False,
        choices=frozenset({"domains", "exemplars", "sources", "extractor", "weights", "lpips_weights", "modes"}),
    ),
    "background": Entry(
        evaluate_background,
        "change and SSIM outside what was to change, identity kept",
        classifier=False,
        choices=LABELLED,
        photographs=frozenset({"find_landmarks", "embed"}),
    ),
    "masks": Entry(
        evaluate_masks,
        "overlap, area and saturation of the masks",
        classifier=False,
        choices=LABELLED,
        photographs=frozenset({"find_landmarks"}),
    ),
}
"""Name -> protocol."""
