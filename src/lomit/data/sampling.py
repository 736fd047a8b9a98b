"""Which images meet in which training step: a pure function of (seed, step), so that resuming needs no state."""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lomit.data import transforms
from lomit.data.cache import Cache
from lomit.errors import LomitError

FLIPS = 2
"""Number of the random stream that draws the flips; 0 and 1 order the images of the two sides."""


@functools.lru_cache(maxsize=8)
def _permutation(seed: int, stream: int, epoch: int, count: int) -> np.ndarray:
    """The order of one stream's epoch; the cache holds the current and the next epoch of both streams."""
    return np.random.default_rng([seed, stream, epoch]).permutation(count)


def two_domains(labels: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of these rows, those with none of the attributes and those with all of them.  `labels` is N x A."""
    chosen = labels[indices]
    return indices[(chosen == 0).all(1)], indices[(chosen == 1).all(1)]


class PairSampler:
    """Draws the pairs of a training step.

    Each side of the pairs walks through its images in shuffled epochs of its own. The batch of a step is cut
    into one piece per process, so the pairs do not depend on how many processes share the work.
    """

    def __init__(
        self,
        labels: np.ndarray,
        indices: np.ndarray,
        mode: Literal["independent", "two-domain"],
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """
        Args:
            labels: N x A of all images, 1, 0 or -1 (not annotated).
            indices: rows of the images to draw from.
            mode: `independent`, both sides from all of them; `two-domain`, the first side from those with none of
                the attributes, the second side from those with all of them.
            batch_size: pairs of a step over all processes.
            seed: decides the order.
            rank, world: this process and the number of processes.

        Raises:
            LomitError: where a side has no image, or the batch cannot be cut evenly.
        """
        if batch_size % world:
            raise LomitError(f"train.batch_size ({batch_size}) must be a multiple of the {world} processes")
        if not len(indices):
            raise LomitError("there is no image to train on")
        if mode == "independent":
            self.sides = (indices, indices)
        else:
            self.sides = two_domains(labels, indices)
            for side, word in zip(self.sides, ("none", "all"), strict=True):
                if not len(side):
                    raise LomitError(f"two-domain training needs images with {word} of the attributes; there is none")
        self.batch_size, self.seed = batch_size, seed
        self.rank, self.world = rank, world

    @property
    def _share(self) -> slice:
        """This process's part of a batch."""
        part = self.batch_size // self.world
        return slice(self.rank * part, (self.rank + 1) * part)

    def indices_at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the inputs and of the exemplars of one step, int64, batch_size / world each."""
        position = step * self.batch_size + np.arange(self.batch_size)[self._share]
        first, second = (self._walk(stream, position) for stream in (0, 1))
        return first, second

    def _walk(self, stream: int, position: np.ndarray) -> np.ndarray:
        """The images at these positions of a stream's endless walk."""
        side = self.sides[stream]
        epochs, offsets = np.divmod(position, len(side))
        picks = np.empty_like(position)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            picks[here] = _permutation(self.seed, stream, epoch, len(side))[offsets[here]]
        return side[picks]

    def flips_at(self, step: int) -> np.ndarray:
        """Which images of one step are mirrored, bool, 2 x batch_size / world."""
        draws = np.random.default_rng([self.seed, FLIPS, step]).random((2, self.batch_size))
        return draws[:, self._share] < 0.5


def load_batch(
    cache: Cache, sampler: PairSampler, step: int, device: torch.device | str = "cpu", flip: bool = True
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The batch of one step on the device.

    Returns:
        x1, x2: float32, B x 3 x S x S, in [-1, 1]; y1, y2: float32, B x A, 1, 0 or -1 (not annotated).
    """
    device = torch.device(device)
    flips = torch.from_numpy(sampler.flips_at(step))
    images, labels = [], []
    for rows, mirrored in zip(sampler.indices_at(step), flips, strict=True):
        x = transforms.normalise(_pixels(cache, rows, device))
        images.append(transforms.flip(x, _move(mirrored, device)) if flip else x)
        labels.append(_move(torch.from_numpy(cache.labels[rows].astype(np.float32)), device))
    return images[0], images[1], labels[0], labels[1]


def _pixels(cache: Cache, rows: np.ndarray, device: torch.device) -> Tensor:
    """uint8, B x 3 x S x S, on the device."""
    if cache.resident is not None:
        return cache.resident[_move(torch.from_numpy(rows), device)]
    return _move(torch.from_numpy(np.asarray(cache.images[rows])), device)


def keep_resident(cache: Cache, device: torch.device, wanted: Literal["auto", "yes", "no"]) -> None:
    """Copies all images into the device's memory, from which a batch is picked without leaving it.

    Args:
        cache: gets its `resident` images.
        device: where they go.
        wanted: `auto`: on a GPU, where they take at most a quarter of the memory that is free.

    Raises:
        LomitError: where they are wanted and don't fit.
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
