"""The protocol of a method: `Translator` in use, `Editable` by hand, `Trainable`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from types import MappingProxyType
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from lomit.config import ModelConfig
from lomit.data.sampling import Domains, IndependentPairs, Sampler
from lomit.errors import LomitError
from lomit.models.registry import method_of

GuideKind = Literal["exemplar", "label", "random"]
Terms = dict[str, Tensor]
"""The named terms of a loss, scalars."""
Objective = tuple[Tensor, Terms]
"""A loss: the total, a scalar, and its terms, detached (`detached`)."""


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
class Guide:
    """What a translation is guided by.  A measure gives every method the same; a method ignores what it has no use for.

    Attributes:
        exemplar: images to take the style from, B x 3 x H x W in [-1, 1].
        label: target labels, B x A in {0, 1}; they name the target domain for a method that has domains.
        style: style codes, B x S, for a method that can draw them (`Translator.random_styles`).
        masks: masks to use in place of the predicted ones, at any resolution.
        source: labels of the inputs, B x A, for a method with an encoder for each domain.
        moved: which attributes are to be moved, B x A in {0, 1}, for a method whose masks go by that; None, or -1
            throughout for one image, leaves it to the method.
    """

    exemplar: Tensor | None = None
    label: Tensor | None = None
    style: Tensor | None = None
    masks: Masks | None = None
    source: Tensor | None = None
    moved: Tensor | None = None


FACIAL_HAIR = ("Goatee", "Mustache", "Beard", "No_Beard", "Facial_Hair", "Sideburns", "5_o_Clock_Shadow")
"""What facial hair is called as an attribute."""


def places_of(attributes: Sequence[str]) -> dict[str, list[int]]:
    """Where attributes lie, told by their names: place -> the numbers of its attributes.

    A place is what names end in: `hair` of `Black_Hair` and `Brown_Hair`.  Facial hair has many names and one place,
    `beard`.
    """
    places: dict[str, list[int]] = {}
    for k, name in enumerate(attributes):
        places.setdefault("beard" if name in FACIAL_HAIR else name.rsplit("_", 1)[-1].lower(), []).append(k)
    return places


class Translator(nn.Module, ABC):
    """A method in use.

    Attributes:
        config: the method's config.
        generator: every network that translation needs: the moving average follows it, the shipped weights are its.
        guides: what a user can guide a translation with: an exemplar image, a target label, a random style.
        has_masks: whether translations come with masks, and masks can be given.
        places: where masks go by the attributes named as `Guide.moved`: place -> the numbers of its attributes.
        domains: how labels sort images into the method's domains; None: it has no domains, any labels will do.
    """

    config: ModelConfig
    generator: nn.Module
    guides: frozenset[GuideKind] = frozenset({"exemplar"})
    has_masks: bool = False
    places: Mapping[str, Sequence[int]] = MappingProxyType({})
    domains: Domains | None = None

    @abstractmethod
    def translate(self, x: Tensor, guide: Guide) -> Translation:
        """Translates images, B x 3 x H x W in [-1, 1].

        Raises:
            LomitError: where the guide lacks what the method needs, or holds what it cannot use.
        """

    def translate_filling(self, x: Tensor, guide: Guide) -> Translation:
        """`translate` with masks, B x 1 x H x W, that are NaN throughout where the predicted one is to be used."""
        raise LomitError(f"the method '{method_of(self.config).name}' has no masks; leave out the masks you gave")

    def compose(self, x: Tensor, guides: Sequence[Guide]) -> Translation:
        """A translation in which each exemplar has a region of its own, for a method that can do so.

        Each guide holds an exemplar with what it is to move (`moved`) or its masks, which have one resolution.  The
        image comes with the sum of the input's masks and with the exemplars' masks, B x K x h x w.
        """
        raise LomitError(f"the method '{method_of(self.config).name}' can't compose exemplars; take a LOMIT model")

    def random_styles(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Style codes drawn from the method's prior, count x S, on the CPU; LomitError for a method without one."""
        raise LomitError(f"the method '{method_of(self.config).name}' has no random styles to draw")

    def codes(self, x: Tensor, partner: Tensor) -> dict[str, Tensor]:
        """The codes of images beside partners, each B x 3 x H x W in [-1, 1], for methods that take an image apart.

        A code's name in the paper (`c`, `s_f`, `s_b`) -> B x D; empty for other methods.
        """
        return {}


class Prepared(Protocol):
    """One input beside its exemplars: what no edit of a mask changes is computed once.

    Attributes:
        masks: the predicted ones, for each exemplar those of the input beside it and its own; 1 x 1 x h x w.
        content: content codes of the input and of each exemplar, 1 x C x h x w; empty where there are none to see.
    """

    masks: list[Masks]
    content: list[Tensor]

    def another(self, x: Tensor) -> Prepared:
        """Another input, 1 x 3 x H x W, beside the same exemplars, of which what depends on no input is kept."""

    def translate(self, masks: Sequence[Tensor], weights: Sequence[float], strength: float = 1.0) -> Translation:
        """The translation under these masks.

        Args:
            masks: of the input and of each exemplar, 1 x 1 x h x w in [0, 1]; empty where the method has none.
            weights: of the exemplars, summing to 1.
            strength: 0 keeps the input's own style, 1 takes the exemplars', more exaggerates it.
        """


class Editable(Translator):
    """A translator that blends exemplars and whose strength can be set: what `lomit edit` and `--interpolate` use."""

    @abstractmethod
    def interpolate(
        self, x: Tensor, exemplars: Sequence[Tensor], weights: Sequence[float], moved: Tensor | None = None
    ) -> Translation:
        """A blend of several exemplars; an exemplar that is the input itself contributes the input's own style.

        Images are B x 3 x H x W, the exemplars' weights sum to 1, `moved` is as in `Guide`.
        """

    @abstractmethod
    def prepare(self, x: Tensor, exemplars: Sequence[Tensor], moved: Tensor | None = None) -> Prepared:
        """An input beside its exemplars, each 1 x 3 x H x W, for edits of their masks; `moved` as in `Guide`."""


AHEAD = "ahead."
"""What the names of tensors computed ahead begin with in `Batch.extra`."""


@dataclass
class Batch:
    """What a loss sees of one step; every tensor has one row for each pair.

    Attributes:
        x1, x2: images, B x 3 x H x W, in [-1, 1].
        y1, y2: labels, B x A, 1 has the attribute, 0 has not, -1 not annotated.
        extra: by name, further images that the method's sampler draws (`x3` and its labels `y3`, ...) and what
            `Trainable.extra` adds.
    """

    x1: Tensor
    x2: Tensor
    y1: Tensor
    y2: Tensor
    extra: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Batch:
        """The batch of these tensors: the four of a pair, and the rest."""
        extra = dict(tensors)
        return cls(extra.pop("x1"), extra.pop("x2"), extra.pop("y1"), extra.pop("y2"), extra)

    def stacked(self) -> tuple[Tensor, Tensor]:
        """The images of both directions, 2B x 3 x H x W, and their labels, 2B x A."""
        return torch.cat([self.x1, self.x2]), torch.cat([self.y1, self.y2])

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by its name."""
        return {"x1": self.x1, "x2": self.x2, "y1": self.y1, "y2": self.y2, **self.extra}

    @property
    def ahead(self) -> dict[str, Tensor]:
        """What was computed ahead for several phases of the iteration (`Phase.ahead`), by name; or nothing."""
        return {name.removeprefix(AHEAD): t for name, t in self.extra.items() if name.startswith(AHEAD)}

    def shared(self, compute: Callable[[Batch], dict[str, Tensor]]) -> dict[str, Tensor]:
        """What was computed ahead, or else `compute(batch)`."""
        return self.ahead or compute(self)

    def beside(self, ahead: Mapping[str, Tensor]) -> Batch:
        """The batch with these computed ahead; they need not have a row for each pair."""
        return replace(self, extra=self.extra | {AHEAD + name: tensor for name, tensor in ahead.items()})

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with every tensor changed alike."""
        return Batch.of({name: change(tensor) for name, tensor in self.tensors().items()})

    def micro(self, parts: int) -> list[Batch]:
        """The batch cut into `parts` equal pieces."""
        names, tensors = zip(*self.tensors().items(), strict=True)
        pieces = zip(*(t.chunk(parts) for t in tensors), strict=True)
        return [Batch.of(dict(zip(names, piece, strict=True))) for piece in pieces]


def detached(terms: Terms) -> Terms:
    """The terms for the log: without a graph."""
    return {name: term.detach() for name, term in terms.items()}


@dataclass(frozen=True)
class Optimizer:
    """An Adam optimiser.  Phases that name an equal one share it, and its moments.

    Attributes:
        name: what checkpoints call it.
        modules: whose parameters it updates.
        lr_scale: factor on the configured learning rate.
        weight_decay: Adam's weight decay.
    """

    name: str
    modules: Sequence[nn.Module]
    lr_scale: float = 1.0
    weight_decay: float = 0.0

    def parameters(self) -> list[nn.Parameter]:
        return [p for module in self.modules for p in module.parameters()]


@dataclass(frozen=True)
class Phase:
    """One kind of parameter update.

    Attributes:
        name: what the log calls it.
        loss: batch -> (the total, a scalar; its named terms, detached scalars).
        updates: the modules whose parameters it updates, by an optimiser of its own, or optimisers; only these
            parameters receive gradients.
        every: the phase runs in every `every`-th iteration.
        first: the first iteration (counted from 0) that it may run in.
        end: the iteration that it has ended before; None: it never ends.
        lr_scale: factor on the configured learning rate, of an optimiser of its own.
        weight_decay: Adam's weight decay, of an optimiser of its own.
        clip: largest gradient norm, None for no clipping.
        double_backward: whether the loss differentiates a gradient (`create_graph=True`, as R1's penalty does); such a
            loss is not compiled.
        averaged: whether the moving average takes in the generator after this update, where it changed it.
        ahead: what phases before it compute, too: batch -> tensors by name, with a graph to what the phase updates.
            Where the engine computes them before an iteration's first phase, `Batch.ahead` has them until this one is
            over, without a graph for those before.  A loss that finds none computes them itself (`Batch.shared`).
    """

    name: str
    loss: Callable[[Batch], Objective]
    updates: Sequence[nn.Module] | Sequence[Optimizer]
    every: int = 1
    first: int = 0
    end: int | None = None
    lr_scale: float = 1.0
    weight_decay: float = 0.0
    clip: float | None = None
    double_backward: bool = False
    averaged: bool = True
    ahead: Callable[[Batch], dict[str, Tensor]] | None = None

    @property
    def optimizers(self) -> list[Optimizer]:
        """Its optimisers; its own is called like the phase."""
        given = [u for u in self.updates if isinstance(u, Optimizer)]
        own = [u for u in self.updates if isinstance(u, nn.Module)]
        return [*given, *([Optimizer(self.name, own, self.lr_scale, self.weight_decay)] if own else [])]

    def parameters(self) -> list[nn.Parameter]:
        return list(chain.from_iterable(optimizer.parameters() for optimizer in self.optimizers))

    def runs_in(self, step: int) -> bool:
        """Whether it is this phase's turn in iteration `step`, counted from 0."""
        return self.first <= step and (self.end is None or step < self.end) and (step + 1) % self.every == 0

    def settled(self, steps: int) -> bool:
        """Whether, after `steps` iterations, the phase has begun, and ended where it ends."""
        return self.first < steps and (self.end is None or self.end < steps)


@dataclass(frozen=True)
class PerAttribute:
    """Where a layer's tensors have entries for each attribute: on one axis, after `first` others, `each` in a row.

    The attributes may follow each other several times on that axis.
    """

    axis: int = 0
    first: int = 0
    each: int = 1


class Trainable(Translator):
    """A translator with what training needs: its discriminators and losses.

    Attributes:
        sampler: draws the images of a step.
    """

    sampler: ClassVar[type[Sampler]] = IndependentPairs

    @property
    def per_attribute(self) -> Mapping[str, PerAttribute | None]:
        """Layers with entries for each attribute, by the beginning of their tensors' names in `state_dict`.

        None: a layer for each attribute, whose number is the `{}` in the name.  A run that starts from weights with
        other attributes takes over the entries of those that both have.
        """
        return {}

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The updates of one training step, in order."""

    def extra(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Further tensors for the losses of iteration `step`, counted from 0, with one row for each pair.

        For what phases share (latent codes) and for what changes with the step (a loss weight that decays, repeated for
        each pair).  torch's random state is a function of the run's seed and the step.
        """
        return {}

    def sample(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures for a sample sheet, column name -> B x (1 or 3) x H x W; masks in [0, 1], images in [-1, 1]."""
        result = self.translate(batch.x1, Guide(batch.x2, label=batch.y2, source=batch.y1))
        return {"input": batch.x1, "exemplar": batch.x2, "result": result.image}

    def score(self, batch: Batch) -> dict[str, Tensor]:
        """Validation terms, no gradients; `score` is the one by which the best checkpoint is kept, lower is better.

        A method without one keeps the newest checkpoint as the best.
        """
        return {}

    def warning(self, means: Mapping[str, float]) -> str | None:
        """A line for the user where the logged means of the last interval show a known failure."""
        return None

    def batch_of(self, images: Mapping[str, Tensor], step: int) -> Batch:
        """The batch of iteration `step` out of what was drawn: `x1`, `x2`, ... and their labels `y1`, `y2`, ..."""
        batch = Batch.of(images)
        batch.extra.update(self.extra(batch, step))
        return batch

    def noise(self, count: int, device: torch.device | str | None = None) -> Batch:
        """A batch of noise with random labels, in the shape of a real one of `count` pairs, for measuring."""
        size, labels = self.config.image_size, len(self.config.attributes)
        sides = range(1, self.sampler.images + 1)
        drawn = {f"x{k}": 2 * torch.rand(count, 3, size, size) - 1 for k in sides}
        drawn |= {f"y{k}": torch.randint(0, 2, (count, labels)).float() for k in sides}
        return self.batch_of({name: tensor.to(device) for name, tensor in drawn.items()}, 0)
