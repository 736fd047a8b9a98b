"""A classifier's validation as a table, and its card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lomit.classifier.network import AttributeClassifier, ClassifierCard
from lomit.stats.estimate import markdown_table, number_text

NOBODY_KNOWN = """

Who is shown is not known: each image counts as a person, so people may be in both parts, and intervals too narrow."""
CELEBA_TERMS = """
Trained on CelebA: for non-commercial research only, as CelebA's own terms say.
"""


def scores_table(scores: Mapping[str, Mapping[str, Any]], knows_people: bool = True) -> str:
    """The validation as a Markdown table that also reads well in a terminal."""
    header = ["attribute", "accuracy %", "balanced %", "AUC", "ECE raw", "ECE", "T", "images (with)"]
    rows = [[*header, "people (with)"] if knows_people else header]
    for name, s in scores.items():
        accuracy = _percent(s["accuracy"], s["low"], s["high"])
        balanced = _percent(s["balanced_accuracy"], s["balanced_low"], s["balanced_high"])
        auc = number_text(s["auc"], s["auc_low"], s["auc_high"], 3)
        ece = [number_text(s[key], None, None, 3) for key in ("ece_before", "ece_after")]
        row = [name, accuracy, balanced, auc, *ece, f"{s['temperature']:.2f}", f"{s['images']} ({s['positives']})"]
        rows.append([*row, f"{s['people']} ({s['people_with']})"] if knows_people else row)
    return markdown_table(rows)


def _percent(*shares: float | None) -> str:
    value, low, high = (None if share is None else 100 * share for share in shares)
    return number_text(value, low, high, 1)


def card_text(classifier: AttributeClassifier, card: ClassifierCard, table: str) -> str:
    """The classifier's card."""
    config, training = classifier.config, card.training
    images, people = training["images"], training["people"]
    over = "people" if training["knows_people"] else "images"
    data = f"{images['train']} images to train on, {images['val']} others to validate"
    if training["knows_people"]:
        data = f"{images['train']} images of {people['train']} people to train on, {images['val']} of\n"
        data += f"  {people['val']} other people to validate"
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

- data: {training["data"]}; {data}
- training: {settings}
- written by lomit with torch {training["torch"]}

## Validation, val split
{table}

Accuracy and balanced accuracy at the threshold 0.5; [ ]: 95 % bootstrap intervals over {over}. ECE: expected
calibration error of the probabilities, 15 bins, before ("raw") and after temperature scaling, the latter with
temperatures from the other half of the {over}. T: what the logits have been divided by; 1 where no other temperature
makes the labels of the other half of the {over} likelier by more than chance.{note}

It knows only
the kind of faces it was trained on: its answers about others mean little, and it must not be used to judge people.
{licence}"""
