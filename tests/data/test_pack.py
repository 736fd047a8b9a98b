"""One file for a whole set, and back."""

from __future__ import annotations

import errno
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lomit.commands.data import DataPack
from lomit.config import DataConfig
from lomit.data.cache import build_cache
from lomit.data.open import open_source, recognise
from lomit.data.pack import PackSource, write_pack
from lomit.data.transforms import centre_box, resize
from lomit.errors import LomitError

Write = Callable[..., Path]


@pytest.fixture
def faces(write_folder: Write) -> Path:
    """Thirty pictures with people, splits, a group and the true masks of every third."""
    parts = ("train", "train", "val", "test")
    rows = [f"sub/{k:02d}.png,{k % 2},{('1', '0', '')[k % 3]},{parts[k % 4]},person{k // 8}" for k in range(30)]
    root = write_folder(["image,Smiling,Hat,split,identity", *rows])
    info = {"groups": [["Smiling", "Hat"]], "regions": ["hat", "mouth"], "region_of": {"Hat": ["hat"]}}
    (root / "dataset.json").write_text(json.dumps(info))
    (root / "regions" / "sub").mkdir(parents=True)
    for k in range(0, 30, 3):
        bits = np.zeros((32, 24), dtype=np.uint8)
        bits[: 10 + k % 7] = 1
        bits[8:24, 6:18] |= 2
        Image.fromarray(bits).save(root / "regions" / "sub" / f"{k:02d}.png")
    return root


def config_for(root: Path, **changes: Any) -> DataConfig:
    return DataConfig(root=str(root), **{"image_size": 32, "workers": 0, **changes})


def test_everything_but_the_last_bits_of_the_pixels_comes_back(faces: Path, tmp_path: Path) -> None:
    source = open_source(config_for(faces))
    file = tmp_path / "faces.lomit"
    assert write_pack(source, config_for(faces), file, quality=95, progress=False) == 30
    assert recognise(file) == "pack"
    back = open_source(config_for(file))
    assert list(back.names) == list(source.names)
    assert back.attributes == source.attributes == ("Smiling", "Hat")
    assert np.array_equal(back.labels, source.labels)
    assert np.array_equal(back.split, source.split)
    assert np.array_equal(back.identity, source.identity)
    assert (back.groups, back.region_names, back.region_of) == (source.groups, source.region_names, source.region_of)
    for k in (0, 13, 29):
        image = source.load(k)
        crop = np.asarray(resize(image.crop(centre_box(image.size)), 32)).astype(int)
        assert np.abs(np.asarray(back.load(k)).astype(int) - crop).mean() < 4
    # The picture's 24 x 32 pixels are cut to rows 4..27 and scaled to 32 x 32.
    masks = back.regions(0)
    assert masks["hat"][:8].all()
    assert not masks["hat"][8:].any()
    assert np.array_equal(np.argwhere(masks["mouth"]).min(0), [5, 8])
    assert back.regions(1) == {}


def data_pack(data: DataConfig, out: Path, **options: Any) -> None:
    """`lomit data pack`."""
    assert DataPack(out=out, data=data, **options).main() == 0


def test_a_pack_trains_like_the_folder(faces: Path, tmp_path: Path) -> None:
    data_pack(config_for(faces), tmp_path / "faces.lomit")
    config = config_for(tmp_path / "faces.lomit", attributes=("Hat",), cache_dir=str(tmp_path / "cache"))
    cache = build_cache(open_source(config), config)
    assert cache.images.shape == (30, 3, 32, 32)
    assert cache.labels[:3, 0].tolist() == [1, 0, -1]


def test_the_command_says_what_it_wrote(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "faces.lomit"
    data_pack(config_for(faces), file, splits=("train", "test"))
    assert capsys.readouterr().out == f"{file}: 23 images of 32 pixels, {file.stat().st_size / 2**20:.1f} MiB\n"
    assert set(open_source(config_for(file)).split.tolist()) == {0, 2}


def test_a_limited_number_is_drawn_the_same_each_time(faces: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        data_pack(config_for(faces), tmp_path / name, max_images=7)
    a, b = (open_source(config_for(tmp_path / name)) for name in ("a", "b"))
    assert len(a) == 7
    assert list(a.names) == list(b.names) == sorted(a.names)
    assert list(a.names) != [f"sub/{k:02d}.png" for k in range(7)]


def test_a_pack_of_webp_comes_back_and_is_closer_at_the_same_size(faces: Path, tmp_path: Path) -> None:
    sizes, errors = {}, {}
    source = open_source(config_for(faces))
    original = build_cache(source, config_for(faces, cache_dir=str(tmp_path / "cache")), progress=False)
    for encoding, quality, version in (("jpeg", 80, 1), ("webp", 95, 2)):
        file = tmp_path / encoding
        write_pack(source, config_for(faces), file, quality, progress=False, encoding=encoding)  # type: ignore[arg-type]
        with zipfile.ZipFile(file) as archive:
            assert json.loads(archive.read("pack.json"))["version"] == version
        back = open_source(config_for(file))
        assert back.encoding == encoding  # type: ignore[attr-defined]
        cache = build_cache(back, config_for(file, cache_dir=str(tmp_path / "cache")), progress=False)
        sizes[encoding] = file.stat().st_size
        errors[encoding] = np.square(cache.images.astype(float) - original.images).mean()
    assert sizes["webp"] <= sizes["jpeg"]
    assert errors["webp"] < errors["jpeg"]


def test_two_packs_merge(faces: Path, tmp_path: Path) -> None:
    data_pack(config_for(faces), tmp_path / "train", splits=("train",))
    data_pack(config_for(faces), tmp_path / "all")
    both = open_source(config_for(tmp_path / "train", extra_roots=(str(tmp_path / "all"),)))
    whole = open_source(config_for(faces))
    assert sorted(both.names) == sorted(whole.names)
    order = [list(whole.names).index(n) for n in both.names]
    assert np.array_equal(both.labels, whole.labels[order])
    assert np.array_equal(both.identity, whole.identity[order])


def test_an_unreadable_image_is_left_out(faces: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (faces / "images" / "sub" / "04.png").write_bytes(b"broken")
    data_pack(config_for(faces), tmp_path / "pack")
    back = open_source(config_for(tmp_path / "pack"))
    assert len(back) == 29
    assert "sub/04.png" not in back.names
    assert "04.png" in caplog.text
    assert back.labels[4].tolist() == [1, -1]  # image 05
    assert back.regions(5).keys() == {"hat", "mouth"}  # image 06


def test_nothing_is_overwritten_and_nothing_half_written_stays(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out" / "faces.lomit"
    data_pack(config_for(faces), file, splits=("test",))
    before = file.read_bytes()
    with pytest.raises(LomitError, match="exists already; add --overwrite"):
        data_pack(config_for(faces), file)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "writestr", full)
        with pytest.raises(LomitError, match="no space left"):
            data_pack(config_for(faces), file, overwrite=True)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]
    data_pack(config_for(faces), file, overwrite=True)
    assert len(PackSource(file)) == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quality": 0}, "JPEG quality must lie in 1..95; it is 0"),
        ({"splits": ("dev",)}, "unknown split 'dev'; known: train, val, test"),
        ({"max_images": 0}, "--max-images must be at least 1"),
    ],
)
def test_wrong_arguments(faces: Path, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LomitError) as caught:
        data_pack(config_for(faces), tmp_path / "pack", **arguments)
    assert message in str(caught.value)
    assert not (tmp_path / "pack").exists()


def rewrite(file: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(file) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def edit_index(**changes: Any) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members["pack.json"] = json.dumps({**json.loads(members["pack.json"]), **changes}).encode()

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit_index(version=99), "written by a newer lomit (pack version 99); update lomit"),
        (edit_index(format="other"), "not a pack file, or a damaged one"),
        (edit_index(names=["a"]), "not a pack file, or a damaged one"),
        (edit_index(people=[]), "not a pack file, or a damaged one"),
        (edit_index(split=5), "not a pack file, or a damaged one"),
        (edit_index(split=[7] * 30), "not a pack file, or a damaged one"),
        (edit_index(names=list(range(30))), "not a pack file, or a damaged one"),
        (edit_index(names=["a"] * 30), "not a pack file, or a damaged one"),
        (edit_index(people=[None] * 30), "not a pack file, or a damaged one"),
        (edit_index(groups=[1]), "not a pack file, or a damaged one"),
        (edit_index(region_of=[1]), "not a pack file, or a damaged one"),
        (edit_index(encoding=["jpeg"]), "not a pack file, or a damaged one"),
        (lambda m: m.update({"pack.json": b"[" * 100_000}), "not a pack file, or a damaged one"),
        (lambda m: m.update({"pack.json": b"[]"}), "not a pack file, or a damaged one"),
        (lambda m: m.update({"labels.npy": b"junk"}), "not a pack file, or a damaged one"),
        (lambda m: m.update({"labels.npy": pickle.dumps([1])}), "not a pack file, or a damaged one"),
        (lambda m: m.pop("labels.npy"), "not a pack file, or a damaged one"),
    ],
)
def test_a_damaged_pack_is_refused(
    faces: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], None], message: str
) -> None:
    file = tmp_path / "pack"
    data_pack(config_for(faces), file)
    rewrite(file, change)
    with pytest.raises(LomitError) as caught:
        open_source(config_for(file))
    assert message in str(caught.value)


def test_half_a_file_is_no_pack(faces: Path, tmp_path: Path) -> None:
    data_pack(config_for(faces), tmp_path / "pack")
    data = (tmp_path / "pack").read_bytes()
    (tmp_path / "half").write_bytes(data[: len(data) // 2])
    for kind in ("auto", "pack"):
        with pytest.raises(LomitError, match="not a pack file"):
            open_source(config_for(tmp_path / "half", kind=kind))


def test_a_damaged_image_in_a_pack_is_skipped_like_any_other(faces: Path, tmp_path: Path) -> None:
    file = tmp_path / "pack"
    data_pack(config_for(faces), file)
    data = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        place = archive.getinfo("images/000002.jpg").header_offset
    data[place + 100 : place + 200] = bytes(100)  # the checksum does not fit any more
    file.write_bytes(data)
    config = config_for(file, cache_dir=str(tmp_path / "cache"))
    cache = build_cache(open_source(config), config)
    assert list(cache.skipped) == ["sub/02.png"]


def test_the_cache_of_a_pack_survives_a_copy_and_follows_its_content(faces: Path, tmp_path: Path) -> None:
    data_pack(config_for(faces), tmp_path / "a")
    shutil.copy(tmp_path / "a", tmp_path / "b")
    a, b = PackSource(tmp_path / "a"), PackSource(tmp_path / "b")
    assert a.fingerprint == b.fingerprint
    data_pack(config_for(faces), tmp_path / "c", quality=50)
    assert PackSource(tmp_path / "c").fingerprint != a.fingerprint
    # Whatever its index says of itself.
    rewrite(tmp_path / "b", lambda m: m.update({"images/000002.jpg": m["images/000003.jpg"]}))
    assert PackSource(tmp_path / "b").fingerprint != a.fingerprint


def test_a_source_travels_to_other_processes_while_its_file_is_open(faces: Path, tmp_path: Path) -> None:
    data_pack(config_for(faces), tmp_path / "pack")
    source = PackSource(tmp_path / "pack")
    first = np.asarray(source.load(3))
    assert np.array_equal(np.asarray(pickle.loads(pickle.dumps(source)).load(3)), first)
