"""What every protocol does alike: it translates in batches that can be resumed, and scores what a PNG would hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lomit.data.transforms import denormalise, normalise
from lomit.errors import LomitError
from lomit.evaluation.settings import Setting
from lomit.models.base import Guide, Masks, Translation

TOO_FEW = 10
"""Fewer people than these are too few for a claim; what rests on them is flagged."""


def images(setting: Setting, rows: np.ndarray) -> Tensor:
    """Images of the cache, B x 3 x S x S in [-1, 1], on the device."""
    return normalise(torch.from_numpy(np.asarray(setting.cache.images[rows])).to(setting.device))


def labels(setting: Setting, rows: np.ndarray) -> Tensor:
    """Labels of images of the cache, int8, B x A in {-1, 0, 1}, on the device."""
    return torch.from_numpy(setting.cache.labels[rows]).to(setting.device)


def translate(
    setting: Setting, x: Tensor, exemplar: Tensor, y: Tensor, y_input: Tensor, masks: Masks | None = None
) -> Translation:
    """Translates; every method is given the same and leaves unused what it does not need.

    Args:
        x, exemplar: B x 3 x S x S in [-1, 1].
        y: target labels, B x A in {-1, 0, 1}, for methods guided by labels; what is not annotated is told as 0.
        y_input: the inputs' labels, for methods with an encoder for each domain.  What differs between both is named to
            a method whose masks go by names.
        masks: in place of the predicted ones.
    """
    target, source = (labels.clamp(min=0).float() for labels in (y, y_input))
    moved = ((y != y_input) & (y >= 0) & (y_input >= 0)).float()
    with torch.no_grad(), torch.backends.cudnn.flags(deterministic=True, benchmark=False):
        return setting.translator.translate(x, Guide(exemplar, target, None, masks, source, moved))


def as_saved(result: Translation) -> Tensor:
    """The image as a PNG would hold it: uint8, B x 3 x S x S.  Raises LomitError where the output is not finite."""
    if not torch.isfinite(result.image).all():
        raise LomitError("the model's output is not finite; its weights are damaged or its training failed")
    return denormalise(result.image)


def in_batches(
    setting: Setting, stage: str, count: int, compute: Callable[[slice], Mapping[str, Tensor]], size: int | None = None
) -> dict[str, Tensor]:
    """Runs over `count` things in batches and keeps each batch's values, so that a killed run is taken up.

    Args:
        stage: name of this run, different from every other of the protocol.
        compute: some things -> name -> values, whose first axis is over these.
        size: things in a batch; by default the setting's batch size.

    Returns:
        Name -> the values of all, on the CPU.
    """
    size = size or setting.batch_size
    parts: dict[str, list[Tensor]] = defaultdict(list)
    starts = range(0, count, size)
    with torch.no_grad():
        for k, start in enumerate(tqdm(starts, desc=stage, unit="batch", disable=None)):
            part = slice(start, min(start + size, count))
            found = setting.store.part(f"{stage}/{k:05d}", lambda part=part: compute(part))  # type: ignore[misc]
            for name, tensor in found.items():
                parts[name].append(tensor)
    return {name: torch.cat(tensors) for name, tensors in parts.items()}


def keep(
    setting: Setting, stage: str, numbers: Sequence[int], inputs: np.ndarray, exemplars: np.ndarray, result: Tensor
) -> None:
    """Keeps translated images (uint8, B x 3 x S x S), where that is asked for, as `NUMBER_INPUT_EXEMPLAR.png`."""
    stems = []
    for number, *rows in zip(numbers, inputs.tolist(), exemplars.tolist(), strict=True):
        names = [setting.cache.names[row] for row in rows]
        stems.append("_".join([f"{number:06d}", *(name.rpartition(".")[0] or name for name in names)]))
    setting.store.keep_images(stage, stems, result)
