"""Networks, batches and data sets that are small enough for a test."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from lomit.config import DataConfig, ModelConfig, RunConfig, TrainConfig
from lomit.models import Method, get_method, methods
from lomit.models.base import Batch, Trainable, Translator
from lomit.models.lomit.config import LomitConfig, LossWeights
from lomit.models.lomit.model import Lomit

SIZES = {
    "width": 4,
    "d_width": 4,
    "style_dim": 3,
    "res_blocks": 1,
    "mask_convs": 2,
    "critic_steps": 1,
    "content_steps": 1,
    "max_width": 8,
    "mapping_width": 6,
    "latent_dim": 4,
}
"""What makes a network tiny, for every method whose config has a field of that name."""
ATTRIBUTES = ("Smiling", "Hat")


def real_methods() -> dict[str, Method]:
    """The registered methods, without the tests' doubles (which have nothing to train)."""
    return {name: method for name, method in methods().items() if method.presets}


def tiny_config(method: str = "lomit", **options: Any) -> ModelConfig:
    """A method's config at the smallest sizes; `options` are fields of it."""
    small = _known(method, **SIZES)
    return get_method(method).config(**{"attributes": ATTRIBUTES, "image_size": 16} | small | options)


def _known(method: str, **options: Any) -> dict[str, Any]:
    """Those of the options that the method's config has."""
    names = {field.name for field in dataclasses.fields(get_method(method).config)}
    return {name: value for name, value in options.items() if name in names}


def tiny_translator(method: str = "lomit", seed: int = 0, **options: Any) -> Translator:
    """A translator of that config, initialised from a seed."""
    torch.manual_seed(seed)
    return get_method(method).build(tiny_config(method, **options))


def tiny_trainable(method: str = "lomit", seed: int = 0, **options: Any) -> Trainable:
    """The same with what training needs."""
    torch.manual_seed(seed)
    return get_method(method).build_trainable(tiny_config(method, **options))


def random_batch(
    size: int = 16, count: int = 2, attributes: int = 2, seed: int = 1, dtype: torch.dtype = torch.float32
) -> Batch:
    """A pair's noise in [-1, 1] with labels of all three kinds (1, 0 and -1)."""
    return Batch.of(_noise(2, size, count, attributes, seed, dtype))


def random_batch_for(translator: Trainable, count: int = 2, seed: int = 1) -> Batch:
    """The same in the shape that a method's losses take, with all the images that its sampler draws.

    Where the method has domains, inputs and exemplars go through them in turn, the latter one ahead.
    """
    config = translator.config
    drawn = _noise(translator.sampler.images, config.image_size, count, len(config.attributes), seed)
    if translator.domains is not None:
        known = np.array(list(itertools.product((0, 1), repeat=len(config.attributes))))
        inside = torch.from_numpy(known[translator.domains.of(known) >= 0]).float()
        for name in (name for name in drawn if name.startswith("y")):
            drawn[name] = inside[(torch.arange(count) + (name != "y1")) % len(inside)]
    return translator.batch_of(drawn, 0)


def _noise(
    images: int, size: int, count: int, attributes: int, seed: int, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    generator, sides = torch.Generator().manual_seed(seed), range(1, images + 1)
    x = {f"x{k}": 2 * torch.rand(count, 3, size, size, generator=generator, dtype=dtype) - 1 for k in sides}
    return x | {f"y{k}": torch.randint(-1, 2, (count, attributes), generator=generator).to(dtype) for k in sides}


def seeing_places(names: tuple[str, ...] = ("Black_Hair", "Blond_Hair", "Smiling")) -> Lomit:
    """Untrained, with masks that differ between places."""
    torch.manual_seed(0)
    config = tiny_config(
        attributes=names, image_size=32, mask_sees="differences",
        weights=LossWeights(style_cls=1.0), width=2, style_dim=8, mask_norm="group",
    )  # fmt: skip
    assert isinstance(config, LomitConfig)
    seeing = Lomit(config)
    assert seeing.generator.cosegmentation is not None
    assert seeing.generator.cosegmentation.differences is not None
    torch.nn.init.normal_(seeing.generator.cosegmentation.differences)
    return seeing


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter and buffer."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def write_folder(root: Path, count: int = 40, size: int = 16, attributes: Sequence[str] = ATTRIBUTES) -> Path:
    """A data set in the folder layout: noise whose mean colour follows its labels; the last quarter is validation."""
    draw = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    lines = [",".join(["image", *attributes, "split"])]
    for k in range(count):
        labels = [k >> bit & 1 for bit in range(len(attributes))]
        tint = 80 * np.resize(np.array(labels), 3)
        pixels = (draw.integers(0, 176, (size, size, 3)) + tint).astype(np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{k:03d}.png")
        split = "train" if k < 3 * count // 4 else "val"
        lines.append(",".join([f"{k:03d}.png", *map(str, labels), split]))
    (root / "attributes.csv").write_text("\n".join(lines) + "\n")
    return root


def tiny_run(root: Path, method: str = "lomit", model: dict[str, Any] | None = None, **train: Any) -> RunConfig:
    """A run of some steps on `write_folder`'s data.

    Args:
        root: the data set; decoded images are kept beside it.
        method: registered name.
        model: fields of the model's config.
        train: fields of `TrainConfig`.
    """
    short = {"steps": 6, "batch_size": 4, "log_every": 1, "save_every": 3, "sample_every": 100, "accelerator": "cpu"}
    return RunConfig(
        model=tiny_config(method, **_known(method, critic_steps=2, content_steps=2, mask_norm="group") | (model or {})),
        data=DataConfig(
            root=str(root), kind="folder", attributes=ATTRIBUTES, image_size=16, workers=0,
            cache_dir=str(root.with_name(f"{root.name}-cache")),
        ),
        train=TrainConfig(**short | {"lr": 1e-3, "ema": 0.9} | train),
    )  # fmt: skip
