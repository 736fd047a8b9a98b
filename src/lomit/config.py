"""The part of the configuration that every method shares.

A run is described by one `RunConfig`: the method's own config (`model`), the data and the training.
It is written as JSON beside the weights and read back by `from_dict`, which names the key that is wrong
and the one that was probably meant.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from lomit.errors import LomitError, did_you_mean

T = TypeVar("T")
MAX_FLOAT = sys.float_info.max

DataKind = Literal["auto", "celeba", "folder", "emotionet", "avatars", "pack"]
FaceCrop = Literal["none", "dlib"]
Split = Literal["official", "paper"]
NumberFormat = Literal["float32", "bfloat16"]
"""What convolutions compute in."""
Precision = Literal["auto", "float32", "bfloat16"]
"""A number format, or the faster of both on the CPU at hand (docs/performance.md)."""
DEMO_SEED = 2019
"""Seed of rendered faces that are only shown; training sets have others."""
MAX_SIDE, MAX_WIDTH, MAX_LAYERS = 4096, 4096, 100
"""Largest side of an image in pixels, number of channels and number of layers of a kind."""
MAX_SEED, MAX_THREADS = 2**63 - 1, 1024
Augmentation = Literal["shift", "cutout"]
CompileMode = Literal["none", "auto", "graphs", "default", "reduce-overhead", "max-autotune"]


@dataclass
class FacesConfig:
    """Where labelled faces are, and how they are cut."""

    root: str | None = None
    """Folder or pack file of faces."""
    extra_roots: tuple[str, ...] = ()
    """More folders of the same kind, added to the first; a file name that is already there is skipped and counted."""
    kind: DataKind = "auto"
    """Layout of `root`; `auto` recognises it from the files."""
    split: Split = "official"
    """`official`: as the files say, else 85, 5 and 10 % by person; `paper`: 2,000 images at random for testing, the
    others to train on (of EmotioNet 200,000; paper 5.1), so that people stand in both."""
    crop: int | None = None
    """Side of the centre square cut out before resizing; None: CelebA's 178 where the layout is CelebA's
    (89 for half-size files), else the largest centre square."""
    face_crop: FaceCrop = "none"
    """`dlib`: cut faces out with the detector of the `faces` extra (EmotioNet, paper 5.1); not for a pack."""
    face_margin: float = 0.25
    """Room on each side of the detector's box, as a share of its side; the paper does not say how much it left."""
    workers: int = 2
    """Processes that decode images into the cache."""
    cache_dir: str | None = None
    """Where decoded images are kept; None: $LOMIT_CACHE or the user's cache folder."""


@dataclass
class DataConfig(FacesConfig):
    """Where the images come from and how they become network inputs.  `avatars` without a root renders them."""

    attributes: tuple[str, ...] = ()
    """Attributes the model is trained on, in label order."""
    require_one_of: tuple[str, ...] = ()
    """Images with none of these attributes are left out: in the hair-colour runs by the authors' loader; the paper does
    not say so."""
    image_size: int = 128
    """Side of the network's input, in pixels."""
    flip: bool = True
    """Mirror each training image with probability 0.5."""
    render_count: int = 10_000
    """Faces to render where `kind` is `avatars` and `root` is empty."""
    render_seed: int = 0
    """Seed of those faces."""
    on_device: Literal["auto", "yes", "no"] = "auto"
    """Keep all decoded images in the training device's memory; `auto`: on a GPU, where they take at most a quarter of
    what is free."""

    def __post_init__(self) -> None:
        _check_side("data.image_size", self.image_size)
        check_range("data.crop", self.crop, 1)
        check_range("data.workers", self.workers, 0)
        if not 0 <= self.face_margin <= 4:
            raise LomitError(f"data.face_margin must lie between 0 and 4; it is {self.face_margin:g}")
        unknown = [a for a in self.require_one_of if a not in self.attributes]
        if self.attributes and unknown:
            raise LomitError(f"data.require_one_of names '{unknown[0]}', which is not in data.attributes")


@dataclass
class TrainConfig:
    """How long, how fast and how safely."""

    steps: int = 200_000
    """Iterations; the discriminator is updated in each (paper 7.2: 200,000)."""
    batch_size: int = 8
    """Pairs per iteration over all processes and accumulation steps (paper 7.2: 8)."""
    accumulate: int = 1
    """Micro-batches that a batch is split into, to fit the memory."""
    lr: float = 1e-4
    """Adam's learning rate (paper 7.2)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's betas (paper 7.2)."""
    decay: Literal["halve", "linear"] = "halve"
    """`halve`: by half every `decay_every` iterations (paper 7.2); `linear`: to 0 at the last iteration."""
    decay_start: int = 100_000
    """Iteration after which the learning rate starts to fall (paper 7.2)."""
    decay_every: int = 10_000
    """Iterations per halving (paper 7.2)."""
    ema: float = 0.999
    """Decay of the moving average of the generator, per generator update; 0 switches it off."""
    precision: Precision = "float32"
    """`bfloat16` computes convolutions in bfloat16; `auto` takes the faster of both on a CPU that has bfloat16 in
    hardware, tried with some iterations at the start, else float32.  The run's config.json keeps what was taken, and
    --resume goes on in that."""
    compile: CompileMode = "none"
    """`graphs`: each update is replayed as one CUDA graph; `default`: losses go through torch.compile, some minutes at
    the start; `reduce-overhead`: both; `max-autotune`: both, with the longest search for kernels; `auto`:
    `graphs` on a GPU, `none` on a CPU. What does not work is left out with a line. Results agree with `none`
    to rounding, not to the bit."""
    accelerator: str = "auto"
    """Device to train on: cpu, cuda, one of several GPUs such as cuda:1, or mps (a Mac's).  auto is cuda where there is
    one, else cpu."""
    init: str | None = None
    """Start from the weights of this run, checkpoint or model (also by name), with fresh optimisers and this run's
    schedule; a model has no discriminator, which starts anew then."""
    seed: int = 0
    """Seed of initialisation, data order and every random draw."""
    threads: int | None = None
    """CPU threads of this process; None leaves PyTorch's choice.  Another number rounds sums in another way: a run
    that is to go on to the bit keeps it."""
    log_every: int = 50
    """Iterations between log lines."""
    sample_every: int = 1_000
    """Iterations between sample sheets."""
    save_every: int = 1_000
    """Iterations between checkpoints."""
    keep: int = 2
    """Checkpoints kept beside the best one."""
    max_minutes: float | None = None
    """Stop, save and exit this many minutes after the command began."""

    def __post_init__(self) -> None:
        counts = "steps", "batch_size", "accumulate", "decay_every", "log_every", "sample_every", "save_every", "keep"
        for name in (*counts, "threads"):
            check_range(f"train.{name}", getattr(self, name), 1, MAX_THREADS if name == "threads" else None)
        check_range("train.decay_start", self.decay_start, 0)
        check_range("train.seed", self.seed, 0, MAX_SEED)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise LomitError(f"train.betas must lie in [0, 1); they are {self.betas[0]} and {self.betas[1]}")
        if self.batch_size % self.accumulate:
            raise LomitError(
                f"train.batch_size ({self.batch_size}) must be a multiple of train.accumulate ({self.accumulate})"
            )
        if not 0 <= self.ema < 1:
            raise LomitError(f"train.ema must lie in [0, 1); it is {self.ema}")
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.accelerator):
            raise LomitError(f"train.accelerator must be auto, cpu, mps, cuda or cuda:N; it is '{self.accelerator}'")
        if self.lr <= 0:
            raise LomitError(f"train.lr must be positive; it is {self.lr}")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise LomitError(f"train.max_minutes must be positive; it is {self.max_minutes:g}")


@dataclass
class ModelConfig:
    """Base of every method's own config."""

    scheduled: ClassVar[tuple[str, ...]] = ()
    """Its fields that count iterations: a run with a shorter schedule has fewer of them, too."""

    attributes: tuple[str, ...] = ()
    """Names of the labels, in order; filled from `data.attributes` when a run starts."""
    image_size: int = 128
    """Side of the images, filled from `data.image_size` when a run starts."""


def check_sizes(
    config: ModelConfig, widths: Sequence[str], layers: Sequence[str] = (), counts: Sequence[str] = ()
) -> None:
    """Checks the numbers that networks are built by, before a config from elsewhere asks for more than fits.

    Args:
        config: whose they are.
        widths: fields that say how many channels or entries something has.
        layers: fields that say how many layers.
        counts: other fields that are at least 1.

    Raises:
        LomitError: for the first that is out of its range.
    """
    for names, most in ((widths, MAX_WIDTH), (layers, MAX_LAYERS), (counts, None)):
        for name in names:
            check_range(f"model.{name}", getattr(config, name), 1, most)
    _check_side("model.image_size", config.image_size)


def check_range(name: str, value: int | None, least: int, most: int | None = None) -> None:
    """Raises `LomitError` where a number is less or more than it may be; None is not given."""
    if value is not None and value < least:
        raise LomitError(f"{name} must be at least {least}; it is {value}")
    if value is not None and most is not None and value > most:
        raise LomitError(f"{name} must be at most {most}; it is {value}")


def _check_side(name: str, side: int) -> None:
    if not 16 <= side <= MAX_SIDE or side % 16:
        raise LomitError(f"{name} must be a multiple of 16, from 16 to {MAX_SIDE}; it is {side}")


@dataclass
class RunConfig:
    """Everything that decides a run."""

    model: ModelConfig
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain JSON values."""
    return dataclasses.asdict(config)


def read_json(path: Path, **how: Any) -> dict[str, Any]:
    """A JSON object from a file in UTF-8; `how` as for `json.loads`.  Raises LomitError where it is missing, can't be
    read, is no JSON, or holds something else than an object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"), **how)
    except FileNotFoundError:
        raise LomitError(f"no such file: {path}") from None
    except RecursionError:
        raise LomitError(f"{path} can't be read as JSON: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise LomitError(f"{path} can't be read as JSON: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(values, dict):
        raise LomitError(f"{path}: expected an object with keys, found {type(values).__name__}")
    return values


def from_dict(cls: type[T], values: dict[str, Any], where: str = "config") -> T:
    """Builds a config dataclass from plain values.

    Raises:
        LomitError: for an unknown key (with the nearest known one), one that is missing, or a value of the wrong type.
    """
    if not isinstance(values, dict):
        raise LomitError(f"{where}: expected an object with keys, found {type(values).__name__}")
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise LomitError(
                f"{where}: unknown key '{key}'{did_you_mean(key, known)}; known: {', '.join(sorted(known))}"
            )
    for f in dataclasses.fields(cls):  # type: ignore[arg-type]
        if f.name not in values and f.default is f.default_factory is dataclasses.MISSING:
            raise LomitError(f"{where}: the key '{f.name}' is missing")
    return cls(**{key: _convert(hints[key], value, f"{where}.{key}") for key, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotated type, or a LomitError that names the place."""
    if hint is Any:
        return value
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else from_dict(hint, value, where)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        return _convert(next(a for a in args if a is not type(None)), value, where)
    if origin is Literal:
        if value not in args:
            raise LomitError(f"{where}: '{value}' is not one of {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise LomitError(f"{where}: expected a list, found '{value}'")
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_convert(args[0], v, f"{where}[{k}]") for k, v in enumerate(value, start=1))
        if len(value) != len(args):
            raise LomitError(f"{where}: expected {len(args)} values, found {len(value)}")
        return tuple(_convert(a, v, where) for a, v in zip(args, value, strict=True))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise LomitError(f"{where}: expected an object with keys, found '{value}'")
        return {str(key): _convert(args[1], v, f"{where}.{key}") for key, v in value.items()}
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not -MAX_FLOAT <= value <= MAX_FLOAT:  # NaN is not, either
            raise LomitError(f"{where} must be a finite number; it is {value}")
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise LomitError(f"{where}: expected {hint.__name__}, found '{value}'")
    return value
