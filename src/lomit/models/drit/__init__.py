"""DRIT and DRIT++: disentangled representations for image-to-image translation."""

from __future__ import annotations

from lomit.models.drit.config import DritConfig, DritWeights
from lomit.models.drit.model import Drit, TrainableDrit
from lomit.models.drit.presets import DRIT

__all__ = ["DRIT", "Drit", "DritConfig", "DritWeights", "TrainableDrit"]
