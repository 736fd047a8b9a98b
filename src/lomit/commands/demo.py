"""`lomit demo`: a grid that shows what the model does, on rendered faces or on two images of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from lomit.commands.options import parse
from lomit.data.transforms import centre_box
from lomit.errors import LomitError
from lomit.images import SOFTWARE, Picture, as_picture, read_image, write_png

if TYPE_CHECKING:
    from lomit.predictor import Result

CHANGE_FACTOR = 3
SEED = 2019
"""Seed of the demo's faces; training sets have others."""

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


@dataclass
class DemoOptions:
    """Translate six pairs of rendered faces, or one pair of your images, and draw a grid.

    Writes grid.png (input, its mask, exemplar, its mask, result, change) and the single images beside it.
    """

    input: str | None = None
    """Image to translate; give --exemplar too."""
    exemplar: str | None = None
    """Image whose style is taken."""
    out: str = "demo"
    """Folder for the results; those of an earlier demo are replaced, other files are left alone."""
    model: str = "avatars"
    """Name of a model (see `lomit models`), its folder, a training run's folder, or a Hugging Face Hub id."""
    seed: int = SEED
    """Draws other faces."""
    device: str | None = None
    """cpu, cuda, ...; by default CUDA where there is one."""


@dataclass(frozen=True)
class _Pair:
    input: Picture
    exemplar: Picture
    caption: str


def run_demo(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return demo(parse(DemoOptions, argv, "lomit demo"))


def demo(options: DemoOptions) -> int:
    """Translates the pairs, writes the pictures and prints where they are.

    Raises:
        LomitError: for images and models that can't be used, where the `avatars` extra is missing, and where a
            file stands in the way that no demo wrote.
    """
    if (options.input is None) != (options.exemplar is None):
        raise LomitError("give both --input and --exemplar, or neither for rendered faces")
    # Loads torch: not before the options are known to be right.
    from lomit.predictor import Predictor

    predictor = Predictor.from_pretrained(options.model, options.device)
    if options.input is not None and options.exemplar is not None:
        caption = f"{Path(options.input).name}, exemplar {Path(options.exemplar).name}"
        pairs = [_Pair(read_image(options.input), read_image(options.exemplar), caption)]
    else:
        pairs = rendered_pairs(predictor.attributes, predictor.image_size, options.seed)
    results = predictor.translate([pair.input for pair in pairs], [pair.exemplar for pair in pairs])
    files = {"grid.png": _draw(pairs, results)}
    for number, (pair, result) in enumerate(zip(pairs, results, strict=True), start=1):
        files |= {f"{number:02d}_{kind}.png": image for kind, image in _singles(pair, result).items()}
    out = Path(options.out)
    for name in files:
        _check_free(out / name)
    for name, image in files.items():
        write_png(out / name, image, overwrite=True)
    print(f"translated {len(pairs)} pair{'s' if len(pairs) > 1 else ''} with the model '{options.model}'")
    print(f"look at {out / 'grid.png'}; the single images are beside it ({len(files)} files in {out})")
    return 0


def rendered_pairs(attributes: Sequence[str], size: int, seed: int) -> list[_Pair]:
    """Pairs of rendered faces that fulfil `WISHES` and are alike in the other attributes of the model.

    Args:
        attributes: those the model was trained on; wishes about others are left out.
        size: side of the faces in pixels.
        seed: of the faces.
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
        first = _first(labels, used, wanted)
        same = {a: v for a, v in labels(first).items() if a in attributes and a not in differing | _hair(differing)}
        second = _first(labels, used, {**same, **offered})
        faces = [as_picture(render_face(seed, index, size, regions=False).image) for index in (first, second)]
        pairs.append(_Pair(faces[0], faces[1], caption))
    if not pairs:
        raise LomitError(
            "the model knows none of the rendered faces' attributes "
            f"(it knows {', '.join(attributes) or 'none'}); give --input and --exemplar"
        )
    return pairs


def _hair(differing: set[str]) -> set[str]:
    """The whole group of hair colours if the pair differs in one of them."""
    group = {"Black_Hair", "Blond_Hair", "Brown_Hair"}
    return group if differing & group else set()


def _first(labels: Callable[[int], Labels], used: set[int], wanted: Labels) -> int:
    """The first unused face with these labels, which is used from now on."""
    index = 0
    while index in used or any(labels(index)[name] != value for name, value in wanted.items()):
        index += 1
    used.add(index)
    return index


def _square(image: Image.Image) -> Image.Image:
    return image.crop(centre_box(image.size))


def _draw(pairs: Sequence[_Pair], results: Sequence[Result]) -> Image.Image:
    """The grid: the centre squares of the pairs."""
    from lomit.figures.grids import change, grid, overlay

    columns: dict[str, list[Image.Image]] = {}
    for pair, result in zip(pairs, results, strict=True):
        before, after = _square(pair.input.on_white()), _square(as_picture(result.image).on_white())
        exemplar = _square(pair.exemplar.on_white())
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


def _singles(pair: _Pair, result: Result) -> dict[str, Image.Image]:
    """Kind -> image, as large as the user's own."""
    from lomit.figures.grids import change

    before = pair.input.with_colours(pair.input.rgb)
    singles = {"input": before, "exemplar": pair.exemplar.with_colours(pair.exemplar.rgb), "result": result.image}
    if result.input_mask is not None and result.exemplar_mask is not None:
        singles |= {"input-mask": result.input_mask, "exemplar-mask": result.exemplar_mask}
    return singles | {"change": change(before, result.image, CHANGE_FACTOR)}


def _check_free(path: Path) -> None:
    """Only what lomit itself wrote is replaced."""
    if not path.exists():
        return
    try:
        with Image.open(path) as image:
            if image.info.get("Software") == SOFTWARE:
                return
    except OSError:
        pass
    raise LomitError(f"{path} is in the way and was not written by lomit; move it or choose another --out")
