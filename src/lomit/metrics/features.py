"""What turns images into the features that a score is computed from, how it enters the score's name, and Inception-v3.

A score of features means nothing without the network that made them: FID of our classifier's features is called
FID-attr, so that nobody takes it for the FID of a paper.  Its scale is that of the features, so numbers are comparable
under one and the same network only (a report gives the hash of its weights).

Inception-v3 (Szegedy et al., 2016) is that of the user's torchvision, which is imported when a network is built, never
before.  Its weights are not those of the TensorFlow port that papers' FID is computed with, nor is its pooling: scores
of these features are called FID-inception-tv, not FID.
"""

from __future__ import annotations

import os
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lomit.data.transforms import normalise
from lomit.errors import LomitError, line_of
from lomit.metrics.backbones import backbone_file, load_into, read_tensors

IMAGENET = "inception_v3_google-0cc3c7bd.pth"
SIDE = 299
INCEPTION_FEATURES = 2048


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


class Inception(nn.Module):
    """Inception-v3 up to its pooled features, with weights that mean nothing until some are loaded.

    LomitError where torchvision is not installed or does not work.  `name` is what scores of its features carry.
    """

    name = "inception-tv"

    def __init__(self) -> None:
        super().__init__()
        self.net = _build()

    def features(self, x: Tensor) -> Tensor:
        """B x 3 x H x W in [-1, 1], any size, scaled to 299 with antialiasing -> B x 2048, not negative."""
        if tuple(x.shape[-2:]) != (SIDE, SIDE):
            x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        return self.net(x)

    def forward(self, x: Tensor) -> Tensor:
        """The same as `features`."""
        return self.features(x)


def inception_features(weights: str | os.PathLike[str] | None = None) -> Inception:
    """The extractor `inception-tv`, in eval mode, with torchvision's ImageNet weights.

    They are a file of torchvision's, .pth or .safetensors, by default in torch's cache.  LomitError where they are not
    to be had, or are those of another network.
    """
    with torch.random.fork_rng(devices=[]):  # building draws initial weights that nobody sees
        network = Inception()
    path = backbone_file("Inception-v3", IMAGENET, weights)
    tensors = read_tensors(path)
    load_into(network.net, {k: v for k, v in tensors.items() if not k.startswith(("AuxLogits.", "fc."))}, path)
    return network.eval().requires_grad_(False)


def _build() -> nn.Module:
    """torchvision's network without its classes; it takes images in [-1, 1], as it was trained on."""
    try:
        from torchvision.models import inception_v3
    except Exception as error:  # over a torch of another build it raises RuntimeError, AttributeError, ...
        raise LomitError(
            f"Inception-v3 needs a torchvision that fits this torch ({line_of(error)}); install one, or use the "
            "small network"
        ) from error
    net: nn.Module = inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False)
    net.fc = nn.Identity()
    return net
