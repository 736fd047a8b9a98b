"""StarGAN v2's runs."""

from __future__ import annotations

from functools import partial

from lomit.config import DataConfig, RunConfig, TrainConfig
from lomit.models.registry import Classes, Method, register
from lomit.models.runs import ONE_OF_SEVERAL, preset_table, resized, with_data
from lomit.models.starganv2.config import StarganV2Config


def at_256() -> RunConfig:
    """The paper's networks and schedule: 100,000 iterations of 8 sources at one learning rate (its appendix)."""
    train = TrainConfig(steps=100_000, batch_size=8, betas=(0.0, 0.99), decay_start=100_000)
    return RunConfig(StarganV2Config(image_size=256), DataConfig(image_size=256), train)


def at_128() -> RunConfig:
    """The same with twice the channels at the image's size, as the authors' networks have them at 128 pixels."""
    return resized(at_256(), 128, {"width": 128, "d_width": 128})


def at_64() -> RunConfig:
    """Narrow enough for a CPU, with a short schedule.  F's learning rate, summed over the run, is the paper's 0.1."""
    return resized(
        at_128(), 64,
        {"width": 20, "d_width": 20, "max_width": 80, "mapping_width": 128, "mapping_lr": 0.03, "ds_steps": 8_000},
        steps=8_000, batch_size=4, lr=4e-4, decay_start=8_000, ema=0.995,
        log_every=20, sample_every=200, save_every=200,
    )  # fmt: skip


def tiny() -> RunConfig:
    """Rendered faces at 32 pixels."""
    return resized(
        at_64(), 32, {"width": 8, "d_width": 8, "max_width": 16, "mapping_width": 32, "ds_steps": 200},
        steps=200, decay_start=200, save_every=100, sample_every=100,
    )  # fmt: skip


_AT_256 = {
    f"starganv2-{name}-256": (
        f"{ONE_OF_SEVERAL[name][0]}, 256 pixels",
        partial(with_data, at_256(), ONE_OF_SEVERAL[name][1]),
    )
    for name in ("gender", "hair", "folder")
}


def _classes() -> Classes:
    from lomit.models.starganv2.model import StarganV2, TrainableStarganV2

    return StarganV2, TrainableStarganV2


register(
    Method(
        "starganv2",
        "StarGAN v2",
        StarganV2Config,
        _classes,
        preset_table("starganv2", ONE_OF_SEVERAL, at_128(), at_64(), tiny(), "avatars-hair") | _AT_256,
    )
)
