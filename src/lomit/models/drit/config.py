"""DRIT's own configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lomit.config import ModelConfig, check_sizes


@dataclass
class DritWeights:
    """Weights of the loss terms (the authors' implementation)."""

    content: float = 1.0
    """Content adversarial loss of the encoders."""
    x: float = 10.0
    """Cross-cycle consistency and self reconstruction."""
    latent: float = 10.0
    """Latent regression: the random style, found again in its translation."""
    kl: float = 0.01
    """KL of the style codes to N(0, 1); in feature-wise mode their mean square."""
    c: float = 0.01
    """Mean square of the content codes."""
    mode_seeking: float = 0.0
    """Mode seeking (DRIT++, where it is 1): random styles far apart make images far apart.  0: DRIT."""


@dataclass
class DritConfig(ModelConfig):
    """Networks and losses of DRIT (Lee et al., ECCV 2018) with the options of DRIT++ (IJCV 2020)."""

    mode: Literal["concat", "feature-wise"] = "concat"
    """How the decoder takes the style: its code, repeated over the image and concatenated at every scale (DRIT++'s
    default), or transformed to a vector for each residual block (for domains that differ in shape)."""
    width: int = 64
    """Channels of the stems; the content code has four times as many."""
    d_width: int = 64
    """Channels of each discriminator's first convolution."""
    style_dim: int = 8
    """Entries of a style code."""
    mlp_width: int = 256
    """Width of the network that transforms a style code in feature-wise mode."""
    res_blocks: int = 3
    """Residual blocks of each domain's own content encoder; one more is shared."""
    content_steps: int = 3
    """Updates of the content discriminator per update of everything else."""
    weights: DritWeights = field(default_factory=DritWeights)
    """Weights of the loss terms."""

    def __post_init__(self) -> None:
        check_sizes(self, ["width", "d_width", "style_dim", "mlp_width"], ["res_blocks"], ["content_steps"])
