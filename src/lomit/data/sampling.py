"""Which images meet in which training step: a pure function of (seed, step), so that resuming needs no state."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from lomit.data import transforms
from lomit.data.cache import Cache
from lomit.errors import LomitError

FLIPS = 2
"""Number of the random stream that draws the flips; the others order the images."""


def _permutation(seed: int, stream: int, epoch: int, count: int) -> np.ndarray:
    """The order of one stream's epoch."""
    return np.random.default_rng([seed, stream, epoch]).permutation(count)


@dataclass(frozen=True)
class Domains:
    """How labels sort images into domains.

    Attributes:
        of: labels, N x A in {1, 0, -1} -> the domain of each image, int64, N, counted from 0; -1: it is in none.
    """

    of: Callable[[np.ndarray], np.ndarray]


def _none_or_all(labels: np.ndarray) -> np.ndarray:
    return np.where((labels == 0).all(1), 0, np.where((labels == 1).all(1), 1, -1))


NONE_OR_ALL = Domains(_none_or_all)
"""Two domains: images with none of the attributes (0), images with all of them (1)."""


class Sampler(ABC):
    """Draws the images of a training step: x1, x2 and, where `images` is larger, x3 and so on.

    Each of them walks through its own images in shuffled epochs. The batch of a step is cut into one piece per
    process, so what is drawn does not depend on how many processes share the work.

    A method names a subclass; one that draws in another way overrides `indices_at`, with `positions` and `walk`.

    Attributes:
        images: how many images a pair has, exemplars counted.
        sides: what `sides_of` gave.
    """

    images: ClassVar[int] = 2

    def __init__(
        self, labels: np.ndarray, indices: np.ndarray, batch_size: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        """
        Args:
            labels: N x A of all images, 1, 0 or -1 (not annotated).
            indices: rows of the images to draw from.
            batch_size: pairs of a step over all processes.
            rank, world: this process and the number of processes.

        Raises:
            LomitError: where there is nothing to draw from, or the batch cannot be cut evenly.
        """
        if batch_size % world:
            raise LomitError(f"train.batch_size ({batch_size}) must be a multiple of the {world} processes")
        if not len(indices):
            raise LomitError("there is no image to train on")
        self.batch_size, self.seed = batch_size, seed
        part = batch_size // world
        self._share = slice(rank * part, (rank + 1) * part)
        self.sides = self.sides_of(labels, indices)
        # The current and the next epoch of every walk: each image of a pair may walk through each side.
        self._order = functools.lru_cache(maxsize=2 * self.images * len(self.sides))(_permutation)

    @abstractmethod
    def sides_of(self, labels: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """The sets of rows, parts of `indices`, that images are drawn from.

        `indices_at` draws x1 from the first, x2 from the second and so on, unless a subclass draws in another way.
        Raises LomitError where one of the sets is empty.
        """

    def indices_at(self, step: int) -> tuple[np.ndarray, ...]:
        """Rows of x1, x2, ... of one step, int64, batch_size / world each."""
        positions = self.positions(step)
        return tuple(self.walk(side, stream, positions) for stream, side in enumerate(self.sides))

    def positions(self, step: int) -> np.ndarray:
        """Numbers of this process's pairs among all pairs of the run, int64."""
        return step * self.batch_size + np.arange(self.batch_size)[self._share]

    def walk(self, rows: np.ndarray, stream: int, positions: np.ndarray) -> np.ndarray:
        """The rows at these positions of an endless walk through `rows`, each epoch in an order of its own.

        Walks of different streams have different orders.
        """
        epochs, offsets = np.divmod(positions, len(rows))
        picks = np.empty_like(positions)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            # The flips' stream is left out.
            order = self._order(self.seed, stream + (stream >= FLIPS), epoch, len(rows))
            picks[here] = order[offsets[here]]
        return rows[picks]

    def flips_at(self, step: int) -> np.ndarray:
        """Which images of one step are mirrored, bool, `images` x batch_size / world."""
        draws = np.random.default_rng([self.seed, FLIPS, step]).random((self.images, self.batch_size))
        return draws[:, self._share] < 0.5


class IndependentPairs(Sampler):
    """Both images of a pair come from the whole set."""

    def sides_of(self, labels: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        return indices, indices


class TwoDomainPairs(Sampler):
    """x1 has none of the attributes, x2 has all of them (`NONE_OR_ALL`)."""

    def sides_of(self, labels: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        domains = NONE_OR_ALL.of(labels[indices])
        sides = indices[domains == 0], indices[domains == 1]
        for side, word in zip(sides, ("none", "all"), strict=True):
            if not len(side):
                raise LomitError(f"two-domain training needs images with {word} of the attributes; there is none")
        return sides


def load_batch(
    cache: Cache, sampler: Sampler, step: int, device: torch.device | str = "cpu", flip: bool = True
) -> dict[str, Tensor]:
    """What the sampler draws for one step, on the device.

    Returns:
        x1, x2, ...: float32, B x 3 x S x S, in [-1, 1]; y1, y2, ...: float32, B x A, 1, 0 or -1 (not annotated).
    """
    device = torch.device(device)
    flips = torch.from_numpy(sampler.flips_at(step))
    batch: dict[str, Tensor] = {}
    for k, (rows, mirrored) in enumerate(zip(sampler.indices_at(step), flips, strict=True), start=1):
        x = transforms.normalise(_pixels(cache, rows, device))
        batch[f"x{k}"] = transforms.flip(x, _move(mirrored, device)) if flip else x
        batch[f"y{k}"] = _move(torch.from_numpy(cache.labels[rows].astype(np.float32)), device)
    return batch


def _pixels(cache: Cache, rows: np.ndarray, device: torch.device) -> Tensor:
    """uint8, B x 3 x S x S, on the device."""
    if cache.resident is not None:
        return cache.resident[_move(torch.from_numpy(rows), device)]
    return _move(torch.from_numpy(np.asarray(cache.images[rows])), device)


def keep_resident(cache: Cache, device: torch.device, wanted: Literal["auto", "yes", "no"]) -> None:
    """Copies all images into the device's memory, from which a batch is picked without leaving it.  Raises LomitError
    where they are wanted and don't fit.

    Args:
        wanted: `auto`: on a GPU, where they take at most a quarter of the memory that is free.
    """
    fits = device.type == "cuda" and cache.images.nbytes <= torch.cuda.mem_get_info(device)[0] / 4
    if wanted == "no" or (wanted == "auto" and not fits):
        return
    try:
        cache.resident = torch.from_numpy(np.array(cache.images)).to(device)
    except RuntimeError as error:  # the allocator's error, on any device
        size = f"{cache.images.nbytes / 2**30:.1f} GiB"
        raise LomitError(f"the images ({size}) don't fit on {device}; set data.on-device to no") from error


def _move(tensor: Tensor, device: torch.device) -> Tensor:
    """To the device; through pinned memory, so that the copy overlaps with computing, where that is a GPU."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
