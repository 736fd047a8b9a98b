"""Draws faces: which parts, which colours, what behind them.  Nothing is rendered here."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from lomit.data.avatars.parts import ATTRIBUTES, PARTS, STYLES

T = TypeVar("T")
Rgb = tuple[int, int, int]
"""A colour, 0..255 each."""
Hsv = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""Ranges of hue (degrees), saturation and value (0..1)."""

BACKGROUNDS = {"plain": 0.4, "linear": 0.2, "radial": 0.15, "stripes": 0.1, "checks": 0.05, "blobs": 0.1}
"""What is behind a face -> its share.  Patterns are the exception: an 8-d background code can hold their colours, but
a small network spends most of a short training on their edges."""

HAIR_COLOURS: dict[str | None, tuple[float, tuple[Hsv, ...]]] = {
    "Black_Hair": (0.3, (((0, 30), (0.10, 0.40), (0.07, 0.16)), ((215, 250), (0.10, 0.40), (0.08, 0.18)))),
    "Blond_Hair": (0.3, (((42, 50), (0.28, 0.45), (0.88, 0.97)), ((36, 46), (0.45, 0.66), (0.80, 0.93)))),
    "Brown_Hair": (0.3, (((16, 22), (0.58, 0.74), (0.30, 0.38)), ((19, 26), (0.60, 0.76), (0.37, 0.46)))),
    None: (0.1, (((6, 14), (0.74, 0.90), (0.66, 0.84)), ((190, 240), (0.00, 0.07), (0.62, 0.86)))),
}
"""Attribute -> its share and the ranges its shades are drawn from; None is red and grey, none of the three."""

SKIN_COLOURS = ("#6b4a3e", "#8f5d44", "#a9714f", "#c08562", "#d9a07a", "#edb98a", "#f1c3a5", "#ffdbb4")
"""Skin from dark to light, the same for both styles; each face's tone strays a little from one of them."""

GLASSES: Hsv = ((0, 360), (0.3, 0.9), (0.04, 0.22))
VIVID: Hsv = ((0, 360), (0.5, 0.9), (0.35, 0.95))
PALE: Hsv = ((0, 360), (0.05, 0.35), (0.8, 1.0))


@dataclass(frozen=True)
class Background:
    """What is behind the face.

    Attributes:
        kind: one of `BACKGROUNDS`.
        colours: two colours; a plain background shows the first.
        angle: direction of a linear gradient, of stripes and of checks, in degrees.
        period: width of a stripe and the next, or diameter of a blob, as a share of the image's side.
        centres: centres of the blobs, x and y as shares of the side; the first is that of a radial gradient.
    """

    kind: str
    colours: tuple[Rgb, Rgb]
    angle: float
    period: float
    centres: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Design:
    """Everything that decides how a face looks.

    Attributes:
        style: one of `STYLES`.
        variants: part -> variant of the style, None where the face has no such part.
        hair: colour of the hair and of the facial hair.
        shift: how far the face is moved to the right and down, as shares of the image's side.
        zoom: factor on the size of the face.
        labels: attribute -> 0 or 1, every one of `ATTRIBUTES`.
    """

    style: str
    variants: dict[str, str | None]
    hair: Rgb
    skin: Rgb
    clothes: Rgb
    glasses: Rgb
    background: Background
    shift: tuple[float, float]
    zoom: float
    labels: dict[str, int]


def draw_face(seed: int, index: int) -> Design:
    """Face `index` of the set `seed`, both at least 0: a pure function of the two, whatever else is drawn."""
    # Every draw is a transformed `random()`, the one method whose stream hardly changes between NumPy's releases.
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    style = _pick(rng, STYLES)
    variants: dict[str, str | None] = {}
    held: set[str | None] = set()
    for part, looks in PARTS.items():
        look = _pick(rng, looks, [look.share for look in looks])
        held.update(look.labels)
        variants[part] = _pick(rng, look.variants[style])
    hair = _pick(rng, tuple(HAIR_COLOURS), [share for share, _ in HAIR_COLOURS.values()])
    held.add(hair)
    return Design(
        style=style,
        variants=variants,
        hair=_colour(rng, _pick(rng, HAIR_COLOURS[hair][1])),
        skin=_near(rng, _pick(rng, SKIN_COLOURS)),
        clothes=_colour(rng, _pick(rng, (VIVID, PALE))),
        glasses=_colour(rng, GLASSES),
        background=_background(rng),
        shift=(_uniform(rng, -0.03, 0.03), _uniform(rng, -0.03, 0.03)),
        zoom=_uniform(rng, 0.96, 1.06),
        labels={name: int(name in held) for name in ATTRIBUTES},
    )


def _background(rng: np.random.Generator) -> Background:
    first, second = (_colour(rng, _pick(rng, (VIVID, PALE))) for _ in range(2))
    return Background(
        kind=_pick(rng, tuple(BACKGROUNDS), tuple(BACKGROUNDS.values())),
        colours=(first, second),
        angle=_uniform(rng, 0, 180),
        period=_uniform(rng, 0.25, 0.5),
        centres=tuple((_uniform(rng, 0, 1), _uniform(rng, 0, 1)) for _ in range(6)),
    )


def _pick(rng: np.random.Generator, items: Sequence[T], shares: Sequence[float] | None = None) -> T:
    """One of `items`, with equal probability or with the `shares`, which sum to 1."""
    edges = np.cumsum(shares if shares is not None else [1 / len(items)] * len(items))
    return items[min(int(np.searchsorted(edges, rng.random(), side="right")), len(items) - 1)]


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _colour(rng: np.random.Generator, ranges: Hsv) -> Rgb:
    h, s, v = (_uniform(rng, low, high) for low, high in ranges)
    return _rgb(h / 360, s, v)


def _near(rng: np.random.Generator, colour: str) -> Rgb:
    """A colour near `colour` (#rrggbb)."""
    h, s, v = colorsys.rgb_to_hsv(*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)))
    dh, ds, dv = (_uniform(rng, -r, r) for r in (0.012, 0.06, 0.05))
    return _rgb((h + dh) % 1, min(max(s + ds, 0), 1), min(max(v + dv, 0), 1))


def _rgb(h: float, s: float, v: float) -> Rgb:
    """Hue, saturation and value, 0..1 each, as a colour."""
    r, g, b = (round(255 * c) for c in colorsys.hsv_to_rgb(h, s, v))
    return r, g, b
