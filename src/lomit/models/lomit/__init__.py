"""LOMIT: local mask-based image-to-image translation."""

from __future__ import annotations

from lomit.models.lomit.config import LomitConfig, LossWeights
from lomit.models.lomit.model import Lomit, TrainableLomit
from lomit.models.lomit.presets import LOMIT

__all__ = ["LOMIT", "Lomit", "LomitConfig", "LossWeights", "TrainableLomit"]
