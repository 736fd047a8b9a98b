"""What `lomit demo` shows: pairs of rendered faces, and a grid of what a model makes of pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from lomit.data.transforms import centre_box
from lomit.errors import LomitError
from lomit.figures.grids import change, grid, overlay
from lomit.images import Picture, as_picture
from lomit.inference.predictor import Result

CHANGE_FACTOR = 3
HAIR = {"Black_Hair", "Blond_Hair", "Brown_Hair"}

Labels = Mapping[str, int]

WISHES: tuple[tuple[str, Labels, Labels], ...] = (
    ("black hair, exemplar blond", {"Black_Hair": 1}, {"Blond_Hair": 1}),
    ("no smile, exemplar smiling", {"Smiling": 0}, {"Smiling": 1}),
    ("no facial hair, exemplar with", {"Facial_Hair": 0}, {"Facial_Hair": 1}),
    ("blond hair, exemplar brown", {"Blond_Hair": 1}, {"Brown_Hair": 1}),
    ("smiling with facial hair, exemplar neither", {"Smiling": 1, "Facial_Hair": 1}, {"Smiling": 0, "Facial_Hair": 0}),
    ("brown hair, no smile, exemplar black, smiling", {"Brown_Hair": 1, "Smiling": 0}, {"Black_Hair": 1, "Smiling": 1}),
)
"""The demo's rows: what it says below, what holds for the input, what holds for the exemplar."""


@dataclass(frozen=True)
class DemoPair:
    """An input, its exemplar, and what the grid says below them."""

    input: Picture
    exemplar: Picture
    caption: str


def rendered_pairs(attributes: Sequence[str], size: int, seed: int) -> list[DemoPair]:
    """Pairs of rendered faces that fulfil `WISHES` and are alike in the other attributes of the model.

    Wishes about attributes that the model was not trained on are left out; faces are `size` pixels a side.
    """
    from lomit.data.avatars import render_face
    from lomit.data.avatars.draw import draw_face

    def labels(index: int) -> Labels:
        return draw_face(seed, index).labels

    pairs, used = [], set[int]()
    for caption, wanted, offered in WISHES:
        if not set(wanted) | set(offered) <= set(attributes):
            continue
        differing = {*wanted, *offered}
        # Hair has one colour: who differs in one differs in another.
        differing |= HAIR if differing & HAIR else set()
        first = _first(labels, used, wanted)
        same = {a: v for a, v in labels(first).items() if a in attributes and a not in differing}
        second = _first(labels, used, {**same, **offered})
        faces = [as_picture(render_face(seed, index, size, regions=False).image) for index in (first, second)]
        pairs.append(DemoPair(faces[0], faces[1], caption))
    if not pairs:
        raise LomitError(
            "the model knows none of the rendered faces' attributes "
            f"(it knows {', '.join(attributes) or 'none'}); give INPUT and EXEMPLAR"
        )
    return pairs


def _first(labels: Callable[[int], Labels], used: set[int], wanted: Labels) -> int:
    """The first unused face with these labels, which is used from now on."""
    index = 0
    while index in used or any(labels(index)[name] != value for name, value in wanted.items()):
        index += 1
    used.add(index)
    return index


def draw_grid(pairs: Sequence[DemoPair], results: Sequence[Result]) -> Image.Image:
    """The centre squares of the pairs, one a row."""
    columns: dict[str, list[Image.Image]] = {}
    for pair, result in zip(pairs, results, strict=True):
        pictures = (pair.input, as_picture(result.image), pair.exemplar)
        before, after, exemplar = (p.on_white().crop(centre_box(p.size)) for p in pictures)
        row = {
            "input": before,
            "its mask": None if result.input_mask is None else overlay(before, result.input_mask),
            "exemplar": exemplar,
            "its mask ": None if result.exemplar_mask is None else overlay(exemplar, result.exemplar_mask),
            "result": after,
            f"change x{CHANGE_FACTOR}": change(before, after, CHANGE_FACTOR),
        }
        for heading, image in row.items():
            if image is not None:
                columns.setdefault(heading, []).append(image)
    return grid(columns, cell=144, rows=[pair.caption for pair in pairs])


def single_images(pair: DemoPair, result: Result) -> dict[str, Image.Image]:
    """Kind -> image, as large as the input or exemplar itself."""
    before = pair.input.with_colours(pair.input.rgb)
    singles = {"input": before, "exemplar": pair.exemplar.with_colours(pair.exemplar.rgb), "result": result.image}
    if result.input_mask is not None and result.exemplar_mask is not None:
        singles |= {"input-mask": result.input_mask, "exemplar-mask": result.exemplar_mask}
    return singles | {"change": change(before, result.image, CHANGE_FACTOR)}
