"""The true regions of rendered faces, at the resolution of a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lomit.config import DataConfig
from lomit.data.decode import Geometry
from lomit.data.source import Source
from lomit.data.transforms import centre_box
from lomit.errors import LomitError


def regions_of(source: Source, attributes: Iterable[str]) -> tuple[str, ...]:
    """The regions in which an image changes when these attributes do, each once, in the source's order.

    Raises:
        LomitError: where the data does not say.
    """
    wanted: set[str] = set()
    for name in attributes:
        if name not in source.region_of or not source.region_names:
            raise LomitError(
                f"the data has no true masks for '{name}'; this protocol needs rendered faces with their regions: "
                "lomit data avatars --regions test"
            )
        wanted |= set(source.region_of[name])
    return tuple(name for name in source.region_names if name in wanted)


def coverage(source: Source, config: DataConfig, index: int, unions: Sequence[Sequence[str]]) -> Tensor:
    """How much of each pixel of the network's input lies in unions of true regions.

    The regions are cut like the image and averaged over each of its pixels.

    Args:
        source: where the regions come from.
        config: says how the images are cut and how large they are, S.
        index: the image.
        unions: names of regions; each entry gives one union.

    Returns:
        float32, U x S x S in [0, 1].

    Raises:
        LomitError: where this image has no true masks, or faces are cut out.
    """
    masks = source.regions(index)
    if not masks:
        raise LomitError(f"there are no true masks of {source.names[index]}; render the set with --regions test or all")
    if config.face_crop != "none":
        raise LomitError("true masks don't follow faces that are cut out; leave out --data.face-crop")
    geometry = Geometry.of(source, config)
    result = []
    for names in unions:
        union = np.logical_or.reduce([masks[name] for name in names])
        image = Image.fromarray(union.astype(np.float32))
        image = image.crop(centre_box(image.size, geometry.crop, geometry.reference))
        result.append(np.asarray(image.resize((geometry.size, geometry.size), Image.Resampling.BOX)))
    return torch.from_numpy(np.stack(result))
