"""Inception-v3: a stand-in for torchvision's where that is not installed, and torchvision's own where it is."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lomit.classifier.network import (
    AttributeClassifier,
    ClassifierCard,
    ClassifierConfig,
    load_classifier,
    save_classifier,
)
from lomit.cli import main
from lomit.errors import LomitError
from lomit.metrics.features import INCEPTION_FEATURES, Inception, inception_features


class Net(nn.Module):
    """As wide as Inception-v3 and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, INCEPTION_FEATURES, 32, stride=150)
        self.fc: nn.Module = nn.Linear(INCEPTION_FEATURES, 1000)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[-2:] == (299, 299)
        return self.fc(self.conv(x).relu().mean(dim=(2, 3)))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision.models with `Net` in the place of Inception-v3."""

    def inception_v3(weights: Any, aux_logits: bool, transform_input: bool, init_weights: bool) -> Net:
        assert (weights, aux_logits, transform_input) == (None, False, False)
        return Net()

    package, models = ModuleType("torchvision"), ModuleType("torchvision.models")
    models.inception_v3 = inception_v3  # type: ignore[attr-defined]
    package.models = models  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)


def published(path: Path) -> Net:
    """Weights as torchvision publishes them, with parts that features have no use for."""
    torch.manual_seed(1)
    net = Net()
    save_file({**net.state_dict(), "AuxLogits.fc.bias": torch.zeros(1000)}, path)
    return net


def test_features_are_those_before_the_classes(stand_in: None, tmp_path: Path) -> None:
    net = published(tmp_path / "w.safetensors")
    net.fc = nn.Identity()
    state = torch.random.get_rng_state()
    extractor = inception_features(tmp_path / "w.safetensors")
    assert torch.equal(state, torch.random.get_rng_state())
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    scaled = nn.functional.interpolate(x, (299, 299), mode="bilinear", antialias=True)
    torch.testing.assert_close(extractor.features(x), net(scaled))
    assert extractor.features(x).shape == (2, INCEPTION_FEATURES)
    assert extractor.name == "inception-tv"
    assert not extractor.training


def test_weights_of_something_else(stand_in: None, tmp_path: Path) -> None:
    save_file({"conv.weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(LomitError, match="does not fit the network"):
        inception_features(tmp_path / "w.safetensors")
    with pytest.raises(LomitError, match="no weights of Inception-v3 at"):
        inception_features(tmp_path / "none.pth")


def test_weights_that_are_not_in_the_cache(stand_in: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(LomitError, match="the weights of Inception-v3 are not here: get https://"):
        inception_features()


def test_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(LomitError, match="needs a torchvision that fits this torch"):
        inception_features()


def test_fine_tuned_classifier_is_saved_and_loaded(stand_in: None, tmp_path: Path) -> None:
    config = ClassifierConfig(("Smiling", "Male"), 32, network="inception-v3")
    torch.manual_seed(0)
    classifier = AttributeClassifier(config).eval()
    nn.init.normal_(classifier.head.weight)
    save_classifier(classifier, ClassifierCard(), "", tmp_path)
    loaded, _ = load_classifier(tmp_path)
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    assert torch.equal(loaded(x), classifier(x))
    assert loaded(x).shape == (2, 2)
    assert loaded.name == "attr-inception"
    assert loaded.features(x).shape == (2, INCEPTION_FEATURES)


def test_fine_tuning_starts_from_imagenet(stand_in: None, painted: Path, tmp_path: Path) -> None:
    net = published(tmp_path / "w.safetensors")
    words = ["classifier", "train", "--data.root", str(painted), "--data.cache-dir", str(painted / "cache")]
    words += ["--image-size", "32", "--network", "inception-v3", "--weights", str(tmp_path / "w.safetensors")]
    assert main([*words, "--training.epochs", "1", "--out", str(tmp_path / "c")]) == 0
    classifier, card = load_classifier(tmp_path / "c")
    moved = (classifier.state_dict()["trunk.net.conv.weight"] - net.conv.weight).abs()
    assert 0 < moved.max() < 5e-3
    assert card.training["settings"]["lr"] == 1e-4
    assert "Inception-v3, fine-tuned from ImageNet weights" in (tmp_path / "c" / "README.md").read_text()


def test_torchvisions_own(vision: ModuleType, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = vision.models.inception_v3(weights=None, init_weights=False).eval()
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    extractor = inception_features(tmp_path / "w.pth")
    x = torch.rand(1, 3, 299, 299) * 2 - 1
    seen: list[Tensor] = []
    theirs.fc.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.no_grad():
        theirs(x)
    torch.testing.assert_close(extractor.features(x), seen[0])
    assert isinstance(extractor, Inception)
