"""The rivals and their runs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from lomit.config import DataConfig, RunConfig, TrainConfig
from lomit.models.drit.config import DritConfig
from lomit.models.munit.config import MunitConfig
from lomit.models.registry import Classes, Method
from lomit.models.runs import LABELLED, ONE_OF_SEVERAL, TWO_DOMAINS, Data, Preset, changed
from lomit.models.stargan.config import StarganConfig
from lomit.models.starganv2.config import StarganV2Config

_ON_A_CPU = {"lr": 4e-4, "ema": 0.995, "log_every": 20, "sample_every": 200, "save_every": 200}
"""Of the 64-pixel runs, which are narrow enough for a CPU and have a short schedule."""
_TINY = {"steps": 200, "decay_start": 200, "save_every": 100, "sample_every": 100}
Runs = tuple[RunConfig, RunConfig, RunConfig]
"""A method's networks and schedules at 128, 64 and 32 pixels; their data config gives the image size."""


def _presets(method: str, runs: Runs, data: dict[str, Data], tiny_data: str) -> dict[str, Preset]:
    """METHOD-DATA at 128 and METHOD-DATA-64 at 64 pixels for all data, and METHOD-tiny on one of them."""
    at_128, at_64, tiny = runs
    presets: dict[str, Preset] = {}
    for name, (description, fields) in data.items():
        presets[f"{method}-{name}"] = (f"{description}, 128 pixels", partial(_with_data, at_128, fields))
        presets[f"{method}-{name}-64"] = (f"{description}, 64 pixels, narrow", partial(_with_data, at_64, fields))
    description, fields = data[tiny_data]
    presets[f"{method}-tiny"] = (
        f"{description}, 32 pixels, minutes on two cores",
        partial(_with_data, tiny, fields | {"render_count": 400}),
    )
    return presets


def _with_data(run: RunConfig, fields: dict[str, Any]) -> RunConfig:
    """A copy of the run with these fields of its data changed."""
    return replace(run, model=replace(run.model), data=replace(run.data, **fields), train=replace(run.train))


def _stargan() -> Classes:
    from lomit.models.stargan.model import Stargan, TrainableStargan

    return Stargan, TrainableStargan


def _stargan_runs() -> Runs:
    """Section 4 and the authors' settings: batches of 16 images, the learning rate falls to 0 over the second half."""
    train = TrainConfig(steps=200_000, batch_size=8, decay="linear", decay_start=100_000)
    at_128 = RunConfig(StarganConfig(), DataConfig(), train)
    narrow = {"width": 20, "d_width": 24, "res_blocks": 4, "critic_steps": 2}
    at_64 = changed(at_128, 64, narrow, **_ON_A_CPU, steps=8_000, decay_start=4_000)
    tiny = changed(at_64, 32, {"width": 8, "d_width": 8, "res_blocks": 2}, **_TINY | {"decay_start": 100})
    return at_128, at_64, tiny


def _munit() -> Classes:
    from lomit.models.munit.model import Munit, TrainableMunit

    return Munit, TrainableMunit


def _munit_runs() -> Runs:
    """The authors' settings: one pair a step, the learning rate halved every 100,000 of 1,000,000 iterations."""
    train = TrainConfig(steps=1_000_000, batch_size=1, decay_start=0, decay_every=100_000)
    at_128 = RunConfig(MunitConfig(), DataConfig(), train)
    narrow = {"width": 20, "d_width": 24, "res_blocks": 2, "mlp_width": 64}
    at_64 = changed(at_128, 64, narrow, **_ON_A_CPU, steps=8_000, batch_size=4, decay_start=6_000, decay_every=500)
    return at_128, at_64, changed(at_64, 32, {"width": 8, "d_width": 8}, **_TINY)


def _drit() -> Classes:
    from lomit.models.drit.model import Drit, TrainableDrit

    return Drit, TrainableDrit


def _drit_runs() -> Runs:
    """The authors' settings: 500,000 updates of the generator, each with three of the content discriminator.

    An iteration is one update of the content discriminator.  The learning rate falls to 0 over the second half.
    """
    train = TrainConfig(steps=1_500_000, batch_size=2, decay="linear", decay_start=750_000)
    at_128 = RunConfig(DritConfig(), DataConfig(), train)
    longer = _ON_A_CPU | {"log_every": 30, "sample_every": 300, "save_every": 300}
    narrow = {"width": 20, "d_width": 24, "mlp_width": 64}
    at_64 = changed(at_128, 64, narrow, **longer, steps=12_000, batch_size=4, decay_start=6_000)
    short = {"steps": 300, "decay_start": 150, "save_every": 150, "sample_every": 150}
    return at_128, at_64, changed(at_64, 32, {"width": 8, "d_width": 8}, **short)


def _starganv2() -> Classes:
    from lomit.models.starganv2.model import StarganV2, TrainableStarganV2

    return StarganV2, TrainableStarganV2


# The paper's networks and schedule: 100,000 iterations of 8 sources at one learning rate (its appendix).
_STARGANV2_AT_256 = RunConfig(
    StarganV2Config(image_size=256),
    DataConfig(image_size=256),
    TrainConfig(steps=100_000, batch_size=8, betas=(0.0, 0.99), decay_start=100_000),
)


def _starganv2_runs() -> Runs:
    """At 128 pixels with twice the channels at the image's size, as the authors' networks have them.

    F's learning rate at 64 pixels, summed over the run, is the paper's 0.1.
    """
    at_128 = changed(_STARGANV2_AT_256, 128, {"width": 128, "d_width": 128})
    narrow = {"width": 20, "d_width": 20, "max_width": 80, "mapping_width": 128, "mapping_lr": 0.03, "ds_steps": 8_000}
    at_64 = changed(at_128, 64, narrow, **_ON_A_CPU, steps=8_000, batch_size=4, decay_start=8_000)
    small = {"width": 8, "d_width": 8, "max_width": 16, "mapping_width": 32, "ds_steps": 200}
    return at_128, at_64, changed(at_64, 32, small, **_TINY)


_OF_V2 = _presets("starganv2", _starganv2_runs(), ONE_OF_SEVERAL, "avatars-hair")
for _name in ("gender", "hair", "folder"):
    _line, _fields = ONE_OF_SEVERAL[_name]
    _OF_V2[f"starganv2-{_name}-256"] = f"{_line}, 256 pixels", partial(_with_data, _STARGANV2_AT_256, _fields)

STARGAN = Method(
    "stargan", "StarGAN", StarganConfig, _stargan, _presets("stargan", _stargan_runs(), LABELLED, "avatars")
)
MUNIT = Method("munit", "MUNIT", MunitConfig, _munit, _presets("munit", _munit_runs(), TWO_DOMAINS, "avatars-blond"))
DRIT = Method("drit", "DRIT", DritConfig, _drit, _presets("drit", _drit_runs(), TWO_DOMAINS, "avatars-blond"))
STARGAN_V2 = Method("starganv2", "StarGAN v2", StarganV2Config, _starganv2, _OF_V2)
