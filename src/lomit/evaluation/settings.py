"""What every protocol is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lomit.classifier.network import AttributeClassifier
from lomit.config import DataConfig
from lomit.data.cache import Cache
from lomit.data.source import Source
from lomit.evaluation.label_pictures import LabelPictures
from lomit.evaluation.protocols import EvaluatedSplit, no_classifier
from lomit.evaluation.results import Row
from lomit.evaluation.store import Store
from lomit.metrics.features import Extractor
from lomit.models.base import Translator


@dataclass(frozen=True, kw_only=True)
class Judges:
    """The data of an evaluation and what it is measured with: all that is known before an image is decoded.

    Attributes:
        data: how its images are cut, with labels for the translator's attributes.
        classifier: says what images show.
        extractor: makes the features that sets of images are compared by, on `device`.
        lpips: LPIPS, where its weights are to be had: B x 3 x H x W each in [-1, 1] -> B.
        find_landmarks: a square RGB picture -> dlib's 68 landmarks as shares of its sides (68 x 2: x, y), None where
            there is no face.
        embed: images and their translations, uint8, B x 3 x H x W each -> embeddings of the faces, B x D each, nan
            without one.
        labels: where hair and mouth are in photographs.
        judges: what these are (names, hashes), for the results.
    """

    source: Source
    data: DataConfig
    device: torch.device
    classifier: AttributeClassifier | None = None
    extractor: Extractor | None = None
    lpips: Callable[[Tensor, Tensor], Tensor] | None = None
    find_landmarks: Callable[[Image.Image], np.ndarray | None] | None = None
    embed: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    labels: LabelPictures | None = None
    judges: dict[str, dict[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Setting(Judges):
    """A model, and the data and judges it is measured with.

    Attributes:
        translator: in eval mode, on `device`.
        split: whose images are measured.
        seed: of the pairs and of the bootstrap.
        batch_size: pairs in the network at a time.
        store: keeps what is translated and scored.
    """

    translator: Translator
    cache: Cache
    split: EvaluatedSplit = "test"
    seed: int = 0
    batch_size: int = 16
    store: Store = field(default_factory=Store)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The model's."""
        return self.cache.attributes

    @property
    def size(self) -> int:
        """Side of the images, in pixels."""
        return self.data.image_size

    @property
    def resampled(self) -> str:
        """What the intervals resample: `people` or `images`."""
        return "people" if self.cache.knows_people else "images"

    @property
    def over(self) -> str:
        """The same for a note: what the intervals are over."""
        return "the people in the inputs" if self.resampled == "people" else "the inputs (whom they show is not known)"

    def people(self, rows: np.ndarray) -> Tensor:
        """The person that each of these images of the cache shows, N."""
        return torch.from_numpy(self.cache.identity[rows])

    def classify(self, x: Tensor, attributes: tuple[str, ...] | None = None) -> Tensor:
        """Logits of attributes, by default the model's: B x 3 x H x W in [-1, 1] -> B x A.  Raises LomitError
        without a classifier, or where it does not know one of them."""
        if self.classifier is None:
            raise no_classifier()
        return self.classifier(x)[:, self.classifier.columns(attributes or self.attributes)]


@dataclass(frozen=True)
class Findings:
    """What a protocol found.

    Attributes:
        facts: what it was measured on, for the results.
        counted: what the samples of a number are.
    """

    facts: dict[str, object]
    notes: Sequence[str]
    rows: Sequence[Row]
    counted: str = "pairs"
