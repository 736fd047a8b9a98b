"""The attribute classifier: it says what an image shows, whichever method made it.

Its network is a small one of our own, which learns from scratch on a CPU, or Inception-v3 with ImageNet weights, which
the paper fine-tunes (5.4).  It is trained apart from every translator, so that no method is scored by its own
discriminator.  A saved one is a folder like a translator's.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from lomit import __version__
from lomit.classifier.config import ClassifierConfig
from lomit.config import from_dict, read_json, to_dict
from lomit.errors import LomitError
from lomit.images import write_bytes
from lomit.inference.catalogue import CARD, CONFIG, packaged
from lomit.inference.weights import WEIGHTS, fill, unfilled
from lomit.metrics.features import INCEPTION_FEATURES, Inception
from lomit.nn.blocks import ConvBlock, group_norm, he_init

KIND = "attribute-classifier"
"""Value of `kind` in a classifier's config.json; a translator has `method` in its place."""


class AttributeClassifier(nn.Module):
    """A trunk, a feature vector and one logit an attribute."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk: nn.Module
        self.hidden: nn.Module
        if config.network == "inception-v3":
            self.trunk, self.hidden, features = Inception(), nn.Identity(), INCEPTION_FEATURES
        else:
            side, features = config.image_size // 16, config.features
            self.trunk, self.hidden = _small_trunk(config.width), nn.Linear(8 * config.width * side * side, features)
            he_init(self)
        self.head = nn.Linear(features, len(config.attributes))
        # Logits that start at 0: the first steps then shape the features and not the scale.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @property
    def name(self) -> str:
        """What scores of its features and probabilities carry in their names: `attr` or `attr-inception`."""
        return "attr" if self.config.network == "small" else "attr-inception"

    def features(self, x: Tensor) -> Tensor:
        """The vector that the logits are read from.  B x 3 x H x W in [-1, 1], any size -> B x F, not negative."""
        size = (self.config.image_size, self.config.image_size)
        if tuple(x.shape[-2:]) != size:
            # Without antialiasing the scores would depend on how large the image came in.
            x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
        return F.relu(self.hidden(self.trunk(x).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits: B x 3 x H x W in [-1, 1] -> B x A; above 0, the image has the attribute."""
        return self.head(self.features(x))  # type: ignore[no-any-return]

    def probabilities(self, x: Tensor) -> Tensor:
        """Probability of each attribute, as calibrated: B x 3 x H x W in [-1, 1] -> B x A in [0, 1]."""
        return self(x).sigmoid()

    @torch.no_grad()
    def divide_logits(self, temperatures: Tensor) -> None:
        """Calibrates: from now on each logit, A of them, is what it was divided by its temperature."""
        for parameter in (self.head.weight, self.head.bias):
            parameter.div_(temperatures.to(parameter).view(-1, *[1] * (parameter.dim() - 1)))

    def columns(self, attributes: tuple[str, ...]) -> list[int]:
        """Where these attributes stand among the logits; LomitError for one that the classifier does not know."""
        missing = [a for a in attributes if a not in self.config.attributes]
        if missing:
            raise LomitError(
                f"the classifier does not know '{missing[0]}', it knows {', '.join(self.config.attributes)}; "
                "train one that does with lomit classifier train"
            )
        return [self.config.attributes.index(a) for a in attributes]


def _small_trunk(width: int) -> nn.Module:
    """Seven 3 x 3 convolutions with group norm, four of them strided: B x 3 x S x S -> B x 8w x S/16 x S/16.

    The first convolution is not strided: at 64 pixels a smile is a curve one or two pixels thick.  The map keeps its
    places (it is flattened, not pooled): on aligned faces, where something is says much about what it is.
    """

    def conv(c_in: int, c_out: int, stride: int) -> ConvBlock:
        return ConvBlock(c_in, c_out, 3, stride, 1, group_norm, nn.ReLU(inplace=True), pad="zeros")

    channels = [3, *(factor * width for factor in (1, 2, 2, 4, 4, 8, 8))]
    return nn.Sequential(*map(conv, channels, channels[1:], (1, 2, 1, 2, 1, 2, 2)))


@dataclass
class ClassifierCard:
    """What is known about a trained classifier.

    `training` says how it was trained: data, counts, settings.  `validation` is attribute -> score -> value, on people
    that were not trained on, calibration included.  `sha256` is that of the weights' file, empty before it is written.
    """

    training: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, dict[str, Any]] = field(default_factory=dict)
    sha256: str = ""


def save_classifier(
    classifier: AttributeClassifier, card: ClassifierCard, text: str, folder: Path, overwrite: bool = False
) -> None:
    """Writes a classifier: the card's numbers into config.json, its text into README.md.  Raises as `check_free`."""
    check_free(folder, overwrite)
    tensors = {name: t.detach().cpu().contiguous() for name, t in classifier.state_dict().items()}
    weights = save(tensors, metadata={"format": "pt"})
    numbers = {"training": card.training, "validation": card.validation}
    config = {"kind": KIND, "lomit_version": __version__, "classifier": to_dict(classifier.config)} | numbers
    config_text = json.dumps(config, indent=2) + "\n"
    # config.json comes last: a folder without it is not a classifier.
    for name, content in ((WEIGHTS, weights), (CARD, text.encode()), (CONFIG, config_text.encode())):
        write_bytes(folder / name, content, overwrite)


def check_free(folder: Path, overwrite: bool) -> None:
    """Checks that a classifier can be written there, before hours of training.

    Raises LomitError where something stands there and `overwrite` is False, or where it can't be written.
    """
    there = [name for name in (WEIGHTS, CONFIG, CARD) if os.path.lexists(folder / name)]
    if there and not overwrite:
        raise LomitError(f"{folder} holds {there[0]} already; choose another --out or add --overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise LomitError(f"{folder} can't be written: {error.strerror or error}") from error


def load_classifier(folder: str | os.PathLike[str]) -> tuple[AttributeClassifier, ClassifierCard]:
    """A classifier in eval mode, on the CPU, and its card, from its folder or by the name of one in the package.

    Raises LomitError where the folder holds no classifier, or a damaged one.
    """
    folder, here = Path(folder), packaged() / folder
    if not folder.exists() and (here / CONFIG).is_file():
        folder = here
    path = folder / CONFIG
    if not path.is_file():
        raise LomitError(f"{folder} is not a classifier: it has no {CONFIG}; lomit classifier train makes one")
    values = read_json(path)
    if values.get("kind") != KIND:
        found = "a translator" if "method" in values else "something else"
        raise LomitError(f"{folder} holds {found}, not a classifier; lomit classifier train makes one")
    config = from_dict(ClassifierConfig, values.get("classifier", {}), f"{path}: classifier")
    with unfilled():
        classifier = AttributeClassifier(config)
    fill(classifier, folder / WEIGHTS)
    card = ClassifierCard(values.get("training", {}), values.get("validation", {}), file_sha256(folder / WEIGHTS))
    return classifier.eval().requires_grad_(False), card


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
