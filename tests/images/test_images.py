"""Reading and writing users' images."""

from __future__ import annotations

import errno
import io
import os
import struct
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from doubles import bomb
from lomit.errors import LomitError
from lomit.images import as_picture, read_image, read_mask, read_upload, short_stem, write_file, write_gif, write_png
from lomit.images.colour import is_srgb, to_srgb
from lomit.images.containers import without_metadata
from lomit.images.tiff import Entry
from support.files import TURNED, exif, linear_profile, rational, srgb_profile, text, tiff_file
from support.photos import wide_profile

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


RAMP = [0, 64, 128, 255]
GREY_16 = np.array([[0, 64 * 257, 128 * 257, 65535]], dtype=np.uint16)
COLOUR = np.stack([GREY_16, GREY_16 // 2, np.zeros_like(GREY_16)], axis=-1)


@pytest.mark.parametrize(
    ("pixels", "more", "red", "green"),
    [
        *((GREY_16, {"photometric": 1, "order": order}, RAMP, RAMP) for order in "<>"),
        (GREY_16, {"photometric": 0}, [255, 191, 127, 0], [255, 191, 127, 0]),  # 0 is white
        (GREY_16 // 16, {"photometric": 1, "bits": 16}, [0, 4, 8, 16], [0, 4, 8, 16]),
        (GREY_16 / np.float32(65535), {"photometric": 0}, [255, 191, 127, 0], [255, 191, 127, 0]),
        *((COLOUR, {"photometric": 2, "order": order}, RAMP, [0, 32, 64, 127]) for order in "<>"),
    ],
)
def test_deep_tiffs_have_their_values(
    tmp_path: Path, pixels: np.ndarray, more: dict[str, Any], red: list[int], green: list[int]
) -> None:
    (tmp_path / "a.tif").write_bytes(tiff_file(pixels, **more))
    row = np.asarray(read_image(tmp_path / "a.tif").rgb).astype(int)[0]
    assert np.abs(row[:, 0] - red).max() <= 1
    assert np.abs(row[:, 1] - green).max() <= 1


@pytest.mark.parametrize(
    ("pixels", "apart", "says"),
    [
        (
            COLOUR / np.float32(65535),
            False,
            "a kind of TIFF that can't be read, such as floats in colour; save it as PNG",
        ),
        (COLOUR, True, "a TIFF with planes of 16 bits; save it as PNG"),
    ],
)
def test_other_deep_tiffs_are_refused(tmp_path: Path, pixels: np.ndarray, apart: bool, says: str) -> None:
    (tmp_path / "a.tif").write_bytes(tiff_file(pixels, 2, apart=apart))
    with pytest.raises(LomitError, match=says):
        read_image(tmp_path / "a.tif")


def test_12_bits_span_all_of_their_range(tmp_path: Path) -> None:
    packed = bytes.fromhex("000808fff000")  # 0, 0x808, 0xfff, 0
    (tmp_path / "a.tif").write_bytes(tiff_file(np.zeros((1, 4), dtype=np.uint16), 1, bits=12, packed=packed))
    assert np.asarray(read_image(tmp_path / "a.tif").rgb)[0, :, 0].tolist() == [0, 128, 255, 0]


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
    rgb().save(tmp_path / "a.png", icc_profile=srgb_profile())
    picture = read_image(tmp_path / "a.png")
    write_png(tmp_path / "b.png", picture.with_colours(picture.rgb))
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["icc_profile"] == srgb_profile()
        assert np.array_equal(np.asarray(image), COLOURS)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "CMYK"])
@pytest.mark.parametrize("profile", [b"not a profile", srgb_profile()[:200], "of another space"])
def test_a_profile_that_cannot_be_used_is_left_out_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str, profile: bytes | str
) -> None:
    if isinstance(profile, str):
        profile = srgb_profile() if mode in ("L", "CMYK") else srgb_profile().replace(b"RGB ", b"GRAY", 1)
    image = rgb().convert(mode)
    image.save(tmp_path / "a.tif", icc_profile=profile)
    picture = read_image(tmp_path / "a.tif")
    assert np.array_equal(np.asarray(picture.rgb), np.asarray(image.convert("RGB")))
    assert picture.icc is None
    assert caplog.messages == [f"{tmp_path / 'a.tif'}: its colour profile can't be read and is left out"]


def test_profiles_are_judged_by_their_curves_and_not_by_their_name() -> None:
    assert "srgb" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(linear_profile()))).lower()
    assert [is_srgb(p) for p in (srgb_profile(), linear_profile(), wide_profile())] == [True, False, False]
    linear = Image.new("RGB", (2, 2), (44, 44, 44))
    assert to_srgb(linear, srgb_profile()).getpixel((0, 0)) == (44, 44, 44)
    # 44/255 of the light is 115/255 on sRGB's curve: 1.055 * (44/255) ** (1/2.4) - 0.055.
    assert np.abs(np.array(to_srgb(linear, linear_profile()).getpixel((0, 0))) - 115).max() <= 1


def half_red(width: int = 16, height: int = 8) -> Image.Image:
    """A picture whose left half is red."""
    image = Image.new("RGB", (width, height))
    image.paste((255, 0, 0), (0, 0, width // 2, height))
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    # What stands at the top and at the left of the picture that is shown, by the value of the tag (EXIF 2.32, 4.6.4).
    rows, columns = {
        **{1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left")},
        **{5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom")},
    }[orientation]
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40  # rows: top, bottom; columns: left to right
    tags = Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(stored).convert("RGB").save(tmp_path / "a.png", exif=tags)
    shown = np.asarray(read_image(tmp_path / "a.png").rgb)[..., 0]
    # The tag names the visual edges that row 0 and column 0 of the file stand for.
    expected = stored if rows in ("top", "bottom") else stored.T
    if "bottom" in (rows, columns):
        expected = expected[::-1]
    if "right" in (rows, columns):
        expected = expected[:, ::-1]
    assert np.array_equal(shown, expected)


SRGB_TAGS = {0x8298: text("© 2024 Jörg Müller"), 0x010E: text("東京")}
ODD_EXIF: dict[str, tuple[bytes, bool, bool]] = {
    # what is wrong: (the block, whether its orientation counts, whether a line says that it can't be read)
    "zeros": (b"Exif\0\0" + bytes(64), False, True),
    "six bytes": (b"Exif\0\0", False, True),
    "cut off in the table": (exif(TURNED | SRGB_TAGS)[:20], False, True),
    "cut off in the values": (exif(TURNED | SRGB_TAGS)[:-30], True, False),
    "no tag of a known type": (
        exif({0x010F: Entry(7, 4, b"abcd")}).replace(b"\x07\0\x04\0", b"\x63\0\x04\0"),
        False,
        True,
    ),
    "a place outside": (exif({}).replace(b"\x08\0\0\0", b"\xff\xff\xff\x7f"), False, True),
    "a text that is a double": (exif(TURNED | {0x010F: Entry(12, 1, bytes(8))}), True, False),
    "a rational of x/0": (exif(TURNED | {0x011A: rational(72, 0)}), True, False),
    "a pointer to nowhere": (exif(TURNED | {0x8769: Entry(4, 1, b"\xff\xff\xff\0")}), True, False),
    "a pointer that is text": (exif(TURNED | {0x8769: text("here")}), True, False),
    "text of any language": (exif(TURNED | SRGB_TAGS), True, False),
    "the mark twice": (b"Exif\0\0" + exif(TURNED), True, False),
    "orientation 9": (exif({0x0112: Entry(3, 1, b"\x09\0")}), False, False),
    "orientation as text": (exif({0x0112: text("6")}), False, False),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("case", ODD_EXIF)
def test_odd_exif_does_not_cost_the_picture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str, suffix: str
) -> None:
    block, turned, told = ODD_EXIF[case]
    half_red().save(tmp_path / f"a.{suffix}", exif=block, quality=95)
    picture = read_image(tmp_path / f"a.{suffix}")
    assert picture.size == ((8, 16) if turned else (16, 8))
    red = np.asarray(picture.rgb)[..., 0] > 128
    assert red.mean() == 0.5
    assert red[:8].all() if turned else red[:, :8].all()
    line = f"{tmp_path / 'a'}.{suffix}: its EXIF data can't be read and is left out"
    # Pillow leaves out an EXIF chunk of a WebP that holds nothing.
    assert caplog.messages == ([line] if told else []) or case == "six bytes"


def png_chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


def much_text(path: Path) -> None:
    info = PngInfo()
    info.add_text("Comment", "x" * 1_500_000, zip=True)
    rgb().save(path, pnginfo=info)


def wrong_checksum(path: Path) -> None:
    info = PngInfo()
    info.add_text("Comment", "my best one")
    rgb().save(path, pnginfo=info)
    path.write_bytes(path.read_bytes().replace(b"my best one", b"my BEST one"))


def odd_compression(path: Path) -> None:
    rgb().save(path)
    data = path.read_bytes()
    path.write_bytes(data[:33] + png_chunk(b"zTXt", b"Comment\0\x07junk") + data[33:])


def without_profile_method(path: Path) -> None:
    rgb().save(path)
    data = path.read_bytes()
    path.write_bytes(data[:33] + png_chunk(b"iCCP", b"mine\0\x05junk") + data[33:])


@pytest.mark.parametrize("damage", [much_text, wrong_checksum, odd_compression, without_profile_method])
def test_what_is_damaged_beside_the_pixels_is_left_out_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    damage(tmp_path / "a.png")
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.png").rgb), COLOURS)
    assert caplog.messages == [f"{tmp_path / 'a.png'}: damaged data beside its pixels can't be read and is left out"]


def beside(orientation: int, profile: bytes) -> dict[str, Any]:
    return {"exif": exif({0x0112: Entry(3, 1, bytes([orientation, 0]))}), "icc_profile": profile}


def damaged_png(path: Path, at: int = 33, **metadata: Any) -> None:
    """A half red PNG with a text of a wrong checksum among these blocks."""
    half_red().save(path, **metadata)
    data = path.read_bytes()
    path.write_bytes(data[:at] + png_chunk(b"tEXt", b"Comment\0mine").replace(b"mine", b"MINE") + data[at:])


def damaged_jpeg(path: Path, **metadata: Any) -> None:
    """A half red JPEG with these blocks; its list of previews, of which there is one, promises two."""
    half_red().save(path, "MPO", save_all=True, append_images=[half_red(8, 8)], quality=95, **metadata)
    data = path.read_bytes()
    count = b"\x01\xb0\x04\0\x01\0\0\0"
    assert count + b"\x02\0\0\0" in data
    path.write_bytes(data.replace(count + b"\x02", count + b"\x03"))


@pytest.mark.parametrize(("name", "save"), [("a.png", damaged_png), ("a.jpg", damaged_jpeg)])
def test_what_is_whole_beside_a_damaged_block_still_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, save: Callable[..., None]
) -> None:
    profile = wide_profile() + bytes(100_000)  # takes two segments of a JPEG
    save(tmp_path / name, **beside(6, profile))
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(tmp_path / name)
    picture = read_image(tmp_path / name)
    assert picture.size == (8, 16)
    assert (np.asarray(picture.rgb)[:8, :, 0] > 128).all()
    assert picture.icc == profile
    assert caplog.messages == [f"{tmp_path / name}: damaged data beside its pixels can't be read and is left out"]


def test_a_damaged_profile_costs_no_orientation_and_the_other_way_round(tmp_path: Path) -> None:
    damaged_png(tmp_path / "a.png", **beside(6, wide_profile()))
    data = (tmp_path / "a.png").read_bytes()
    profile, block = data.index(b"iCCP") + 30, data.index(b"eXIf") + 30
    for at, size, icc in ((profile, (8, 16), None), (block, (16, 8), wide_profile())):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        (tmp_path / "b.png").write_bytes(changed)
        picture = read_image(tmp_path / "b.png")
        assert (picture.size, picture.icc) == (size, icc)
    damaged_jpeg(tmp_path / "a.jpg", **beside(6, wide_profile().replace(b"acsp", b"none")))
    picture = read_image(tmp_path / "a.jpg")
    assert (picture.size, picture.icc) == ((8, 16), None)


@pytest.mark.parametrize("packed", [False, True])
def test_an_orientation_in_a_text_counts_beside_a_damaged_one(tmp_path: Path, packed: bool) -> None:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<rdf:Description tiff:Orientation="6"/>', zip=packed)
    damaged_png(tmp_path / "a.png", pnginfo=info)
    assert read_image(tmp_path / "a.png").size == (8, 16)


def test_a_profile_that_unpacks_to_too_much_is_left_out(tmp_path: Path) -> None:
    damaged_png(tmp_path / "a.png", exif=exif(TURNED))
    data = (tmp_path / "a.png").read_bytes()
    large = png_chunk(b"iCCP", b"mine\0\0" + zlib.compress(bytes(20_000_000)))
    (tmp_path / "a.png").write_bytes(data[:33] + large + data[33:])
    picture = read_image(tmp_path / "a.png")
    assert (picture.size, picture.icc, len(picture.dropped)) == ((8, 16), None, 1)


def test_many_chunks_of_a_webp_are_taken_apart_in_time_that_grows_with_their_number() -> None:
    chunks = b"VP8X" + struct.pack("<I", 10) + bytes(10) + b"abcd\0\0\0\0" * 200_000
    data = b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks
    begin = time.process_time()
    assert without_metadata(data) == data
    assert time.process_time() - begin < 3


def test_tags_that_lie_in_the_same_place_do_not_fill_the_memory() -> None:
    def field(tag: int, kind: int, count: int, value: int) -> bytes:
        return struct.pack("<HHII", tag, kind, count, value)

    pixels = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: 64}
    fields = [field(tag, 4, 1, value) for tag, value in pixels.items()]
    fields += [field(40_000 + k, 7, 900_000, 8) for k in range(200)]
    table = struct.pack("<H", len(fields)) + b"".join(fields) + bytes(4)
    data = (struct.pack("<4sI", b"II*\0", 72) + bytes(range(64)) + table).ljust(1_000_000, b"\0")
    tracemalloc.start()
    try:
        with pytest.raises(LomitError, match="its tags are longer than the file"):
            read_upload(data, "small.tif", 1000)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 20 << 20


@pytest.mark.parametrize("head", [b"", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", b"hello"])
def test_what_is_no_image_is_not_read_as_a_whole(tmp_path: Path, head: bytes) -> None:
    rgb().save(tmp_path / "a.png")
    read_image(tmp_path / "a.png")  # loads Pillow's formats
    with (tmp_path / "film.jpg").open("wb") as file:
        file.write(head)
        file.truncate(64 << 20)  # takes no room on the disk
    tracemalloc.start()
    try:
        with pytest.raises(LomitError, match=r"film\.jpg is not an image"):
            read_image(tmp_path / "film.jpg")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 4 << 20


def test_heic_is_read_and_turned(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(half_red(64, 32)).save(tmp_path / "a.heic", quality=90, exif=exif(TURNED))
    for picture in (read_image(tmp_path / "a.heic"), read_upload((tmp_path / "a.heic").read_bytes(), "a", 10_000)):
        assert picture.size == (32, 64)
        red = np.asarray(picture.rgb)[..., 0].astype(int)
        assert red[:28].min() > 200
        assert red[36:].max() < 50


def test_without_the_extra_a_line_says_how_heic_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # import raises ImportError
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(LomitError, match=r"a\.heic is HEIC: pip install 'lomit\[heic\]', or save it"):
        read_image(tmp_path / "a.heic")


def test_avif_is_read_whatever_its_exif_holds(tmp_path: Path) -> None:
    if "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow was built without AVIF")
    tags = Image.Exif()
    tags[0x010F] = "A camera"
    half_red(64, 32).save(tmp_path / "a.avif", quality=90, exif=tags)
    data = (tmp_path / "a.avif").read_bytes()
    for name, changed in {"whole": data, "damaged": data.replace(b"MM\0*", b"\0\0\0\0")}.items():
        (tmp_path / f"{name}.avif").write_bytes(changed)
        red = np.asarray(read_image(tmp_path / f"{name}.avif").rgb)[..., 0].astype(int)
        assert red.shape == (32, 64)
        assert red[:, :28].min() > 200


def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")  # opening it would wait for somebody to write
    with pytest.raises(LomitError, match=r"a\.png is not a plain file"):
        read_image(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("b.png")
    with pytest.raises(LomitError, match=r"b\.png can't be read: Too many levels"):
        read_image(tmp_path / "b.png")


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
    monkeypatch.setattr("lomit.images.picture.MAX_PIXELS", 100)
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
        (np.full((4, 5, 3), 255, dtype=np.float32), "floats must lie in 0..1; it has values from 255 to 255"),
        (np.full((4, 5, 3), -1, dtype=np.float64), "floats must lie in 0..1"),
        (np.full((4, 5), np.nan), "floats must lie in 0..1"),
        (np.zeros((4, 5, 3), dtype=np.int64), "uint8, bool or floats"),
    ],
)
def test_wrong_arrays_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(LomitError, match=message):
        as_picture(array, "mine")


def test_masks_are_grey(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (255, 255, 255)).save(tmp_path / "a.png")
    mask = read_mask(tmp_path / "a.png")
    assert (mask.mode, mask.getpixel((0, 0))) == ("L", 255)


@pytest.mark.parametrize(
    ("values", "mode", "expected", "told"),
    [
        ([0, 1, 1, 0], "L", [0, 255, 255, 0], True),
        ([0, 1, 1, 0], "P", [0, 255, 255, 0], True),
        ([0, 0, 0, 0], "L", [0, 0, 0, 0], False),
        ([1, 1, 1, 1], "L", [255, 255, 255, 255], True),
        ([0, 1, 2, 0], "L", [0, 1, 2, 0], False),
        ([0, 255, 255, 0], "1", [0, 255, 255, 0], False),
    ],
)
def test_masks_of_0_and_1(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, values: list[int], mode: str, expected: list[int], told: bool
) -> None:
    plane = Image.fromarray(np.array([values], dtype=np.uint8))
    if mode == "P":  # numbers of colours, as programs for labelling write them
        plane = plane.convert("L")
        plane.putpalette([v for k in range(256) for v in (k, k, k)])
    else:
        plane = plane.convert(mode)
    plane.save(tmp_path / "a.png")
    assert list(np.asarray(read_mask(tmp_path / "a.png"))[0]) == expected
    assert caplog.messages == ([f"{tmp_path / 'a.png'} holds no value above 1: 1 is taken for white"] if told else [])


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


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'ä' * 125}.png"  # 254 bytes; file systems take 255
    write_png(path, rgb())
    assert path.exists()


def test_long_names_are_cut_and_stay_different() -> None:
    assert short_stem("me__you") == "me__you"
    long, other = "ä" * 150 + "__x", "ä" * 150 + "__y"
    assert short_stem(long) == short_stem(long) != short_stem(other)
    assert len(short_stem(long).encode()) <= 200
    assert short_stem(long).startswith("ä" * 90)
