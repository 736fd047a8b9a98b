"""What every evaluation protocol is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lomit.config import DataConfig
from lomit.data.cache import Cache
from lomit.data.source import Source
from lomit.metrics.report import Row
from lomit.models.base import Translator


@dataclass(frozen=True)
class Setting:
    """Everything that decides the numbers of a protocol.

    Attributes:
        translator: the model, in eval mode, on `device`.
        classify: images, B x 3 x H x W in [-1, 1] -> logits, B x A, for the translator's attributes in their order.
        source: the data set.
        data: how its images are cut and how large they are.
        cache: its images, with labels for the translator's attributes.
        device: where to compute.
        pairs: how many pairs to draw from the test split.
        seed: of the pairs and of the bootstrap.
        batch_size: pairs in the network at a time.
        progress: show a bar on standard error where that is a terminal.
    """

    translator: Translator
    classify: Callable[[Tensor], Tensor]
    source: Source
    data: DataConfig
    cache: Cache
    device: torch.device
    pairs: int = 1_000
    seed: int = 0
    batch_size: int = 16
    progress: bool = True


@dataclass(frozen=True)
class Outcome:
    """What a protocol found.

    Attributes:
        facts: what it was measured on, for the report.
        notes: how the numbers are defined.
        rows: the numbers.
    """

    facts: dict[str, object]
    notes: tuple[str, ...]
    rows: list[Row]


Protocol = Callable[[Setting], Outcome]
