"""The attribute classifier: it learns, it is the same after loading, and wrong folders are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lomit.classifier.calibration import calibration_error
from lomit.classifier.network import (
    AttributeClassifier,
    ClassifierCard,
    ClassifierConfig,
    file_sha256,
    load_classifier,
    save_classifier,
)
from lomit.classifier.training import (
    ClassifierTraining,
    augment,
    calibrate,
    learning_rate,
    predict,
    train_classifier,
    validate,
)
from lomit.data.cache import Cache
from lomit.errors import LomitError
from lomit.evaluation.settings import Setting
from support.painted import ATTRIBUTES, Painter

CONFIG = ClassifierConfig(ATTRIBUTES, image_size=32, width=8, features=16)
QUICK = ClassifierTraining(epochs=12, batch_size=8, lr=5e-3)


@pytest.fixture
def cache(setting_for: Callable[..., Setting]) -> Cache:
    return setting_for(Painter()).cache


def small(seed: int = 0) -> AttributeClassifier:
    """One with random weights in every layer."""
    torch.manual_seed(seed)
    classifier = AttributeClassifier(CONFIG)
    torch.nn.init.normal_(classifier.head.weight)
    return classifier.eval()


def test_it_learns_what_faces_show(cache: Cache) -> None:
    classifier = train_classifier(cache, CONFIG, QUICK)
    scores = validate(classifier, cache, "test")
    for name in ATTRIBUTES:
        assert scores[name]["accuracy"] >= 0.95, name  # type: ignore[operator]
        assert scores[name]["auc"] >= 0.97, name  # type: ignore[operator]
        assert scores[name]["images"] == 36
        assert scores[name]["people"] == 12
        assert scores[name]["positives"] == (cache.labels[cache.subset("test")][:, ATTRIBUTES.index(name)] == 1).sum()


def test_calibration_divides_the_logits(cache: Cache) -> None:
    classifier = small()
    classifier.head.bias.data.normal_(generator=torch.Generator().manual_seed(0))
    rows = torch.from_numpy(cache.subset("test"))
    labels, images = torch.from_numpy(cache.labels[rows.numpy()]), torch.from_numpy(cache.images[rows.numpy()])
    before, scores = predict(classifier, cache, rows), validate(classifier, cache, "test")
    found = calibrate(classifier, cache, "test")
    temperatures = torch.tensor([found[name]["temperature"] for name in ATTRIBUTES])
    assert (temperatures > 1.5).any()  # random weights are surer than they are right
    after = predict(classifier, cache, rows)
    torch.testing.assert_close(after, before / temperatures, rtol=1e-4, atol=1e-5)
    x = images.float() / 127.5 - 1
    torch.testing.assert_close(classifier.probabilities(x), after.sigmoid(), rtol=1e-3, atol=1e-4)
    for k, name in enumerate(ATTRIBUTES):
        assert found[name]["ece_before"] == pytest.approx(calibration_error(before[:, k], labels[:, k]))
        assert 0 <= found[name]["ece_after"] <= 1  # type: ignore[operator]
    assert validate(classifier, cache, "test") == scores  # decisions and their order stay
    again = calibrate(classifier, cache, "test")
    inside = [name for name in ATTRIBUTES if 0.02 < found[name]["temperature"] < 99]  # type: ignore[operator]
    assert len(inside) >= 2  # random logits that rather say the opposite are made as small as can be
    assert [again[name]["temperature"] for name in inside] == pytest.approx([1] * len(inside), rel=1e-3)


def test_it_starts_from_the_weights_it_is_given(cache: Cache) -> None:
    given = small(3)
    slow = replace(QUICK, epochs=1, lr=1e-12)
    trained = train_classifier(cache, CONFIG, slow, trunk=given.trunk)
    for name, tensor in trained.trunk.state_dict().items():
        torch.testing.assert_close(tensor, given.trunk.state_dict()[name])


def test_learning_rate_follows_the_network() -> None:
    assert ClassifierTraining().lr_for(CONFIG) == 2e-3
    assert ClassifierTraining().lr_for(replace(CONFIG, network="inception-v3")) == 1e-4
    assert ClassifierTraining(lr=0.5).lr_for(CONFIG) == 0.5


def test_same_seed_same_weights(cache: Cache) -> None:
    one = replace(QUICK, epochs=1)
    first, again, other = (
        train_classifier(cache, CONFIG, training).hidden.weight for training in (one, one, replace(one, seed=1))
    )
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)


def test_training_leaves_the_callers_random_numbers_alone(cache: Cache) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train_classifier(cache, CONFIG, replace(QUICK, epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_it_sees_the_train_split_alone(cache: Cache) -> None:
    images = np.array(cache.images)
    images[cache.split != 0] = 0
    one = replace(QUICK, epochs=1)
    first, second = (train_classifier(c, CONFIG, one).hidden.weight for c in (cache, replace(cache, images=images)))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_what_is_not_annotated_teaches_nothing(cache: Cache) -> None:
    labels = cache.labels.copy()
    labels[:, 1] = -1
    head = train_classifier(replace(cache, labels=labels), CONFIG, replace(QUICK, epochs=1)).head
    assert (head.weight[1] == 0).all()  # where it started
    assert head.bias[1] == 0
    assert (head.weight[[0, 2]] != 0).any(dim=1).all()


@pytest.mark.parametrize("steps", [1, 2, 9, 1000])
def test_learning_rate_rises_and_falls(steps: int) -> None:
    rates = [learning_rate(step, steps) for step in range(steps)]
    top = rates.index(max(rates))
    assert max(rates) == 1
    assert top <= steps // 10
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert all(0 < rate <= 1 for rate in rates)
    assert learning_rate(steps, steps) == pytest.approx(0, abs=1e-12) or steps == 1


def test_augmentation_keeps_what_it_should() -> None:
    x = torch.rand(64, 3, 32, 32) * 2 - 1
    none = ClassifierTraining(shift=0, noise=0, flip=False)
    assert torch.equal(augment(x, none, torch.Generator()), x)
    flipped = augment(x, replace(none, flip=True), torch.Generator().manual_seed(0))
    same, mirrored = ((flipped == t).flatten(1).all(1) for t in (x, x.flip(-1)))
    assert (same ^ mirrored).all()
    assert 16 < mirrored.sum() < 48
    ramp = torch.arange(32.0).view(1, 1, 1, 32).expand(200, 3, 32, 32)
    shifts = (augment(ramp, replace(none, shift=0.1), torch.Generator().manual_seed(0)) - ramp)[:, 0, 16, 16]
    assert set(shifts.tolist()) == {-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0}
    noise = augment(torch.zeros(500, 3, 8, 8), replace(none, noise=0.2), torch.Generator().manual_seed(0))
    std = noise.flatten(1).std(dim=1)
    assert 0.08 < std.mean() < 0.12
    assert std.max() < 0.25


def test_saved_and_loaded(tmp_path: Path) -> None:
    classifier = small()
    save_classifier(classifier, ClassifierCard({"data": "x"}, {"Smiling": {"auc": 0.5}}), "# card\n", tmp_path / "c")
    loaded, card = load_classifier(tmp_path / "c")
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    assert torch.equal(loaded(x), classifier(x))
    assert loaded.config == CONFIG
    assert not loaded.training
    assert card.training == {"data": "x"}
    assert card.validation == {"Smiling": {"auc": 0.5}}
    assert card.sha256 == file_sha256(tmp_path / "c" / "model.safetensors")
    assert (tmp_path / "c" / "README.md").read_text() == "# card\n"


def test_it_is_not_overwritten_unless_told_to(tmp_path: Path) -> None:
    save_classifier(small(0), ClassifierCard(), "", tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(LomitError, match="add --overwrite"):
        save_classifier(small(1), ClassifierCard(), "", tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    save_classifier(small(1), ClassifierCard(), "", tmp_path, overwrite=True)
    assert (tmp_path / "model.safetensors").read_bytes() != before


def test_every_parameter_gets_a_gradient() -> None:
    classifier = small().train()
    classifier(torch.rand(4, 3, 32, 32)).square().sum().backward()
    for name, parameter in classifier.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_training_and_evaluation_mode_say_the_same() -> None:
    classifier, x = small(), torch.rand(2, 3, 32, 32)
    assert torch.equal(classifier.train()(x), classifier.eval()(x))


def test_images_of_another_size_are_scaled() -> None:
    classifier, x = small(), torch.rand(2, 3, 32, 32) * 2 - 1
    large = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    scaled = torch.nn.functional.interpolate(large, (32, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(classifier(large), classifier(scaled))
    assert classifier.features(large).shape == (2, 16)


def test_logits_come_in_the_order_asked_for() -> None:
    assert small().columns(("Smiling", "Red_Hat")) == [2, 0]
    with pytest.raises(LomitError, match="does not know 'Male', it knows Red_Hat, Blue_Hat, Smiling"):
        small().columns(("Smiling", "Male"))


def test_predictions_do_not_depend_on_the_batch(cache: Cache) -> None:
    classifier, rows = small(), torch.arange(30)
    images = torch.from_numpy(cache.images[:30].astype(np.float32)) / 127.5 - 1
    torch.testing.assert_close(predict(classifier, cache, rows, 30), classifier(images), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(predict(classifier, cache, rows, 30), predict(classifier, cache, rows, 7))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda d: (d / "config.json").unlink(), "is not a classifier: it has no config.json"),
        (lambda d: (d / "config.json").write_text('{"kind": '), "config.json can't be read as JSON"),
        (lambda d: (d / "config.json").write_text('{"method": "lomit", "model": {}}'), "holds a translator, not"),
        (lambda d: (d / "config.json").write_text("{}"), "holds something else, not a classifier"),
        (lambda d: (d / "model.safetensors").unlink(), "model.safetensors is damaged"),
        (lambda d: (d / "model.safetensors").write_bytes(b"half"), "model.safetensors is damaged"),
    ],
)
def test_folders_that_hold_no_classifier(tmp_path: Path, damage: Callable[[Path], object], says: str) -> None:
    save_classifier(small(), ClassifierCard(), "", tmp_path)
    damage(tmp_path)
    with pytest.raises(LomitError, match=says):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"width": 16}, "does not fit its config.json: 'hidden.weight' has the shape"),
        ({"depth": 3}, "unknown key 'depth'"),
        ({"image_size": 40}, "image_size must be a multiple of 16"),
        ({"image_size": 10**30}, "image_size must be a multiple of 16, from 32 to 4096"),
        ({"width": 12}, "width must be a multiple of 8"),
        ({"features": 10**30}, "features must be a multiple of 8, from 8 to 4096"),
        ({"width": 4096, "image_size": 4096}, "does not fit its config.json"),
        ({"network": "large"}, "'large' is not one of small, inception-v3"),
    ],
)
def test_configs_that_do_not_fit(tmp_path: Path, change: dict[str, int], says: str) -> None:
    save_classifier(small(), ClassifierCard(), "", tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    values["classifier"] |= change
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(LomitError, match=says):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 0}, {"lr": 0.0}, {"shift": 0.5}, {"noise": -1.0}, {"weight_decay": -1.0}]
)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(LomitError, match=next(iter(wrong))):
        ClassifierTraining(**wrong)  # type: ignore[arg-type]


def test_splits_that_are_empty(cache: Cache) -> None:
    cache = replace(cache, split=np.full_like(cache.split, 2))
    with pytest.raises(LomitError, match="no image of the train split"):
        train_classifier(cache, CONFIG, QUICK)
    with pytest.raises(LomitError, match="no image of the val split"):
        validate(small(), cache)
    with pytest.raises(LomitError, match="no image of the val split"):
        calibrate(small(), cache)


def test_the_packaged_classifier_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows the labels of the packaged weights; a folder of that name comes first."""
    monkeypatch.chdir(tmp_path)
    classifier, card = load_classifier("attributes-avatars")
    assert {"Black_Hair", "Blond_Hair", "Brown_Hair", "Smiling", "Facial_Hair"} <= set(classifier.config.attributes)
    assert card.validation["Smiling"]["accuracy"] > 0.98
    (tmp_path / "attributes-avatars").mkdir()
    with pytest.raises(LomitError, match="is not a classifier"):
        load_classifier("attributes-avatars")
