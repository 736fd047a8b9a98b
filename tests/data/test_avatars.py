"""Rendered faces: the same pixels everywhere, true labels, true masks, nothing that gives a label away."""

from __future__ import annotations

import colorsys
import csv
import errno
import itertools
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lomit.commands.data import DataAvatars
from lomit.data.avatars import ATTRIBUTES, GROUPS, render, render_face, write_avatars
from lomit.data.avatars.draw import BACKGROUNDS, HAIR_COLOURS, Background, Design, draw_face
from lomit.data.avatars.parts import PARTS, REGION_OF, REGIONS, STYLES
from lomit.data.avatars.render import background_svg, compose, measure_regions
from lomit.data.avatars.styles import COMPONENTS, definition, style_credits
from lomit.data.avatars.write import split_of
from lomit.data.folder import FolderSource
from lomit.errors import LomitError

SIZE = 64
DRAWN = [draw_face(7, i) for i in range(2000)]
FEW = DRAWN[:16]


def pixels(face: Design, size: int = SIZE) -> np.ndarray:
    return np.asarray(compose(face, size))


def changed(a: Design, b: Design) -> np.ndarray:
    return (pixels(a) != pixels(b)).any(axis=-1)


def with_part(face: Design, part: str, variant: str | None) -> Design:
    return replace(face, variants={**face.variants, part: variant})


def a_face(style: str, **variants: str | None) -> Design:
    face = next(f for f in DRAWN if f.style == style)
    return replace(face, shift=(0.0, 0.0), zoom=1.0, variants={**face.variants, **variants})


# --- the draw


def test_a_face_is_a_function_of_seed_and_index_alone() -> None:
    assert draw_face(7, 11) == DRAWN[11]
    assert len({(f.hair, f.skin, f.background) for f in DRAWN}) == len(DRAWN)
    assert draw_face(8, 11) != DRAWN[11]


def test_groups_hold_at_most_one_and_implied_labels_agree() -> None:
    for face in DRAWN:
        assert tuple(face.labels) == ATTRIBUTES
        assert all(sum(face.labels[name] for name in group) <= 1 for group in GROUPS)
        assert face.labels["AU12"] == face.labels["Smiling"]
        assert (
            face.labels["Facial_Hair"] == face.labels["Mustache"] + face.labels["Beard"] == 1 - face.labels["No_Beard"]
        )


@pytest.mark.parametrize(
    ("name", "share"),
    [
        *[(name, 0.3) for name in ("Black_Hair", "Blond_Hair", "Brown_Hair", "AU1_2", "AU4", "AU43")],
        *[(name, 0.5) for name in ("Smiling", "Facial_Hair", "AU25_26")],
        *[(name, 0.25) for name in ("Mustache", "Beard", "Eyeglasses")],
    ],
)
def test_labels_are_balanced(name: str, share: float) -> None:
    mean = np.mean([face.labels[name] for face in DRAWN])
    assert abs(mean - share) < 4 * np.sqrt(share * (1 - share) / len(DRAWN))


FACTORS: dict[str, Callable[[Design], object]] = {
    "style": lambda f: f.style,
    "hair colour": lambda f: tuple(f.labels[n] for n in GROUPS[0]),
    "smile": lambda f: f.labels["Smiling"],
    "open mouth": lambda f: f.labels["AU25_26"],
    "facial hair": lambda f: (f.labels["Mustache"], f.labels["Beard"]),
    "glasses": lambda f: f.labels["Eyeglasses"],
    "brows": lambda f: (f.labels["AU1_2"], f.labels["AU4"]),
    "eyes": lambda f: f.labels["AU43"],
    "background": lambda f: f.background.kind,
    "background's hue": lambda f: int(4 * colorsys.rgb_to_hsv(*f.background.colours[0])[0]),
    "background's light": lambda f: sum(f.background.colours[0]) > 450,
    "skin": lambda f: sum(f.skin) > 450,
    "clothes": lambda f: sum(f.clothes) > 450,
    "place": lambda f: (f.shift[0] > 0, f.shift[1] > 0),
    "size": lambda f: f.zoom > 1,
}


RELATED = {("smile", "open mouth")}
"""Pairs that go together on purpose: most smiles are open, most other mouths closed."""


@pytest.mark.parametrize(("a", "b"), [pair for pair in itertools.combinations(FACTORS, 2) if pair not in RELATED])
def test_nothing_tells_anything_about_anything_else(a: str, b: str) -> None:
    first, second = ([FACTORS[name](f) for f in DRAWN] for name in (a, b))
    counts = np.array([[sum(x == u and y == v for x, y in zip(first, second, strict=True)) for v in set(second)]
                       for u in set(first)])  # fmt: skip
    expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()
    chi2 = ((counts - expected) ** 2 / expected).sum()
    freedom = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    assert freedom > 0
    p = torch.special.gammaincc(torch.tensor(freedom / 2.0), torch.tensor(chi2 / 2)).item()
    assert p > 1e-4, f"chi2 {chi2:.1f} with {freedom} degrees of freedom"  # 104 pairs


# --- the table against the styles


@pytest.mark.parametrize("style", STYLES)
def test_every_variant_of_the_table_is_in_the_style(style: str) -> None:
    for part, looks in PARTS.items():
        assert sum(look.share for look in looks) == pytest.approx(1)
        for variant in (v for look in looks for v in look.variants[style] if v is not None):
            # DiceBear draws nothing, and says nothing, for a variant that it doesn't know.
            assert variant in definition(style)["components"][COMPONENTS[style][part]]["variants"], (part, variant)


def test_an_open_mouth_is_more_often_a_smile_but_both_kinds_occur() -> None:
    smiles = [face.labels["Smiling"] for face in DRAWN if face.labels["AU25_26"]]
    assert abs(np.mean(smiles) - 0.7) < 4 * np.sqrt(0.21 / len(smiles))


def test_labels_are_what_the_variants_show() -> None:
    """Against lists written down here by looking at the variants."""
    shows = {
        "Smiling": {"mouth": {"twinkle", "default", "smile", "laugh"}},
        "AU25_26": {"mouth": {"default", "laugh", "screamOpen", "agape", "angry"}},
        "Beard": {
            "facial_hair": {"beardLight", "beardMedium", "beardMajestic", "chinMoustache", "fullBeard", "longBeard"}
        },
        "Mustache": {"facial_hair": {"moustacheFancy", "moustacheMagnum", "moustacheTwirl"}},
        "AU43": {"eyes": {"closed", "humble", "bow"}},
        "AU4": {"brows": {"angry", "angryNatural"}},
        "AU1_2": {"brows": {"raisedExcited", "raisedExcitedNatural", "happy"}},
    }
    # The same name means another look in the other style.
    also = {"AU25_26": ("avataaars", "mouth", "smile"), "AU43": ("avataaars", "eyes", "happy")}
    for face in DRAWN:
        for name, by_part in shows.items():
            ((part, variants),) = by_part.items()
            held = face.variants[part] in variants or (face.style, part, face.variants[part]) == also.get(name)
            assert face.labels[name] == held, (name, face.style, face.variants[part])
        assert face.labels["Eyeglasses"] == (face.variants["glasses"] is not None)


def hair_class(r: float, g: float, b: float) -> str | None:
    """The class of a hair colour, 0..255, told from the pixels alone."""
    hue, saturation, value = colorsys.rgb_to_hsv(r / 255, g / 255, b / 255)
    if value < 0.25:
        return "Black_Hair"
    if saturation < 0.15 or (360 * hue < 14.5 and value > 0.55):
        return None
    return "Blond_Hair" if value > 0.6 else "Brown_Hair"


def test_the_hair_in_the_picture_has_the_labelled_colour() -> None:
    for face in FEW:
        # Long hair is shaded at the back; the brightest third of the hair is lit.
        hair = pixels(face)[render._recoloured(face, SIZE, "hair", (0, 0, SIZE, SIZE))]
        lit = hair[np.argsort(hair.sum(axis=1))[len(hair) // 3 :]]
        labelled = next((n for n in GROUPS[0] if face.labels[n]), None)
        assert hair_class(*np.median(lit, axis=0)) == labelled, (face.hair, face.variants["hair"])


def test_shades_differ_within_a_class() -> None:
    for name in (n for n in HAIR_COLOURS if n):
        shades = np.array([f.hair for f in DRAWN if f.labels[name]])
        assert len(np.unique(shades, axis=0)) > 0.5 * len(shades)
        assert (shades.max(axis=0) - shades.min(axis=0)).max() >= 20


@pytest.mark.parametrize("style", STYLES)
def test_a_smile_can_be_seen_at_64_pixels_below_any_facial_hair(style: str) -> None:
    smiles, others = (
        [v for k in PARTS["mouth"] if ("Smiling" in k.labels) == s for v in k.variants[style]] for s in (1, 0)
    )
    skin = (200, 140, 100)
    for hair in (v for look in PARTS["facial_hair"] for v in look.variants[style]):
        face = replace(a_face(style, facial_hair=hair, glasses=None), skin=skin, hair=(90, 50, 25))
        shots = {v: pixels(with_part(face, "mouth", v)).astype(int) for v in smiles + others}
        for a, b in itertools.product(smiles, others):
            clear = (np.abs(shots[a] - shots[b]).max(axis=-1) > 40).sum()
            assert clear >= 8, f"{a} and {b} differ in {clear} pixels below {hair}"
    bare = replace(a_face(style, facial_hair=None, glasses=None), skin=skin)
    for smile in smiles:
        away = pixels(replace(bare, variants={**bare.variants, "mouth": None})).astype(int)
        seen = np.abs(pixels(with_part(bare, "mouth", smile)).astype(int) - away).max(axis=-1) > 5
        columns = np.flatnonzero(seen.any(axis=0))
        assert columns[-1] - columns[0] + 1 >= 10


@pytest.mark.parametrize("style", STYLES)
def test_brows_can_be_seen_below_any_hair(style: str) -> None:
    variants = [look.variants[style][0] for look in PARTS["brows"]]

    def difference(face: Design, a: str | None, b: str | None) -> float:
        return float(
            np.abs(pixels(with_part(face, "brows", a)) - pixels(with_part(face, "brows", b)).astype(int)).sum()
        )

    free = replace(a_face(style, glasses=None, hair=None, rear_hair=None), skin=(240, 200, 170), hair=(120, 60, 200))
    for hair, (a, b) in itertools.product(PARTS["hair"][0].variants[style], itertools.combinations(variants, 2)):
        assert difference(with_part(free, "hair", hair), a, b) > 0.45 * difference(free, a, b), (hair, a, b)


# --- the masks


@pytest.mark.parametrize("face", FEW, ids=lambda f: f"{f.style}-{f.variants['hair']}-{f.variants['facial_hair']}")
def test_each_attribute_changes_its_regions_and_nothing_else(face: Design) -> None:
    regions = measure_regions(face, SIZE)
    assert tuple(regions) == REGIONS
    assert all(mask.shape == (SIZE, SIZE) and mask.dtype == bool for mask in regions.values())

    hair = regions["hair"] | regions["facial_hair_now"]
    seen = changed(face, replace(face, hair=(20, 220, 120)))
    assert not (seen & ~hair).any()
    assert seen.sum() >= 0.98 * hair.sum()
    assert not regions["hair"].all()
    assert regions["facial_hair_now"].any() == bool(face.labels["Facial_Hair"])

    skin = changed(face, replace(face, skin=(20, 220, 120)))
    assert not (skin & ~regions["skin"]).any()

    for part in ("mouth", "facial_hair", "eyes", "brows", "glasses"):
        mask = regions[part]
        assert 0 < mask.sum() < 0.4 * SIZE**2
        for look in PARTS[part]:
            if face.variants[part] in look.variants[face.style]:
                continue
            for variant in look.variants[face.style]:
                seen = changed(face, with_part(face, part, variant))
                assert not (seen & ~mask).any(), (part, variant)


def test_every_attribute_has_its_regions() -> None:
    assert set(REGION_OF) == set(ATTRIBUTES)
    assert {r for regions in REGION_OF.values() for r in regions} <= set(REGIONS)


def test_facial_hair_has_a_place_on_a_face_without() -> None:
    face = next(f for f in DRAWN if f.labels["No_Beard"])
    regions = measure_regions(face, SIZE)
    assert not regions["facial_hair_now"].any()
    bearded = with_part(face, "facial_hair", PARTS["facial_hair"][2].variants[face.style][1])
    assert not (measure_regions(bearded, SIZE)["facial_hair_now"] & ~regions["facial_hair"]).any()


def test_masks_ignore_the_background() -> None:
    face = next(f for f in DRAWN if f.background.kind == "plain")
    same = replace(face.background, colours=(face.hair, face.hair))
    a, b = measure_regions(face, SIZE), measure_regions(replace(face, background=same), SIZE)
    assert all(np.array_equal(a[name], b[name]) for name in REGIONS)


def test_parts_lie_in_the_boxes_that_masks_are_measured_in(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = [a_face(style) for style in STYLES] + [f for f in FEW if f.zoom > 1.03][:2]
    boxed = [measure_regions(face, SIZE) for face in faces]
    monkeypatch.setattr(render, "_pixel_box", lambda face, size, part: (0, 0, size, size))
    for face, masks in zip(faces, boxed, strict=True):
        whole = measure_regions(face, SIZE)
        assert all(np.array_equal(masks[name], whole[name]) for name in REGIONS)


# --- the backgrounds


@pytest.mark.parametrize("kind", BACKGROUNDS)
@pytest.mark.parametrize("angle", [0.0, 33.0, 135.0])
def test_a_background_fills_the_image_with_its_colours(kind: str, angle: float) -> None:
    colours = ((250, 30, 30), (30, 30, 250))
    ground = Background(kind, colours, angle, 0.25, ((0.1, 0.2), (0.5, 0.5), (0.8, 0.9)))
    image = np.asarray(render._rasterise(background_svg(ground), SIZE, SIZE))
    assert (image[..., 3] == 255).all()
    near = [(np.abs(image[..., :3].astype(int) - colour).max(axis=-1) < 70).mean() for colour in colours]
    if kind == "plain":
        assert near == [1, 0]
    else:
        assert min(near) > 0.05
    if kind in ("stripes", "checks"):
        assert 0.4 < near[0] < 0.6
        assert 0.4 < near[1] < 0.6


def test_backgrounds_vary_and_are_seen() -> None:
    assert {f.background.kind for f in DRAWN} == set(BACKGROUNDS)
    corners = {tuple(pixels(f)[0, 0]) for f in FEW}
    assert len(corners) > 0.8 * len(FEW)
    for face in FEW:
        plain = Background("plain", ((1, 2, 3), (1, 2, 3)), 0, 0.2, ())
        behind = (pixels(replace(face, background=plain)) == (1, 2, 3)).all(axis=-1)
        assert behind.mean() > 0.1, "hardly anything of the background is left"


# --- the folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("avatars") / "set"
    write_avatars(out, 20, seed=3, size=SIZE, workers=1, progress=False)
    return out


def test_other_processes_and_counts_give_the_same_files(written: Path, tmp_path: Path) -> None:
    out = tmp_path / "other"
    write_avatars(out, 4, seed=3, size=SIZE, workers=2, progress=False)
    for kind in ("images", "regions"):
        files = sorted((out / kind).iterdir())
        assert [f.name for f in files] == [f"{i:06d}.png" for i in range(4)]
        assert all(f.read_bytes() == (written / kind / f.name).read_bytes() for f in files)
    rows, others = (list(csv.DictReader((d / "attributes.csv").open(newline=""))) for d in (written, out))
    drop = ("split",)  # it depends on the count
    assert [{k: v for k, v in r.items() if k not in drop} for r in rows[:4]] == [
        {k: v for k, v in r.items() if k not in drop} for r in others
    ]


def test_the_folder_reads_back(written: Path) -> None:
    source = FolderSource(written)
    assert list(source.names) == [f"{i:06d}.png" for i in range(20)]
    assert source.attributes == ATTRIBUTES
    assert source.groups == GROUPS
    assert source.region_names == REGIONS
    assert source.region_of == REGION_OF
    assert source.split.tolist() == [0] * 17 + [1] + [2] * 2
    assert len(set(source.identity.tolist())) == 20
    for i in (0, 7, 19):
        face = render_face(3, i, SIZE)
        assert np.array_equal(np.asarray(source.load(i)), np.asarray(face.image))
        assert source.labels[i].tolist() == [face.labels[name] for name in ATTRIBUTES]
        read = source.regions(i)
        assert all(np.array_equal(read[name], face.regions[name]) for name in REGIONS)


@pytest.mark.parametrize(("regions", "expected"), [("test", ["000018.png", "000019.png"]), ("none", [])])
def test_masks_can_be_left_out(tmp_path: Path, regions: str, expected: list[str]) -> None:
    write_avatars(tmp_path / "set", 20, size=16, workers=1, progress=False, regions=regions)  # type: ignore[arg-type]
    assert sorted(p.name for p in (tmp_path / "set").glob("regions/*")) == expected
    source = FolderSource(tmp_path / "set")
    assert bool(source.region_names) == bool(expected)
    assert bool(source.regions(19)) == bool(expected)
    assert source.regions(0) == {}


def test_splits() -> None:
    splits = [split_of(i, 1000) for i in range(1000)]
    assert splits == ["train"] * 850 + ["val"] * 50 + ["test"] * 100
    assert {split_of(i, 3) for i in range(3)} == {"train"}


def test_the_authors_are_named(written: Path) -> None:
    info = json.loads((written / "dataset.json").read_text("utf-8"))
    assert info["styles"] == style_credits()
    page = (Path(__file__).parents[2] / "docs" / "credits-avatars.md").read_text("utf-8")
    for style, facts in style_credits().items():
        assert style in page
        assert all(fact in page for fact in facts.values()), style


# --- bad input


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"count": 0}, "count must be at least 1; it is 0"),
        ({"count": 10**7}, "count must be at most 1000000; it is"),
        ({"seed": -1}, "seed must be at least 0; it is -1"),
        ({"size": 8}, "size must be at least 16; it is 8"),
        ({"size": 5000}, "size must be at most 1024; it is 5000"),
        ({"workers": 0}, "workers must be at least 1; it is 0"),
        ({"out": "file"}, "is a file"),
        ({"out": "file/set"}, "cannot be written"),
        ({"out": "photographs"}, "is not empty"),
        ({"out": "photographs", "overwrite": True}, "holds something else"),
        ({"out": "/", "overwrite": True}, "holds something else"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(tmp_path: Path, arguments: dict[str, object], says: str) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "a.jpg").write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    given = {"count": 2, "size": 16, "workers": 1, **arguments, "out": tmp_path / str(arguments.get("out", "set"))}
    with pytest.raises(LomitError, match=says) as caught:
        DataAvatars(**given).main()  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_overwriting_replaces_a_set(tmp_path: Path) -> None:
    out = tmp_path / "set"
    out.mkdir()  # empty: nothing to lose
    for count in (3, 2):
        write_avatars(out, count, size=16, workers=1, progress=False, overwrite=count == 2, regions="none")
        assert len(list((out / "images").iterdir())) == count
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    ("name", "says"),
    [(n, n) for n in ("notes.txt", "images/me.png", "images/000009.png", "regions/why.txt")]
    + [("more/a/b.txt", "more")],
)
def test_overwriting_loses_nothing_that_is_not_of_the_set(tmp_path: Path, name: str, says: str) -> None:
    out = tmp_path / "set"
    write_avatars(out, 3, size=16, workers=1, progress=False)
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("mine")
    line = rf"set/{re.escape(says)}: is not of the set that is replaced and would be lost; move it away first"
    with pytest.raises(LomitError, match=line):
        write_avatars(out, 10, size=16, workers=1, progress=False, overwrite=True, regions="none")
    assert (out / name).read_text() == "mine"
    assert len(FolderSource(out)) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("info", ["{}", "[]", "{", '{"name": "avatars"}', '{"name": "avatars", "count": "2"}'])
def test_a_folder_of_somebody_elses_is_not_overwritten(tmp_path: Path, info: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "dataset.json").write_text(info)
    (tmp_path / "set" / "attributes.csv").write_text("image,Hat\n000000.png,1\n")
    with pytest.raises(LomitError, match="holds something else than a set of faces"):
        write_avatars(tmp_path / "set", 2, size=16, workers=1, progress=False, overwrite=True)
    assert (tmp_path / "set" / "dataset.json").read_text() == info


def test_a_full_disk_leaves_the_old_set_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "set"
    write_avatars(out, 2, size=16, workers=1, progress=False, regions="none")
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    saves = itertools.count()

    def save(self: Image.Image, path: Path) -> None:
        if next(saves) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(b"")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(LomitError, match="No space left on device"):
        write_avatars(out, 3, size=16, workers=1, progress=False, overwrite=True, regions="none")
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("missing", ["dicebear", "dicebear_styles", "resvg_py"])
def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(LomitError, match=r"pip install 'lomit\[avatars\]'"):
        write_avatars(tmp_path / "set", 2, progress=False)
    assert not list(tmp_path.iterdir())
