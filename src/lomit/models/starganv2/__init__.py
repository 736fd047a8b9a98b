"""StarGAN v2: one generator for several domains, styles from exemplars and from latent codes."""

from __future__ import annotations

from lomit.models.starganv2.config import StarganV2Config, StarganV2Weights
from lomit.models.starganv2.model import StarganV2, TrainableStarganV2
from lomit.models.starganv2.presets import STARGAN_V2

__all__ = ["STARGAN_V2", "StarganV2", "StarganV2Config", "StarganV2Weights", "TrainableStarganV2"]
