"""StarGAN's own configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from lomit.config import ModelConfig, check_sizes


@dataclass
class StarganWeights:
    """The weights of Eqs. 5, 6 and 8 of the StarGAN paper."""

    cls: float = 1.0
    """lambda_cls: classification of real and translated images (Eqs. 2, 3)."""
    rec: float = 10.0
    """lambda_rec: the way back through the image's own label (Eq. 4)."""
    gp: float = 10.0
    """lambda_gp: gradient penalty (Eq. 8)."""


@dataclass
class StarganConfig(ModelConfig):
    """Networks and losses of StarGAN (its Tables 4 and 5)."""

    width: int = 64
    """Channels of the generator's stem; the bottleneck has four times as many."""
    d_width: int = 64
    """Channels of the discriminator's first convolution."""
    res_blocks: int = 6
    """Residual blocks of the bottleneck."""
    critic_steps: int = 5
    """Discriminator updates per generator update."""
    weights: StarganWeights = field(default_factory=StarganWeights)
    """Weights of the loss terms."""

    def __post_init__(self) -> None:
        check_sizes(self, ["width", "d_width"], ["res_blocks"], ["critic_steps"])
