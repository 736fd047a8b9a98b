"""`python benchmarks/photo.py MEASURE ...`: the figures of docs/photo.md.

    template  --celeba DIR [--count N]                where dlib's five points lie in the training crop
    detect    --celeba DIR --emotionet DIR [...]      share of photographs in which a face is found, and the fit
    roundtrip [--celeba DIR]                          errors of align and paste, at several sizes and angles
    paste                                             rendered faces with a known answer: what to carry back, and how

Images are drawn by --seed.  The first two need photographs, the others render faces where none are given.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lomit.data.celeba import CelebASource
from lomit.photo.faces import find_faces

CROP = 178
"""Side of CelebA's training crop, the unit of alignment errors."""


def draw(count: int, among: Sequence[int], seed: int) -> list[int]:
    """`count` of these numbers, in the order drawn."""
    return np.random.default_rng(seed).permutation(np.array(among))[:count].tolist()


def measure_template(args: argparse.Namespace) -> dict:
    """Medians of the landmarks in the centre crop of CelebA's training part, mirrored halves averaged."""
    source = CelebASource(args.celeba)
    found = [find_faces(source.load(i)) for i in draw(args.count, np.flatnonzero(source.split == 0), args.seed)]
    points = np.array([faces[0].landmarks for faces in found if faces])
    points = (points - [0, (218 - CROP) / 2]) / CROP
    medians = np.median(points, axis=0)
    mirrored = medians[[2, 3, 0, 1, 4]] * [-1, 1] + [1, 0]
    spread = np.percentile(np.hypot(*np.moveaxis(points - medians, -1, 0)) * CROP, [50, 90], axis=0)
    return {
        "images": len(found),
        "faces": len(points),
        "template": ((medians + mirrored) / 2).round(4).tolist(),
        "asymmetry_px": float(np.abs(medians - mirrored).max() * CROP / 2),
        "spread_px_50_90": spread.round(2).tolist(),
    }


MEASURES: dict[str, Callable[[argparse.Namespace], dict]] = {
    "template": measure_template,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", choices=MEASURES)
    parser.add_argument("--celeba", type=Path)
    parser.add_argument("--emotionet", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(json.dumps(MEASURES[args.measure](args), indent=1))


if __name__ == "__main__":
    main()
