"""What an attribute classifier is, and how it is trained.  Nothing here loads torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lomit.config import MAX_SEED, MAX_SIDE, MAX_WIDTH, check_range
from lomit.errors import LomitError

LR = {"small": 2e-3, "inception-v3": 1e-4}
"""Network -> learning rate where none is set."""


@dataclass
class ClassifierConfig:
    """An attribute classifier."""

    attributes: tuple[str, ...] = ()
    """What it says of an image, in the order of its logits."""
    image_size: int = 64
    """Side of the images it looks at, in pixels; others are scaled."""
    width: int = 16
    """Channels of the small network's first convolution."""
    features: int = 128
    """Entries of the small network's feature vector before the logits; Inception-v3 has 2,048."""
    network: Literal["small", "inception-v3"] = "small"
    """`small` learns from scratch; `inception-v3` is torchvision's and starts from ImageNet weights."""

    def __post_init__(self) -> None:
        bounds = ("image_size", 16, 32, MAX_SIDE), ("width", 8, 8, MAX_WIDTH), ("features", 8, 8, MAX_WIDTH)
        for name, step, least, most in bounds:
            value = getattr(self, name)
            if not least <= value <= most or value % step:
                raise LomitError(f"{name} must be a multiple of {step}, from {least} to {most}; it is {value}")


@dataclass
class ClassifierTraining:
    """How the classifier is trained."""

    epochs: int = 10
    """Passes over the training images."""
    batch_size: int = 32
    """Images in a step."""
    lr: float | None = None
    """Largest learning rate of AdamW; it rises over a tenth of the steps and falls to 0 along a cosine.  By default
    2e-3, and 1e-4 for Inception-v3, whose weights are fine-tuned."""
    weight_decay: float = 0.05
    """AdamW's weight decay."""
    shift: float = 0.08
    """Images are moved by up to this share of their side, each by its own amount."""
    noise: float = 0.1
    """Largest standard deviation of the noise that is added; images span -1 to 1."""
    flip: bool = True
    """Mirror each image with probability 0.5."""
    seed: int = 0
    """Seed of the initial weights, the order and the augmentation."""

    def __post_init__(self) -> None:
        check_range("epochs", self.epochs, 1)
        check_range("batch_size", self.batch_size, 1)
        check_range("seed", self.seed, 0, MAX_SEED)
        if self.lr is not None and self.lr <= 0:
            raise LomitError(f"lr must be positive; it is {self.lr}")
        if not 0 <= self.shift <= 0.25:
            raise LomitError(f"shift must lie between 0 and 0.25; it is {self.shift}")
        if self.noise < 0 or self.weight_decay < 0:
            raise LomitError("noise and weight_decay must not be negative")

    def lr_for(self, config: ClassifierConfig) -> float:
        """The learning rate, the network's default where none is set."""
        return self.lr if self.lr is not None else LR[config.network]
