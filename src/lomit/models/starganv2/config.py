"""StarGAN v2's own configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from lomit.config import ModelConfig, check_sizes


@dataclass
class StarganV2Weights:
    """Weights of the loss terms (its Eqs. 1 to 5)."""

    r1: float = 1.0
    """gamma of R1 (Mescheder et al., 2018): gamma / 2 times the squared slope of D at real images."""
    sty: float = 1.0
    """lambda_sty: style reconstruction (Eq. 2)."""
    ds: float = 1.0
    """lambda_ds in the first iteration: style diversification (Eq. 3); it falls to 0 over `ds_steps`.  AFHQ's is 2."""
    cyc: float = 1.0
    """lambda_cyc: the way back with the input's own style (Eq. 4)."""


@dataclass
class StarganV2Config(ModelConfig):
    """Networks and losses of StarGAN v2 (Choi et al., CVPR 2020).

    One attribute makes two domains: images without it (0) and with it (1).  Several make one domain each, of the images
    that have this one and none of the others.
    """

    scheduled = ("ds_steps",)
    width: int = 64
    """Channels of G's and E's first convolution: 64 at 256 pixels, 128 at 128 (the authors' 2^14 / size)."""
    d_width: int = 64
    """The same of D."""
    max_width: int = 512
    """Most channels of a block; each halving of the image doubles them up to here."""
    latent_dim: int = 16
    """Entries of a latent code z."""
    style_dim: int = 64
    """Entries of a style code s."""
    mapping_width: int = 512
    """Width of the mapping network F."""
    mapping_lr: float = 0.01
    """F's learning rate as a share of the others' (the paper: 1e-6 of 1e-4)."""
    ds_steps: int = 100_000
    """Iterations over which lambda_ds falls to 0: the run, as published."""
    weights: StarganV2Weights = field(default_factory=StarganV2Weights)
    """Weights of the loss terms."""

    def __post_init__(self) -> None:
        check_sizes(
            self, ["width", "d_width", "max_width", "latent_dim", "style_dim", "mapping_width"], counts=["ds_steps"]
        )

    @property
    def domains(self) -> int:
        """Number of domains."""
        return max(2, len(self.attributes))
