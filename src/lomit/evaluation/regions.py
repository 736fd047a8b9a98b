"""Where a translation is to change an image: true regions of rendered faces, label pictures or expected regions of
photographs."""

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
from lomit.evaluation import labels, landmarks, truth
from lomit.evaluation.pairs import Pairs, draw_pairs
from lomit.evaluation.settings import Setting
from lomit.evaluation.translating import alike_note, of_data

CANVAS = 512
"""Side on which regions of photographs are drawn before they are averaged over pixels."""


class Places(ABC):
    """Regions of the images of a data set.

    Attributes:
        kind: `true` (of rendered faces), `labels` or `landmarks`: where such a thing is expected on a face.
        words: what the notes call them.
        region_of: each of the model's attributes -> its regions.
    """

    kind: str
    words: str
    region_of: dict[str, tuple[str, ...]]

    @abstractmethod
    def unions(self, row: int, unions: Sequence[Sequence[str]]) -> Tensor:
        """How much of each pixel of an image lies in unions of regions.

        Args:
            row: of the image in the cache.
            unions: names of regions; each entry gives one union.

        Returns:
            float32, U x S x S in [0, 1]; nan where it is not known, as in an image that shows no face.
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

    kind, words = "true", "the input's true regions"

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

    kind, words = (
        "landmarks",
        "expected regions, drawn from dlib's 68 landmarks of the input, the same for every method,",
    )

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


class LabelRegions(Places):
    """Hair and mouth of label pictures, for pairs that differ in one of them alone.

    Args:
        setting: has the label pictures.
        target: the region that every pair differs in.
        expected: the regions of the model's other attributes, for `everywhere`; None leaves them out.
    """

    kind, words = "labels", "the region of the input's label picture"

    def __init__(self, setting: Setting, target: str, expected: LandmarkRegions | None = None) -> None:
        self.setting, self.target, self.expected = setting, target, expected
        names = setting.cache.attributes
        self.region_of = {name: (labels.REGION_OF[name],) for name in names if name in labels.REGION_OF}

    def shares(self, rows: np.ndarray) -> Tensor:
        """float32, B x regions x S x S, as `LabelPictures.shares`."""
        s = self.setting
        assert s.labels is not None
        return torch.stack([s.labels.shares(s.source, s.data, int(s.cache.source_index[row])) for row in rows])

    def unions(self, row: int, unions: Sequence[Sequence[str]]) -> Tensor:
        shares = dict(zip(labels.LABELS, self.shares(np.array([row]))[0], strict=True))
        return torch.stack([torch.stack([shares[name] for name in names]).sum(0) for names in unions])

    def targets(self, rows: np.ndarray, differs: np.ndarray) -> tuple[Tensor, Tensor]:
        everything = self._of(self.region_of)
        both = torch.stack([self.unions(row, ((self.target,), everything)) for row in rows.tolist()], dim=1)
        target, everywhere = both.unsqueeze(2)
        if self.expected is not None:
            everywhere = torch.maximum(everywhere, self.expected.targets(rows, differs)[1])
        return target, everywhere


def draw_by_label(setting: Setting, rows: np.ndarray) -> dict[str, tuple[Pairs, tuple[str, ...]]]:
    """For each region of label pictures: pairs that differ in its attributes and in none of the others.

    The attributes are the model's, or those of `Choices.differ`; no pair differs in one of `Choices.alike` either.

    Args:
        setting: number, seed and choices.
        rows: of the images that have labels.

    Returns:
        Region -> its pairs, as many as the setting says, and the attributes of which they differ in one.

    Raises:
        LomitError: where no attribute has such a region, there are too few pairs, or a label picture can't be used.
    """
    assert setting.labels is not None
    names = setting.choices.differ or setting.cache.attributes
    kinds = dict.fromkeys(labels.REGION_OF[n] for n in names if n in labels.REGION_OF and n in setting.cache.attributes)
    if not kinds:
        raise LomitError(
            f"label pictures tell of hair and mouth, not of {', '.join(setting.cache.attributes)}; leave out --labels"
        )
    found = {}
    for kind in kinds:
        members = tuple(name for name in names if labels.REGION_OF.get(name) == kind)
        others = tuple(dict.fromkeys((*(name for name in names if name not in members), *setting.choices.alike)))
        differ, alike = of_data(setting, members, "differ"), of_data(setting, others, "alike") if others else None
        try:
            pairs = draw_pairs(setting.cache.labels, rows, setting.pairs, setting.seed, differ, alike)
        except LomitError as error:
            raise LomitError(f"pairs that differ in {kind} alone: {error}") from error
        # What is wrong with a picture is said before the first translation.
        for index in setting.cache.source_index[np.unique(pairs.inputs)].tolist():
            setting.labels.shares(setting.source, setting.data, index)
        found[kind] = pairs, members
    return found


def by_label_note(setting: Setting, members: Mapping[str, Sequence[str]], without: int) -> str:
    """What `draw_by_label` drew, for a protocol's notes.

    Args:
        setting: number and choices.
        members: region -> the attributes of which its pairs differ in one.
        without: images of the split that have no labels.
    """
    told = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in members.items())
    left_out = f" {without} images of the split have no labels and are left out." if without else ""
    return (
        f"{setting.pairs} ordered pairs of the {setting.split} split for each region, that differ in one of its "
        f"attributes ({told}) and in none of the others{alike_note(setting)}; [ ]: 95 % bootstrap intervals over the "
        f"people in the inputs.{left_out}"
    )


def places_for(setting: Setting) -> Places:
    """True regions where the data has some, else expected ones; errors as for either."""
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
