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
from lomit.photo.files import read_photograph, write_photograph
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
