"""How well `lomit.masks.select` finds rendered hair from one click, by the least likeness.

    python benchmarks/selection.py [MODEL ...]

For each of 20 rendered faces five points are drawn in the hair.  Prints the median overlap (intersection over union) of
what is selected with the hair, on the grid of the content code.
"""

from __future__ import annotations

import sys
from statistics import median

import numpy as np

from lomit import Predictor, masks
from lomit.data.avatars import render_face

MODELS = ("avatars", "celeba-hair-smile-64", "celeba-hair-smile-places-64")
LIKENESS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
FACES, POINTS, SEED = 20, 5, 77


def overlaps(predictor: Predictor) -> dict[float, float]:
    """Least likeness -> median overlap with the hair."""
    found: dict[float, list[float]] = {alike: [] for alike in LIKENESS}
    for index in range(FACES):
        face = render_face(SEED, index, 256)
        (content, _) = predictor.edit(face.image, face.image).content
        hair = masks.load(face.regions["hair"], (content.shape[2], content.shape[1]))
        inside = np.argwhere(hair > 0.95)
        if len(inside) < POINTS:  # bald, or nearly
            continue
        for row, column in inside[np.random.default_rng(index).choice(len(inside), POINTS)]:
            at = ((column + 0.5) / content.shape[2], (row + 0.5) / content.shape[1])
            for alike in LIKENESS:
                taken = masks.select(content, at, alike) > 0
                found[alike].append(float((taken & (hair > 0.5)).sum() / (taken | (hair > 0.5)).sum()))
    return {alike: median(values) for alike, values in found.items()}


def main(models: list[str]) -> None:
    print("model".ljust(30), *LIKENESS, sep="  ")
    for name in models or MODELS:
        values = overlaps(Predictor.from_pretrained(name, "cpu"))
        print(name.ljust(30), *(f"{value:.2f}" for value in values.values()), sep=" ")


if __name__ == "__main__":
    main(sys.argv[1:])
