"""How far translations in bfloat16 are from float32's, on rendered faces or photographs, in steps of 1/255.

python -m benchmarks.precision MODEL [--images FOLDER] [--pairs N]

Works on every processor: one without instructions for bfloat16 computes it in software, with the same roundings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from lomit.config import DEMO_SEED, NumberFormat
from lomit.data.avatars import render_face
from lomit.images import as_picture, read_image
from lomit.inference.pairs import list_images
from lomit.inference.precision import LARGEST, MEAN, computing_in
from lomit.inference.squares import to_tensor
from lomit.inference.weights import load_pretrained
from lomit.models.base import Guide, Translation

CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--pairs", type=int, default=24)
    args = parser.parse_args()
    translator = load_pretrained(args.model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    size, count = translator.config.image_size, 2 * args.pairs
    if args.images is None:
        pictures = [as_picture(render_face(DEMO_SEED, k, size, regions=False).image) for k in range(count)]
    else:
        pictures = [read_image(file) for file in list_images(args.images)[:count]]
    x, exemplar = to_tensor(pictures, size, CPU).chunk(2)

    def translation(precision: NumberFormat) -> Translation:
        with torch.inference_mode(), computing_in(precision, CPU):
            done: Translation = translator.translate(x, Guide(exemplar))
            return done

    exact, short = translation("float32"), translation("bfloat16")
    error = (short.image - exact.image).abs() * (255 / 2)
    words = [f"images {_differ(error)} (allowed: {MEAN} and {LARGEST:g})"]
    words += [f"of the pairs, the worst has a mean of {error.mean((1, 2, 3)).max():.2f}"]
    if exact.masks is not None and short.masks is not None:
        words.append(f"masks {_differ(255 * (short.masks.input - exact.masks.input).abs())}")
    print(f"{args.model}, {args.pairs} pairs: " + "; ".join(words))


def _differ(error: Tensor) -> str:
    return f"differ by {error.mean():.2f}/255 on average and {error.max():.1f}/255 at most"


if __name__ == "__main__":
    main()
