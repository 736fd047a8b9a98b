"""A classifier's validation as a table, and its card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lomit.classifier.network import AttributeClassifier, ClassifierCard
from lomit.evaluation.results import markdown_table

NOBODY_KNOWN = """

Who is shown is not known: each image counts as a person, so people may be in both parts, and intervals too narrow."""
CELEBA_TERMS = """
Trained on CelebA: for non-commercial research only, as CelebA's own terms say.
"""


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


def card_text(classifier: AttributeClassifier, card: ClassifierCard, table: str) -> str:
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
