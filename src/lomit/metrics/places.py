"""Where a translation is to change an image: true regions of rendered faces, regions by landmarks of photographs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lomit.data.decode import Geometry
from lomit.errors import LomitError
from lomit.metrics import landmarks, truth
from lomit.metrics.protocol import Setting

CANVAS = 512
"""Side on which regions of photographs are drawn before they are averaged over pixels."""


class Places(ABC):
    """Regions of the images of a data set.

    Attributes:
        true: whether they are known, and not expected from landmarks.
        region_of: each of the model's attributes -> its regions.
    """

    true: bool
    region_of: dict[str, tuple[str, ...]]

    @abstractmethod
    def unions(self, row: int, unions: Sequence[Sequence[str]]) -> Tensor:
        """How much of each pixel of an image lies in unions of regions.

        Args:
            row: of the image in the cache.
            unions: names of regions; each entry gives one union.

        Returns:
            float32, U x S x S in [0, 1]; nan throughout where the image shows no face.
        """

    def targets(self, rows: np.ndarray, differs: np.ndarray) -> tuple[Tensor, Tensor]:
        """The regions in which pairs differ, and those of all attributes.

        Args:
            rows: of the inputs in the cache, B.
            differs: the attributes in which each pair differs, bool, B x A.

        Returns:
            Two coverages, float32, B x 1 x S x S in [0, 1], nan as for `unions`.
        """
        names = list(self.region_of)
        everything = self._of(names)
        both = [
            self.unions(row, (self._of(n for n, take in zip(names, d, strict=True) if take), everything))
            for row, d in zip(rows.tolist(), differs.tolist(), strict=True)
        ]
        target, everywhere = torch.stack(both, dim=1).unsqueeze(2)
        return target, everywhere

    def _of(self, attributes: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(region for name in attributes for region in self.region_of[name]))


class TrueRegions(Places):
    """The regions that rendered faces come with.

    Raises:
        LomitError: where the data has none for one of the attributes.
    """

    true = True

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.region_of = {name: truth.regions_of(setting.source, [name]) for name in setting.cache.attributes}

    def unions(self, row: int, unions: Sequence[Sequence[str]]) -> Tensor:
        s = self.setting
        return truth.coverage(s.source, s.data, int(s.cache.source_index[row]), unions)


class LandmarkRegions(Places):
    """Regions by landmarks, found once in each image at the size that its file has.

    Raises:
        LomitError: for an attribute that no region is known for, or where nothing finds landmarks.
    """

    true = False

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.region_of = {name: landmarks.regions_of(name) for name in setting.cache.attributes}
        if setting.find_landmarks is None:
            raise LomitError("regions of photographs need dlib: pip install 'lomit[faces]'")
        self.find = setting.find_landmarks
        self._found: dict[int, np.ndarray | None] = {}

    def unions(self, row: int, unions: Sequence[Sequence[str]]) -> Tensor:
        if row not in self._found:
            self._found[row] = self.find(self._square(row))
        points, size = self._found[row], self.setting.data.image_size
        if points is None:
            return torch.full((len(unions), size, size), torch.nan)
        drawn = landmarks.draw_regions(points, CANVAS)
        planes = []
        for names in unions:
            union = np.logical_or.reduce([drawn[name] for name in names]).astype(np.float32)
            planes.append(np.array(Image.fromarray(union).resize((size, size), Image.Resampling.BOX)))
        return torch.from_numpy(np.stack(planes))

    def _square(self, row: int) -> Image.Image:
        """What the network sees of an image, at the file's own resolution."""
        s = self.setting
        return Geometry.of(s.source, s.data).cut(s.source.load(int(s.cache.source_index[row])))


def places_for(setting: Setting) -> Places:
    """True regions where the data has some, else regions by landmarks; errors as for either."""
    return TrueRegions(setting) if setting.source.region_names else LandmarkRegions(setting)


def single_kinds(
    region_of: Mapping[str, tuple[str, ...]], attributes: Sequence[str], differs: Tensor
) -> dict[str, Tensor]:
    """For each kind of region: which pairs differ in attributes of that kind and in no other, bool, N.

    Attributes with the same regions are of one kind, called after the first of them (hair colours: `hair`).

    Args:
        region_of: attribute -> its regions.
        attributes: A names.
        differs: bool, N x A.
    """
    kinds: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for k, name in enumerate(attributes):
        kinds[region_of[name]].append(k)
    found = {}
    for regions, columns in kinds.items():
        others = [k for k in range(differs.shape[1]) if k not in columns]
        found[regions[0]] = differs[:, columns].any(1) & ~differs[:, others].any(1)
    return found
