"""The runs of the paper (5.1, 7.2) and of the rendered faces, each at 64, 128 and 256 pixels, and their ablations.

An ablation is LOMIT with one part taken away or exchanged: what each part of the method is for.  It changes fields of
the config and nothing else, so an ablated run is a run like any other, and its `config.json` says what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lomit.config import DataConfig, RunConfig
from lomit.models.lomit.config import LomitConfig, LossWeights
from lomit.models.registry import Classes, Method
from lomit.models.runs import BEARD_AND_GENDER, HAIR, LABELLED, MAKEUP, Data, Preset, changed

ACTION_UNITS = tuple(f"AU{n}" for n in (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43))
_ALL_TEN = {"kind": "celeba", "attributes": (*HAIR, "Smiling", *BEARD_AND_GENDER, *MAKEUP)}
# The paper's EmotioNet run: faces cropped by a detector.
_EMOTIONET = {"kind": "emotionet", "attributes": ACTION_UNITS, "face_crop": "dlib"}
_DATA: dict[str, Data] = {
    "avatars": LABELLED["avatars"],
    **{f"celeba-{run}": LABELLED[run] for run in ("hair-smile", "facialhair-gender", "makeup-lipstick")},
    "celeba-all": ("CelebA: all ten attributes of the paper", _ALL_TEN),
    "emotionet-aus": ("EmotioNet: twelve action units", _EMOTIONET),
    "folder": LABELLED["folder"],
}
# The authors' configuration of this run; the paper prints one set of weights for all (7.2).
_WEIGHTS = {"celeba-facialhair-gender": {"r1": 0.0, "r2": 0.0}}


@dataclass(frozen=True)
class Ablation:
    """One change of the method.

    Attributes:
        name: ending of its presets' names.
        description: what is different, as a row of a table calls it.
        changes: field of `LomitConfig` -> value; `weights.r1` is a field of `LossWeights`.
    """

    name: str
    description: str
    changes: dict[str, Any]

    def applied(self, config: LomitConfig) -> LomitConfig:
        """The config with the changes; the given one stays as it is."""
        own = {field: value for field, value in self.changes.items() if "." not in field}
        weights = {field.partition(".")[2]: value for field, value in self.changes.items() if "." in field}
        return replace(config, **own, weights=replace(config.weights, **weights))

    def holds(self, config: LomitConfig) -> bool:
        """Whether every field has the ablation's value."""
        return self.applied(config) == config


ABLATIONS = (
    Ablation("plain-adain", "plain AdaIN (m = 1)", {"masks": "ones"}),
    Ablation("no-cosegmentation", "no co-segmentation (each mask from its own image)", {"masks": "own"}),
    Ablation("no-r1", "without R1 (masks equal where content is alike)", {"weights.r1": 0.0}),
    Ablation("no-r2", "without R2 (foreground codes apart)", {"weights.r2": 0.0}),
    Ablation("no-r3", "without R3 (small masks)", {"weights.r3": 0.0}),
    Ablation("shared-style", "one style encoder for foreground and background", {"shared_style_head": True}),
    Ablation("linear-gamma", "linear gamma (full: exponential)", {"gamma": "linear"}),
)
"""Every ablation, in the order of the table's rows."""
ABLATED = ("avatars-64", "celeba-hair-smile", "celeba-hair-smile-64")
"""Presets that exist with every ablation."""


def ablations_of(config: LomitConfig) -> tuple[Ablation, ...]:
    """The ablations that hold for a config; none for the full method.

    The paper's run on facial hair and gender has no R1 and no R2, and is told so.
    """
    return tuple(ablation for ablation in ABLATIONS if ablation.holds(config))


Change = Callable[[RunConfig], RunConfig]


def at_64(run: RunConfig) -> RunConfig:
    """The same run at 64 pixels, narrow enough for a CPU: base width 16, two residual blocks, a short schedule.

    What differs in kind from the paper's run is measured in docs/experiments.md: cells of 2 pixels, a warm-up, float32
    (11), twice the weight of the reconstructions and codes that tell the attributes (12), a D_cls that is not to be
    persuaded and twice its weight (13), less of it where Eqs. 11 and 12 sum over more than five attributes (14).
    """
    narrow = {"width": 16, "d_width": 24, "cell": 2, "res_blocks": 2, "mask_convs": 3, "critic_steps": 1}
    return changed(
        run, 64, {**narrow, "warmup": 1_000, "weights": _soon(run)},
        steps=5_000, lr=4e-4, decay="linear", decay_start=3_000, ema=0.995,
        log_every=20, sample_every=100, save_every=100,
    )  # fmt: skip


def at_256(run: RunConfig) -> RunConfig:
    """The same run at 256 pixels: the paper's middle, 256 channels on a 32 x 32 grid, behind one more halving.

    Half its base width, and cells of 8 pixels, keep the residual blocks and R1's pairs of pixels what they are at 128.
    What a whole run of it learns was not measured.
    """
    return changed(half_width(run), 256, {"cell": 8})


def in_minutes(run: RunConfig) -> RunConfig:
    """The same run for some ten minutes of one large GPU: half the paper's width, batches of 16, what learns soon.

    Losses and warm-up are those of the 64-pixel presets.  Ten thousand iterations of 16 pairs show D a set of as many
    images some thirty times, so it sees them shifted and cut (`lomit.nn.augment`).
    """
    learning = {"critic_steps": 1, "warmup": 1_000, "augment": ("shift", "cutout"), "weights": _soon(run)}
    return changed(
        half_width(run), run.model.image_size, learning,
        steps=10_000, batch_size=16, lr=4e-4, decay="linear", decay_start=6_000, ema=0.998,
        precision="bfloat16", compile="graphs", log_every=50, sample_every=1_000, save_every=1_000,
    )  # fmt: skip


def _soon(run: RunConfig) -> LossWeights:
    """Weights with which attributes move after hundreds of updates (docs/experiments.md, 12 to 14)."""
    assert isinstance(run.model, LomitConfig)
    cls = min(2.0, 10 / max(1, len(run.data.attributes)))
    return replace(run.model.weights, cls=cls, x=20.0, style_cls=1.0, source_cls=0.5)


def half_width(run: RunConfig) -> RunConfig:
    """Half the paper's channels everywhere: a quarter of the work and of the weights."""
    return changed(run, run.model.image_size, {"width": 32, "d_width": 32})


def with_batch_64(run: RunConfig) -> RunConfig:
    """The same run with eight times the batch: as many images in an eighth of the iterations.

    A batch of 8 leaves a large GPU waiting for kernel launches. Adam's learning rate grows with the square root of the
    batch, because the noise of a gradient falls with it (Krizhevsky, 2014); the moving average forgets over as many
    images as before. An H100 shows the paper's number of pairs in two thirds of the time that batches of 8 take
    (docs/performance-gpu.md); what a whole run of it learns was not measured. The paper's schedule is the preset
    without `-b64`.
    """
    train = run.train
    return changed(
        run, run.model.image_size, {},
        batch_size=8 * train.batch_size, steps=train.steps // 8, lr=train.lr * 8**0.5,
        decay_start=train.decay_start // 8, decay_every=train.decay_every // 8, ema=train.ema**8,
        precision="bfloat16", compile="auto",
    )  # fmt: skip


def tiny(run: RunConfig) -> RunConfig:
    """A network of a few thousand parameters for 400 faces of 32 pixels: minutes on two cores."""
    small = changed(
        at_64(run), 32, {"width": 8, "d_width": 8, "warmup": 0},
        steps=200, decay_start=200, save_every=100, sample_every=100,
    )  # fmt: skip
    return replace(small, data=replace(small.data, render_count=400))


def ablated(ablation: Ablation, run: RunConfig) -> RunConfig:
    """The run with an ablation's changes."""
    assert isinstance(run.model, LomitConfig)
    return replace(run, model=ablation.applied(run.model))


def _made(name: str, *changes: Change) -> RunConfig:
    """The paper's run on one of the data sets at 128 pixels, changed in turn."""
    run = RunConfig(LomitConfig(weights=LossWeights(**_WEIGHTS.get(name, {}))), DataConfig(**_DATA[name][1]))
    for change in changes:
        run = change(run)
    return run


def _presets() -> dict[str, Preset]:
    # Preset -> its line, its data and the changes in turn.
    runs: dict[str, tuple[str, str, tuple[Change, ...]]] = {}
    for name, (line, _) in _DATA.items():
        runs[name] = f"{line}, 128 pixels", name, ()
        runs[f"{name}-64"] = f"{line}, 64 pixels, narrow", name, (at_64,)
        runs[f"{name}-256"] = f"{line}, 256 pixels, base width 32", name, (at_256,)
        if name.startswith(("celeba-", "avatars")):
            runs[f"{name}-quick"] = f"{line}, 128 pixels, ten minutes of a GPU", name, (in_minutes,)
        if name.startswith("celeba-"):
            runs[f"{name}-b64"] = f"{line}, 128 pixels, batches of 64", name, (with_batch_64,)
    line = f"{_DATA['celeba-all'][0]}, 128 pixels, base width 32, batches of 64"
    runs["celeba-all-w32-b64"] = line, "celeba-all", (half_width, with_batch_64)
    for preset in ABLATED:
        line, name, changes = runs[preset]
        for ablation in ABLATIONS:
            more = partial(ablated, ablation)
            runs[f"{preset}-{ablation.name}"] = f"{line}: {ablation.description}", name, (*changes, more)
    runs["tiny"] = "renders its own faces, 32 pixels, under two minutes on two cores", "avatars", (tiny,)
    return {preset: (line, partial(_made, name, *changes)) for preset, (line, name, changes) in runs.items()}


def _classes() -> Classes:
    from lomit.models.lomit.model import Lomit
    from lomit.models.lomit.training import TrainableLomit

    return Lomit, TrainableLomit


LOMIT = Method("lomit", "LOMIT", LomitConfig, _classes, _presets())
