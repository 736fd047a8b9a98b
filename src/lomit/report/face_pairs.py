"""Which faces the figures show: pairs that differ in what a figure is about, drawn by a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lomit.data.gallery import Faces
from lomit.errors import LomitError


@dataclass(frozen=True)
class FacePair:
    """Numbers of two faces, and what is translated into what."""

    input: int
    exemplar: int
    caption: str


def targets(faces: Faces, attributes: Sequence[str]) -> list[tuple[str, ...]]:
    """What a figure's columns are about: each group of exclusive attributes, and each other attribute (Figure 4)."""
    known = [a for a in attributes if a in faces.attributes]
    groups = [tuple(a for a in known if a in group) for group in faces.groups]
    grouped = {a for group in groups for a in group}
    found = {group[0]: group for group in groups if group} | {a: (a,) for a in known if a not in grouped}
    return [found[a] for a in known if a in found]


def pairs(
    faces: Faces, attributes: Sequence[str], count: int, seed: int, about: Sequence[str] | None = None
) -> list[FacePair]:
    """Pairs for a figure: for each target in turn one that differs in it and in little else, then one that does in all.

    Args:
        attributes: that the models know.
        about: the attributes among them that the figure is about; None, all of them.

    Raises:
        LomitError: where the faces are labelled with none of the attributes, or no two differ.
    """
    names = [a for a in attributes if a in faces.attributes]
    if not names:
        raise LomitError(
            f"the faces ({faces.what}) are labelled with none of {', '.join(attributes) or 'no attributes'}; "
            "give others with --data.root"
        )
    y = faces.columns(names)
    rng = np.random.default_rng(seed)
    first, second = (rng.integers(len(y), size=6_000) for _ in range(2))
    known = (y[first] >= 0).all(1) & (y[second] >= 0).all(1) & (first != second)
    first, second = first[known], second[known]
    differs = y[first] != y[second]
    kinds = targets(faces, names)
    apart = np.stack([differs[:, [names.index(a) for a in kind]].any(1) for kind in kinds], axis=1)
    asked = np.array([about is None or bool({*kind} & {*about}) for kind in kinds])
    wishes = [np.arange(len(kinds)) == k for k in np.flatnonzero(asked)]
    wishes += [asked] if len(wishes) > 1 else []
    found: list[FacePair] = []
    used: set[int] = set()
    for turn in range(count):
        wish = wishes[turn % len(wishes)]
        # Distance from the wish; pairs that show a face again, or lack a wished difference, come last.
        far = (apart != wish).sum(1) + 100.0 * ~apart[:, wish].any(1)
        far += 1000 * (np.isin(first, list(used)) | np.isin(second, list(used)))
        best = int(far.argmin()) if len(far) else -1
        if best < 0 or far[best] >= 100:
            continue
        a, b = int(first[best]), int(second[best])
        used |= {a, b}
        found.append(FacePair(a, b, _caption(dict(zip(names, zip(y[a], y[b], strict=True), strict=True)))))
    if not found:
        raise LomitError(f"no two of the faces ({faces.what}) differ in {', '.join(names)}; give others")
    return found


def many_exemplars(faces: Faces, attributes: Sequence[str], count: int, seed: int) -> tuple[int, list[int]]:
    """A face, and others that differ from it in an attribute, for Figure 6."""
    first = pairs(faces, attributes, 1, seed)[0]
    y = faces.columns([a for a in attributes if a in faces.attributes])
    others = np.flatnonzero(((y != y[first.input]) & (y >= 0) & (y[first.input] >= 0)).any(1))
    drawn = np.random.default_rng(seed + 1).permutation(others)[:count]
    return first.input, [int(face) for face in drawn]


def _caption(labels: Mapping[str, tuple[int, int]]) -> str:
    """`Black hair → Blond hair, Smiling`: what only the input has, what only the exemplar has; all action units."""
    units = all(name.startswith("AU") for name in labels)
    sides = []
    for side in (0, 1):
        names = [name for name, y in labels.items() if y[side] == 1 and (units or y[1 - side] == 0)]
        sides.append(_list(names))
    return " → ".join(sides)


def _list(names: Sequence[str]) -> str:
    if names and all(name.startswith("AU") for name in names):
        return "AU " + ", ".join(name.removeprefix("AU").replace("_", "+") for name in names)
    return ", ".join(name.replace("_", " ") for name in names) or "none"
