"""From a config to a source: layouts, merging, and what is asked of the labels."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lomit.config import DataConfig
from lomit.data.cache import build_cache
from lomit.data.folder import FolderSource
from lomit.data.open import open_source, paper_split, recognise
from lomit.data.source import TEST, TRAIN, VAL
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
    with pytest.raises(LomitError, match="has none of list_attr_celeba.txt, list_attr_celeba.csv"):
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
    with pytest.raises(LomitError, match="must have one layout; they have folder, celeba"):
        open_source(DataConfig(root=str(folder), extra_roots=(str(celeba),)))


def test_a_root_that_adds_little_or_nothing_is_said(
    tmp_path: Path, write_celeba: Write, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["000003.jpg", "000007.jpg"]
    full, same = write_celeba(tmp_path / "full"), write_celeba(tmp_path / "same", names, people=(5, 6), split=(0, 1))
    more = write_celeba(tmp_path / "more", ["000007.jpg", "000008.jpg"], people=(6, 8), split=(1, 0))
    source = open_source(DataConfig(root=str(full), extra_roots=(str(same), str(more))))
    assert len(source) == 5
    assert caplog.messages == [
        f"{same} adds none of its 2 images: the names of the others are taken",
        f"{more} adds only 1 of its 2 images: the names of the others are taken",
    ]


def big_table(write_folder: Write, count: int) -> Path:
    """A table of many images, of which the first is there."""
    root = write_folder(["image,Hat,split,identity", "0.png,1,train,0"])
    rows = [f"{k}.png,{k % 2},val,{k % 90}" for k in range(count)]
    (root / "attributes.csv").write_text("\n".join(["image,Hat,split,identity", *rows]) + "\n")
    return root


def test_the_papers_split(write_folder: Write, caplog: pytest.LogCaptureFixture) -> None:
    root = big_table(write_folder, 5000)
    source = open_source(DataConfig(root=str(root), split="paper"))
    assert len(source) == 5000
    assert [(source.split == part).sum() for part in (TRAIN, VAL, TEST)] == [3000, 0, 2000]
    again = open_source(DataConfig(root=str(root), split="paper"))
    assert (again.split == source.split).all()
    assert "90 people stand in more than one split" in caplog.text
    # Drawn at random: as many of each hundred, up to chance (four standard deviations of a hypergeometric draw).
    hundreds = (source.split == TEST).reshape(50, 100).sum(axis=1)
    assert np.abs(hundreds - 40).max() <= 4 * 4.9
    official = open_source(DataConfig(root=str(root)))
    assert (official.split == VAL).all()


def test_the_papers_split_needs_more_images_than_it_tests(write_folder: Write) -> None:
    root = big_table(write_folder, 2000)
    with pytest.raises(LomitError, match="--data.split paper takes 2,000 images for testing; the data has only 2,000"):
        open_source(DataConfig(root=str(root), split="paper"))


def test_of_emotionet_the_paper_takes_a_part(write_folder: Write) -> None:
    whole = FolderSource(big_table(write_folder, 5000))
    part = paper_split(whole, most=1500)
    assert [(part.split == s).sum() for s in (TRAIN, VAL, TEST)] == [1500, 0, 2000]
    assert part.fingerprint != paper_split(whole, most=1501).fingerprint != whole.fingerprint
    # Those for testing are the same, however many are trained on; rows belong to their images.
    everything = paper_split(whole)
    tested = {n for n, s in zip(part.names, part.split, strict=True) if s == TEST}
    assert tested == {n for n, s in zip(everything.names, everything.split, strict=True) if s == TEST}
    rows = [int(name.removesuffix(".png")) for name in part.names]
    assert part.labels[:, 0].tolist() == [k % 2 for k in rows]
    assert part.identity.tolist() == [k % 90 for k in rows]


@pytest.mark.parametrize("margin", [-0.1, 5.0])
def test_a_margin_that_cannot_be(margin: float) -> None:
    with pytest.raises(LomitError, match="data.face_margin must lie between 0 and 4"):
        DataConfig(face_margin=margin)


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


def test_a_script_without_a_main_guard_ends_with_a_line(folder: Path, tmp_path: Path) -> None:
    # Its workers run the script once more, and would wait for the cache that waits for them.
    (tmp_path / "script.py").write_text(
        "from lomit.config import DataConfig\n"
        "from lomit.data import decode\n"
        "from lomit.data.cache import build_cache\n"
        "from lomit.data.open import open_source\n"
        "decode.SMALL = 8\n"
        f"config = DataConfig(root={str(folder)!r}, image_size=16, workers=1, cache_dir={str(tmp_path / 'cache')!r})\n"
        "build_cache(open_source(config), config)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "if __name__ == '__main__'" in done.stderr.splitlines()[-1]
    assert done.stderr.count("Traceback") == 2  # of the parent alone: the pool's, and the line
