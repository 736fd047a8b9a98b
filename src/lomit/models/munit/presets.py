"""MUNIT's runs."""

from __future__ import annotations

from lomit.config import DataConfig, RunConfig, TrainConfig
from lomit.models.munit.config import MunitConfig
from lomit.models.registry import Classes, Method, register
from lomit.models.runs import TWO_DOMAINS, preset_table, resized


def at_128() -> RunConfig:
    """The authors' settings: one pair a step, the learning rate halved every 100,000 of 1,000,000 iterations."""
    train = TrainConfig(steps=1_000_000, batch_size=1, decay_start=0, decay_every=100_000)
    return RunConfig(MunitConfig(), DataConfig(), train)


def at_64() -> RunConfig:
    return resized(
        at_128(), 64, {"width": 20, "d_width": 24, "res_blocks": 2, "mlp_width": 64},
        steps=8_000, batch_size=4, lr=4e-4, decay_start=6_000, decay_every=500, ema=0.995,
        log_every=20, sample_every=200, save_every=200,
    )  # fmt: skip


def tiny() -> RunConfig:
    return resized(
        at_64(), 32, {"width": 8, "d_width": 8},
        steps=200, decay_start=200, save_every=100, sample_every=100,
    )  # fmt: skip


def _classes() -> Classes:
    from lomit.models.munit.model import Munit, TrainableMunit

    return Munit, TrainableMunit


register(
    Method(
        "munit",
        "MUNIT",
        MunitConfig,
        _classes,
        preset_table("munit", TWO_DOMAINS, at_128(), at_64(), tiny(), "avatars-blond"),
    )
)
