"""The labels a run asks for, out of those a source has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lomit.data.source import TRAIN, Source
from lomit.data.table import TableSource
from lomit.errors import LomitError, did_you_mean


def select_labels(source: Source, attributes: Sequence[str]) -> np.ndarray:
    """The labels of these attributes in this order, int8, N x A; every attribute of the source where none is named.

    Raises:
        LomitError: for an attribute that the source does not have, listing those it has.
    """
    rejected = source.table.rejected if isinstance(source, TableSource) else {}
    for name in attributes:
        if name in rejected:
            raise LomitError(rejected[name])
        if name not in source.attributes:
            raise LomitError(
                f"the data has no attribute '{name}'{did_you_mean(name, source.attributes)}; "
                f"it has: {', '.join(source.attributes)}"
            )
    columns = [source.attributes.index(a) for a in attributes or source.attributes]
    return np.ascontiguousarray(source.labels[:, columns])


def rows_with_one_of(source: Source, required: Sequence[str]) -> np.ndarray:
    """Which images have one of these attributes, bool, N; not annotated counts as not having it."""
    if not required:
        return np.ones(len(source), dtype=bool)
    return (select_labels(source, required) == 1).any(axis=1)


def check_classes(labels: np.ndarray, split: np.ndarray, attributes: Sequence[str]) -> None:
    """Checks that, among the training images, each attribute holds for some and not for others.

    A set without training images passes (a test part of its own, say); the sampler refuses to draw from it.

    Args:
        labels: N x A of these attributes.
        split: N.
        attributes: their names.

    Raises:
        LomitError: where one of the two classes is empty, so that there is nothing to learn it from.
    """
    train = labels[split == TRAIN]
    if not len(train):
        return
    for k, name in enumerate(attributes):
        for value, word in ((1, "with"), (0, "without")):
            if not (train[:, k] == value).any():
                known = int((train[:, k] >= 0).sum())
                raise LomitError(
                    f"no training image {word} '{name}' ({known} of {len(train)} are annotated for it): "
                    f"leave it out of data.attributes or add such images"
                )
