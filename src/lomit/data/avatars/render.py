"""Renders faces and measures the true masks of their regions.

A region is not drawn but measured: it is where two renderings differ that differ in one component only.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from lomit.data.avatars.draw import Background, Design, Rgb, draw_face
from lomit.data.avatars.parts import PARTS, REGIONS
from lomit.data.avatars.styles import COLOURS, COMPONENTS, FRAMES, definition, load_style, part_box

PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the image, right and bottom exclusive."""
# A little larger than the image, so that its border is never translucent.
SQUARE = '<rect x="-.01" y="-.01" width="1.02" height="1.02" fill="{}"/>'


@dataclass(frozen=True)
class RenderedFace:
    """A face and what is true of it.

    Attributes:
        image: RGB, size x size.
        regions: region name -> mask, bool, size x size; empty where they weren't asked for.
    """

    image: Image.Image
    labels: dict[str, int]
    regions: dict[str, np.ndarray]
    style: str


def render_face(seed: int, index: int, size: int, regions: bool = True) -> RenderedFace:
    """Face `index` of the set `seed` with its labels, a pure function of both.  Raises LomitError where the `avatars`
    extra is missing.

    Args:
        seed: at least 0.
        index: at least 0.
        regions: measure the true masks, too, which takes about seven times as long.
    """
    face = draw_face(seed, index)
    masks = measure_regions(face, size) if regions else {}
    return RenderedFace(compose(face, size), dict(face.labels), masks, face.style)


def compose(face: Design, size: int) -> Image.Image:
    """The face on its background, RGB, size x size."""
    image = _rasterise(background_svg(face.background), size, size)
    image.alpha_composite(_paint(face, size))
    return image.convert("RGB")


def measure_regions(face: Design, size: int) -> dict[str, np.ndarray]:
    """The true masks, bool, size x size, by region name, in the order of `REGIONS`.

    hair, skin, facial_hair_now: where another colour of that component alone changes the face.
    facial_hair, mouth, eyes, brows, glasses: where the face changes when the part takes any variant whose labels are
    others, none at all included.  So `facial_hair` is also known of a face without.
    """
    masks = {
        "hair": _recoloured(face, size, "hair", (0, 0, size, size)),
        "skin": _recoloured(face, size, "skin", (0, 0, size, size)),
        "facial_hair_now": _recoloured(face, size, "facial_hair", _pixel_box(face, size, "facial_hair")),
    }
    for part in ("facial_hair", "mouth", "eyes", "brows", "glasses"):
        masks[part] = _replaced(face, size, part, _pixel_box(face, size, part))
    return {name: masks[name] for name in REGIONS}


def _recoloured(face: Design, size: int, part: str, box: PixelBox) -> np.ndarray:
    """bool, size x size: where the colour of the part matters."""
    # Black against white: a pixel that is the same under both is the same under every colour between them.
    black, white = (_paint(face, size, box, {part: colour}) for colour in ((0, 0, 0), (255, 255, 255)))
    return _changed(size, box, black, [white])


def _replaced(face: Design, size: int, part: str, box: PixelBox) -> np.ndarray:
    """bool, size x size: where the variant of the part matters."""
    looks = [look.variants[face.style] for look in PARTS[part]]
    others = [v for variants in looks if face.variants[part] not in variants for v in variants]
    painted = (_paint(replace(face, variants={**face.variants, part: v}), size, box) for v in others)
    return _changed(size, box, _paint(face, size, box), painted)


def _changed(size: int, box: PixelBox, own: Image.Image, others: Iterable[Image.Image]) -> np.ndarray:
    """bool, size x size: where, within the box, one of the others differs."""
    # The images have no background, so a component that happens to have its colour is seen all the same.
    left, top, right, bottom = box
    mask = np.zeros((size, size), dtype=bool)
    for other in others:
        mask[top:bottom, left:right] |= (np.asarray(other) != np.asarray(own)).any(axis=-1)
    return mask


def _frame(face: Design) -> tuple[float, float, float]:
    """Left, top and side of the image on the style's canvas."""
    x, y, side = FRAMES[face.style]
    side /= face.zoom
    return x - side * (0.5 + face.shift[0]), y - side * (0.5 + face.shift[1]), side


def _pixel_box(face: Design, size: int, part: str) -> PixelBox:
    """The pixels that the part can cover."""
    left, top, side = _frame(face)
    x0, y0, x1, y1 = part_box(face.style, part)
    columns = (math.floor((x0 - left) / side * size), math.ceil((x1 - left) / side * size))
    rows = (math.floor((y0 - top) / side * size), math.ceil((y1 - top) / side * size))
    return max(columns[0], 0), max(rows[0], 0), min(columns[1], size), min(rows[1], size)


def _paint(face: Design, size: int, box: PixelBox | None = None, colours: dict[str, Rgb] | None = None) -> Image.Image:
    """The face without background, RGBA, cut to the box.  `colours` replaces colours of single parts."""
    from dicebear import Avatar

    own = {"hair": face.hair, "facial_hair": face.hair, "skin": face.skin, "clothes": face.clothes}
    options: dict[str, Any] = {"seed": "lomit"}
    for part, colour in {**own, "glasses": face.glasses, **(colours or {})}.items():
        options[f"{COLOURS[part]}Color"] = _hex(colour)
    for part, component in COMPONENTS[face.style].items():
        variant = face.variants[part]
        options[f"{component}Probability"] = 0 if variant is None else 100
        if variant is not None:
            options[f"{component}Variant"] = variant
    svg = Avatar(load_style(face.style), options).to_string()

    left, top, side = _frame(face)
    x0, y0, x1, y1 = box or (0, 0, size, size)
    unit = side / size
    view = f"{left + x0 * unit:.5f} {top + y0 * unit:.5f} {(x1 - x0) * unit:.5f} {(y1 - y0) * unit:.5f}"
    canvas = definition(face.style)["canvas"]
    whole = f'viewBox="0 0 {canvas["width"]} {canvas["height"]}"'
    assert svg.count(whole) == 1, "DiceBear no longer writes the viewBox that is replaced here"
    # With its exact size in the document, resvg does not derive one side from the other and round it.
    extent = f'viewBox="{view}" preserveAspectRatio="none" width="{x1 - x0}" height="{y1 - y0}"'
    return _rasterise(svg.replace(whole, extent), x1 - x0, y1 - y0)


def _rasterise(svg: str, width: int, height: int) -> Image.Image:
    """SVG as RGBA, height x width."""
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, width=width, height=height, skip_system_fonts=True)
    with Image.open(io.BytesIO(png)) as image:
        return image.convert("RGBA")


def background_svg(background: Background) -> str:
    """A whole SVG document of the unit square."""
    first, second = map(_hex, background.colours)
    stops = f'<stop offset="0" stop-color="{first}"/><stop offset="1" stop-color="{second}"/>'
    turn = f"rotate({background.angle:.3f} .5 .5)"
    match background.kind:
        case "plain":
            body = SQUARE.format(first)
        case "linear":
            body = _filled(f'<linearGradient id="paint" gradientTransform="{turn}">{stops}</linearGradient>')
        case "radial":
            x, y = background.centres[0]
            body = _filled(f'<radialGradient id="paint" cx="{x:.4f}" cy="{y:.4f}" r=".8">{stops}</radialGradient>')
        case "stripes" | "checks":
            body = SQUARE.format(first) + f'<g fill="{second}" transform="{turn}">{_tiles(background)}</g>'
        case _:  # blobs
            dots = (
                f'<circle cx="{x:.4f}" cy="{y:.4f}" r="{background.period / 2:.4f}"/>' for x, y in background.centres
            )
            body = SQUARE.format(first) + f'<g fill="{second}">{"".join(dots)}</g>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1">{body}</svg>'


def _hex(colour: Rgb) -> str:
    """`(255, 0, 0)` as `"#ff0000"`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _tiles(background: Background) -> str:
    """Stripes, or squares that touch at their corners, over a square that still covers the image when turned."""
    half = background.period / 2
    steps = [-0.25 + half * k for k in range(math.ceil(1.5 / half))]
    if background.kind == "stripes":
        boxes = [(x, -0.25, 1.5) for x in steps[::2]]
    else:
        boxes = [(x, y, half) for i, x in enumerate(steps) for j, y in enumerate(steps) if (i + j) % 2 == 0]
    return "".join(f'<rect x="{x:.4f}" y="{y:.4f}" width="{half:.4f}" height="{h:.4f}"/>' for x, y, h in boxes)


def _filled(definition: str) -> str:
    """The square, filled with the gradient called `paint`."""
    return f"<defs>{definition}</defs>" + SQUARE.format("url(#paint)")
