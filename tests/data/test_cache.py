"""Decoding once: what is kept, what is skipped, and what a broken run leaves behind."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lomit.config import DataConfig
from lomit.data import cache as cache_module
from lomit.data import decode
from lomit.data.cache import build_cache, cache_root
from lomit.data.folder import FolderSource
from lomit.data.open import open_source
from lomit.data.transforms import centre_box, resize, to_uint8_chw
from lomit.errors import LomitError

WriteFolder = Callable[..., Path]


@pytest.fixture
def config(folder: Path, tmp_path: Path) -> DataConfig:
    return config_for(folder, tmp_path)


def config_for(root: Path, tmp_path: Path, **changes: object) -> DataConfig:
    values = {"attributes": ("Hat", "Smiling"), "image_size": 16, "workers": 0, "cache_dir": str(tmp_path / "cache")}
    return DataConfig(root=str(root), **{**values, **changes})  # type: ignore[arg-type]


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by each image that is read."""
    loads: list[int] = []
    load = FolderSource.load

    def counted(self: FolderSource, index: int) -> Image.Image:
        loads.append(index)
        return load(self, index)

    monkeypatch.setattr(FolderSource, "load", counted)
    return loads


def files_in(folder: Path) -> set[str]:
    return {p.suffix for p in folder.rglob("*") if p.is_file()}


def test_rows_hold_the_pictures_and_their_labels_in_the_order_asked_for(config: DataConfig) -> None:
    source = open_source(config)
    cache = build_cache(source, config)
    assert cache.images.shape == (40, 3, 16, 16)
    assert cache.images.dtype == np.uint8
    assert isinstance(cache.images, np.memmap)
    assert not cache.images.flags.writeable
    for row in (0, 7, 39):
        image = source.load(row)
        expected = to_uint8_chw(resize(image.crop(centre_box(image.size)), 16))
        assert np.array_equal(cache.images[row], expected)
    assert cache.attributes == ("Hat", "Smiling")
    assert cache.labels[:4].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert list(cache.names) == list(source.names)
    assert cache.source_index.tolist() == list(range(40))
    rows = [cache.subset(part) for part in ("train", "val", "test")]
    assert sorted(np.concatenate(rows).tolist()) == list(range(40))
    assert all((cache.split[r] == k).all() for k, r in enumerate(rows))


def test_no_attribute_asked_for_keeps_them_all(folder: Path, tmp_path: Path) -> None:
    config = config_for(folder, tmp_path, attributes=())
    cache = build_cache(open_source(config), config)
    assert cache.attributes == ("Smiling", "Hat")
    assert cache.labels.shape == (40, 2)


def test_images_with_none_of_the_required_attributes_do_not_count(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "attributes.csv").read_text().splitlines()
    lines[1] = "00.png,,"  # not annotated counts as none
    (folder / "attributes.csv").write_text("\n".join(lines))
    config = config_for(folder, tmp_path, require_one_of=("Hat", "Smiling"))
    cache = build_cache(open_source(config), config)
    left_out = {k for k in range(40) if k % 4 == 0}
    assert len(cache) == 40
    counted = np.concatenate([cache.subset(part) for part in range(3)]).tolist()
    assert set(range(40)) - set(counted) == left_out


def test_the_second_run_reads_no_image(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_cache(open_source(config), config)
    loads = count_loads(monkeypatch)
    other_labels = config_for(Path(config.root or ""), Path(config.cache_dir or "").parent, attributes=("Smiling",))
    again = build_cache(open_source(other_labels), other_labels)
    assert not loads
    assert np.array_equal(first.images, again.images)
    assert again.labels[:, 0].tolist() == first.labels[:, 1].tolist()


@pytest.mark.parametrize("change", [{"image_size": 32}, {"crop": 10}])
def test_another_geometry_is_another_cache(
    config: DataConfig, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, int]
) -> None:
    first = build_cache(open_source(config), config)
    loads = count_loads(monkeypatch)
    other = config_for(folder, tmp_path, **change)
    second = build_cache(open_source(other), other)
    assert len(loads) == 40
    assert first.images.shape != second.images.shape or not np.array_equal(first.images, second.images)


def test_a_changed_image_is_decoded_anew(config: DataConfig, folder: Path) -> None:
    build_cache(open_source(config), config)
    Image.new("RGB", (24, 32), (255, 0, 0)).save(folder / "images" / "05.png")
    assert build_cache(open_source(config), config).images[5].reshape(3, -1).mean(1).tolist() == [255, 0, 0]


@pytest.mark.parametrize("damage", ["missing", "truncated", "not an image", "empty"])
def test_a_damaged_image_is_named_and_skipped(
    config: DataConfig, folder: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    file = folder / "images" / "05.png"
    data = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes({"truncated": data[: len(data) // 2], "not an image": b"hello" * 50, "empty": b""}[damage])
    source = open_source(config)
    cache = build_cache(source, config)
    assert len(cache) == len(cache.images) == len(cache.labels) == 39
    assert list(cache.skipped) == ["05.png"]
    assert "skipped 1 of 40 images" in caplog.text
    assert "05.png" in caplog.text
    # Every row still belongs to its image.
    assert cache.source_index.tolist() == [k for k in range(40) if k != 5]
    assert cache.names[5] == "06.png"
    image = source.load(6)
    assert np.array_equal(cache.images[5], to_uint8_chw(resize(image.crop(centre_box(image.size)), 16)))
    caplog.clear()
    build_cache(source, config)
    assert "skipped 1 of 40 images" in caplog.text  # said again when the cache is reused


def test_more_than_one_per_cent_stops_and_names_the_first(config: DataConfig, folder: Path) -> None:
    for k in (3, 5):
        (folder / "images" / f"{k:02d}.png").unlink()
    with pytest.raises(LomitError, match=r"more than 1% of the 40 images cannot be read.*03\.png.*05\.png"):
        build_cache(open_source(config), config)
    assert files_in(Path(config.cache_dir or "")) <= {".lock"}


def test_a_class_that_was_emptied_by_a_damaged_image(write_folder: WriteFolder, tmp_path: Path) -> None:
    root = write_folder(["image,Hat,split", *(f"{k}.png,{int(k == 4)},train" for k in range(10))])
    (root / "images" / "4.png").write_bytes(b"broken")
    config = config_for(root, tmp_path, attributes=("Hat",))
    with pytest.raises(LomitError, match="no training image with 'Hat'"):
        build_cache(open_source(config), config)


def test_no_usable_image_at_all(write_folder: WriteFolder, tmp_path: Path) -> None:
    root = write_folder(["image,Hat", "a.png,1"])
    (root / "images" / "a.png").write_bytes(b"broken")
    config = config_for(root, tmp_path, attributes=())
    with pytest.raises(LomitError, match="none of the images can be used: .*a.png"):
        build_cache(open_source(config), config)


def test_images_without_a_face_are_named_and_do_not_count_as_damage(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fake(image: Image.Image, margin: float) -> Image.Image | None:
        return None if np.asarray(image)[0, 0, 0] < 128 else image.crop((0, 0, 8, 8))

    monkeypatch.setattr("lomit.data.detector.crop_face", fake)
    config = config_for(folder, tmp_path, face_crop="dlib", attributes=())
    source = open_source(config)
    faceless = [source.names[k] for k in range(40) if np.asarray(source.load(k))[0, 0, 0] < 128]
    cache = build_cache(source, config)
    assert 2 < len(faceless) < 38
    assert list(cache.skipped) == faceless
    assert f"skipped {len(faceless)} of 40 images: {faceless[0]}: no face found" in caplog.text
    row = 3
    expected = resize(source.load(int(cache.source_index[row])).crop((0, 0, 8, 8)), 16)
    assert np.array_equal(cache.images[row], to_uint8_chw(expected))


def test_a_full_disk_is_said_and_leaves_nothing(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cache_module.decode_usable

    def full(*args: object) -> Iterator[tuple[int, np.ndarray]]:
        for k, result in enumerate(whole(*args)):  # type: ignore[arg-type]
            if k == 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            yield result

    monkeypatch.setattr(cache_module, "decode_usable", full)
    with pytest.raises(LomitError, match="no space left in .*cache"):
        build_cache(open_source(config), config)
    assert files_in(Path(config.cache_dir or "")) <= {".lock"}
    monkeypatch.undo()
    assert len(build_cache(open_source(config), config)) == 40


def test_a_killed_run_is_cleaned_up_by_the_next(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    # What SIGKILL leaves: the unfinished folder. Here its removal is kept from happening.
    def stop(*_: object) -> Iterator[tuple[int, np.ndarray]]:
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "decode_usable", stop)
        patch.setattr(cache_module.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            build_cache(open_source(config), config)
    root = Path(config.cache_dir or "")
    assert [p.suffix for p in root.iterdir() if p.is_dir()] == [".part"]
    assert len(build_cache(open_source(config), config)) == 40
    assert [p.suffix for p in root.iterdir() if p.is_dir()] == [""]


def test_a_cache_folder_that_cannot_be_made(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    config = config_for(folder, tmp_path, cache_dir=str(tmp_path / "file" / "cache"))
    with pytest.raises(LomitError, match="no cache can be kept there"):
        build_cache(open_source(config), config)


def test_of_several_at_once_one_decodes(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = count_loads(monkeypatch)
    source = open_source(config)
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(build_cache(source, config).images)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert sorted(loads) == list(range(40))


def test_worker_processes_give_the_same_as_none(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "images" / "05.png").write_bytes(b"broken")
    here = config_for(folder, tmp_path, cache_dir=str(tmp_path / "here"))
    there = config_for(folder, tmp_path, cache_dir=str(tmp_path / "there"), workers=2)
    monkeypatch.setattr(decode, "SMALL", 8)
    monkeypatch.setattr(decode, "CHUNK", 3)
    loads = count_loads(monkeypatch)
    parallel = build_cache(open_source(there), there)
    assert not loads  # this process read nothing itself
    alone = build_cache(open_source(here), here)
    assert np.array_equal(alone.images, parallel.images)
    assert alone.skipped.keys() == parallel.skipped.keys() == {"05.png"}


def test_a_worker_that_dies_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The source must be importable in the worker, so it is a module of its own.
    (tmp_path / "deadly.py").write_text(
        "import os\n"
        "from lomit.data.source import Source\n"
        "class Deadly(Source):\n"
        "    def __init__(self):\n"
        "        self.names = [str(k) for k in range(20)]\n"
        "    def load(self, index):\n"
        "        os._exit(9)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from deadly import Deadly  # type: ignore[import-not-found]

    monkeypatch.setattr(decode, "SMALL", 8)
    geometry = decode.Geometry(16, None, None, "none")
    with pytest.raises(LomitError, match="a process that decodes images died"):
        list(decode.decode_all(Deadly(), range(20), geometry, workers=1))


def test_where_caches_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LOMIT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root(None) == tmp_path / ".cache" / "lomit"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root(None) == tmp_path / "xdg" / "lomit"
    monkeypatch.setenv("LOMIT_CACHE", str(tmp_path / "mine"))
    assert cache_root(None) == tmp_path / "mine"
    assert cache_root("~/here") == tmp_path / "here"


def test_the_array_is_a_plain_npy_file(config: DataConfig) -> None:
    cache = build_cache(open_source(config), config)
    path = next(Path(config.cache_dir or "").rglob("images.npy"))
    assert np.array_equal(np.load(path), cache.images)
    assert json.loads((path.parent / "index.json").read_text())["rows"] == list(range(40))


@pytest.mark.data
def test_photographs_are_cut_as_celeba_is_usually_cut(tmp_path: Path) -> None:
    root = Path(os.environ["LOMIT_DATA"]) / "celeba"
    small = tmp_path / "celeba"
    (small / "img_align_celeba").mkdir(parents=True)
    lines = (root / "list_attr_celeba.txt").read_text().splitlines()
    (small / "list_attr_celeba.txt").write_text("\n".join(["60", *lines[1:62]]) + "\n")
    for line in lines[2:62]:
        name = f"img_align_celeba/{line.split()[0]}"
        (small / name).symlink_to(root / name)
    config = config_for(small, tmp_path, attributes=("Smiling", "Male"), image_size=64)
    cache = build_cache(open_source(config), config)
    assert cache.images.shape == (60, 3, 64, 64)
    image = Image.open(root / "img_align_celeba" / cache.names[0]).convert("RGB").crop((0, 20, 178, 198))
    assert np.array_equal(
        cache.images[0].transpose(1, 2, 0), np.asarray(image.resize((64, 64), Image.Resampling.LANCZOS))
    )
