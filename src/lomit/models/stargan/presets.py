"""StarGAN's runs."""

from __future__ import annotations

from lomit.config import DataConfig, RunConfig, TrainConfig
from lomit.models.registry import Classes, Method, register
from lomit.models.runs import LABELLED, preset_table, resized
from lomit.models.stargan.config import StarganConfig


def at_128() -> RunConfig:
    """Section 4 and the authors' settings: batches of 16 images, the learning rate falls to 0 over the second half."""
    train = TrainConfig(steps=200_000, batch_size=8, decay="linear", decay_start=100_000)
    return RunConfig(StarganConfig(), DataConfig(), train)


def at_64() -> RunConfig:
    return resized(
        at_128(), 64, {"width": 20, "d_width": 24, "res_blocks": 4, "critic_steps": 2},
        steps=8_000, lr=4e-4, decay_start=4_000, ema=0.995,
        log_every=20, sample_every=200, save_every=200,
    )  # fmt: skip


def tiny() -> RunConfig:
    return resized(
        at_64(), 32, {"width": 8, "d_width": 8, "res_blocks": 2},
        steps=200, decay_start=100, save_every=100, sample_every=100,
    )  # fmt: skip


def _classes() -> Classes:
    from lomit.models.stargan.model import Stargan, TrainableStargan

    return Stargan, TrainableStargan


register(
    Method(
        "stargan",
        "StarGAN",
        StarganConfig,
        _classes,
        preset_table("stargan", LABELLED, at_128(), at_64(), tiny(), "avatars"),
    )
)
