"""`python benchmarks/photo.py MEASURE ...`: the figures of docs/photo-measured.md and docs/video.md, as JSON.

    template  --celeba DIR                    where dlib's five points lie in the training crop
    detect    --celeba DIR --emotionet DIR    share of photographs in which a face is found, and how well it fits
    poses     --celeba DIR                    the same in larger pictures, for faces of several sizes and angles
    groups    --celeba DIR                    faces of several sizes in one picture, searched once and at every size
    roundtrip [--celeba DIR]                  errors of align and paste, for faces of several sizes and angles
    carry                                     rendered faces with a known answer: what to carry back, and how
    live      [--model M --threads N]         frames of 640 x 480 through `lomit live`'s loop, with a face that moves

The images are drawn by --seed; --count says how many of each set.  Needs the extras faces, metrics and avatars.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lomit.data.avatars import render_face
from lomit.data.avatars.draw import draw_face
from lomit.data.avatars.parts import PARTS
from lomit.data.avatars.render import compose
from lomit.data.celeba import CROP, read_celeba
from lomit.data.emotionet import read_emotionet
from lomit.data.source import TEST, TRAIN
from lomit.inference.predictor import Predictor
from lomit.photo import Face, align, find_faces, on_photo, paste, place, translate_crops
from lomit.photo.align import crop_to_photo, fit_error
from lomit.photo.faces import SIZES
from lomit.photo.live import Live
from lomit.photo.paste import blur
from lomit.photo.translate import ExemplarFace, align_exemplar
from lomit.stats import bootstrap
from lomit.stats.estimate import Estimate

TOP = 20
"""Where the centre crop begins in CelebA's files of 178 x 218."""
POSES = [(60, 0), (60, 20), (178, 0), (178, 20), (500, -10), (2000, 0), (2000, 20)]
"""Side of the crop in a larger picture, in pixels, and the angle of the face, in degrees."""


def template(args: argparse.Namespace) -> object:
    """Medians over CelebA's training part, averaged with their mirror image."""
    source = read_celeba(args.celeba)
    found = [find_faces(source.load(i)) for i in _draw(np.flatnonzero(source.split == TRAIN), args)]
    points = (np.array([faces[0].landmarks for faces in found if faces]) - [0, TOP]) / CROP
    medians = np.median(points, axis=0)
    mirrored = medians[[2, 3, 0, 1, 4]] * [-1, 1] + [1, 0]
    return {
        "images": len(found),
        "faces": len(points),
        "template": ((medians + mirrored) / 2).round(4).tolist(),
        "largest asymmetry, px of 178": round(float(np.abs(medians - mirrored).max()) * CROP / 2, 2),
        "median distance from it, px of 178": round(float(np.median(_lengths(points - medians))) * CROP, 2),
    }


def detect(args: argparse.Namespace) -> object:
    """Photographs as they are."""
    celeba, emotionet = read_celeba(args.celeba), read_emotionet(args.emotionet)
    tests = _draw(np.flatnonzero(celeba.split == TEST), args)
    at_rest = Face.from_crop((0, TOP, CROP, TOP + CROP))
    found = [find_faces(celeba.load(i)) for i in tests]
    people = torch.from_numpy(celeba.identity[tests])
    hits = torch.tensor([float(bool(faces)) for faces in found])
    moved = [_rms(faces[0].landmarks - at_rest.landmarks) for faces in found if faces]
    rows = {
        "CelebA, test part": {
            **_share(hits),
            "interval over people": _interval(bootstrap.mean(hits, people)),
            "several faces": sum(len(faces) > 1 for faces in found),
            "landmarks against the template, px of 178, before aligning (50, 90, 99 %)": _percentiles(moved),
            "and after (50, 90, 99 %)": _percentiles([fit_error(f[0]) * CROP for f in found if f]),
        }
    }
    found = [find_faces(emotionet.load(i)) for i in _draw(range(len(emotionet.names)), args)]
    rows["EmotioNet proxy"] = {
        **_share(torch.tensor([float(bool(faces)) for faces in found])),
        "several faces": sum(len(faces) > 1 for faces in found),
        "landmarks against the template, px of 178, after aligning (50, 90, 99 %)": _percentiles(
            [fit_error(f[0]) * CROP for f in found if f]
        ),
    }
    return rows


def poses(args: argparse.Namespace) -> object:
    """CelebA's faces put into larger pictures of random colours, at a known size and angle."""
    celeba = read_celeba(args.celeba)
    at_rest = Face.from_crop((0, TOP, CROP, TOP + CROP))
    tests = _draw(np.flatnonzero(celeba.split == TEST), args)
    rng = np.random.default_rng(args.seed)
    rows = {}
    for side, angle in [(60, 0), (120, 0), (120, 20), (500, 0), (500, 20), (500, 40), (2000, 0), (2000, 20)]:
        errors = []
        for i in tests:
            picture, face = _posed(celeba.load(i), at_rest, side, angle, rng)
            near = [_corners(face, each) / side * CROP for each in find_faces(picture)[:1]]
            errors.append(near[0] if near and near[0] < CROP / 4 else math.nan)
        rows[f"crop of {side} px, {angle} degrees"] = {
            **_share(torch.tensor([float(not math.isnan(e)) for e in errors])),
            "corners of the crop against CelebA's, px of 178 (50, 90 %)": _percentiles(errors, (50, 90)),
        }
    return rows


def groups(args: argparse.Namespace) -> object:
    """Four of CelebA's faces in a picture of 3000 x 2000 pixels of random colours: which are found, and what else."""
    celeba = read_celeba(args.celeba)
    tests = _draw(np.flatnonzero(celeba.split == TEST), args)
    rng = np.random.default_rng(args.seed)
    places = {900: (100, 200), 300: (1500, 200), 150: (2200, 300), 80: (2200, 1400)}
    rows = {}
    found: dict[str, list[list[bool]]] = {"as one face is searched": [], "at every size": []}
    others = dict.fromkeys(found, 0)
    for start in range(0, len(tests) - len(places) + 1, len(places)):
        colours = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
        picture = Image.fromarray(colours).resize((3000, 2000), Image.Resampling.BICUBIC)
        middles = []
        for i, (side, at) in zip(tests[start:], places.items(), strict=False):
            file = celeba.load(i)
            small = file.resize((side, round(file.height * side / file.width)), Image.Resampling.LANCZOS)
            picture.paste(small, at)
            middles.append((side, np.add(at, (side / 2, side * (TOP / CROP + 0.55)))))
        for name, sizes in zip(found, (None, SIZES), strict=True):
            boxes = [np.array(face.box).reshape(2, 2).mean(axis=0) for face in find_faces(picture, sizes)]
            near = [[float(np.hypot(*(box - middle))) < side / 4 for box in boxes] for side, middle in middles]
            found[name].append([any(each) for each in near])
            others[name] += len(boxes) - sum(map(sum, near))
    for name, hits in found.items():
        shares = [_share(torch.tensor(column, dtype=torch.float32)) for column in zip(*hits, strict=True)]
        crops = {f"crop of {side} px": share for side, share in zip(places, shares, strict=True)}
        rows[name] = {**crops, "found that is no face": others[name]}
    return rows


def roundtrip(args: argparse.Namespace) -> object:
    """Faces in larger pictures whose place is known: what aligning and pasting alone does to them."""
    rng = np.random.default_rng(args.seed)
    at_rest = Face.from_crop((0, TOP, CROP, TOP + CROP))
    if args.celeba:
        source = read_celeba(args.celeba)
        files = [source.load(i) for i in _draw(np.flatnonzero(source.split == TEST), args)]
    else:
        at_rest = Face.from_crop((0, 0, 512, 512))
        files = [compose(draw_face(args.seed, i), 512) for i in range(args.count)]
    rows = []
    for side, angle in POSES:
        if side > args.largest:
            continue
        for size in (64, 128):
            identity, resized, again = [], [], []
            for file in files:
                picture, face = _posed(file, at_rest, side, angle, rng)
                own = np.asarray(picture).astype(np.float32)
                crop = align(picture, face, size)
                identity.append(np.abs(np.asarray(paste(picture, face, crop, crop, None)) - own).max())
                (left, top, right, bottom), values = place(np.asarray(crop, dtype=np.float32), face, picture.size)
                core = np.asarray(on_photo(None, face, picture.size, size))[top:bottom, left:right] == 255
                resized.append(np.abs(values - own[top:bottom, left:right])[core].mean())
                # A change that the crop can hold: waves of colour.
                wave = 25 * np.sin(np.arange(size) / size * 2 * np.pi * 3)
                after = (np.asarray(crop) + np.stack([wave, -wave, 0 * wave], axis=-1)).clip(0, 255).round()
                result = paste(picture, face, crop, Image.fromarray(after.astype(np.uint8)), None)
                inner = slice(size // 8, -size // 8)
                seen = np.asarray(align(result, face, size)).astype(np.float32)
                again.append(np.abs(seen - after)[inner, inner].mean())
            rows.append(
                {
                    "crop in the picture, px": side,
                    "degrees": angle,
                    "crop in the network, px": size,
                    "faces": len(files),
                    "identity, largest error": int(max(identity)),
                    "the crop itself put back, mean error": _interval(_over_faces(resized)),
                    "a change carried back and aligned again, mean error": _interval(_over_faces(again)),
                }
            )
    return rows


def carry(args: argparse.Namespace) -> object:
    """Rendered faces of 512 pixels with grain, given other hair or another mouth: distance to the true picture.

    The network is perfect (the true picture at 64 pixels, the true region as mask) or the packaged one, whose exemplar
    is the true picture itself.
    """
    side, size = 512, 64
    face = Face.from_crop((0, 0, side, side))
    predictor = Predictor.from_pretrained("avatars", "cpu")
    errors: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for what, before, true, region in _edits(args, side):
        ideal = _ideal_mask(region, size)
        crop, wanted = align(before, face, size), align(true, face, size)
        results = {"the photograph as it was": before}
        results["perfect, whole crop resized"] = _resized(before, wanted, ideal)
        results["perfect, change"] = paste(before, face, crop, wanted, ideal, detail="all")
        results["perfect, change, detail by structure (used)"] = paste(before, face, crop, wanted, ideal)
        for reference in ("crop", "self"):
            (r,) = translate_crops(predictor, [(face, crop)], ExemplarFace(face, wanted), reference=reference)
            results["packaged, whole crop resized"] = _resized(before, r.after, r.input_mask)
            used = " (used)" if reference == "self" else ""
            name = f"packaged, change against {reference}"
            results[name] = paste(before, face, r.before, r.after, r.input_mask, detail="all")
            results[f"{name}, detail by structure{used}"] = paste(before, face, r.before, r.after, r.input_mask)
        for name, image in results.items():
            off = np.abs(np.asarray(image).astype(np.float32) - np.asarray(true)).mean(axis=2)
            errors.setdefault((what, name), []).append((float(off[region].mean()), float(off[~region].mean())))
    return [
        {
            "changed": what,
            "carried back": name,
            "mean error where it changed": _interval(_over_faces([v[0] for v in values])),
            "elsewhere": _interval(_over_faces([v[1] for v in values])),
            "faces": len(values),
        }
        for (what, name), values in sorted(errors.items())
    ]


def _edits(args: argparse.Namespace, side: int) -> Iterator[tuple[str, Image.Image, Image.Image, np.ndarray]]:
    """What changes, the face, the face with that changed, and where they differ (bool)."""
    rng = np.random.default_rng(args.seed)
    for i in range(args.count):
        face, other = draw_face(900, i), draw_face(900, 1000 + i)
        grain = blur(rng.normal(size=(side, side, 1)).astype(np.float32), 1.2)
        grain = 1 + 0.15 * grain / grain.std()
        smiling = bool(face.labels["Smiling"])
        mouth = next(look for look in PARTS["mouth"] if ("Smiling" in look.labels) != smiling)
        changed = {
            "hair": replace(face, hair=other.hair),
            "mouth": replace(face, variants={**face.variants, "mouth": mouth.variants[face.style][0]}),
        }
        plain = compose(face, side)
        for what, edited in changed.items():
            true = compose(edited, side)
            region = (np.asarray(plain) != np.asarray(true)).any(axis=2)
            if region.mean() > 0.001:
                yield what, _grained(plain, grain), _grained(true, grain), region


def _grained(image: Image.Image, grain: np.ndarray) -> Image.Image:
    return Image.fromarray((np.asarray(image) * grain).clip(0, 255).round().astype(np.uint8))


def _ideal_mask(region: np.ndarray, size: int) -> Image.Image:
    """The region on the grid of a mask, a quarter of the crop, grown to whole cells, as a mask image."""
    cells = Image.fromarray(region.astype(np.uint8) * 255).resize((size // 4, size // 4), Image.Resampling.BOX)
    return cells.point(lambda v: 255 * (v > 60)).resize((size, size), Image.Resampling.BILINEAR)


def _resized(before: Image.Image, crop: Image.Image, mask: Image.Image | None) -> Image.Image:
    assert mask is not None
    bicubic, bilinear = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR
    return Image.composite(crop.resize(before.size, bicubic), before, mask.resize(before.size, bilinear))


def _posed(
    file: Image.Image, face: Face, side: int, angle: float, rng: np.random.Generator
) -> tuple[Image.Image, Face]:
    """A picture put into a larger one so that a face's crop has this side and is turned clockwise by this angle."""
    scale = side / (crop_to_photo(face)[0, 0])
    small = file.resize((round(file.width * scale), round(file.height * scale)), Image.Resampling.LANCZOS)
    extent = round(max(640, 1.7 * max(small.size)))
    colours = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    canvas = Image.fromarray(colours).resize((extent, extent), Image.Resampling.BICUBIC)
    at = np.array([(extent - small.width) / 2, (extent - small.height) / 2]).round()
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = np.array([[c, -s], [s, c]])
    middle = np.array([extent / 2, extent / 2])
    inverse = turn.T
    shift = middle - inverse @ middle - at
    numbers = (*inverse[0], shift[0], *inverse[1], shift[1])
    turned, inside = (
        image.transform((extent, extent), Image.Transform.AFFINE, numbers, Image.Resampling.BICUBIC)
        for image in (small, Image.new("L", small.size, 255))
    )
    canvas.paste(turned, (0, 0), inside)
    # The sides were rounded to whole pixels.
    shrunk = np.array(small.size) / np.array(file.size)
    points = (face.landmarks * shrunk + at - middle) @ turn.T + middle
    return canvas, Face(face.box, points)


def _draw(among: Sequence[int] | np.ndarray, args: argparse.Namespace) -> list[int]:
    """So many of these numbers, in the order drawn."""
    return np.random.default_rng(args.seed).permutation(np.array(among))[: args.count].tolist()


def _corners(face: Face, other: Face) -> float:
    """Root mean square distance of the corners of two crops, in pixels."""
    corners = np.array([(0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1)])
    return _rms(corners @ (crop_to_photo(face) - crop_to_photo(other)).T)


def _lengths(points: np.ndarray) -> np.ndarray:
    return np.hypot(points[..., 0], points[..., 1])


def _rms(points: np.ndarray) -> float:
    return float(np.sqrt((_lengths(points) ** 2).mean()))


def _share(hits: torch.Tensor) -> dict[str, object]:
    """Share in percent with its Wilson interval."""
    from scipy.stats import binomtest

    found, count = int(hits.sum()), len(hits)
    low, high = binomtest(found, count).proportion_ci(method="wilson")
    return {
        "images": count,
        "found": found,
        "found, %": round(100 * found / count, 1),
        "Wilson, %": [round(100 * low, 1), round(100 * high, 1)],
    }


def _over_faces(values: Sequence[float]) -> Estimate:
    return bootstrap.mean(torch.tensor(values), torch.arange(len(values)))


def _interval(e: Estimate) -> list[float | None]:
    return [None if v is None else round(v, 3) for v in (e.value, e.low, e.high)]


def _percentiles(values: Sequence[float], at: Sequence[int] = (50, 90, 99)) -> list[float]:
    return np.nanpercentile(values, at).round(2).tolist()


def live(args: argparse.Namespace) -> object:
    """Frames a second and milliseconds of each part, from JPEG to JPEG; one thread or more, the median of rounds."""
    face, exemplar = (
        render_face(*which, side, regions=False).image for which, side in (((7, 13), 280), ((11, 5), 280))
    )
    rng = np.random.default_rng(args.seed)
    wall = Image.fromarray(rng.integers(60, 190, (6, 8, 3), dtype=np.uint8)).resize(
        (640, 480), Image.Resampling.BICUBIC
    )
    frames = []
    for turn in np.linspace(0, 2 * math.pi, args.count, endpoint=False):
        frame = wall.copy()
        frame.paste(face, (180 + round(60 * math.sin(turn)), 100 + round(20 * math.cos(turn))))
        frames.append(_jpeg(frame))
    predictor = Predictor.from_pretrained(args.model, "cpu")
    guide = align_exemplar(exemplar, predictor.image_size)
    rounds = []
    for _ in range(5):
        camera, found = Live(predictor, guide), 0
        spent: dict[str, float] = defaultdict(float)
        begin, busy = time.perf_counter(), time.process_time()
        for data in frames:
            at = time.perf_counter()
            image = Image.open(io.BytesIO(data)).convert("RGB")
            spent["decode"] += time.perf_counter() - at
            done = camera.frame(image, time.perf_counter())
            found += done.found
            for part, seconds in done.seconds.items():
                spent[part] += seconds
            at = time.perf_counter()
            _jpeg(done.image)
            spent["encode"] += time.perf_counter() - at
        elapsed = time.perf_counter() - begin
        rounds.append(
            {
                "frames a second": round(len(frames) / elapsed, 1),
                "processor, ms a frame": round(1e3 * (time.process_time() - busy) / len(frames), 1),
                "with a face": found,
                "ms a frame": {part: round(1e3 * s / len(frames), 1) for part, s in spent.items()},
            }
        )
    middle = sorted(rounds, key=lambda each: each["frames a second"])[2]  # type: ignore[arg-type, return-value]
    return {"model": args.model, "threads": args.threads, "frames": len(frames), **middle}


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


MEASURES: dict[str, Callable[[argparse.Namespace], object]] = {
    "template": template,
    "detect": detect,
    "poses": poses,
    "groups": groups,
    "roundtrip": roundtrip,
    "carry": carry,
    "live": live,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", choices=MEASURES)
    parser.add_argument("--celeba", type=Path)
    parser.add_argument("--emotionet", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="celeba-hair-smile-64")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--largest", type=int, default=2000, help="crops of roundtrip that are larger are left out")
    args = parser.parse_args()
    if args.measure in ("template", "detect", "poses", "groups") and not args.celeba:
        parser.error(f"{args.measure} needs --celeba")
    if args.measure == "detect" and not args.emotionet:
        parser.error("detect needs --emotionet")
    torch.set_num_threads(args.threads)
    print(json.dumps(MEASURES[args.measure](args), indent=1))


if __name__ == "__main__":
    main()
