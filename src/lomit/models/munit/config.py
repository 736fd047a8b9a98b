"""MUNIT's own configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from lomit.config import ModelConfig, check_sizes


@dataclass
class MunitWeights:
    """Weights of the loss terms (the authors' configs for photographs)."""

    x: float = 10.0
    """Image reconstruction within a domain."""
    s: float = 1.0
    """Style reconstruction."""
    c: float = 1.0
    """Content reconstruction."""
    cyc: float = 10.0
    """Style-augmented cycle consistency (0 in their configs for edges)."""


@dataclass
class MunitConfig(ModelConfig):
    """Networks and losses of MUNIT (its Section B)."""

    width: int = 64
    """Channels of the stems; the content code has four times as many."""
    d_width: int = 64
    """Channels of each discriminator's first convolution."""
    style_dim: int = 8
    """Entries of a style code."""
    mlp_width: int = 256
    """Width of the network that makes AdaIN's parameters from a style code."""
    res_blocks: int = 4
    """Residual blocks in the content encoder and, with AdaIN, in the decoder."""
    weights: MunitWeights = field(default_factory=MunitWeights)
    """Weights of the loss terms."""

    def __post_init__(self) -> None:
        check_sizes(self, ["width", "d_width", "style_dim", "mlp_width"], ["res_blocks"])
