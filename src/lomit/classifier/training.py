"""Trains the attribute classifier, calibrates it and validates it on the people of another split."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from lomit.classifier import calibration
from lomit.classifier.config import ClassifierConfig, ClassifierTraining
from lomit.classifier.network import AttributeClassifier
from lomit.data.cache import Cache
from lomit.data.transforms import flip, normalise
from lomit.errors import LomitError
from lomit.losses.lomit import classification_loss
from lomit.metrics import binary
from lomit.stats import bootstrap


def train_classifier(
    cache: Cache,
    config: ClassifierConfig,
    training: ClassifierTraining,
    device: str | torch.device = "cpu",
    trunk: nn.Module | None = None,
) -> AttributeClassifier:
    """Trains on the train split: a classifier in eval mode, not calibrated.

    The cache holds images of the classifier's size with labels for its attributes; `trunk` has the weights
    that its own starts from.  LomitError where there is no training image, or the loss is no longer finite.
    """
    rows = torch.from_numpy(cache.subset("train"))
    if not len(rows):
        raise LomitError("no image of the train split to train the classifier on")
    generator = torch.Generator().manual_seed(training.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        classifier = AttributeClassifier(config)
    if trunk is not None:
        classifier.trunk.load_state_dict(trunk.state_dict())
    classifier.to(device).train()
    batches = -(-len(rows) // training.batch_size)
    optimizer = torch.optim.AdamW(classifier.parameters(), training.lr_for(config), weight_decay=training.weight_decay)
    steps = training.epochs * batches
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, steps))
    with tqdm(total=steps, desc="training", unit="step", disable=None) as bar:
        for _ in range(training.epochs):
            for batch in rows[torch.randperm(len(rows), generator=generator)].split(training.batch_size):
                x = augment(normalise(torch.from_numpy(cache.images[batch.numpy()])), training, generator)
                y = torch.from_numpy(cache.labels[batch.numpy()]).float()
                loss = classification_loss(classifier(x.to(device)), y.to(device))
                if not torch.isfinite(loss):
                    raise LomitError("the classifier's loss is not finite; try a smaller --lr")
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update()
    return classifier.eval().requires_grad_(False)


def learning_rate(step: int, steps: int) -> float:
    """Share of the largest learning rate at a step: rises over the first tenth, falls to 0 along a cosine."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def augment(x: Tensor, training: ClassifierTraining, generator: torch.Generator) -> Tensor:
    """Moves, mirrors and disturbs each image (B x 3 x S x S in [-1, 1]) by its own amount: only the attributes stay."""
    count, _, size, _ = x.shape
    reach = round(training.shift * size)
    if reach:
        padded = F.pad(x, (reach,) * 4, mode="replicate")
        windows = padded.unfold(2, size, 1).unfold(3, size, 1)  # a view: B x 3 x shifts x shifts x S x S
        down, right = torch.randint(2 * reach + 1, (2, count), generator=generator)
        x = windows[torch.arange(count), :, down, right]
    if training.flip:
        x = flip(x, torch.rand(count, generator=generator) < 0.5)
    if training.noise:
        std = training.noise * torch.rand(count, 1, 1, 1, generator=generator)
        x = x + std * torch.randn(x.shape, generator=generator)
    return x


@torch.no_grad()
def predict(
    classifier: Callable[[Tensor], Tensor], cache: Cache, rows: Tensor, batch_size: int = 64,
    device: str | torch.device = "cpu",
) -> Tensor:  # fmt: skip
    """Logits of these images of the cache, N x A, on the CPU."""
    batches = (normalise(torch.from_numpy(cache.images[part.numpy()])).to(device) for part in rows.split(batch_size))
    return torch.cat([classifier(x).float().cpu() for x in batches])


def calibrate(
    classifier: AttributeClassifier, cache: Cache, split: str = "val", seed: int = 0, device: str | torch.device = "cpu"
) -> dict[str, dict[str, float | None]]:
    """Divides each logit by the temperature that one split asks for, where that helps; the last layer takes it in.

    Attribute -> what `lomit.classifier.calibration.calibrate` says of it.  LomitError where the split is empty.
    """
    logits, labels, people = _answers(classifier, cache, split, device)
    columns = zip(cache.attributes, logits.T, labels.T, strict=True)
    found = {name: calibration.calibrate(z, y, people, seed) for name, z, y in columns}
    classifier.divide_logits(torch.tensor([values["temperature"] for values in found.values()]))
    return found


def validate(
    classifier: AttributeClassifier, cache: Cache, split: str = "val", seed: int = 0, device: str | torch.device = "cpu"
) -> dict[str, dict[str, float | int | None]]:
    """Scores per attribute on one split; LomitError where it is empty.

    Returns:
        Attribute -> `accuracy` with its bootstrap interval over people (`low`, `high`), `balanced_accuracy`
        (`balanced_low`, `balanced_high`) and `auc` (`auc_low`, `auc_high`), None where the split has one class only,
        `images`, `positives`, `people`, `people_with`.
    """
    logits, labels, people = _answers(classifier, cache, split, device)
    scores: dict[str, dict[str, float | int | None]] = {}
    for name, s, y in zip(cache.attributes, logits.T, labels.T, strict=True):
        known = (y >= 0).double()
        accuracy = bootstrap.ratio(((s > 0) == (y == 1)).double() * known, known, people, seed)
        balanced, auc = binary.balanced_estimate(s, y, people, seed), binary.auc_estimate(s, y, people, seed)
        scores[name] = {
            **{"accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high},
            **{"balanced_accuracy": balanced.value, "balanced_low": balanced.low, "balanced_high": balanced.high},
            **{"auc": auc.value, "auc_low": auc.low, "auc_high": auc.high},
            **{"images": accuracy.samples, "positives": int((y == 1).sum())},
            **{"people": accuracy.people, "people_with": len(people[y == 1].unique())},
        }
    return scores


def _answers(
    classifier: AttributeClassifier, cache: Cache, split: str, device: str | torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (N x A), labels (N x A) and people (N) of a split."""
    rows = torch.from_numpy(cache.subset(split))
    if not len(rows):
        raise LomitError(f"no image of the {split} split to validate the classifier on")
    labels, people = (torch.from_numpy(values[rows.numpy()]) for values in (cache.labels, cache.identity))
    return predict(classifier, cache, rows, device=device), labels, people
