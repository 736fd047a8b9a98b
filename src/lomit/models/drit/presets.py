"""DRIT's runs."""

from __future__ import annotations

from lomit.config import DataConfig, RunConfig, TrainConfig
from lomit.models.drit.config import DritConfig
from lomit.models.registry import Classes, Method, register
from lomit.models.runs import TWO_DOMAINS, preset_table, resized


def at_128() -> RunConfig:
    """The authors' settings: 500,000 updates of the generator, each with three of the content discriminator.

    An iteration is one update of the content discriminator.  The learning rate falls to 0 over the second half.
    """
    train = TrainConfig(steps=1_500_000, batch_size=2, decay="linear", decay_start=750_000)
    return RunConfig(DritConfig(), DataConfig(), train)


def at_64() -> RunConfig:
    """Narrow enough for a CPU, with a short schedule."""
    return resized(
        at_128(), 64, {"width": 20, "d_width": 24, "mlp_width": 64},
        steps=12_000, batch_size=4, lr=4e-4, decay_start=6_000, ema=0.995,
        log_every=30, sample_every=300, save_every=300,
    )  # fmt: skip


def tiny() -> RunConfig:
    """Rendered faces at 32 pixels."""
    return resized(
        at_64(), 32, {"width": 8, "d_width": 8},
        steps=300, decay_start=150, save_every=150, sample_every=150,
    )  # fmt: skip


def _classes() -> Classes:
    from lomit.models.drit.model import Drit, TrainableDrit

    return Drit, TrainableDrit


register(
    Method(
        "drit",
        "DRIT",
        DritConfig,
        _classes,
        preset_table("drit", TWO_DOMAINS, at_128(), at_64(), tiny(), "avatars-blond"),
    )
)
