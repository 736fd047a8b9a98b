"""Stand-ins: a translator whose every value can be computed by hand (the method `double`), a decompression bomb."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from lomit.config import ModelConfig
from lomit.errors import LomitError
from lomit.inference.weights import save_pretrained
from lomit.models.base import Editable, Guide, Masks, Prepared, Translation, Translator
from lomit.models.registry import Method, method_of, register


@dataclass
class DoubleConfig(ModelConfig):
    """Config of the double."""


@dataclass
class PlainDoubleConfig(ModelConfig):
    """Config of the double without masks."""


class MeanColour(nn.Module):
    """Paints a colour, times `gain`, into a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, colour: Tensor, mask: Tensor) -> Tensor:
        m = nn.functional.interpolate(mask, x.shape[-2:], mode="nearest")
        return m * (self.gain[:, None, None] * colour) + (1 - m) * x


class PlainDouble(Translator):
    """Translates with `MeanColour`; keeps its masks to itself."""

    generator: MeanColour
    guides = frozenset({"exemplar", "label"})

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.generator = config, MeanColour()

    def predicted(self, x: Tensor) -> Tensor:
        side = self.config.image_size // 4
        left = (torch.arange(side, device=x.device) < side // 2).float()
        return left.expand(len(x), 1, side, side)

    def translate(self, x: Tensor, guide: Guide) -> Translation:
        exemplar = guide.exemplar
        if exemplar is None:
            raise LomitError("the double needs an exemplar")
        masks = guide.masks or Masks(self.predicted(x), self.predicted(exemplar))
        image = self.generator(x, mean_under(exemplar, masks.exemplar), masks.input)
        return Translation(image, masks if self.has_masks else None)


class Double(PlainDouble, Editable):
    """The double with masks, which can be given, and with exemplars blended."""

    has_masks = True

    def translate_filling(self, x: Tensor, guide: Guide) -> Translation:
        assert guide.masks is not None
        assert guide.exemplar is not None
        filled = [
            torch.where(given.isnan(), nn.functional.interpolate(self.predicted(image), given.shape[-2:]), given)
            for given, image in ((guide.masks.input, x), (guide.masks.exemplar, guide.exemplar))
        ]
        return self.translate(x, replace(guide, masks=Masks(*filled)))

    def interpolate(
        self, x: Tensor, exemplars: Sequence[Tensor], weights: Sequence[float], moved: Tensor | None = None
    ) -> Translation:
        mask = self.predicted(x)
        colour = sum(w * mean_under(e, mask) for e, w in zip(exemplars, weights, strict=True))
        assert isinstance(colour, Tensor)
        return Translation(self.generator(x, colour, mask), Masks(mask, mask))

    def prepare(self, x: Tensor, exemplars: Sequence[Tensor], moved: Tensor | None = None) -> Prepared:
        return PreparedDouble(self, x, exemplars)


class PreparedDouble:
    """Images and the double: there is nothing that could be computed once."""

    def __init__(self, double: Double, x: Tensor, exemplars: Sequence[Tensor]) -> None:
        self._double, self._x, self._exemplars = double, x, exemplars
        self.masks = [Masks(double.predicted(x), double.predicted(each)) for each in exemplars]
        self.content: list[Tensor] = []

    def another(self, x: Tensor) -> PreparedDouble:
        return PreparedDouble(self._double, x, self._exemplars)

    def translate(self, masks: Sequence[Tensor], weights: Sequence[float], strength: float = 1.0) -> Translation:
        own, *guides = masks
        weighted = zip(self._exemplars, guides, weights, strict=True)
        colour = sum((w * mean_under(e, m) for e, m, w in weighted), torch.zeros(()))
        mine = mean_under(self._x, own)
        return Translation(
            self._double.generator(self._x, mine + strength * (colour - mine), own), Masks(own, guides[0])
        )


def mean_under(image: Tensor, mask: Tensor) -> Tensor:
    """B x 3 x 1 x 1: the mean colour where the mask is 1."""
    m = nn.functional.interpolate(mask, image.shape[-2:], mode="nearest")
    return (image * m).sum((2, 3), keepdim=True) / m.sum((2, 3), keepdim=True).clamp_min(1e-6)


register(Method("double", "Double", DoubleConfig, lambda: (Double, None)))
register(Method("plain-double", "Plain double", PlainDoubleConfig, lambda: (PlainDouble, None)))


def double(image_size: int = 16, has_masks: bool = True) -> Translator:
    config = (DoubleConfig if has_masks else PlainDoubleConfig)(("Smiling", "Male"), image_size)
    return method_of(config).build(config)


def saved_double(folder: Path, image_size: int = 16, has_masks: bool = True) -> Path:
    """A folder that `--model` takes."""
    return save_pretrained(double(image_size, has_masks), folder)


def bomb(path: Path, width: int, height: int) -> None:
    """A small PNG that says it has width x height black and white pixels, and does."""
    rows = zlib.compressobj()
    data = b"".join(rows.compress(bytes(1 + (width + 7) // 8)) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
            checksum = zlib.crc32(kind + content)
            file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum))
