"""From a config to a source: layouts, merging, and what is asked of the labels."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lomit.config import DataConfig
from lomit.data.cache import build_cache
from lomit.data.open import open_source, recognise
from lomit.errors import LomitError

Write = Callable[..., Path]


def test_layouts_are_recognised(tmp_path: Path, folder: Path, write_celeba: Write, write_emotionet: Write) -> None:
    assert recognise(folder) == "folder"
    assert recognise(write_celeba(tmp_path / "c")) == "celeba"
    assert recognise(write_emotionet(tmp_path / "e")) == "emotionet"


def test_what_is_not_there_or_not_understood(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(LomitError, match="set --data.root to a folder or file in one of the layouts celeba"):
        open_source(DataConfig())
    with pytest.raises(LomitError, match="nowhere: no such folder or file"):
        open_source(DataConfig(root=str(tmp_path / "nowhere")))
    with pytest.raises(LomitError, match="nowhere: no such folder or file"):
        open_source(DataConfig(root=str(tmp_path / "nowhere"), kind="celeba"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(LomitError, match="unknown layout; understood are celeba .* folder .* emotionet .* pack"):
        open_source(DataConfig(root=str(tmp_path / "empty")))
    (tmp_path / "file.bin").write_bytes(b"PK nothing")
    with pytest.raises(LomitError, match=r"file.bin: not a pack file; understood are"):
        open_source(DataConfig(root=str(tmp_path / "file.bin")))
    with pytest.raises(LomitError, match="the layout 'folder' is a folder, this is a file"):
        open_source(DataConfig(root=str(tmp_path / "file.bin"), kind="folder"))
    with pytest.raises(LomitError, match="no list_attr_celeba.txt"):
        open_source(DataConfig(root=str(folder), kind="celeba"))


def test_an_unknown_attribute_lists_the_known_ones(folder: Path) -> None:
    with pytest.raises(LomitError) as caught:
        open_source(DataConfig(root=str(folder), attributes=("Smilling",)))
    assert str(caught.value) == "the data has no attribute 'Smilling' (did you mean 'Smiling'?); it has: Smiling, Hat"


def test_asking_for_a_column_that_is_no_attribute_shows_its_value(write_folder: Write) -> None:
    root = write_folder(["image,Hat,Age", "a.png,1,31", "b.png,0,40"])
    with pytest.raises(LomitError, match="line 2, column 'Age': '31' is neither"):
        open_source(DataConfig(root=str(root), attributes=("Age",)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1", "1", "1", "1", ""], "no training image without 'Hat' (4 of 5 are annotated for it)"),
        (["0", "0", "", "", ""], "no training image with 'Hat' (2 of 5 are annotated for it)"),
    ],
)
def test_an_empty_class_is_an_error(write_folder: Write, values: list[str], message: str) -> None:
    rows = [f"{k}.png,{v},train" for k, v in enumerate(values)]
    # The test part has both classes: it is the training images that count.
    root = write_folder(["image,Hat,split", *rows, "x.png,1,test", "y.png,0,test"])
    with pytest.raises(LomitError) as caught:
        open_source(DataConfig(root=str(root), attributes=("Hat",)))
    assert str(caught.value).startswith(message)
    assert len(open_source(DataConfig(root=str(root)))) == 7  # nothing is asked of it


def test_classes_are_counted_among_the_images_that_are_used(write_folder: Write) -> None:
    root = write_folder(["image,Hat,Red,split", "a.png,1,1,train", "b.png,0,0,train", "c.png,1,0,train"])
    open_source(DataConfig(root=str(root), attributes=("Hat", "Red")))
    with pytest.raises(LomitError, match="no training image without 'Hat'"):
        open_source(DataConfig(root=str(root), attributes=("Hat", "Red"), require_one_of=("Red",)))


def test_half_size_files_join_under_the_same_numbers(tmp_path: Path, write_celeba: Write) -> None:
    full = write_celeba(tmp_path / "full")
    names = ["000007.jpg", "000008.jpg", "000009.jpg"]
    half = write_celeba(tmp_path / "half", names, (89, 109), people=(6, 7, 9), split=(1, 0, 0))
    config = DataConfig(
        root=str(full), extra_roots=(str(half),), image_size=32, workers=0, cache_dir=str(tmp_path / "cache")
    )
    source = open_source(config)
    assert list(source.names) == ["000003.jpg", "000007.jpg", "000011.jpg", "000012.jpg", "000008.jpg", "000009.jpg"]
    assert [source.load(k).size for k in (1, 4)] == [(178, 218), (89, 109)]
    assert source.identity.tolist() == [5, 6, 7, 5, 7, 9]
    assert source.split.tolist() == [0, 1, 2, 0, 2, 0]  # 7 is a test person of the first set, so also here
    assert build_cache(source, config).images.shape == (6, 3, 32, 32)


def test_roots_of_different_layouts_are_refused(tmp_path: Path, folder: Path, write_celeba: Write) -> None:
    celeba = write_celeba(tmp_path / "celeba")
    with pytest.raises(LomitError, match="must have one layout; found folder, celeba"):
        open_source(DataConfig(root=str(folder), extra_roots=(str(celeba),)))


def test_rendered_faces_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dicebear")
    config = DataConfig(
        kind="avatars", render_count=20, image_size=32, workers=1, cache_dir=str(tmp_path / "cache")
    )  # fmt: skip
    source = open_source(config)
    assert len(source) == 20
    assert source.load(0).size == (32, 32)
    assert source.regions(19).keys() == set(source.region_names) != set()
    monkeypatch.setattr("lomit.data.avatars.write_avatars", lambda *_, **__: pytest.fail("rendered again"))
    again = open_source(config)
    assert again.fingerprint == source.fingerprint
    assert (again.labels == source.labels).all()


def test_worker_processes_need_not_load_torch() -> None:
    # Decoding starts fresh processes; torch would cost each of them seconds and hundreds of megabytes.
    program = "import sys, lomit.data.decode, lomit.data.open; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 0
