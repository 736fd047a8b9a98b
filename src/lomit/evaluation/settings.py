"""What every evaluation protocol is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lomit.config import DataConfig
from lomit.data.cache import Cache
from lomit.data.source import Source
from lomit.errors import LomitError
from lomit.evaluation.labels import LabelPictures
from lomit.evaluation.results import Row
from lomit.evaluation.store import Store
from lomit.metrics.features import Extractor
from lomit.models.base import Translator

FindLandmarks = Callable[[Image.Image], np.ndarray | None]
"""A square RGB picture -> dlib's 68 landmarks as shares of its sides (68 x 2: x, y), None where there is no face."""
Embed = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Images and their translations, uint8, B x 3 x H x W each -> embeddings of the faces, B x D each, nan without one."""
EvaluatedSplit = Literal["test", "val"]
"""The part of the data that is measured; claims rest on `test`, choices (of a checkpoint, a weight) on `val`."""
ImageDistance = Callable[[Tensor, Tensor], Tensor]
"""B x 3 x H x W each in [-1, 1] -> B."""


def no_classifier(x: Tensor) -> Tensor:
    """Stands where no classifier was given.  Raises LomitError."""
    raise LomitError("give --classifier, the folder of an attribute classifier; lomit classifier train makes one")


@dataclass(frozen=True)
class Choices:
    """What single protocols let a user choose.

    Attributes:
        classes: `table1`: classes to score, `A` or `A+B`; empty, those of the paper that the model knows.
        by: `table1`: attribute of the data with and without which the inputs' accuracies are told apart.
        opposite: `table1`: in a class of several attributes, only pairs of an image with all and one with none.
        domains: `starganv2`: attributes whose images are a domain each; one alone, those with and those without it.
            Empty: the model's exclusive attributes, or its first.
        exemplars: `starganv2`: exemplars for each source.
        sources: `starganv2`: most sources of a domain pair; None, all.
        modes: `starganv2`: attributes of the classifier whose pattern the conditional inception score is of; empty, the
            model's.
        differ: attributes of the data of which every pair differs in one; empty, the model's.
        alike: attributes of the data in which no pair differs.
    """

    classes: tuple[str, ...] = ()
    by: str | None = None
    opposite: bool = False
    domains: tuple[str, ...] = ()
    exemplars: int = 10
    sources: int | None = None
    modes: tuple[str, ...] = ()
    differ: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """Everything that decides the numbers of a protocol.

    Attributes:
        translator: the model, in eval mode, on `device`.
        classify: images, B x 3 x H x W in [-1, 1] -> logits, B x A, for the translator's attributes in their order.
        source: the data set.
        data: how its images are cut and how large they are.
        cache: its images, with labels for the translator's attributes.
        device: where to compute.
        pairs: how many pairs to draw from the split.
        seed: of the pairs and of the bootstrap.
        batch_size: pairs in the network at a time.
        progress: show a bar on standard error where that is a terminal.
        classifier_name: what scores of `classify`'s answers carry in their names.
        modes: like `classify`, for the attributes of `Choices.modes`; None without a classifier.
        extractor: what makes the features that distances between sets of images are computed from, on `device`.
        lpips: LPIPS, where its weights are to be had.
        find_landmarks: finds a face's landmarks in a photograph.
        embed: embeds faces, where that is to be had.
        labels: where hair and mouth are in the images.
        store: keeps what is translated and scored.
        choices: of single protocols.
        split: whose images are measured.
    """

    translator: Translator
    classify: Callable[[Tensor], Tensor]
    source: Source
    data: DataConfig
    cache: Cache
    device: torch.device
    pairs: int = 1_000
    seed: int = 0
    batch_size: int = 16
    progress: bool = True
    classifier_name: str = "attr"
    modes: Callable[[Tensor], Tensor] | None = None
    extractor: Extractor | None = None
    lpips: ImageDistance | None = None
    find_landmarks: FindLandmarks | None = None
    embed: Embed | None = None
    labels: LabelPictures | None = None
    store: Store = field(default_factory=Store)
    choices: Choices = field(default_factory=Choices)
    split: EvaluatedSplit = "test"


@dataclass(frozen=True)
class Outcome:
    """What a protocol found.

    Attributes:
        facts: what it was measured on, for the report.
        notes: how the numbers are defined.
        rows: the numbers.
        counted: what the samples of a number are.
    """

    facts: dict[str, object]
    notes: tuple[str, ...]
    rows: list[Row]
    counted: str = "pairs"


Protocol = Callable[[Setting], Outcome]
