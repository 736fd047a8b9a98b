"""What the engine, the predictor and the measures know of a method: the translator protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lomit.config import ModelConfig, RunConfig, from_dict, to_dict
from lomit.errors import LomitError, did_you_mean

Guide = Literal["exemplar", "label", "random"]


@dataclass
class Batch:
    """Pairs of images with their labels.

    Attributes:
        x1, x2: images, B x 3 x H x W, in [-1, 1].
        y1, y2: labels, B x A, 1 has the attribute, 0 has not, -1 not annotated.
    """

    x1: Tensor
    x2: Tensor
    y1: Tensor
    y2: Tensor

    def micro(self, parts: int) -> list[Batch]:
        """The batch cut into `parts` equal pieces."""
        pieces = zip(*(t.chunk(parts) for t in (self.x1, self.x2, self.y1, self.y2)), strict=True)
        return [Batch(*piece) for piece in pieces]


@dataclass
class Masks:
    """Soft masks of an input and its exemplar, each B x 1 x h x w in [0, 1], 1 = foreground."""

    input: Tensor
    exemplar: Tensor


@dataclass
class Translation:
    """A translated batch: the image, B x 3 x H x W in [-1, 1], and the masks of a method that has them."""

    image: Tensor
    masks: Masks | None = None


@dataclass(frozen=True)
class Phase:
    """One kind of parameter update.

    Attributes:
        name: what the log calls it.
        loss: batch -> (the total, a scalar; its named terms, detached scalars).
        modules: whose parameters this phase updates; only they receive gradients.
        every: the phase runs in every `every`-th iteration.
        first: the first iteration (counted from 0) that it may run in.
        end: the iteration that it has ended before; None: it never ends.
        lr_scale: factor on the configured learning rate.
        weight_decay: Adam's weight decay.
        clip: largest gradient norm, None for no clipping.
    """

    name: str
    loss: Callable[[Batch], tuple[Tensor, dict[str, Tensor]]]
    modules: Sequence[nn.Module]
    every: int = 1
    first: int = 0
    end: int | None = None
    lr_scale: float = 1.0
    weight_decay: float = 0.0
    clip: float | None = None

    def parameters(self) -> list[nn.Parameter]:
        return [p for module in self.modules for p in module.parameters()]

    def runs_in(self, step: int) -> bool:
        """Whether it is this phase's turn in iteration `step`, counted from 0."""
        return self.first <= step and (self.end is None or step < self.end) and (step + 1) % self.every == 0

    def settled(self, steps: int) -> bool:
        """Whether, after `steps` iterations, the phase has begun, and ended where it ends."""
        return self.first < steps and (self.end is None or self.end < steps)


class Translator(nn.Module, ABC):
    """A method: its generator, its training phases and its translation.

    Attributes:
        config: the method's config.
        generator: everything that translation needs; the moving average and the shipped weights are of it.
        sampler: `independent` draws both images of a pair from the whole set, `two-domain` draws the first
            from the images with none of the attributes and the second from those with all of them.
        guides: what a user can guide a translation with: an exemplar image, a target label, a random style.
    """

    config: ModelConfig
    generator: nn.Module
    sampler: Literal["independent", "two-domain"] = "independent"
    guides: frozenset[Guide] = frozenset({"exemplar"})

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The updates of one training step, in order."""

    @abstractmethod
    def translate(
        self,
        x: Tensor,
        exemplar: Tensor | None = None,
        label: Tensor | None = None,
        style: Tensor | None = None,
        masks: Masks | None = None,
        source: Tensor | None = None,
    ) -> Translation:
        """Translates images with the generator.

        A measure passes an exemplar, its label and the input's label to every method alike; a method leaves
        unused what it does not need.

        Args:
            x: inputs, B x 3 x H x W in [-1, 1].
            exemplar: exemplars, the same shape.
            label: target labels, B x A in {0, 1}: what a method guided by labels is told, and to which domain a
                two-domain method translates.
            style: style codes, B x S, for methods that can sample them; see `random_styles`.
            masks: masks to use in place of the predicted ones, at any resolution.
            source: labels of the inputs, B x A, for methods with an encoder for each domain; None: each input comes
                from the domain that it is not translated to.

        Raises:
            LomitError: where the method cannot use what is given or lacks what it needs.
        """

    def random_styles(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Style codes drawn from the method's prior, count x S, on the CPU.

        Args:
            count: how many.
            generator: source of randomness; None: torch's own.

        Raises:
            LomitError: for a method without a prior.
        """
        raise LomitError(f"the method '{method_of(self.config).name}' has no random styles to draw")

    def codes(self, x: Tensor, partner: Tensor) -> dict[str, Tensor]:
        """The codes of images beside partners, for methods that take an image apart; empty for others.

        Args:
            x: images, B x 3 x H x W in [-1, 1].
            partner: what each is seen beside, the same shape.

        Returns:
            The code's name in the paper (`c`, `s_f`, `s_b`) -> B x D.
        """
        return {}

    def sample(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures for a sample sheet, column name -> B x (1 or 3) x H x W; masks in [0, 1], images in [-1, 1]."""
        result = self.translate(batch.x1, batch.x2, label=batch.y2, source=batch.y1)
        return {"input": batch.x1, "exemplar": batch.x2, "result": result.image}

    def score(self, batch: Batch) -> dict[str, Tensor]:
        """Validation terms, no gradients; `score` is the one by which the best checkpoint is kept, lower is better.

        A method without one keeps the newest checkpoint as the best.
        """
        return {}

    def warning(self, means: Mapping[str, float]) -> str | None:
        """A line for the user where the logged means of the last interval show a known failure."""
        return None


@dataclass(frozen=True)
class Method:
    """A registered method: `build(config, training)` leaves the discriminator out where `training` is False."""

    name: str
    config: type[ModelConfig]
    build: Callable[..., Translator]
    presets: dict[str, tuple[str, Callable[[], RunConfig]]] = field(default_factory=dict)
    """Preset name -> (one line of description, function that makes the run's config)."""


_METHODS: dict[str, Method] = {}


def register(method: Method) -> Method:
    """Adds a method to the registry; its name is the value of `method` in a saved config."""
    _METHODS[method.name] = method
    return method


def methods() -> dict[str, Method]:
    """Every registered method by name."""
    return dict(_METHODS)


def presets() -> dict[str, tuple[str, Callable[[], RunConfig]]]:
    """Every method's presets: name -> (description, function that makes the run's config)."""
    return {name: preset for method in _METHODS.values() for name, preset in method.presets.items()}


def get_method(name: str) -> Method:
    """The method of that name.

    Raises:
        LomitError: for an unknown name.
    """
    if name not in _METHODS:
        raise LomitError(f"unknown method '{name}'{did_you_mean(name, _METHODS)}; known: {', '.join(_METHODS)}")
    return _METHODS[name]


def method_of(config: ModelConfig) -> Method:
    """The method whose config class this is."""
    return next(m for m in _METHODS.values() if type(config) is m.config)


def saved_config(config: ModelConfig) -> dict[str, Any]:
    """What stands in the `config.json` beside weights: the method and its config."""
    return {"method": method_of(config).name, "model": to_dict(config)}


def read_saved_config(values: dict[str, Any], where: str = "config.json") -> ModelConfig:
    """The config that `saved_config` wrote.

    Raises:
        LomitError: for an unknown method, an unknown key or a wrong value.
    """
    if not isinstance(values, dict) or "method" not in values or "model" not in values:
        raise LomitError(f"{where}: needs the keys 'method' and 'model'")
    return from_dict(get_method(values["method"]).config, values["model"], f"{where}: model")
