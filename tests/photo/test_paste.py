"""What is carried back into a photograph, and what stays."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image, ImageCms

from lomit.errors import LomitError
from lomit.images import as_picture
from lomit.photo import Face, align, on_photo, paste
from lomit.photo.align import bands
from lomit.photo.paste import detail_gain, weights
from support.photos import noise, smooth, turned, wide_profile

FACE = turned(20, 120, (150, 130))
WHITE = Image.new("L", (32, 32), 255)


def half() -> Image.Image:
    """A mask of the crop's left half."""
    return Image.fromarray(np.repeat(np.arange(32)[None] < 16, 32, axis=0).astype(np.uint8) * 255)


def test_no_change_leaves_every_bit() -> None:
    photo, crop = noise(300, 260), noise(32, 32, 1)
    for mask in (None, WHITE, half()):
        assert np.array_equal(np.asarray(paste(photo, FACE, crop, crop, mask)), np.asarray(photo))


@pytest.mark.parametrize("face", [FACE, turned(0, 20, (80, 90)), turned(-50, 900, (150, 130)), turned(3, 60, (0, 5))])
def test_pixels_of_weight_0_keep_every_bit(face: Face) -> None:
    photo = noise(300, 260)
    result = paste(photo, face, noise(32, 32, 1), noise(32, 32, 2), half(), strength=2)
    untouched = np.asarray(on_photo(half(), face, photo.size, 32)) == 0
    changed = (np.asarray(result) != np.asarray(photo)).any(axis=2)
    assert not (changed & untouched).any()
    assert changed[~untouched].mean() > 0.5
    assert 0 < untouched.mean() < 1


def test_large_faces_are_pasted_in_pieces_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, face = noise(300, 260), turned(20, 200, (140, 130))

    def pasted() -> np.ndarray:
        image = paste(photo, face, noise(32, 32, 1), noise(32, 32, 2), half())
        return np.dstack([np.asarray(image), np.asarray(on_photo(half(), face, photo.size, 32))]).astype(int)

    whole = pasted()
    assert len(list(bands((0, 0, 300, 260)))) == 1
    monkeypatch.setattr(sys.modules[bands.__module__], "BAND", 3000)
    pieces = list(bands((5, 0, 305, 256)))
    assert [piece[1:4:2] for piece in pieces] == [(top, min(256, top + 10)) for top in range(0, 256, 10)]
    off = np.abs(pasted() - whole)
    assert off.max() <= 1  # where a value lay between two whole numbers
    assert (off > 0).mean() < 1e-3


def test_a_change_of_colour_keeps_the_detail() -> None:
    photo = Image.fromarray((60 + np.asarray(noise(300, 260)) // 4).astype(np.uint8))
    crop = align(photo, FACE, 32)
    brighter = Image.fromarray(np.asarray(crop) + np.array([40, 0, 10], dtype=np.uint8))
    result = paste(photo, FACE, crop, brighter, WHITE)
    core = np.asarray(on_photo(WHITE, FACE, photo.size, 32)) == 255
    shift = np.asarray(result)[core].astype(int) - np.asarray(photo)[core]
    assert core.sum() > 4000
    np.testing.assert_allclose(shift, np.broadcast_to([40, 0, 10], shift.shape), atol=1)


def test_detail_goes_where_structure_went() -> None:
    x = np.tile(np.arange(300), (260, 1))
    stripes = 120 + 60 * (np.sin(x / 4.5) > 0)  # wide enough for the crop to show
    photo = Image.fromarray(np.repeat(stripes[..., None], 3, axis=2).astype(np.uint8))
    crop = align(photo, FACE, 64)
    flat = Image.new("RGB", (64, 64), (150, 150, 150))
    core = np.asarray(on_photo(WHITE, FACE, photo.size, 64)) == 255
    kept, gone = (
        np.asarray(result)[core].std()
        for result in (paste(photo, FACE, crop, crop, WHITE), paste(photo, FACE, crop, flat, WHITE))
    )
    assert kept > 28
    assert gone < 6


def test_gain() -> None:
    rng = np.random.default_rng(0)
    before = rng.uniform(0, 200, (48, 48)).astype(np.float32)
    middle = (slice(8, -8), slice(8, -8))
    assert detail_gain(before, before + 30)[middle].min() > 0.99
    assert detail_gain(before, 100 + 0.5 * before)[middle].mean() == pytest.approx(0.5, abs=0.02)
    assert detail_gain(before, rng.uniform(0, 200, (48, 48)).astype(np.float32)).mean() < 0.4
    flat = np.full_like(before, 90)
    assert detail_gain(flat, before).min() > 0.99, "new structure on a flat place leaves the photograph's grain"


def test_strength() -> None:
    photo, crop = smooth(300, 260), Image.new("RGB", (32, 32), (100, 100, 100))
    after = Image.new("RGB", (32, 32), (110, 110, 110))
    core = np.asarray(on_photo(WHITE, FACE, photo.size, 32)) == 255
    for strength, shift in ((0.0, 0), (0.5, 5), (2.0, 20)):
        result = np.asarray(paste(photo, FACE, crop, after, WHITE, strength=strength)).astype(int)
        assert np.abs(result - np.asarray(photo) - shift)[core].max() <= 1


def test_the_change_fades_out_towards_the_edges_of_crop_and_mask() -> None:
    for mask in (None, WHITE, half()):
        w = weights(mask, 64)
        assert w[0].max() < 0.04
        assert w[:, -1].max() < 0.04
        assert w.max() == pytest.approx(1, abs=1e-4)
        steps = np.abs(np.diff(w, axis=1)).max()
        assert steps < 0.45
    # A mask that is grey all over counts in proportion, from LOW to HIGH.
    assert weights(Image.new("L", (8, 8), 20), 64).max() == 0


def test_opacity_and_profile_stay() -> None:
    photo = noise(300, 260)
    photo.putalpha(Image.fromarray(np.asarray(noise(300, 260, 3))[..., 0]))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo.info["icc_profile"] = profile
    result = paste(photo, FACE, noise(32, 32, 1), noise(32, 32, 2), WHITE)
    assert result.mode == "RGBA"
    assert result.info["icc_profile"] == profile
    assert np.array_equal(np.asarray(result.getchannel("A")), np.asarray(photo.getchannel("A")))


def test_networks_see_srgb_and_photographs_keep_their_space() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()  # anything but sRGB
    picture = as_picture(Image.new("RGB", (60, 60), (120, 80, 40)))
    odd = type(picture)(picture.rgb, icc=profile)
    face = Face.from_crop((0, 0, 60, 60))
    assert np.array_equal(np.asarray(align(odd, face, 16)), np.asarray(align(picture, face, 16))), (
        "not for RGB: ignored"
    )
    rgb = wide_profile()
    own = type(picture)(picture.rgb, icc=rgb)
    seen = np.asarray(align(own, face, 16))
    assert np.abs(seen[8, 8].astype(int) - [120, 80, 40]).max() > 5
    back = np.asarray(paste(own, face, align(own, face, 16), align(own, face, 16), None))
    assert np.array_equal(back, np.asarray(picture.rgb))
    after = Image.fromarray(np.asarray(align(own, face, 16)) + np.uint8(20))
    result = paste(own, face, align(own, face, 16), after, None)
    again = np.asarray(align(type(picture)(result.convert("RGB"), icc=rgb), face, 16)).astype(int)
    assert np.abs(again[8, 8] - np.asarray(after)[8, 8]).max() <= 4


@pytest.mark.parametrize(
    ("before", "after", "strength", "says"),
    [
        ((32, 32), (16, 16), 1.0, "squares of one size"),
        ((32, 16), (32, 16), 1.0, "squares of one size"),
        ((32, 32), (32, 32), 2.5, "between 0 and 2"),
        ((32, 32), (32, 32), float("nan"), "between 0 and 2"),
    ],
)
def test_what_does_not_fit(before: tuple[int, int], after: tuple[int, int], strength: float, says: str) -> None:
    with pytest.raises(LomitError, match=says):
        paste(noise(50, 50), FACE, Image.new("RGB", before), Image.new("RGB", after), None, strength=strength)
