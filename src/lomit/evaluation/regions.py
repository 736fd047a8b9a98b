"""Where a translation is to change an image.

Rendered faces come with true regions.  Of photographs, label pictures tell where hair and mouth are; without them there
are expected regions, drawn from landmarks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from lomit.data.decode import Geometry
from lomit.errors import LomitError
from lomit.evaluation import photographs
from lomit.evaluation.photographs import averaged, boxed
from lomit.evaluation.settings import Setting

CANVAS = 512
"""Side on which expected regions are drawn before they are averaged over pixels."""


class Regions:
    """Regions of the images of a data set.

    Attributes:
        kind: `true` (of rendered faces), `labels` or `expected`.
        target: what the region in which a pair differs is called.
        words: the same in a sentence.
        region_of: each of the model's attributes -> its regions.
    """

    kind: str
    target = "target"
    words: str
    region_of: dict[str, tuple[str, ...]]

    def __init__(self, setting: Setting) -> None:
        self.setting, self.geometry = setting, Geometry.of(setting.source, setting.data)

    def targets(self, rows: np.ndarray, differs: np.ndarray) -> tuple[Tensor, Tensor]:
        """The regions in which pairs differ, and those of all attributes.

        Args:
            rows: of the inputs in the cache, B.
            differs: the attributes in which each pair differs, bool, B x A.

        Returns:
            How much of each pixel lies in them: two coverages on the device, float32, B x 1 x S x S in [0, 1]; nan
            where it is not known, as in an image that shows no face.
        """
        names, everything = np.array(list(self.region_of)), self._of(self.region_of)
        both = [
            self.unions(row, (self._of(names[d]), everything)) for row, d in zip(rows.tolist(), differs, strict=True)
        ]
        target, everywhere = torch.stack(both, dim=1).unsqueeze(2).to(self.setting.device)
        return target, everywhere

    def unions(self, row: int, unions: Sequence[Sequence[str]]) -> Tensor:
        """How much of each pixel of a row's image lies in U unions of named regions: float32, U x S x S, or nan."""
        raise NotImplementedError

    def _of(self, attributes: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(region for name in attributes for region in self.region_of[name]))


class TrueRegions(Regions):
    """The regions that rendered faces come with.

    Raises LomitError where the data has none for one of the attributes, or faces are cut out.
    """

    kind, words = "true", "the input's true regions"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        source = setting.source
        for name in setting.attributes:
            if name not in source.region_of or not source.region_names:
                raise LomitError(
                    f"the data has no true masks for '{name}'; this protocol needs rendered faces with their regions: "
                    "lomit data avatars --regions test"
                )
        if setting.data.face_crop != "none":
            raise LomitError("true masks don't follow faces that are cut out; leave out --data.face-crop")
        regions = source.region_names
        self.region_of = {n: tuple(r for r in regions if r in source.region_of[n]) for n in setting.attributes}

    def unions(self, row: int, unions: Sequence[Sequence[str]]) -> Tensor:
        """As `Regions.unions`.  Raises LomitError where this image has no true masks."""
        source, index = self.setting.source, int(self.setting.cache.source_index[row])
        masks = source.regions(index)
        if not masks:
            raise LomitError(
                f"there are no true masks of {source.names[index]}; render the set with --regions test or all"
            )
        return torch.from_numpy(np.stack([averaged(_union(masks, names), self.geometry) for names in unions]))


class ExpectedRegions(Regions):
    """Regions by landmarks, found once in each image at the size that its file has.  Raises LomitError for an attribute
    that no region is known for, or where nothing finds landmarks.

    Args:
        setting: finds the landmarks.
        names: attributes whose regions are meant; by default the model's.
    """

    kind, target = "expected", "expected region"
    words = "expected regions, drawn from dlib's 68 landmarks of the input, the same for every method,"

    def __init__(self, setting: Setting, names: Sequence[str] = ()) -> None:
        super().__init__(setting)
        self.region_of = {name: photographs.regions_of(name) for name in names or setting.attributes}
        if setting.find_landmarks is None:
            raise LomitError("regions of photographs need dlib (pip install 'lomit[faces]') or --labels")
        self.find = setting.find_landmarks
        self._found: dict[int, np.ndarray | None] = {}

    def unions(self, row: int, unions: Sequence[Sequence[str]]) -> Tensor:
        if row not in self._found:
            image = self.setting.source.load(int(self.setting.cache.source_index[row]))
            # What the network sees of the image, at the file's own resolution.
            self._found[row] = self.find(self.geometry.cut(image))
        points, size = self._found[row], self.setting.size
        if points is None:
            return torch.full((len(unions), size, size), torch.nan)
        drawn = photographs.draw_regions(points, CANVAS)
        return torch.from_numpy(np.stack([boxed(_union(drawn, names), size) for names in unions]))


def _union(masks: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """The union of some masks, bool, H x W; empty where a pair differs in none of the model's attributes."""
    nothing = np.zeros_like(next(iter(masks.values())))
    return np.logical_or.reduce([nothing, *(masks[name] for name in names)])


class LabelRegions(Regions):
    """Hair and mouth of label pictures, for pairs that differ in one of them alone.

    Args:
        setting: has the label pictures.
        only: the region that every pair differs in.
        expected: of the attributes that labels don't tell of, for the regions of all attributes; None leaves them out.
    """

    kind, words = "labels", "the region of the input's label picture"

    def __init__(self, setting: Setting, only: str, expected: ExpectedRegions | None = None) -> None:
        super().__init__(setting)
        self.only, self.expected = only, expected
        self.region_of = {
            name: (photographs.REGION_OF[name],) for name in setting.attributes if name in photographs.REGION_OF
        }
        self._last: tuple[bytes, dict[str, Tensor]] = b"", {}

    def shares(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Each region's share of every pixel: name -> float32 on the device, B x 1 x S x S, nan as for `targets`.

        Those of the last rows are kept: a batch asks for them twice.
        """
        s = self.setting
        assert s.labels is not None
        if self._last[0] != rows.tobytes():
            images, at = np.unique(s.cache.source_index[rows], return_inverse=True)
            planes = torch.stack([s.labels.shares(s.source, s.data, index) for index in images.tolist()])
            found = planes[torch.from_numpy(at)].to(s.device).split(1, dim=1)
            self._last = rows.tobytes(), dict(zip(photographs.LABELS, found, strict=True))
        return self._last[1]

    def targets(self, rows: np.ndarray, differs: np.ndarray) -> tuple[Tensor, Tensor]:
        shares = self.shares(rows)
        everywhere = torch.stack([shares[name] for name in self._of(self.region_of)]).sum(0)
        if self.expected is not None:
            nothing = np.zeros((len(rows), len(self.expected.region_of)), dtype=bool)
            everywhere = torch.maximum(everywhere, self.expected.targets(rows, nothing)[1])
        return shares[self.only], everywhere
