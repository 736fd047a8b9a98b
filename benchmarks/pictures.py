"""Makes the pictures of the README, docs/editor.md and docs/photo.md anew.

    python benchmarks/pictures.py --out docs/images

`demo.png` (as `make demo` writes it), `editor-masks.png` (the samples 2 and 3 of the editor under edited masks),
`photo.png` (faces turned within larger pictures) and, in headless Chromium, `editor.png` (the page with those samples,
mouths erased from both masks) and `editor.gif` (the way there) show rendered faces, by the packaged weights.
`astronaut.png` shows scikit-image's photograph (public domain) whose hair takes colours of rendered faces, by a
checkout's `celeba-hair-smile-places-64`.
"""

from __future__ import annotations

import argparse
import io
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from lomit import Predictor
from lomit.apps.editor.samples import draw_samples
from lomit.apps.editor.server import running
from lomit.cli import main as lomit
from lomit.data.avatars import render_face
from lomit.figures.grids import grid, overlay
from lomit.images import write_png
from lomit.inference.editing import Edit
from lomit.photo import Face, translate_photo
from lomit.photo.faces import TEMPLATE

INPUT, EXEMPLAR = 1, 2
"""The samples that are shown, counted from 0."""
SIDE = 256
MOUTH = (70, 155, 186, 256)
"""Left, top, right, bottom of what is erased as the mouth, at `SIDE`."""
PHOTO_SEED, PHOTO_SIDE, PHOTO_FACE = 2019, 480, 300
"""Set of the rendered faces; sides of the picture and of the face in it."""
TURNED = ((9, 5, 15), (11, 8, -12))
"""Face, exemplar, angle in degrees."""
HAIR = (15, 2)
"""Faces of `PHOTO_SEED` whose hair the photograph takes."""
FILM_WIDTH = 720
"""Pixels across the editor's moving picture."""
DONE = ".viewer img.after:not([hidden])"


def demo(out: Path) -> None:
    """The grid that the demo writes."""
    with tempfile.TemporaryDirectory() as folder:
        assert lomit(["demo", "--out", folder, "--device", "cpu"]) == 0
        shutil.copy(Path(folder) / "grid.png", out / "demo.png")


def masks(out: Path) -> None:
    """Hair and mouth, hair alone, mouth alone."""
    samples = draw_samples()
    face, exemplar = samples[INPUT].picture, samples[EXEMPLAR].picture
    editing = Predictor.from_pretrained("avatars", device="cpu").edit(face, [exemplar])
    predicted = editing.predicted(SIDE)
    edits = {
        "masks as predicted: hair and mouth both change": predicted,
        "mouths erased from both masks: the hair alone changes": [_without(m, inside=True) for m in predicted],
        "hair erased from both masks: the mouth alone changes": [_without(m, inside=False) for m in predicted],
    }
    columns: dict[str, list[Image.Image]] = {"input": [], "its mask": [], "exemplar": [], "its mask ": [], "result": []}
    for own, guide in edits.values():
        result = editing.render(Edit(own, (guide,))).placed(face, composite=True)
        shown = (face.rgb, overlay(face.rgb, own), exemplar.rgb, overlay(exemplar.rgb, guide), result)
        for column, image in zip(columns.values(), shown, strict=True):
            column.append(image)
    write_png(out / "editor-masks.png", grid(columns, cell=144, rows=list(edits)), overwrite=True)


def photo(out: Path) -> None:
    """Input, exemplar, where the change was applied, result."""
    predictor = Predictor.from_pretrained("avatars", device="cpu")
    columns: dict[str, list[Image.Image]] = {"photograph": [], "exemplar": [], "where": [], "result": []}
    for seed, (index, guide, angle) in enumerate(TURNED):
        face = render_face(PHOTO_SEED, index, PHOTO_FACE, regions=False).image
        exemplar = render_face(PHOTO_SEED, guide, PHOTO_FACE, regions=False).image
        noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        whole = Image.fromarray(noise).resize((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.BICUBIC)
        pasted = face.convert("RGBA").rotate(-angle, Image.Resampling.BICUBIC, expand=True)
        width, height = pasted.size
        whole.paste(pasted, ((PHOTO_SIDE - width) // 2, (PHOTO_SIDE - height) // 2), pasted)
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        points = (TEMPLATE - 0.5) @ np.array([[c, s], [-s, c]]) * PHOTO_FACE + PHOTO_SIDE / 2
        lies = Face((0, 0, PHOTO_SIDE, PHOTO_SIDE), points)
        straight = Face.from_crop((0, 0, PHOTO_FACE, PHOTO_FACE))
        result = translate_photo(predictor, whole, exemplar, faces=[lies], exemplar_faces=[straight])
        for column, image in zip(columns.values(), (whole, exemplar, result.mask, result.image), strict=True):
            column.append(image)
    write_png(out / "photo.png", grid(columns, cell=180), overwrite=True)


def astronaut(out: Path) -> None:
    """A photograph, whole, whose hair alone takes the colour of an exemplar's."""
    import skimage.data

    predictor = Predictor.from_pretrained("celeba-hair-smile-places-64", device="cpu", only="hair")
    photograph = Image.fromarray(skimage.data.astronaut())
    columns: dict[str, list[Image.Image]] = {"photograph": [], "where": [], "exemplar": [], "result": []}
    for index in HAIR:
        exemplar = render_face(PHOTO_SEED, index, PHOTO_FACE, regions=False).image
        straight = Face.from_crop((0, 0, PHOTO_FACE, PHOTO_FACE))
        result = translate_photo(predictor, photograph, exemplar, exemplar_faces=[straight])
        for column, image in zip(columns.values(), (photograph, result.mask, exemplar, result.image), strict=True):
            column.append(image)
    write_png(out / "astronaut.png", grid(columns, cell=256), overwrite=True)


def editor(out: Path) -> None:
    """The page, two variants kept, and the way there as a moving picture."""
    from playwright.sync_api import sync_playwright

    with running("avatars", port=0, device="cpu") as (_, url), sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        tab: Any = browser.new_page(viewport={"width": 1280, "height": 962})
        tab.goto(url)
        tab.wait_for_selector(DONE)

        film: list[Image.Image] = []

        def changed(act: Any) -> None:
            before = tab.get_attribute(DONE, "src")
            act()
            tab.wait_for_function(f"(b) => document.querySelector('{DONE}')?.src !== b", arg=before)
            tab.wait_for_timeout(500)
            frame = Image.open(io.BytesIO(tab.screenshot()))
            film.append(frame.resize((FILM_WIDTH, FILM_WIDTH * frame.height // frame.width), Image.Resampling.LANCZOS))

        for name, sample in (("input", INPUT), ("exemplar", EXEMPLAR)):
            changed(tab.get_by_role("button", name=f"Sample as {name}").nth(sample).click)
        film = film[-1:]  # from where both are chosen
        tab.get_by_role("button", name="Keep this variant").click()
        left, top, right, _ = (value / SIDE for value in MOUTH)
        for pane in (0, 1):
            changed(lambda pane=pane: _erase(tab, pane, (left, right), (top + 0.08, 0.98)))
        tab.get_by_role("button", name="Keep this variant").click()
        tab.get_by_text("Before and after", exact=True).click()
        tab.mouse.move(5, 5)
        tab.wait_for_timeout(500)
        tab.screenshot(path=out / "editor.png")
        browser.close()
    palette = film[-1].convert("RGB").quantize(128)
    first, *rest = (frame.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE) for frame in film)
    first.save(out / "editor.gif", save_all=True, append_images=rest, duration=1_600, loop=0, optimize=True)


def _without(mask: Image.Image, inside: bool) -> Image.Image:
    """A mask with everything inside of `MOUTH`, or outside of it, erased."""
    box = Image.new("L", mask.size, 255 if inside else 0)
    ImageDraw.Draw(box).rectangle(MOUTH, fill=0 if inside else 255)
    return Image.composite(mask, Image.new("L", mask.size), box)


def _erase(tab: Any, pane: int, across: tuple[float, float], down: tuple[float, float]) -> None:
    """One stroke to and fro over a rectangle of an image, given in shares of its side."""
    box = tab.locator(f'.pane[data-pane="{pane}"] .stage').bounding_box()
    rows = np.linspace(*down, 7)
    corners = [(x, y) for k, y in enumerate(rows) for x in (across if k % 2 == 0 else across[::-1])]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    tab.mouse.move(*places[0])
    tab.mouse.down()
    for place in places[1:]:
        tab.mouse.move(*place, steps=4)
    tab.mouse.up()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder for the pictures")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    demo(out)
    masks(out)
    photo(out)
    astronaut(out)
    if shutil.which("chromium"):
        editor(out)
    else:
        print("chromium is not installed: editor.png was not made")


if __name__ == "__main__":
    main()
