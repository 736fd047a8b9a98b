"""Thirty steps of every method on one pair of images: it reconstructs them better than it did at first."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from torch.nn import functional as F

from lomit.config import TrainConfig
from lomit.engine.phases import make_runners, run_phase
from lomit.models.base import Batch
from support.tiny import random_batch, random_batch_for, real_methods, tiny_trainable


@pytest.mark.parametrize("method", sorted(real_methods()))
def test_the_reconstruction_improves(method: str) -> None:
    noise = random_batch(4, count=1)
    x1, x2 = (F.interpolate(x, size=16, mode="bilinear").expand(2, -1, -1, -1) for x in (noise.x1, noise.x2))
    translator = tiny_trainable(method, width=16 if method == "drit" else 8)  # N(0, 0.02) is slow where few add up
    given = random_batch_for(translator).tensors()
    images = {"x1": x1} | {name: x2 for name in ("x2", "x3") if name in given}
    labels = {} if translator.domains else {"y1": torch.zeros(2, 2), "y2": torch.ones(2, 2)}
    batch = Batch.of(given | images | labels)
    fabric = Fabric(accelerator="cpu", devices=1)
    runners = make_runners(fabric, translator, TrainConfig())
    before = translator.eval().score(batch)["score"]
    translator.train()
    torch.manual_seed(0)
    for _ in range(30):
        for runner in runners:
            run_phase(fabric, translator, runner, [batch], lr=1e-3)
    after = translator.eval().score(batch)["score"]
    assert after < 0.7 * before, (before, after)
