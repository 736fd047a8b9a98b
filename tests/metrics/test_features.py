"""Extraction: what is scored is what would be saved, and names say whose features they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lomit.classifier.network import AttributeClassifier, ClassifierConfig
from lomit.metrics.features import Extractor, extract, named
from lomit.metrics.fid import FID


class Means:
    """Mean colours."""

    name = "means"

    def features(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def test_features_of_saved_images() -> None:
    images = torch.randint(256, (7, 3, 8, 8), dtype=torch.uint8)
    found = extract(Means(), images)
    torch.testing.assert_close(found, images.double().div(127.5).sub(1).mean(dim=(2, 3)).float())
    with pytest.raises(TypeError, match="as uint8; these are torch.float32"):
        extract(Means(), images.float())


def test_the_classifier_is_an_extractor() -> None:
    torch.manual_seed(0)
    classifier: Extractor = AttributeClassifier(ClassifierConfig(("Smiling",), 32, 8, 16)).eval()
    found = extract(classifier, torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    assert found.shape == (2, 16)
    assert not found.requires_grad
    assert named(FID, classifier) == "FID-attr"
    assert named(FID, Means()) == "FID-means"
