"""A set of painted faces whose every region is known, and a translator whose every pixel is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from lomit.config import DataConfig, ModelConfig
from lomit.data.cache import build_cache
from lomit.data.open import open_source
from lomit.errors import LomitError
from lomit.evaluation.settings import Findings, Setting
from lomit.models.base import Guide, Masks, Translation, Translator
from lomit.stats.estimate import Estimate

SIZE = 32
"""Side of the network's input; the files are twice as large."""
ATTRIBUTES = ("Red_Hat", "Blue_Hat", "Smiling")
PLACES = {"hat": (slice(0, 8), slice(8, 24)), "mouth": (slice(20, 28), slice(8, 24))}
"""Region -> rows and columns at `SIZE`: whole cells of a mask of a quarter of the size."""
COUNT = 120


def paint(index: int) -> tuple[Image.Image, tuple[int, int, int]]:
    """A face of twice `SIZE`, and its labels: a hat that is red, blue or green, a mouth that is white or black."""
    rng = np.random.default_rng(index)
    hat, smiling = int(rng.integers(3)), int(rng.integers(2))
    pixels = np.empty((2 * SIZE, 2 * SIZE, 3), dtype=np.uint8)
    pixels[:] = rng.integers(60, 180, 3)  # far enough from 0 and 255 for what the painter adds
    colours = {"hat": ((220, 20, 20), (20, 20, 220), (20, 200, 20))[hat], "mouth": (20 + 200 * smiling,) * 3}
    for name, (rows, columns) in PLACES.items():
        pixels[_twice(rows), _twice(columns)] = colours[name]
    return Image.fromarray(pixels), (int(hat == 0), int(hat == 1), smiling)


def _twice(part: slice) -> slice:
    return slice(2 * part.start, 2 * part.stop)


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder: 60 % to train on, 10 % to validate, 30 % to test; three files show one person."""
    root = tmp_path_factory.mktemp("painted")
    (root / "images").mkdir()
    (root / "regions").mkdir()
    bits = np.zeros((2 * SIZE, 2 * SIZE), dtype=np.uint8)
    for k, (rows, columns) in enumerate(PLACES.values()):
        bits[_twice(rows), _twice(columns)] |= 1 << k
    lines = [",".join(("image", *ATTRIBUTES, "split", "identity"))]
    for index in range(COUNT):
        image, labels = paint(index)
        split = "train" if index < 0.6 * COUNT else "val" if index < 0.7 * COUNT else "test"
        image.save(root / "images" / f"{index:03d}.png")
        Image.fromarray(bits).save(root / "regions" / f"{index:03d}.png")
        lines.append(",".join((f"{index:03d}.png", *map(str, labels), split, str(index // 3))))
    (root / "attributes.csv").write_text("\n".join(lines) + "\n")
    info = {
        "groups": [["Red_Hat", "Blue_Hat"]],
        "regions": list(PLACES),
        "region_of": {"Red_Hat": ["hat"], "Blue_Hat": ["hat"], "Smiling": ["mouth"]},
    }
    (root / "dataset.json").write_text(json.dumps(info))
    return root


def look(x: Tensor) -> Tensor:
    """A classifier that cannot be wrong: the logits of `ATTRIBUTES`, from the colours at the regions' centres."""
    red, green, blue = x[:, :, 2:6, 12:20].mean(dim=(2, 3)).unbind(1)
    mouth = x[:, :, 22:26, 12:20].mean(dim=(1, 2, 3))
    return torch.stack([red - torch.maximum(green, blue), blue - torch.maximum(red, green), mouth], dim=1)


class Looker:
    """`look` as a classifier of an evaluation.

    Args:
        judge: images -> logits of `ATTRIBUTES`.
        names: what these logits are called.
    """

    name = "attr"

    def __init__(self, judge: Callable[[Tensor], Tensor] = look, names: Sequence[str] = ATTRIBUTES) -> None:
        self.judge, self.names = judge, names

    def __call__(self, x: Tensor) -> Tensor:
        return self.judge(x)

    def columns(self, attributes: tuple[str, ...]) -> list[int]:
        return [self.names.index(name) for name in attributes]

    def features(self, x: Tensor) -> Tensor:
        return self.judge(x)


class Painter(Translator):
    """Puts the exemplar's pixels wherever a mask is set; it finds exactly the regions in which a pair differs.

    Args:
        brighten: added to every pixel of a translation, 0..255; not to a self translation.
        haze: added to every pixel of both.
        tint: added wherever a mask is set.
        stain: added to the mouth of a translation, whether the pair differs in it or not.
        has_masks: whether it returns them.
    """

    def __init__(self, brighten: int = 0, haze: int = 0, tint: int = 0, stain: int = 0, has_masks: bool = True) -> None:
        super().__init__()
        self.config = ModelConfig(ATTRIBUTES, SIZE)
        self.generator = nn.Identity()
        self.brighten, self.haze, self.tint, self.stain = brighten, haze, tint, stain
        self.has_masks = has_masks

    def predicted(self, x: Tensor, exemplar: Tensor) -> Tensor:
        mask = torch.zeros(len(x), 1, SIZE // 4, SIZE // 4)
        for rows, columns in PLACES.values():
            apart = (x - exemplar)[:, :, rows, columns].abs().mean(dim=(1, 2, 3)) > 0.2
            cells = slice(rows.start // 4, rows.stop // 4), slice(columns.start // 4, columns.stop // 4)
            mask[:, :, cells[0], cells[1]] = apart.float()[:, None, None, None]
        return mask

    def translate(self, x: Tensor, guide: Guide) -> Translation:
        exemplar, masks = guide.exemplar, guide.masks
        if exemplar is None:
            raise LomitError("the painter needs an exemplar")
        if masks is None:
            m = self.predicted(x, exemplar)
            masks = Masks(m, m)
        where = F.interpolate(masks.input, x.shape[-2:], mode="nearest") >= 0.5
        image = torch.where(where, exemplar, x) + (self.haze + self.tint * where) / 127.5
        if not torch.equal(x, exemplar):
            image = image + self.brighten / 127.5
            image[:, :, *PLACES["mouth"]] += self.stain / 127.5
        return Translation(image, masks if self.has_masks else None)


class Told(Painter):
    """Returns the exemplar (`oracle`) or the input, and remembers what it was told; takes the inputs' labels, too."""

    def __init__(self, oracle: bool = True) -> None:
        super().__init__(has_masks=False)
        self.oracle = oracle
        self.calls: list[tuple[Tensor, ...]] = []

    def translate(self, x: Tensor, guide: Guide) -> Translation:
        exemplar, label, source = guide.exemplar, guide.label, guide.source
        assert exemplar is not None
        assert label is not None
        assert source is not None
        self.calls.append((x, exemplar, label, source))
        return Translation(exemplar if self.oracle else x)


@pytest.fixture
def setting_for(painted: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Setting]:
    """Makes a `Setting` on the painted faces for a translator."""

    def make(translator: Translator, seed: int = 0, batch_size: int = 16) -> Setting:
        data = DataConfig(str(painted), attributes=ATTRIBUTES, image_size=SIZE, cache_dir=str(painted / "cache"))
        source = open_source(data)
        cache, device = build_cache(source, data), torch.device("cpu")
        return Setting(
            translator=translator, source=source, data=data, cache=cache, device=device, seed=seed,
            batch_size=batch_size, classifier=Looker(),
        )  # fmt: skip

    return make


def cell(findings: Findings, measure: str, of: str = "", column: str = "model") -> Estimate:
    """The estimate in the row of that key."""
    (row,) = (r for r in findings.rows if r.key == (measure, of))
    return row.cells[column]


def value(findings: Findings, measure: str, of: str = "", column: str = "model") -> float:
    """Its value."""
    found = cell(findings, measure, of, column).value
    assert found is not None
    return found
