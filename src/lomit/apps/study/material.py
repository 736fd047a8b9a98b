"""Where a study's pictures come from: models that translate faces, or a table of translations made elsewhere."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lomit.apps.study.definition import check_models
from lomit.apps.study.design import Room, Stimulus
from lomit.config import DataConfig
from lomit.data.gallery import Faces, RenderedFaces, SourceFaces
from lomit.data.open import open_source
from lomit.data.transforms import centre_box, resize
from lomit.errors import LomitError
from lomit.images import as_picture, read_image
from lomit.inference.predictor import Predictor
from lomit.inference.weights import find_model

Labels = Mapping[str, float]
"""Attribute -> 0 or 1."""
RENDERED = 1_500
"""Rendered faces among which pairs and real images are drawn; of a data set, all of the test split."""
TILES = 8
"""A spoilt picture is cut into so many tiles along a side."""
BATCH = 16
"""Pairs that a model translates at a time."""


class Material(ABC):
    """Pictures by what they are.

    Attributes:
        models: names of the models.
        pairs: how many pairs of input and exemplar there are.
        reals: how many real images of the target class.
        size: side of every picture in pixels; one size, so that sharpness tells no picture from another.
        people: the pictures may show people.
        facts: where they come from.
    """

    models: tuple[str, ...]
    pairs: int
    reals: int
    size: int
    people: bool
    facts: dict[str, Any]

    @property
    def room(self) -> Room:
        """What a study can draw from."""
        return Room(self.pairs, (self.reals,) * (self.pairs + 1), "the material", chosen=False)

    @abstractmethod
    def found(self, wanted: Sequence[Stimulus]) -> dict[Stimulus, Image.Image]:
        """The pictures of kind `real`, `input`, `exemplar` and `output` that are wanted, RGB, any size."""

    def pictures(self, wanted: Sequence[Stimulus], seed: int) -> dict[Stimulus, Image.Image]:
        """All that is wanted, spoilt ones included, square and of one size."""
        plain = {Stimulus("output", p.model, p.number) if p.kind == "spoilt" else p for p in wanted}
        found = {p: square(image, self.size) for p, image in self.found(sorted(plain)).items()}
        for p in wanted:
            if p.kind == "spoilt":
                found[p] = spoil(found[Stimulus("output", p.model, p.number)], seed + p.number)
        return {p: found[p] for p in wanted}


class TranslatedFaces(Material):
    """Faces translated by models: inputs of one class, exemplars and real images of another (section 5.4).

    No face serves twice; real images show people that no exemplar shows.
    """

    def __init__(
        self,
        predictors: Mapping[str, Predictor],
        faces: Faces,
        of_input: Labels,
        of_exemplar: Labels,
        pairs: int,
        seed: int,
    ) -> None:
        """Draws the pairs, translates nothing yet.  Raises LomitError where faces or a model don't know the classes."""
        self.predictors, self.faces = predictors, faces
        self.models = tuple(predictors)
        self.size = max(p.image_size for p in predictors.values())
        self.people = faces.people
        for name, predictor in predictors.items():
            if not {*of_input, *of_exemplar} & {*predictor.attributes}:
                told = ", ".join(predictor.attributes) or "no attributes"
                raise LomitError(
                    f"the model '{name}' was trained on {told}, on none of {', '.join({**of_input, **of_exemplar})}; "
                    "choose other classes with --input-label and --exemplar-label"
                )
        rng = np.random.default_rng(seed)
        first, second = (rng.permutation(self._having(labels)) for labels in (of_input, of_exemplar))
        inputs, exemplars = _apart(first, second, faces)
        self.inputs, self.exemplars = inputs[:pairs], exemplars[:pairs]
        shown = {faces.identity(face) for face in (*self.inputs, *self.exemplars)}
        self.real = list(_unseen(faces, second, shown))
        self.pairs, self.reals = pairs, len(self.real)
        unseen, left = {faces.identity(face) for face in second.tolist()}, []
        for pair in [(), *zip(inputs, exemplars, strict=True)]:
            unseen -= {faces.identity(face) for face in pair}
            left.append(len(unseen))
        self._room = Room(pairs, left, f"{faces.what}, {_told(of_input)} with {_told(of_exemplar)},")
        self.facts = {
            "faces": faces.what,
            "inputs": dict(of_input),
            "exemplars": dict(of_exemplar),
            "pairs": pairs,
            "sizes": {name: p.image_size for name, p in predictors.items()},
        }

    @property
    def room(self) -> Room:
        return self._room

    def _having(self, labels: Labels) -> np.ndarray:
        for name in labels:
            if name not in self.faces.attributes:
                raise LomitError(
                    f"the faces ({self.faces.what}) have no attribute '{name}'; they have "
                    f"{', '.join(self.faces.attributes)}: choose with --input-label and --exemplar-label"
                )
        return np.flatnonzero((self.faces.columns(list(labels)) == [int(v) for v in labels.values()]).all(1))

    def found(self, wanted: Sequence[Stimulus]) -> dict[Stimulus, Image.Image]:
        chosen = {"real": self.real, "input": self.inputs, "exemplar": self.exemplars}
        found = {p: self.faces.image(chosen[p.kind][p.number]) for p in wanted if p.kind != "output"}
        for name in self.models:
            outputs = [p for p in wanted if p.kind == "output" and p.model == name]
            for start in range(0, len(outputs), BATCH):
                part = outputs[start : start + BATCH]
                found |= dict(zip(part, self._translate(name, [p.number for p in part]), strict=True))
        return found

    def _translate(self, name: str, numbers: Sequence[int]) -> list[Image.Image]:
        """Each method is guided by what it takes: the exemplar, the exemplar's label, or both."""
        predictor = self.predictors[name]
        guides = predictor.translator.guides
        inputs = [self.faces.image(self.inputs[n]) for n in numbers]
        exemplars = [self.faces.image(self.exemplars[n]) for n in numbers] if "exemplar" in guides else None
        if "label" not in guides:
            return [result.image for result in predictor.translate(inputs, exemplars)]
        # A label holds for a whole call.
        images = []
        for k, n in enumerate(numbers):
            label = self.faces.label(self.exemplars[n], predictor.attributes)
            guide = None if exemplars is None else [exemplars[k]]
            images.append(predictor.translate([inputs[k]], guide, label=label)[0].image)
        return images


def translated_faces(
    models: Sequence[str],
    device: str | None,
    data: Callable[[int], DataConfig] | None,
    of_input: Labels,
    of_exemplar: Labels,
    pairs: int,
    seed: int,
) -> TranslatedFaces:
    """Faces translated by models.  Raises LomitError for models and data that can't be used.

    Args:
        models: each as `LABEL=MODEL` or `MODEL`, what `load_pretrained` takes.
        data: the faces at a size in pixels; None renders them.
        of_input, of_exemplar, pairs, seed: as for `TranslatedFaces`.
    """
    words = [_labelled(word) for word in models]
    check_models([label for label, _ in words])
    predictors = {label: Predictor.from_pretrained(path, device) for label, path in words}
    size = max(predictor.image_size for predictor in predictors.values())
    faces: Faces = RenderedFaces(seed, size, RENDERED)
    if data is not None:
        config = data(size)
        source = open_source(config)
        faces = SourceFaces(source, config, seed, Path(str(config.root)).resolve().name, pool=len(source))
    material = TranslatedFaces(predictors, faces, of_input, of_exemplar, pairs, seed)
    material.facts["models"] = {label: find_model(path).name for label, path in words if not Path(path).is_file()}
    return material


def _labelled(word: str) -> tuple[str, str]:
    """Label and model of `LABEL=MODEL` or `MODEL`."""
    label, equals, rest = word.partition("=")
    if equals and not Path(word).exists():
        if not rest:
            raise LomitError(f"'{word}' names no model; give LABEL=MODEL")
        return label, rest
    return Path(word).resolve().name if Path(word).exists() else word.rpartition("/")[2], word


class TranslationTable(Material):
    """Translations made elsewhere: a CSV with the columns `input`, `exemplar` and one for each model, and a folder of
    real images of the target class.  Paths are relative to the table."""

    def __init__(self, table: Path, reals: Path | None, size: int | None, suffixes: set[str]) -> None:
        """Reads the table and the first image.  Raises LomitError where the table or the folder can't be used."""
        self.rows = _rows(table)
        self.models = tuple(name for name in self.rows[0] if name not in ("input", "exemplar"))
        if not self.models:
            raise LomitError(f"{table} has no column with a model's results, beside input and exemplar")
        self.folder = table.parent
        self.real: list[Path] = []
        if reals is not None:
            if not reals.is_dir():
                raise LomitError(f"{reals} is no folder of real images")
            self.real = sorted(path for path in reals.iterdir() if path.suffix.lower() in suffixes)
        self.pairs, self.reals, self.people = len(self.rows), len(self.real), True
        self.size = size or min(read_image(self.folder / self.rows[0][self.models[0]]).size)
        self.facts = {"table": table.name, "pairs": self.pairs}

    def found(self, wanted: Sequence[Stimulus]) -> dict[Stimulus, Image.Image]:
        return {p: read_image(self._path(p)).on_white() for p in wanted}

    def _path(self, picture: Stimulus) -> Path:
        if picture.kind == "real":
            return self.real[picture.number]
        return self.folder / self.rows[picture.number][picture.model or picture.kind]


def square(image: Image.Image, size: int) -> Image.Image:
    """The centre square as RGB of this side, with nothing beside its pixels."""
    image = as_picture(image).on_white()
    return resize(image.crop(centre_box(image.size)), size)


def spoil(image: Image.Image, seed: int) -> Image.Image:
    """The picture with its tiles shuffled: whoever looks at it prefers the whole one."""
    side = image.width // TILES
    pixels = np.asarray(image)[: side * TILES, : side * TILES]
    tiles = pixels.reshape(TILES, side, TILES, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    tiles = tiles[np.random.default_rng(seed).permutation(len(tiles))]
    shuffled = tiles.reshape(TILES, TILES, side, side, 3).swapaxes(1, 2).reshape(pixels.shape)
    return Image.fromarray(shuffled).resize(image.size)


def _apart(first: np.ndarray, second: np.ndarray, faces: Faces) -> tuple[list[int], list[int]]:
    """As many inputs and exemplars as there are, in which nobody serves twice."""
    used: set[int] = set()
    # In turns: who has images of both classes is not lost to the inputs as long as others are there.
    drawn = list(zip(_unseen(faces, first, used), _unseen(faces, second, used), strict=False))
    return [a for a, _ in drawn], [b for _, b in drawn]


def _unseen(faces: Faces, candidates: np.ndarray, people: set[int]) -> Iterator[int]:
    """Faces of those who are not among the people yet; each is added to them."""
    for face in candidates.tolist():
        if faces.identity(face) not in people:
            people.add(faces.identity(face))
            yield face


def _told(labels: Labels) -> str:
    return ",".join(f"{name}={value:g}" for name, value in labels.items())


def _rows(table: Path) -> list[dict[str, str]]:
    """The table's rows, every cell filled."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LomitError(f"{table} can't be read as CSV: {error}") from error
    if not rows or not {"input", "exemplar"} <= set(rows[0]):
        raise LomitError(f"{table} needs the columns input, exemplar and one for each model, and a row for each pair")
    for number, row in enumerate(rows, start=1):
        empty = [str(name) for name, value in row.items() if name is None or not value]
        if empty:
            raise LomitError(f"{table}: row {number} lacks a value, or has too many: {', '.join(empty)}")
    return rows
