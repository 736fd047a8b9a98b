"""Renders faces and measures the true masks of their regions.

A region is not drawn but measured: it is where two renderings differ that differ in one component only.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from lomit.data.avatars.backgrounds import background_svg, hex_colour
from lomit.data.avatars.faces import Face, Rgb, draw_face
from lomit.data.avatars.parts import PARTS, REGIONS
from lomit.data.avatars.styles import COLOURS, COMPONENTS, FRAMES, definition, load_style, part_box

PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the image, right and bottom exclusive."""


@dataclass(frozen=True)
class RenderedFace:
    """A face and what is true of it.

    Attributes:
        image: RGB, size x size.
        labels: attribute -> 0 or 1.
        regions: region name -> mask, bool, size x size; empty where they weren't asked for.
        style: name of the avatar style.
    """

    image: Image.Image
    labels: dict[str, int]
    regions: dict[str, np.ndarray]
    style: str


def render_face(seed: int, index: int, size: int, regions: bool = True) -> RenderedFace:
    """Face `index` of the set `seed` with its labels, a pure function of both.

    Args:
        seed: at least 0.
        index: at least 0.
        size: side of the image in pixels.
        regions: measure the true masks, too, which takes about seven times as long.

    Raises:
        LomitError: where the `avatars` extra is missing.
    """
    face = draw_face(seed, index)
    masks = measure_regions(face, size) if regions else {}
    return RenderedFace(compose(face, size), dict(face.labels), masks, face.style)


def compose(face: Face, size: int) -> Image.Image:
    """The face on its background, RGB, size x size."""
    image = _rasterise(background_svg(face.background), size, size)
    image.alpha_composite(_paint(face, size))
    return image.convert("RGB")


def measure_regions(face: Face, size: int) -> dict[str, np.ndarray]:
    """The true masks, bool, size x size, by region name, in the order of `REGIONS`.

    hair, skin, facial_hair_now: where another colour of that component alone changes the face.
    facial_hair, mouth, eyes, brows, glasses: where the face changes when the part takes any variant whose labels are
    others, none at all included.  So `facial_hair` is also known of a face without.
    """
    whole = (0, 0, size, size)
    masks = {
        "hair": _changes(face, size, whole, [_recoloured("hair", face.hair)]),
        "skin": _changes(face, size, whole, [_recoloured("skin", face.skin)]),
        "facial_hair_now": _changes(
            face, size, _pixel_box(face, size, "facial_hair"), [_recoloured("facial_hair", face.hair)]
        ),
    }
    for part in ("facial_hair", "mouth", "eyes", "brows", "glasses"):
        others = [v for look in PARTS[part] for v in look.variants[face.style] if not _shown(face, part, look.variants)]
        masks[part] = _changes(face, size, _pixel_box(face, size, part), [{"variants": {part: v}} for v in others])
    return {name: masks[name] for name in REGIONS}


def _shown(face: Face, part: str, variants: dict[str, tuple[str | None, ...]]) -> bool:
    return face.variants[part] in variants[face.style]


def _recoloured(part: str, colour: Rgb) -> dict[str, Any]:
    """A change of colour by 128 in every channel: the faintest trace of the component shows."""
    r, g, b = ((c + 128) % 256 for c in colour)
    return {"colours": {part: (r, g, b)}}


def _changes(face: Face, size: int, box: PixelBox, changes: list[dict[str, Any]]) -> np.ndarray:
    """bool, size x size: where any of the changes changes a pixel within the box."""
    left, top, right, bottom = box
    mask = np.zeros((size, size), dtype=bool)
    # Without background: a component that happens to have the background's colour still counts.
    own = np.asarray(_paint(face, size, box))
    for change in changes:
        other = replace(face, variants={**face.variants, **change.get("variants", {})})
        pixels = np.asarray(_paint(other, size, box, change.get("colours", {})))
        mask[top:bottom, left:right] |= (pixels != own).any(axis=-1)
    return mask


def _frame(face: Face) -> tuple[float, float, float]:
    """Left, top and side of the image on the style's canvas."""
    x, y, side = FRAMES[face.style]
    side /= face.zoom
    return x - side * (0.5 + face.shift[0]), y - side * (0.5 + face.shift[1]), side


def _pixel_box(face: Face, size: int, part: str) -> PixelBox:
    """The pixels that the part can cover."""
    left, top, side = _frame(face)
    x0, y0, x1, y1 = part_box(face.style, part)
    columns = (math.floor((x0 - left) / side * size), math.ceil((x1 - left) / side * size))
    rows = (math.floor((y0 - top) / side * size), math.ceil((y1 - top) / side * size))
    return max(columns[0], 0), max(rows[0], 0), min(columns[1], size), min(rows[1], size)


def _paint(face: Face, size: int, box: PixelBox | None = None, colours: dict[str, Rgb] | None = None) -> Image.Image:
    """The face without background, RGBA, cut to the box.  `colours` replaces colours of single parts."""
    from dicebear import Avatar

    own = {"hair": face.hair, "facial_hair": face.hair, "skin": face.skin, "clothes": face.clothes}
    options: dict[str, Any] = {"seed": "lomit"}
    for part, colour in {**own, "glasses": face.glasses, **(colours or {})}.items():
        options[f"{COLOURS[part]}Color"] = hex_colour(colour)
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
