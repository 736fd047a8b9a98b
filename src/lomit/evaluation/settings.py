"""What every protocol is given, what it does alike, and what it returns.

It translates in batches that can be resumed, and scores what a PNG would hold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from lomit.classifier.network import AttributeClassifier
from lomit.config import DataConfig, NumberFormat
from lomit.data.cache import Cache
from lomit.data.source import Source
from lomit.data.transforms import denormalise, normalise
from lomit.errors import LomitError
from lomit.evaluation.photographs import LabelPictures
from lomit.evaluation.protocols import EvaluatedSplit, no_classifier
from lomit.evaluation.results import Row
from lomit.evaluation.store import Store
from lomit.inference.precision import computing_in
from lomit.metrics.features import Extractor
from lomit.models.base import Guide, Masks, Translation, Translator

TOO_FEW = 10
"""Fewer people than these are too few for a claim; what rests on them is flagged."""


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
        precision: what its convolutions compute in; networks that judge stay float32.
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
    precision: NumberFormat = "float32"
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


def images(setting: Setting, rows: np.ndarray) -> Tensor:
    """Images of the cache, B x 3 x S x S in [-1, 1], on the device."""
    return normalise(torch.from_numpy(np.asarray(setting.cache.images[rows])).to(setting.device))


def labels(setting: Setting, rows: np.ndarray) -> Tensor:
    """Labels of images of the cache, int8, B x A in {-1, 0, 1}, on the device."""
    return torch.from_numpy(setting.cache.labels[rows]).to(setting.device)


def translate(
    setting: Setting, x: Tensor, exemplar: Tensor, y: Tensor, y_input: Tensor, masks: Masks | None = None
) -> Translation:
    """Translates; every method is given the same and leaves unused what it does not need.

    Args:
        x, exemplar: B x 3 x S x S in [-1, 1].
        y: target labels, B x A in {-1, 0, 1}, for methods guided by labels; what is not annotated is told as 0.
        y_input: the inputs' labels, for methods with an encoder for each domain.  What differs between both is named to
            a method whose masks go by names.
        masks: in place of the predicted ones.
    """
    target, source = (labels.clamp(min=0).float() for labels in (y, y_input))
    moved = ((y != y_input) & (y >= 0) & (y_input >= 0)).float()
    with (
        torch.no_grad(),
        torch.backends.cudnn.flags(deterministic=True, benchmark=False),
        computing_in(setting.precision, setting.device),
    ):
        return setting.translator.translate(x, Guide(exemplar, target, None, masks, source, moved))


def as_saved(result: Translation) -> Tensor:
    """The image as a PNG would hold it: uint8, B x 3 x S x S.  Raises LomitError where the output is not finite."""
    if not torch.isfinite(result.image).all():
        raise LomitError("the model's output is not finite; its weights are damaged or its training failed")
    return denormalise(result.image)


def in_batches(
    setting: Setting, stage: str, count: int, compute: Callable[[slice], Mapping[str, Tensor]], size: int | None = None
) -> dict[str, Tensor]:
    """Runs over `count` things in batches and keeps each batch's values, so that a killed run is taken up.

    Args:
        stage: name of this run, different from every other of the protocol.
        compute: some things -> name -> values, whose first axis is over these.
        size: things in a batch; by default the setting's batch size.

    Returns:
        Name -> the values of all, on the CPU.
    """
    size = size or setting.batch_size
    parts: dict[str, list[Tensor]] = defaultdict(list)
    starts = range(0, count, size)
    with torch.no_grad():
        for k, start in enumerate(tqdm(starts, desc=stage, unit="batch", disable=None)):
            part = slice(start, min(start + size, count))
            found = setting.store.part(f"{stage}/{k:05d}", lambda part=part: compute(part))  # type: ignore[misc]
            for name, tensor in found.items():
                parts[name].append(tensor)
    return {name: torch.cat(tensors) for name, tensors in parts.items()}


def keep(
    setting: Setting, stage: str, numbers: Sequence[int], inputs: np.ndarray, exemplars: np.ndarray, result: Tensor
) -> None:
    """Keeps translated images (uint8, B x 3 x S x S), where that is asked for, as `NUMBER_INPUT_EXEMPLAR.png`."""
    stems = []
    for number, *rows in zip(numbers, inputs.tolist(), exemplars.tolist(), strict=True):
        names = [setting.cache.names[row] for row in rows]
        stems.append("_".join([f"{number:06d}", *(name.rpartition(".")[0] or name for name in names)]))
    setting.store.keep_images(stage, stems, result)
