"""`lomit classifier train`: the attribute classifier that `lomit evaluate` counts hits with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from lomit.commands.labelled import LabelledData, usable_device
from lomit.commands.options import parse
from lomit.config import DataConfig
from lomit.data.cache import Cache, build_cache
from lomit.data.open import open_source, recognise
from lomit.errors import LomitError
from lomit.metrics.classifier import (
    AttributeClassifier,
    ClassifierCard,
    ClassifierConfig,
    check_free,
    file_sha256,
    save_classifier,
)
from lomit.metrics.inception import inception_features
from lomit.metrics.report import markdown_table
from lomit.metrics.training import ClassifierTraining, calibrate, train_classifier, validate
from lomit.weights import WEIGHTS

CELEBA_TERMS = """
Trained on CelebA: for non-commercial research only, as CelebA's own terms say.
"""


NOBODY_KNOWN = """

Who is shown is not known: each image counts as a person, so people may be in both parts, and intervals too narrow."""


@dataclass
class ClassifierOptions:
    """Train a classifier of face attributes, calibrate it, and validate it on people it has not seen.

    It learns from the train split, is calibrated and validated on the val split; `lomit evaluate` uses the test split.
    """

    data: LabelledData = field(default_factory=LabelledData)
    """Where the labelled faces are."""
    attributes: tuple[str, ...] = ()
    """Attribute to learn; repeat the option, or give several with commas between.  By default all that the data has."""
    out: str = "classifier"
    """Folder for the classifier: weights, config and card."""
    image_size: int = 64
    """Side of the images it looks at, in pixels."""
    network: Literal["small", "inception-v3"] = "small"
    """`small` learns from scratch on a CPU; `inception-v3` is fine-tuned and needs torchvision and ImageNet weights."""
    weights: str | None = None
    """Inception-v3's ImageNet weights, torchvision's .pth file or a .safetensors; by default from torch's cache."""
    width: int = 16
    """Channels of the small network's first convolution."""
    training: ClassifierTraining = field(default_factory=ClassifierTraining)
    """How it is trained."""
    threads: int | None = None
    """CPU threads; by default PyTorch's choice."""
    device: str = "cpu"
    """cpu, cuda, ..."""
    overwrite: bool = False
    """Replace a classifier that is there."""


def run_classifier_train(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return train(parse(ClassifierOptions, argv, "lomit classifier train"))


def train(options: ClassifierOptions) -> int:
    """Trains, validates and saves; prints the scores and where it is.

    Raises:
        LomitError: for data, attributes, numbers and folders that can't be used.
    """
    attributes = tuple(dict.fromkeys(a.strip() for word in options.attributes for a in word.split(",") if a.strip()))
    network = ClassifierConfig(attributes, options.image_size, options.width, network=options.network)
    if options.weights is not None and network.network == "small":
        raise LomitError("the small network learns from scratch; --weights go with --network inception-v3")
    data = options.data.config(options.image_size, attributes)
    device = usable_device(options.device)
    # What is missing is said before images are decoded.
    imagenet = inception_features(options.weights) if network.network == "inception-v3" else None

    def start(classifier: AttributeClassifier) -> None:
        if imagenet is not None:
            classifier.trunk.load_state_dict(imagenet.state_dict())

    out = Path(options.out)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    source = open_source(data)
    cache = build_cache(source, data)
    network = dataclasses.replace(network, attributes=cache.attributes)
    for split in ("train", "val"):
        if not len(cache.subset(split)):
            raise LomitError(f"{data.root} has no image of the {split} split; the classifier needs train and val")
    check_free(out, options.overwrite)
    print(f"{len(cache.subset('train'))} images to train on, {len(cache.subset('val'))} to validate")
    training = dataclasses.replace(options.training, lr=options.training.lr_for(network))
    classifier = train_classifier(cache, network, training, device, prepare=start)
    calibration = calibrate(classifier, cache, seed=training.seed, device=device)
    validation = validate(classifier, cache, seed=training.seed, device=device)
    scores = {name: values | calibration[name] for name, values in validation.items()}
    card = ClassifierCard(_training(cache, options, training, _layout(data)), scores)
    table = scores_table(scores)
    save_classifier(classifier, card, _card_text(classifier, card, table), out, options.overwrite)
    unseen = "people" if cache.knows_people else "images (who is shown is not known)"
    print(f"\n{table}\n\nvalidated on {unseen} it has not seen; the classifier is in {out}")
    print(f"sha256 of its weights: {file_sha256(out / WEIGHTS)}")
    return 0


def _layout(data: DataConfig) -> str:
    return recognise(Path(data.root or "").expanduser()) if data.kind == "auto" else data.kind


def scores_table(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """The validation as a Markdown table that also reads well in a terminal."""
    header = ["attribute", "accuracy %", "balanced %", "AUC", "ECE raw", "ECE", "T", "images (with)", "people (with)"]
    rows = [header]
    for name, s in scores.items():
        rows.append([
            name,
            _interval(s, "accuracy", "low", "high", 100, 1),
            _interval(s, "balanced_accuracy", "balanced_low", "balanced_high", 100, 1),
            _interval(s, "auc", "auc_low", "auc_high", 1, 3),
            _shown(s["ece_before"], 1, 3),
            _shown(s["ece_after"], 1, 3),
            f"{s['temperature']:.2f}",
            f"{s['images']} ({s['positives']})",
            f"{s['people']} ({s['people_with']})",
        ])  # fmt: skip
    return markdown_table(rows)


def _interval(s: Mapping[str, Any], value: str, low: str, high: str, factor: float, digits: int) -> str:
    shown = _shown(s[value], factor, digits)
    return shown if s[low] is None else f"{shown} [{_shown(s[low], factor, digits)}, {_shown(s[high], factor, digits)}]"


def _shown(value: float | None, factor: float, digits: int) -> str:
    return "–" if value is None else f"{factor * value:.{digits}f}"


def _training(cache: Cache, options: ClassifierOptions, training: ClassifierTraining, layout: str) -> dict[str, Any]:
    return {
        "data": " + ".join(Path(root).name for root in (options.data.root or "", *options.data.extra_roots)),
        "layout": layout,
        "images": {split: len(cache.subset(split)) for split in ("train", "val")},
        "people": {split: len(set(cache.identity[cache.subset(split)].tolist())) for split in ("train", "val")},
        "knows_people": cache.knows_people,
        "settings": dataclasses.asdict(training),
        "torch": torch.__version__,
    }


def _card_text(classifier: AttributeClassifier, card: ClassifierCard, table: str) -> str:
    """The classifier's card."""
    config, training = classifier.config, card.training
    images, people = training["images"], training["people"]
    settings = ", ".join(f"{name} {value}" for name, value in training["settings"].items())
    parameters = sum(p.numel() for p in classifier.parameters())
    origin = "Trained from scratch" if config.network == "small" else "Inception-v3, fine-tuned from ImageNet weights"
    note = "" if training["knows_people"] else NOBODY_KNOWN
    licence = CELEBA_TERMS if training["layout"] == "celeba" else ""
    return f"""---
library_name: lomit
tags: [image-classification, face-attributes]
---

# Attribute classifier, {config.image_size} pixels

Says which attributes a face shows, to score translated images (`lomit evaluate`). {origin}, apart from any translator.
{parameters:,} parameters.

- data: {training["data"]}; {images["train"]} images of {people["train"]} people to train on, {images["val"]} of
  {people["val"]} other people to validate
- training: {settings}
- written by lomit with torch {training["torch"]}

## Validation, val split
{table}

Accuracy and balanced accuracy at the threshold 0.5; [ ]: 95 % bootstrap intervals over people. ECE: expected
calibration error of the probabilities, 15 bins, before ("raw") and after temperature scaling, the latter with
temperatures from the other half of the people. T: the temperature that the logits have been
divided by, 1 where no other makes the labels of the other half of the people likelier by more than chance.{note}

It knows only
the kind of faces it was trained on: its answers about others mean little, and it must not be used to judge people.
{licence}"""
