"""What turns images into the features that a score is computed from, and how it enters the score's name.

A score of features means nothing without the network that made them: FID of our classifier's features is called
FID-attr, so that nobody takes it for the FID of a paper.  Its scale is that of the features, so numbers are comparable
under one and the same network only (a report gives the hash of its weights).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lomit.data.transforms import normalise


class Extractor(Protocol):
    """Images to feature vectors: the attribute classifier, or an Inception-v3."""

    @property
    def name(self) -> str:
        """What scores of its features carry in their names."""

    def features(self, x: Tensor) -> Tensor:
        """B x 3 x H x W in [-1, 1], any size -> B x D."""


def named(measure: str, extractor: Extractor) -> str:
    """The name of a measure of an extractor's features, such as `FID-attr`."""
    return f"{measure}-{extractor.name}"


@torch.no_grad()
def extract(extractor: Extractor, images: Tensor, device: str | torch.device = "cpu") -> Tensor:
    """The features of images as they would be saved: uint8, B x 3 x H x W -> float32, B x D, on the CPU.

    Rounding to 8 bits shifts some features, so translations are rounded before they are compared with images that
    always were.  Raises TypeError for images that are not uint8.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"images are scored as they would be saved, as uint8; these are {images.dtype}")
    return extractor.features(normalise(images.to(device))).float().cpu()
