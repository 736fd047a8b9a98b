"""The two avatar styles as DiceBear styles, with the changes that labels and masks need.

Changes to both: the mouth is larger and a little lower, so that a smile reads at 64 pixels, under a moustache too.
Changes to toon-head: beard and brows no longer take their colour from the hair (the beard has a colour of its own,
the brows a fixed one, as in avataaars), the two closed mouths are redrawn as plain arcs, and it gets glasses.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from lomit.data.avatars.parts import STYLES
from lomit.errors import require

if TYPE_CHECKING:
    from dicebear import Style

CanvasBox = tuple[float, float, float, float]
"""Left, top, right, bottom."""

COMPONENTS = {
    "avataaars": {
        "mouth": "mouth",
        "facial_hair": "facialHair",
        "eyes": "eyes",
        "brows": "eyebrows",
        "glasses": "accessories",
        "hair": "top",
        "clothes": "clothes",
    },
    "toon-head": {
        "mouth": "mouth",
        "facial_hair": "beard",
        "eyes": "eyes",
        "brows": "eyebrows",
        "glasses": "glasses",
        "hair": "hair",
        "rear_hair": "rearHair",
        "clothes": "clothes",
    },
}
"""Style -> part -> the style's own name of the component."""

COLOURS = {"hair": "hair", "facial_hair": "facialHair", "skin": "skin", "clothes": "clothes", "glasses": "accessories"}
"""Part -> name of its colour, in both styles."""

FRAMES = {"avataaars": (140.0, 113.0, 224.0), "toon-head": (384.0, 318.0, 640.0)}
"""Style -> centre x, centre y and side of the square that is shown, in the units of the style's canvas."""

MOUTH_SCALE = 1.6
MOUTH_DROP = {"avataaars": 3.0, "toon-head": 16.0}
BROW_COLOUR = "#3a2a24"
CHANGES = {
    "avataaars": "larger mouth",
    "toon-head": "larger mouth, closed mouths redrawn, brows and beard in colours of their own, glasses added",
}
"""Style -> what was changed in it, as its licence asks to be told."""


def require_renderer() -> None:
    """Raises LomitError where the packages of the `avatars` extra are missing."""
    require("rendering faces", "avatars", "dicebear", "dicebear_styles", "resvg_py")


@functools.cache
def load_style(name: str) -> Style:
    """The style, changed as above, as DiceBear renders it.  Raises LomitError where the `avatars` extra is missing."""
    require_renderer()
    from dicebear import Style

    return Style(definition(name))


@functools.cache
def definition(name: str) -> dict[str, Any]:
    """The style's definition, changed as above.  Shared: not to be modified."""
    style = _shipped(name)
    mouth = style["components"]["mouth"]
    x, y = mouth["width"] / 2, mouth["height"] / 2
    _placed(style, "mouth")["attributes"]["transform"] += (
        f" translate({x} {y + MOUTH_DROP[name]}) scale({MOUTH_SCALE}) translate({-x} {-y})"
    )
    if name == "toon-head":
        _change_toon_head(style)
    return style


@functools.cache
def part_box(name: str, part: str) -> CanvasBox:
    """A box on the style's canvas that holds every variant of the part, with some room around it."""
    style = definition(name)
    component = style["components"][COMPONENTS[name][part]]
    transform = _placed(style, COMPONENTS[name][part])["attributes"]["transform"]
    match = re.match(r"translate\(([\d.]+)[ ,]+([\d.]+)\)", transform)
    assert match, transform
    left, top = float(match[1]), float(match[2])
    room = 0.5 * max(component["width"], component["height"])
    return left - room, top - room, left + component["width"] + room, top + component["height"] + room


def style_credits() -> dict[str, dict[str, str]]:
    """Style -> licence, creator and source with their addresses, as its definition states them, and our changes."""
    metas = {name: _shipped(name)["meta"] for name in STYLES}
    return {
        name: {
            **{key: meta[key]["name"] for key in ("license", "creator", "source")},
            **{f"{key}_url": meta[key]["url"] for key in ("license", "creator", "source")},
            "changes": CHANGES[name],
        }
        for name, meta in metas.items()
    }


def _shipped(name: str) -> dict[str, Any]:
    """The definition as dicebear-styles ships it."""
    require_renderer()
    text = (resources.files("dicebear_styles") / f"{name}.json").read_text(encoding="utf-8")
    style: dict[str, Any] = json.loads(text)
    return style


def _placed(style: dict[str, Any], component: str) -> dict[str, Any]:
    """The element of the canvas that places the component."""
    return next(e for e in style["canvas"]["elements"] if e["type"] == "component" and e["name"] == component)


def _change_toon_head(style: dict[str, Any]) -> None:
    components, colours = style["components"], style["colors"]
    colours["facialHair"] = copy.deepcopy(colours["hair"])
    _recolour(components["beard"], "hair", {"type": "color", "name": "facialHair"})
    _recolour(components["eyebrows"], "hair", BROW_COLOUR)

    line = {"fill": "none", "stroke": "#3f2626", "stroke-width": "9", "stroke-linecap": "round"}
    for name, path in (("smile", "M10 14q48 42 97 0"), ("sad", "M18 42q40-38 81 0")):
        components["mouth"]["variants"][name]["elements"] = [_element("path", d=path, **line)]

    colours["accessories"] = {"notEqualTo": [], "values": ["#262e33"]}
    frame = {"fill": "none", "stroke": {"type": "color", "name": "accessories"}, "stroke-width": "11"}
    bridge = _element("path", d="M135 52q26-18 52 0", **frame)
    round_ = [_element("circle", cx=x, cy="64", r="60", **frame) for x in ("76", "246")]
    square = [_element("rect", x=x, y="10", width="122", height="104", rx="22", **frame) for x in ("14", "186")]
    components["glasses"] = {
        "width": 322,
        "height": 128,
        "variants": {"round": {"elements": [*round_, bridge]}, "square": {"elements": [*square, bridge]}},
    }
    place = {"name": "glasses", "type": "component", "attributes": {"transform": "translate(223 340)"}}
    style["canvas"]["elements"].append(place)


def _element(name: str, **attributes: Any) -> dict[str, Any]:
    return {"type": "element", "name": name, "attributes": attributes}


def _recolour(node: Any, old: str, new: Any) -> None:
    """Replaces every reference to the colour `old` below `node` by `new`."""
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        if value == {"type": "color", "name": old}:
            node[key] = new
        elif isinstance(value, (dict, list)):
            _recolour(value, old, new)
