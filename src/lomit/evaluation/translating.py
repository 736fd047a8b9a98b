"""What every protocol does alike: which images may be paired, how they are translated, batches that can be resumed."""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lomit.data.cache import Cache
from lomit.data.sampling import NONE_OR_ALL
from lomit.data.transforms import denormalise, normalise
from lomit.errors import LomitError, did_you_mean
from lomit.evaluation.pairs import Pairs, draw_pairs
from lomit.evaluation.settings import Setting
from lomit.models.base import Guide, Masks, Translation, method_of

TOO_FEW = 10
"""Fewer people than these are too few for a claim; what rests on them is flagged."""


def usable_rows(setting: Setting, split: str | None = None) -> np.ndarray:
    """The images that a method can be given: those in one of its domains, where it has domains.

    Args:
        setting: the data and the method.
        split: of the data; by default the setting's.

    Returns:
        Rows of the cache, int64, ascending.

    Raises:
        LomitError: where there is none.
    """
    split = split or setting.split
    rows = setting.cache.subset(split)
    if not len(rows):
        raise LomitError(f"the data has no image of the {split} split to evaluate on")
    domains = setting.translator.domains
    return rows if domains is None else rows[domains.of(setting.cache.labels[rows]) >= 0]


def pairs_of(setting: Setting, rows: np.ndarray, labels: np.ndarray | None = None) -> Pairs:
    """The setting's pairs among these rows, as `Choices.differ` and `Choices.alike` want them.

    Args:
        setting: number, seed and choices.
        rows: of the cache.
        labels: what pairs differ in, images x K; by default the model's attributes, and `Choices.differ` counts.

    Raises:
        LomitError: for an attribute that the data does not annotate, where none of `Choices.differ` is the model's, and
            where there are too few such pairs.
    """
    chosen, cache = setting.choices, setting.cache
    if chosen.differ and not set(chosen.differ) & set(cache.attributes):
        raise LomitError(
            f"--differ names none of the model's attributes ({', '.join(cache.attributes)}): it could not translate "
            "such pairs"
        )
    differ = of_data(setting, chosen.differ, "differ") if chosen.differ and labels is None else None
    alike = of_data(setting, chosen.alike, "alike") if chosen.alike else None
    return draw_pairs(cache.labels if labels is None else labels, rows, setting.pairs, setting.seed, differ, alike)


def pairs_note(setting: Setting) -> str:
    """What `pairs_of` drew among all attributes, and what the intervals are, for a protocol's notes."""
    names = setting.choices.differ or setting.cache.attributes
    return (
        f"{setting.pairs} ordered pairs of the {setting.split} split that differ in at least one of {', '.join(names)}"
        f"{alike_note(setting)}; [ ]: 95 % bootstrap intervals over the people in the inputs."
    )


def alike_note(setting: Setting) -> str:
    """How `Choices.alike` goes on from what pairs differ in; empty where nothing was chosen."""
    chosen = setting.choices.alike
    return f" and are alike in {', '.join(chosen)}" if chosen else ""


def of_data(setting: Setting, names: tuple[str, ...], option: str) -> np.ndarray:
    """Labels of any attributes of the data, int8, rows of the cache x K.

    Raises:
        LomitError: for an attribute that the data does not annotate, which `option` named.
    """
    known = setting.source.attributes
    for name in names:
        if name not in known:
            raise LomitError(
                f"--{option}: the data has no attribute '{name}'{did_you_mean(name, known)}; it has {', '.join(known)}"
            )
    return setting.source.labels[setting.cache.source_index][:, [known.index(name) for name in names]]


def two_domains(setting: Setting) -> bool:
    """Whether the method knows no more than the images with none and those with all of its attributes."""
    return setting.translator.domains == NONE_OR_ALL


def at_the_ends(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Those of the rows whose labels (N x K) are all 0 or all 1."""
    chosen = labels[rows]
    return rows[(chosen == 0).all(1) | (chosen == 1).all(1)]


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
        setting: holds the method.
        x, exemplar: B x 3 x S x S in [-1, 1].
        y: target labels, B x A in {-1, 0, 1}, for methods guided by labels; what is not annotated is told as 0.
        y_input: the inputs' labels, for methods with an encoder for each domain.
        masks: in place of the predicted ones.
    """
    target, source = (labels.clamp(min=0).float() for labels in (y, y_input))
    with torch.no_grad(), torch.backends.cudnn.flags(deterministic=True, benchmark=False):
        return setting.translator.translate(x, Guide(exemplar, target, None, masks, source))


def as_saved(result: Translation) -> Tensor:
    """The image as a PNG would hold it: uint8, B x 3 x S x S.

    Raises:
        LomitError: where the output is not finite.
    """
    if not torch.isfinite(result.image).all():
        raise LomitError("the model's output is not finite; its weights are damaged or its training failed")
    return denormalise(result.image)


def in_batches(
    setting: Setting, stage: str, count: int, compute: Callable[[slice], Mapping[str, Tensor]], size: int | None = None
) -> dict[str, Tensor]:
    """Runs over `count` things in batches and keeps each batch's values, so that a killed run is taken up.

    Args:
        setting: holds the batch size and the store.
        stage: name of this run, different from every other of the protocol.
        count: of things.
        compute: some of them -> name -> values, whose first axis is over these.
        size: things in a batch; by default the setting's batch size.

    Returns:
        Name -> the values of all, on the CPU.
    """
    size = size or setting.batch_size
    parts: dict[str, list[Tensor]] = defaultdict(list)
    starts = range(0, count, size)
    hidden = not (setting.progress and sys.stderr.isatty())
    with torch.no_grad():
        for k, start in enumerate(tqdm(starts, desc=stage, unit="batch", file=sys.stderr, disable=hidden)):
            part = slice(start, min(start + size, count))
            found = setting.store.part(f"{stage}/{k:05d}", lambda part=part: compute(part))  # type: ignore[misc]
            for name, tensor in found.items():
                parts[name].append(tensor)
    return {name: torch.cat(tensors) for name, tensors in parts.items()}


def keep(
    setting: Setting, stage: str, numbers: Sequence[int], inputs: np.ndarray, exemplars: np.ndarray, result: Tensor
) -> None:
    """Keeps translated images (uint8, B x 3 x S x S), where that is asked for, as `NUMBER_INPUT_EXEMPLAR.png`."""
    stems = [
        f"{n:06d}_{_stem(setting.cache, i)}_{_stem(setting.cache, e)}"
        for n, i, e in zip(numbers, inputs.tolist(), exemplars.tolist(), strict=True)
    ]
    setting.store.keep_images(stage, stems, result)


def pair_facts(cache: Cache, pairs: Pairs, test_images: int) -> dict[str, object]:
    """Number and people of pairs out of `test_images`, and the hash of their names in order: equal for equal pairs."""
    names = [f"{cache.names[i]} {cache.names[e]}" for i, e in zip(pairs.inputs, pairs.exemplars, strict=True)]
    return {
        "pairs": len(pairs),
        "people": len(np.unique(cache.identity[pairs.inputs])),
        "test_images": test_images,
        "pairs_sha256": hashlib.sha256("\n".join(names).encode()).hexdigest(),
    }


def method_name(setting: Setting) -> str:
    """The method's registered name, for messages."""
    return method_of(setting.translator.config).name


def _stem(cache: Cache, row: int) -> str:
    return cache.names[row].rpartition(".")[0] or cache.names[row]
