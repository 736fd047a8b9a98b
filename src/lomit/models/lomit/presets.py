"""The runs of the paper (5.1, 7.2) and of the rendered faces, each at 128 and at 64 pixels, and their ablations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from lomit.config import DataConfig, RunConfig
from lomit.models.lomit.ablations import ABLATIONS, Ablation
from lomit.models.lomit.config import LomitConfig, LossWeights
from lomit.models.registry import Classes, Method, register

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair")
ACTION_UNITS = tuple(f"AU{n}" for n in (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43))

_CELEBA = {
    "hair-smile": ("hair colour and smile", (*HAIR, "Smiling"), HAIR, LossWeights()),
    "facialhair-gender": (
        "facial hair and gender",
        ("Goatee", "Mustache", "No_Beard", "Male"),
        (),
        LossWeights(r1=0.0, r2=0.0),  # the authors' configuration of this run; the paper prints one set for all (7.2)
    ),
    "makeup-lipstick": ("make-up and lipstick", ("Heavy_Makeup", "Wearing_Lipstick"), (), LossWeights()),
    "all": (
        "all ten attributes of the paper",
        (*HAIR, "Smiling", "Goatee", "Mustache", "No_Beard", "Male", "Heavy_Makeup", "Wearing_Lipstick"),
        (),
        LossWeights(),
    ),
}

ABLATED = ("avatars-64", "celeba-hair-smile", "celeba-hair-smile-64")
"""Presets that exist with every ablation."""


def at_64(config: RunConfig) -> RunConfig:
    """The same run at 64 pixels, narrow enough for a CPU: base width 16, two residual blocks, a short schedule.

    What differs in kind from the paper's run is measured in docs/experiments.md: cells of 2 pixels, a warm-up, float32
    (11), twice the weight of the reconstructions and codes that tell the attributes (12), a D_cls that is not to be
    persuaded and twice its weight (13), less of it where Eqs. 11 and 12 sum over more than five attributes (14).
    """
    assert isinstance(config.model, LomitConfig)
    return RunConfig(
        model=replace(
            config.model, width=16, d_width=24, cell=2, res_blocks=2, mask_convs=3, critic_steps=1, warmup=1_000,
            image_size=64, weights=_soon(config),
        ),
        data=replace(config.data, image_size=64),
        train=replace(
            config.train, steps=5_000, lr=4e-4, decay="linear", decay_start=3_000, ema=0.995,
            log_every=20, sample_every=100, save_every=100,
        ),
    )  # fmt: skip


def in_minutes(config: RunConfig) -> RunConfig:
    """The same run for some ten minutes of one large GPU: half the paper's width, batches of 16, what learns soon.

    Losses and warm-up are those of the 64-pixel presets.  Ten thousand iterations of 16 pairs show D a set of as many
    images some thirty times, so it sees them shifted and cut (`lomit.nn.augment`).
    """
    assert isinstance(config.model, LomitConfig)
    return RunConfig(
        model=replace(
            config.model, width=32, d_width=32, critic_steps=1, warmup=1_000, augment=("shift", "cutout"),
            weights=_soon(config),
        ),
        data=config.data,
        train=replace(
            config.train, steps=10_000, batch_size=16, lr=4e-4, decay="linear", decay_start=6_000, ema=0.998,
            precision="bf16-mixed", compile="graphs", log_every=50, sample_every=1_000, save_every=1_000,
        ),
    )  # fmt: skip


def _soon(config: RunConfig) -> LossWeights:
    """Weights with which attributes move after hundreds of updates (docs/experiments.md, 12 to 14)."""
    assert isinstance(config.model, LomitConfig)
    cls = min(2.0, 10 / max(1, len(config.data.attributes)))
    return replace(config.model.weights, cls=cls, x=20.0, style_cls=1.0, source_cls=0.5)


def with_batch_64(config: RunConfig) -> RunConfig:
    """The same run with eight times the batch: as many images in an eighth of the iterations.

    A batch of 8 leaves a large GPU waiting for kernel launches. Adam's learning rate grows with the square root of the
    batch, because the noise of a gradient falls with it (Krizhevsky, 2014); the moving average forgets over as many
    images as before. An H100 shows the paper's number of pairs in two thirds of the time that batches of 8 take
    (docs/performance-gpu.md); what a whole run of it learns was not measured. The paper's schedule is the preset
    without `-b64`.
    """
    train = config.train
    return replace(
        config,
        train=replace(
            train, batch_size=8 * train.batch_size, steps=train.steps // 8, lr=train.lr * 8**0.5,
            decay_start=train.decay_start // 8, decay_every=train.decay_every // 8, ema=train.ema**8,
            precision="bf16-mixed", compile="auto",
        ),
    )  # fmt: skip


def celeba(run: str) -> RunConfig:
    """One of the paper's CelebA runs at 128 pixels."""
    _, attributes, required, weights = _CELEBA[run]
    return RunConfig(
        model=LomitConfig(weights=weights),
        data=DataConfig(kind="celeba", attributes=attributes, require_one_of=required),
    )


def emotionet() -> RunConfig:
    """The paper's EmotioNet run: twelve action units, faces cropped by a detector."""
    return RunConfig(model=LomitConfig(), data=DataConfig(kind="emotionet", attributes=ACTION_UNITS, face_crop="dlib"))


def avatars() -> RunConfig:
    """Rendered faces: hair colour, smile and facial hair."""
    attributes = (*HAIR, "Smiling", "Facial_Hair")
    return RunConfig(model=LomitConfig(), data=DataConfig(kind="avatars", attributes=attributes))


def folder() -> RunConfig:
    """One's own images: the attributes are named on the command line."""
    return RunConfig(model=LomitConfig(), data=DataConfig(kind="auto"))


def tiny() -> RunConfig:
    """Rendered faces at 32 pixels and a network of a few thousand parameters: minutes on two cores."""
    run = at_64(avatars())
    return RunConfig(
        model=replace(run.model, width=8, d_width=8, image_size=32, warmup=0),  # type: ignore[call-arg]
        data=replace(run.data, image_size=32, render_count=400),
        train=replace(run.train, steps=200, decay_start=200, save_every=100, sample_every=100),
    )


def _narrow(make: Callable[[], RunConfig]) -> RunConfig:
    return at_64(make())


def _quick(make: Callable[[], RunConfig]) -> RunConfig:
    return in_minutes(make())


def _half_width(make: Callable[[], RunConfig]) -> RunConfig:
    """Half the paper's channels everywhere: a quarter of the work and of the weights."""
    config = make()
    assert isinstance(config.model, LomitConfig)
    return replace(config, model=replace(config.model, width=32, d_width=32))


def _large_batch(make: Callable[[], RunConfig]) -> RunConfig:
    return with_batch_64(make())


def ablated(make: Callable[[], RunConfig], ablation: Ablation) -> RunConfig:
    """The run with an ablation's changes."""
    config = make()
    assert isinstance(config.model, LomitConfig)
    return replace(config, model=ablation.applied(config.model))


def _presets() -> dict[str, tuple[str, Callable[[], RunConfig]]]:
    at_128: dict[str, tuple[str, Callable[[], RunConfig]]] = {
        "avatars": ("rendered faces: hair, smile, facial hair", avatars),
        **{f"celeba-{run}": (f"CelebA: {_CELEBA[run][0]}", partial(celeba, run)) for run in _CELEBA},
        "emotionet-aus": ("EmotioNet: twelve action units", emotionet),
        "folder": ("your own images, with --data.attributes NAME ...", folder),
    }
    presets: dict[str, tuple[str, Callable[[], RunConfig]]] = {}
    for name, (description, make) in at_128.items():
        presets[name] = (f"{description}, 128 pixels", make)
        presets[f"{name}-64"] = (f"{description}, 64 pixels, narrow", partial(_narrow, make))
        if name.startswith(("celeba-", "avatars")):
            presets[f"{name}-quick"] = (f"{description}, 128 pixels, ten minutes of a GPU", partial(_quick, make))
        if name.startswith("celeba-"):
            presets[f"{name}-b64"] = (f"{description}, 128 pixels, batches of 64", partial(_large_batch, make))
    presets["celeba-all-w32-b64"] = (
        f"CelebA: {_CELEBA['all'][0]}, 128 pixels, base width 32, batches of 64",
        partial(_large_batch, partial(_half_width, partial(celeba, "all"))),
    )
    for name in ABLATED:
        description, make = presets[name]
        for ablation in ABLATIONS:
            line = f"{description}: {ablation.description}"
            presets[f"{name}-{ablation.name}"] = (line, partial(ablated, make, ablation))
    presets["tiny"] = ("renders its own faces, 32 pixels, under two minutes on two cores", tiny)
    return presets


def _classes() -> Classes:
    from lomit.models.lomit.model import Lomit, TrainableLomit

    return Lomit, TrainableLomit


register(Method("lomit", "LOMIT", LomitConfig, _classes, _presets()))
