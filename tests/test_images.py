"""Reading and writing users' images."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from doubles import bomb
from lomit.errors import LomitError
from lomit.images import as_picture, read_image, read_mask, write_file, write_gif, write_png

COLOURS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
GREY = np.random.default_rng(1).integers(0, 256, (20, 30), dtype=np.uint8)


def rgb() -> Image.Image:
    return Image.fromarray(COLOURS)


def test_rgb_is_read_to_the_bit(tmp_path: Path) -> None:
    rgb().save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    assert np.array_equal(np.asarray(picture.rgb), COLOURS)
    assert (picture.alpha, picture.icc, picture.size) == (None, None, (30, 20))


def test_alpha_is_kept_and_put_back(tmp_path: Path) -> None:
    image = rgb()
    image.putalpha(Image.fromarray(GREY))
    image.save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    assert np.array_equal(np.asarray(picture.rgb), COLOURS), "colours under transparent pixels are the file's"
    back = picture.with_colours(picture.rgb)
    assert back.mode == "RGBA"
    assert np.array_equal(np.asarray(back), np.asarray(image))


def test_networks_see_transparent_parts_as_white() -> None:
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
    image.putpixel((1, 0), (10, 20, 30, 0))
    seen = as_picture(image).on_white()
    assert [seen.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (255, 255, 255)]


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_becomes_equal_channels(mode: str) -> None:
    picture = as_picture(Image.fromarray(GREY).convert(mode))
    expected = np.asarray(Image.fromarray(GREY).convert(mode).convert("L"))
    assert np.array_equal(np.asarray(picture.rgb), np.stack([expected] * 3, axis=-1))
    assert (picture.alpha is not None) == (mode == "LA")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"deep.{suffix}")
    assert np.asarray(read_image(tmp_path / f"deep.{suffix}").rgb)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_dark_16_bit_grey_stays_dark(tmp_path: Path) -> None:
    # Guessing the range from the largest value would make this image 100 times brighter.
    Image.fromarray(np.full((4, 4), 255, dtype=np.uint16)).save(tmp_path / "dark.png")
    assert np.asarray(read_image(tmp_path / "dark.png").rgb).max() == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0.0, 128.0, 255.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0, 128, 255]], dtype=np.int32), [0, 128, 255]),
        (np.array([[0, 128 * 257, 65535]], dtype=np.int32), [0, 128, 255]),
    ],
)
def test_32_bit_grey_is_scaled_by_its_largest_value(values: np.ndarray, expected: list[int]) -> None:
    assert np.asarray(as_picture(Image.fromarray(values)).rgb)[0, :, 2].tolist() == expected


@pytest.mark.parametrize("values", [[-1.0, 3.0], [0.0, 1e6], [0.0, np.nan]])
def test_32_bit_grey_without_a_sensible_range_is_refused(values: list[float]) -> None:
    with pytest.raises(LomitError, match="8 or 16 bits"):
        as_picture(Image.fromarray(np.array([values], dtype=np.float32)))


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "clear.png", transparency=1)
    plain, clear = (read_image(tmp_path / f"{name}.png") for name in ("plain", "clear"))
    assert [plain.rgb.getpixel((x, 0)) for x in (0, 1)] == [(255, 0, 0), (0, 0, 255)]
    assert plain.alpha is None
    assert clear.alpha is not None
    assert list(np.asarray(clear.alpha)[0]) == [255, 0]


def test_cmyk_without_a_profile(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif").rgb.getpixel((4, 4)) == (255, 0, 0)


def test_lab_is_converted() -> None:
    red = Image.new("RGB", (4, 4), (200, 30, 40))
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(red, to_lab)
    assert lab is not None
    assert np.abs(np.asarray(as_picture(lab).rgb).astype(int) - (200, 30, 40)).max() <= 4


def test_profile_of_rgb_is_kept_and_written(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rgb().save(tmp_path / "a.png", icc_profile=profile)
    picture = read_image(tmp_path / "a.png")
    write_png(tmp_path / "b.png", picture.with_colours(picture.rgb))
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["icc_profile"] == profile
        assert np.array_equal(np.asarray(image), COLOURS)


def test_broken_profile_of_grey_falls_back_to_plain_conversion(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png", icc_profile=b"not a profile")
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.png").rgb)[..., 0], GREY)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 8))
    image.paste((255, 0, 0), (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by 90 degrees
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    picture = read_image(tmp_path / "a.jpg")
    assert picture.size == (8, 16)
    assert picture.rgb.getpixel((4, 2))[0] > 200
    assert picture.rgb.getpixel((4, 13))[0] < 50


def test_first_image_of_a_phone_photograph_is_taken(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (4, 4), "blue")
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    assert read_image(tmp_path / "a.jpg").size == (16, 16)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_animations_are_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(LomitError, match="has 3 frames; give one still image"):
        read_image(tmp_path / f"a.{suffix}")


def test_large_image_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb(tmp_path / "bomb.png", 20_000, 20_000)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(LomitError, match="more than 179 megapixels"):
        read_image(tmp_path / "bomb.png")


def test_large_image_is_refused_where_pillow_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr("lomit.images.MAX_PIXELS", 100)
    rgb().save(tmp_path / "a.png")
    with pytest.raises(LomitError, match="megapixels"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp"])
@pytest.mark.parametrize("kept", [0, 10, 60, 300])
def test_truncated_images_are_named(tmp_path: Path, suffix: str, kept: int) -> None:
    file = io.BytesIO()
    rgb().save(file, format={"jpg": "JPEG"}.get(suffix, suffix.upper()))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(file.getvalue()[:kept])
    with pytest.raises(LomitError, match=rf"a\.{suffix} is (truncated or damaged|not an image)"):
        read_image(path)


def test_other_unreadable_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(LomitError, match=r"text\.png is not an image"):
        read_image(tmp_path / "text.png")
    with pytest.raises(LomitError, match=r"no such file: .*none\.png"):
        read_image(tmp_path / "none.png")
    with pytest.raises(LomitError, match="is a folder"):
        read_image(tmp_path)

    def forbidden(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", forbidden)  # root reads whatever the mode says
    with pytest.raises(LomitError, match="permission denied"):
        read_image(tmp_path / "text.png")


def test_one_pixel_is_an_image(tmp_path: Path) -> None:
    Image.new("L", (1, 1), 7).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").rgb.getpixel((0, 0)) == (7, 7, 7)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4)])
def test_arrays(shape: tuple[int, ...]) -> None:
    assert as_picture(np.zeros(shape, dtype=np.uint8)).size == (5, 4)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 5, 2), dtype=np.uint8), "H x W"),
        (np.zeros((3, 4, 5), dtype=np.uint8), "H x W"),
        (np.zeros((0, 5, 3), dtype=np.uint8), "H x W"),
        (np.zeros((4, 5, 3), dtype=np.float32), "uint8"),
    ],
)
def test_wrong_arrays_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(LomitError, match=message):
        as_picture(array, "mine")


def test_masks_are_grey(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (255, 255, 255)).save(tmp_path / "a.png")
    mask = read_mask(tmp_path / "a.png")
    assert (mask.mode, mask.getpixel((0, 0))) == ("L", 255)


def test_nothing_is_overwritten_unless_told_to(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.png"
    write_png(path, rgb())
    with pytest.raises(LomitError, match="exists already; add --overwrite"):
        write_png(path, Image.new("RGB", (1, 1)))
    assert np.array_equal(np.asarray(read_image(path).rgb), COLOURS)
    write_png(path, Image.new("RGB", (1, 1)), overwrite=True)
    assert read_image(path).size == (1, 1)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left for .*a.png"),
        (OSError(errno.EROFS, "Read-only file system"), "can't write .*a.png: Read-only file system"),
    ],
)
def test_failed_writing_leaves_what_was_there(tmp_path: Path, error: OSError, message: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"before")

    def save(file: BinaryIO) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(LomitError, match=message):
        write_file(path, save, overwrite=True)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    def save(file: BinaryIO) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "a.png", save)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(LomitError, match="can't write"):
        write_png(tmp_path / "out" / "a.png", rgb())
    assert (tmp_path / "out").read_text() == "mine"


def test_gif_has_every_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (40 * i, 0, 0)) for i in range(5)]
    write_gif(tmp_path / "a.gif", frames, milliseconds=100)
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.n_frames, image.info["duration"], image.info["loop"]) == (5, 100, 0)
        image.seek(3)
        assert image.convert("RGB").getpixel((4, 4)) == (120, 0, 0)
