"""Files of photographs: what survives, and in which format."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import IFD, Base

from lomit.errors import LomitError
from lomit.images.exif import Metadata, add_to_tiff, block_of, read_metadata
from lomit.images.tiff import Entry, block
from lomit.photo.files import FormatError, read_photograph, write_photograph
from support.files import exif as exif_block
from support.files import rational, text
from support.photos import noise, smooth

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int) -> Image.Exif:
    values = Image.Exif()
    values[Base.Orientation], values[Base.Make], values[Base.Software] = orientation, "A camera", "Another program"
    values.get_ifd(IFD.Exif).update({Base.DateTimeOriginal: "2020:02:03 04:05:06", Base.ExifImageWidth: 60})
    values.get_ifd(IFD.Exif)[Base.ExifImageHeight] = 40
    values.get_ifd(IFD.GPSInfo)[1] = "N"
    return values


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_metadata_and_profile_survive(tmp_path: Path, suffix: str, orientation: int) -> None:
    options = {"lossless": True} if suffix == ".webp" else {}
    path, out = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    smooth(60, 40).save(path, exif=exif(orientation).tobytes(), icc_profile=PROFILE, **options)
    photo = read_photograph(path)
    upright = (40, 60) if orientation in (6, 8) else (60, 40)
    assert photo.picture.size == upright
    write_photograph(out, photo.picture.with_colours(photo.picture.rgb), photo)
    with Image.open(out) as written:
        assert written.size == upright
        assert written.info["icc_profile"] == PROFILE
        tags = written.getexif()
        assert tags.get(Base.Orientation, 1) == 1, "the pixels are upright, and must not be turned again"
        assert tags[Base.Make] == "A camera"
        assert tags[Base.Software] == "lomit"
        details = tags.get_ifd(IFD.Exif)
        assert details[Base.DateTimeOriginal] == "2020:02:03 04:05:06"
        assert (details[Base.ExifImageWidth], details[Base.ExifImageHeight]) == upright
        assert tags.get_ifd(IFD.GPSInfo)[1] == "N"
        error = np.abs(np.asarray(written.convert("RGB")).astype(int) - np.asarray(photo.picture.rgb))
        assert error.max() <= (8 if suffix == ".jpg" else 0)


def test_the_preview_in_the_metadata_goes(tmp_path: Path) -> None:
    preview = io.BytesIO()
    noise(16, 16).save(preview, "JPEG")
    data = preview.getvalue()
    # Two directories: the photograph's with its orientation, then the preview's with its place and length.
    first = struct.pack("<HHHII", 1, 0x0112, 3, 1, 1) + struct.pack("<I", 26)
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(data), 0)
    smooth(60, 40).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + second + data)
    assert data in (tmp_path / "a.jpg").read_bytes()
    photo = read_photograph(tmp_path / "a.jpg")
    write_photograph(tmp_path / "b.jpg", photo.picture.rgb, photo)
    assert (tmp_path / "b.jpg").read_bytes().count(b"\xff\xd8") == 1, "the one beginning of a JPEG is its own"
    with Image.open(tmp_path / "b.jpg") as written:
        assert not written.getexif().get_ifd(IFD.IFD1)


def test_a_jpeg_keeps_its_tables_and_subsampling(tmp_path: Path) -> None:
    smooth(64, 64).save(tmp_path / "a.jpg", quality=71, subsampling=2)
    photo = read_photograph(tmp_path / "a.jpg")
    write_photograph(tmp_path / "same.jpg", photo.picture.rgb, photo)
    write_photograph(tmp_path / "best.jpg", photo.picture.rgb, photo, quality=100)
    with Image.open(tmp_path / "a.jpg") as a, Image.open(tmp_path / "same.jpg") as same:
        assert a.quantization == same.quantization
        assert a.layer == same.layer
        # What was compressed so once hardly changes when it is compressed so again.
        assert np.abs(np.asarray(a).astype(int) - np.asarray(same)).mean() < 0.5
    with Image.open(tmp_path / "best.jpg") as best:
        assert max(best.quantization[0]) == 1


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_jpeg_of_another_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    smooth(40, 40).convert(mode).save(tmp_path / "a.jpg", quality=95)
    photo = read_photograph(tmp_path / "a.jpg")
    write_photograph(tmp_path / "b.jpg", photo.picture.rgb, photo)
    with Image.open(tmp_path / "b.jpg") as written:
        assert written.mode == "RGB"
        assert np.abs(np.asarray(written).astype(int) - np.asarray(photo.picture.rgb)).mean() < 4


def test_16_bits_become_8(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 128 * 257, dtype=np.uint16)).save(tmp_path / "a.png")
    photo = read_photograph(tmp_path / "a.png")
    write_photograph(tmp_path / "b.png", photo.picture.rgb, photo)
    with Image.open(tmp_path / "b.png") as written:
        assert written.getpixel((3, 3)) == (128, 128, 128)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_opacity_survives_to_the_bit(tmp_path: Path, suffix: str) -> None:
    image = noise(40, 30)
    image.putalpha(Image.fromarray(np.asarray(noise(40, 30, 1))[..., 0]))
    image.save(tmp_path / f"a{suffix}", **({"lossless": True, "exact": True} if suffix == ".webp" else {}))
    photo = read_photograph(tmp_path / f"a{suffix}")
    write_photograph(tmp_path / f"b{suffix}", photo.picture.with_colours(photo.picture.rgb), photo)
    with Image.open(tmp_path / f"b{suffix}") as written:
        assert np.array_equal(np.asarray(written.convert("RGBA")), np.asarray(image))


def test_a_jpeg_of_a_transparent_image_is_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (16, 16), (10, 20, 30, 0)).save(tmp_path / "a.png")
    photo = read_photograph(tmp_path / "a.png")
    write_photograph(tmp_path / "b.jpg", photo.picture.with_colours(photo.picture.rgb), photo)
    with Image.open(tmp_path / "b.jpg") as written:
        assert np.asarray(written).min() > 250


@pytest.mark.parametrize(
    ("name", "quality", "says"),
    [("b.bmp", None, "written as .jpg"), ("b.jpg", 0, "between 1 and 100"), ("a.png", None, "exists already")],
)
def test_what_is_refused(tmp_path: Path, name: str, quality: int | None, says: str) -> None:
    noise(8, 8).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    photo = read_photograph(tmp_path / "a.png")
    with pytest.raises(LomitError, match=says):
        write_photograph(tmp_path / name, photo.picture.rgb, photo, quality=quality)
    assert (tmp_path / "a.png").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def kept(path: Path) -> Metadata:
    with Image.open(path) as image:
        if path.suffix == ".tif":
            with path.open("rb") as file:
                return read_metadata(file)
        return read_metadata(io.BytesIO(block_of(image) or b""))


CAMERA = {36867: text("2020:02:03 04:05:06"), 0x9286: Entry(7, 12, b"UNICODE\0\xb0e\x2cg")}
DESCRIBED = {0x8298: text("© 2024 Jörg Müller"), 0x010E: text("東京"), 0x011A: rational(72, 0)}


@pytest.mark.parametrize("source", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("target", [".jpg", ".png", ".webp", ".tif"])
def test_bytes_of_metadata_are_carried_as_they_are(tmp_path: Path, source: str, target: str) -> None:
    path, out = tmp_path / f"a{source}", tmp_path / f"b{target}"
    entries = {Base.Orientation: Entry(3, 1, b"\x06\0"), **DESCRIBED, Base.Make: Entry(12, 1, bytes(range(8)))}
    if source == ".tif":
        noise(60, 40).save(path)
        with path.open("r+b") as file:
            add_to_tiff(file, Metadata("<", entries, {IFD.Exif: CAMERA}))
    else:
        noise(60, 40).save(path, exif=exif_block(entries, {IFD.Exif: CAMERA}))
    photo = read_photograph(path)
    assert photo.picture.size == (40, 60)
    write_photograph(out, photo.picture.with_colours(photo.picture.rgb), photo)
    with Image.open(out) as written:
        assert written.size == (40, 60)
        written.load()
    metadata = kept(out)
    assert {tag: metadata.entries[tag] for tag in DESCRIBED} == DESCRIBED
    assert metadata.entries[Base.Make].data == bytes(range(8))
    assert metadata.nested[IFD.Exif] == CAMERA


def test_the_other_byte_order_is_turned_for_a_tiff(tmp_path: Path) -> None:
    entries = {Base.XResolution: Entry(5, 1, bytes([0, 0, 0, 72, 0, 0, 0, 1]))}
    noise(8, 8).save(tmp_path / "a.png", exif=b"Exif\0\0" + block(">", entries, {}))
    photo = read_photograph(tmp_path / "a.png")
    write_photograph(tmp_path / "b.tif", photo.picture.rgb, photo)
    with Image.open(tmp_path / "b.tif") as written:
        assert written.tag_v2[Base.XResolution] == 72  # type: ignore[attr-defined]


def test_a_tiff_with_nested_metadata_stays_compressed(tmp_path: Path) -> None:
    smooth(400, 300).save(tmp_path / "a.tif", compression="tiff_lzw")
    with (tmp_path / "a.tif").open("r+b") as file:
        add_to_tiff(file, Metadata("<", {}, {IFD.Exif: CAMERA}))
    photo = read_photograph(tmp_path / "a.tif")
    write_photograph(tmp_path / "b.tif", photo.picture.rgb, photo)
    with Image.open(tmp_path / "b.tif") as written:
        assert written.info["compression"] == "tiff_lzw"
        assert np.array_equal(np.asarray(written), np.asarray(photo.picture.rgb))
        assert written.getexif().get_ifd(IFD.Exif)[36867] == "2020:02:03 04:05:06"


def test_what_does_not_fit_into_a_jpeg_is_left_out_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nested = {IFD.Exif: {**CAMERA, 0x927C: Entry(7, 70_000, bytes(70_000))}}
    smooth(60, 40).save(tmp_path / "a.webp", lossless=True, exif=exif_block(DESCRIBED, nested))
    photo = read_photograph(tmp_path / "a.webp")
    for suffix, whole in ((".png", True), (".jpg", False)):
        write_photograph(tmp_path / f"b{suffix}", photo.picture.rgb, photo)
        metadata = kept(tmp_path / f"b{suffix}")
        assert {tag: metadata.entries[tag] for tag in DESCRIBED} == DESCRIBED
        assert (0x927C in metadata.nested[IFD.Exif]) == whole
        assert metadata.nested[IFD.Exif][36867] == CAMERA[36867]
    assert caplog.messages == [
        f"{tmp_path / 'b.jpg'}: the longest EXIF values (1) are left out: a JPEG has no room for them"
    ]


@pytest.mark.parametrize("block", [b"Exif\0\0" + bytes(64), b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_a_photograph_with_damaged_metadata_is_read_and_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, block: bytes
) -> None:
    smooth(60, 40).save(tmp_path / "a.jpg", exif=block)
    photo = read_photograph(tmp_path / "a.jpg")
    assert caplog.messages == [f"{tmp_path / 'a.jpg'}: its EXIF data can't be read and is left out"]
    write_photograph(tmp_path / "b.jpg", photo.picture.rgb, photo)
    assert kept(tmp_path / "b.jpg").entries.keys() == set()  # `Software` alone


def test_a_side_that_a_format_cannot_have_is_said_in_a_line(tmp_path: Path) -> None:
    smooth(17_000, 2).save(tmp_path / "a.png")
    photo = read_photograph(tmp_path / "a.png")
    with pytest.raises(LomitError, match=r"b\.webp can't be written as WEBP: .*16383.*; choose another --format"):
        write_photograph(tmp_path / "b.webp", photo.picture.rgb, photo)
    assert not (tmp_path / "b.webp").exists()


@pytest.mark.parametrize(("suffix", "most", "form"), [("webp", 16_383, "WEBP"), ("jpg", 65_500, "JPEG")])
def test_the_longest_side_of_a_format_can_be_written(tmp_path: Path, suffix: str, most: int, form: str) -> None:
    smooth(8, 8).save(tmp_path / "a.png")
    photo = read_photograph(tmp_path / "a.png")
    write_photograph(tmp_path / f"b.{suffix}", Image.new("RGB", (2, most)), photo)
    with pytest.raises(FormatError, match=rf"c\.{suffix} can't be written as {form}: .*{most} pixels"):
        write_photograph(tmp_path / f"c.{suffix}", Image.new("RGB", (2, most + 1)), photo)


def test_a_lossless_webp_with_a_large_profile_stays_lossless(tmp_path: Path) -> None:
    noise(16, 16).save(tmp_path / "a.webp", lossless=True, icc_profile=PROFILE + bytes(1 << 17))
    photo = read_photograph(tmp_path / "a.webp")
    write_photograph(tmp_path / "b.webp", photo.picture.rgb, photo)
    with Image.open(tmp_path / "b.webp") as written:
        assert np.array_equal(np.asarray(written), np.asarray(photo.picture.rgb))
