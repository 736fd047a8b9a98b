"""Backgrounds of rendered faces as SVG."""

from __future__ import annotations

import math

from lomit.data.avatars.draw import Background, Rgb

# A little larger than the image, so that its border is never translucent.
SQUARE = '<rect x="-.01" y="-.01" width="1.02" height="1.02" fill="{}"/>'


def background_svg(background: Background) -> str:
    """A whole SVG document of the unit square."""
    first, second = map(hex_colour, background.colours)
    stops = f'<stop offset="0" stop-color="{first}"/><stop offset="1" stop-color="{second}"/>'
    turn = f"rotate({background.angle:.3f} .5 .5)"
    match background.kind:
        case "plain":
            body = SQUARE.format(first)
        case "linear":
            body = _paint(f'<linearGradient id="paint" gradientTransform="{turn}">{stops}</linearGradient>')
        case "radial":
            x, y = background.centres[0]
            body = _paint(f'<radialGradient id="paint" cx="{x:.4f}" cy="{y:.4f}" r=".8">{stops}</radialGradient>')
        case "stripes" | "checks":
            body = SQUARE.format(first) + f'<g fill="{second}" transform="{turn}">{_tiles(background)}</g>'
        case "blobs":
            dots = (
                f'<circle cx="{x:.4f}" cy="{y:.4f}" r="{background.period / 2:.4f}"/>' for x, y in background.centres
            )
            body = SQUARE.format(first) + f'<g fill="{second}">{"".join(dots)}</g>'
        case other:
            raise ValueError(f"unknown background '{other}'")
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1">{body}</svg>'


def hex_colour(colour: Rgb) -> str:
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


def _paint(definition: str) -> str:
    """The square, filled with the gradient called `paint`."""
    return f"<defs>{definition}</defs>" + SQUARE.format("url(#paint)")
