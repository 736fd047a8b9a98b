"""CelebA's files: the layout, the optional ones, and damaged ones."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lomit.config import DataConfig
from lomit.data.celeba import read_celeba
from lomit.data.open import open_source
from lomit.data.source import TEST, TRAIN, VAL
from lomit.errors import LomitError

Write = Callable[..., Path]


def test_labels_people_and_split_are_read(tmp_path: Path, write_celeba: Write) -> None:
    source = read_celeba(write_celeba(tmp_path / "celeba"))
    assert list(source.names) == ["000003.jpg", "000007.jpg", "000011.jpg", "000012.jpg"]
    assert source.attributes == ("Smiling", "Male")
    assert source.labels.tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]
    assert source.identity.tolist() == [5, 6, 7, 5]
    assert source.split.tolist() == [TRAIN, VAL, TEST, TRAIN]
    assert source.load(0).size == (178, 218)


def test_identities_and_partition_may_be_missing(tmp_path: Path, write_celeba: Write) -> None:
    source = read_celeba(write_celeba(tmp_path / "celeba", people=None, split=None))
    assert len(set(source.identity.tolist())) == 4
    assert set(source.split.tolist()) <= {TRAIN, VAL, TEST}


def test_the_folders_of_the_official_download(tmp_path: Path, write_celeba: Write) -> None:
    flat = write_celeba(tmp_path / "flat")
    root = tmp_path / "official"
    for folder, name in (
        ("Img", "img_align_celeba"),
        ("Anno", "list_attr_celeba.txt"),
        ("Anno", "identity_CelebA.txt"),
        ("Eval", "list_eval_partition.txt"),
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (flat / name).rename(root / folder / name)
    source = open_source(DataConfig(root=str(root)))
    assert source.identity.tolist() == [5, 6, 7, 5]
    assert source.load(3).size == (178, 218)


def as_kaggle(flat: Path, root: Path, lists: tuple[str, ...] = ("attr", "partition")) -> Path:
    """Kaggle's archive, unpacked: CSV lists, the images in a folder in a folder of the same name."""
    (root / "img_align_celeba").mkdir(parents=True)
    (flat / "img_align_celeba").rename(root / "img_align_celeba" / "img_align_celeba")
    for name, start, header in (
        ("list_attr_celeba", 1, None),
        ("list_eval_partition", 0, "image_id,partition"),
        ("identity_CelebA", 0, "image_id,identity"),
    ):
        if not (flat / f"{name}.txt").exists():
            continue
        if not any(part in name for part in lists):
            (flat / f"{name}.txt").rename(root / f"{name}.txt")
            continue
        rows = [",".join(line.split()) for line in (flat / f"{name}.txt").read_text().splitlines()[start:]]
        rows[0] = f"image_id,{rows[0]}" if header is None else rows[0]
        (root / f"{name}.csv").write_text("\n".join(([header] if header else []) + rows) + "\n")
    return root


@pytest.mark.parametrize("lists", [("attr", "partition"), ("partition",), ("attr",), ("attr", "partition", "identity")])
def test_kaggles_download_as_it_is_unpacked(tmp_path: Path, write_celeba: Write, lists: tuple[str, ...]) -> None:
    root = as_kaggle(write_celeba(tmp_path / "flat"), tmp_path / "kaggle", lists)
    (root / "list_bbox_celeba.csv").write_text("image_id,x_1,y_1,width,height\n000003.jpg,95,71,226,313\n")
    source = open_source(DataConfig(root=str(root)))
    assert source.attributes == ("Smiling", "Male")
    assert source.labels.tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]
    assert source.split.tolist() == [TRAIN, VAL, TEST, TRAIN]
    assert source.identity.tolist() == [5, 6, 7, 5]
    assert source.load(0).size == (178, 218)
    assert source.default_crop == 178


def test_kaggle_without_identities_says_that_people_are_not_known(
    tmp_path: Path, write_celeba: Write, caplog: pytest.LogCaptureFixture
) -> None:
    source = open_source(
        DataConfig(root=str(as_kaggle(write_celeba(tmp_path / "a", people=None), tmp_path / "kaggle")))
    )
    assert not source.knows_people
    assert source.split.tolist() == [TRAIN, VAL, TEST, TRAIN]
    assert "who is shown is not known: each image counts as a person" in caplog.text


def test_a_partition_that_leaves_images_out_is_said(
    tmp_path: Path, write_celeba: Write, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / "list_eval_partition.txt").write_text("000003.jpg 2\n000011.jpg 1\n")
    assert read_celeba(root).split.tolist()[::2] == [TEST, VAL]
    assert f"{root}: its partition leaves out 2 of 4 images; their part is drawn" in caplog.text


def test_celebamask_hq(tmp_path: Path, write_celeba: Write) -> None:
    names = ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    flat = write_celeba(tmp_path / "hq", names, (256, 256), people=None, split=None)
    (flat / "img_align_celeba").rename(flat / "CelebA-HQ-img")
    (flat / "list_attr_celeba.txt").rename(flat / "CelebAMask-HQ-attribute-anno.txt")
    source = open_source(DataConfig(root=str(flat)))
    assert source.labels.tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]
    assert (source.default_crop, source.knows_people) == (None, False)
    assert source.load(0).size == (256, 256)
    # With the lists of the official download beside it, by the numbers that its images have there.
    rows = [f"{k} {n - 1} {n:06d}.jpg" for k, n in enumerate((12, 11, 7, 3))]
    (flat / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(["idx orig_idx orig_file", *rows]) + "\n")
    original = write_celeba(tmp_path / "official")
    for name in ("identity_CelebA.txt", "list_eval_partition.txt"):
        (original / name).rename(flat / name)
    source = open_source(DataConfig(root=str(flat)))
    assert source.identity.tolist() == [5, 7, 6, 5]
    assert source.split.tolist() == [TRAIN, TEST, VAL, TRAIN]
    # Beside the official lists of attributes, too: the images decide.
    anno = flat / "Anno"
    anno.mkdir()
    (original / "list_attr_celeba.txt").rename(anno / "list_attr_celeba.txt")
    (flat / "identity_CelebA.txt").rename(anno / "identity_CelebA.txt")
    both = open_source(DataConfig(root=str(flat)))
    assert (list(both.names), both.default_crop) == (names, None)
    assert both.identity.tolist() == [5, 7, 6, 5]
    assert both.load(0).size == (256, 256)
    (original / "img_align_celeba").rename(flat / "img_align_celeba")
    assert read_celeba(flat).names[0] == "000003.jpg"
    (flat / "img_align_celeba").rename(original / "img_align_celeba")
    for wrong in ("0 12\n1\n", f"idx orig_idx orig_file\n{'9' * 5000} 12 000012.jpg\n"):
        (flat / "CelebA-HQ-to-CelebA-mapping.txt").write_text(wrong)
        with pytest.raises(LomitError, match="mapping.txt: expected lines of three values"):
            read_celeba(flat)


def test_the_images_as_png(tmp_path: Path, write_celeba: Write) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / "img_align_celeba_png").mkdir()
    for path in (root / "img_align_celeba").iterdir():
        with Image.open(path) as image:
            image.save(root / "img_align_celeba_png" / path.with_suffix(".png").name)
        path.unlink()
    (root / "img_align_celeba").rmdir()
    source = read_celeba(root)
    assert source.names[0] == "000003.jpg"
    assert source.load(0).size == (178, 218)


def test_a_set_one_folder_further_down_is_named(tmp_path: Path, write_celeba: Write) -> None:
    write_celeba(tmp_path / "archive" / "celeba")
    with pytest.raises(LomitError, match=r"archive: unknown layout \(is .*archive/celeba meant\?\)"):
        open_source(DataConfig(root=str(tmp_path / "archive")))


def test_a_doubled_name_among_many_is_found_at_once(tmp_path: Path) -> None:
    lines = [f"{k:06d}.jpg 1" for k in range(100_000)]
    lines[-1] = lines[-2]
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join([str(len(lines)), "Smiling", *lines]) + "\n")
    began = time.process_time()
    with pytest.raises(LomitError, match=r"line 100002: 099998\.jpg is already in line 100001"):
        read_celeba(tmp_path)
    assert time.process_time() - began < 5  # comparing each name with each took minutes


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("list_attr_celeba.txt", "4\n", "", "expected the number of images"),
        ("list_attr_celeba.txt", "4\n", "5\n", "promises 5 images, 4 follow; the file may be cut off"),
        ("list_attr_celeba.txt", "000007.jpg -1  1", "000007.jpg -1", "line 4 (000007.jpg): 1 values for 2 attributes"),
        ("list_attr_celeba.txt", "000007.jpg -1  1", "000007.jpg -1  2", "line 4 (000007.jpg), Male: '2' is neither"),
        ("list_attr_celeba.txt", "000007", "000003", "line 4: 000003.jpg is already in line 3; remove one of them"),
        ("identity_CelebA.txt", "000007.jpg 6", "000007.jpg six", "line 2: expected a file name and a number"),
        ("list_eval_partition.txt", "000011.jpg 2", "000011.jpg 3", "line 3: expected a file name and a number from 0"),
        ("list_eval_partition.txt", "000011.jpg 2", "000011.jpg", "line 3: expected a file name and a number from 0"),
        ("list_eval_partition.txt", "000011.jpg 2", "000003.jpg 2", "line 3: 000003.jpg is already in line 1"),
        ("identity_CelebA.txt", "000007.jpg 6", "000003.jpg 5", "line 2: 000003.jpg is already in line 1"),
        (
            "identity_CelebA.txt",
            "000007.jpg 6",
            f"000007.jpg {'9' * 5000}",
            "line 2: expected a file name and a number",
        ),
        ("list_attr_celeba.txt", "Smiling Male", "Smiling Smiling", "an attribute is named twice"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, write_celeba: Write, file: str, old: str, new: str, message: str
) -> None:
    path = write_celeba(tmp_path / "celeba") / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(LomitError, match=file) as caught:
        read_celeba(path.parent)
    assert message in str(caught.value)


def test_annotations_without_images(tmp_path: Path, write_celeba: Write) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / "img_align_celeba").rename(root / "images")
    with pytest.raises(LomitError, match="no folder img_align_celeba/ beside the lists"):
        open_source(DataConfig(root=str(root)))
    (root / "img_align_celeba.zip").write_bytes(b"PK")
    with pytest.raises(LomitError, match=r"no folder img_align_celeba/; unpack .*img_align_celeba\.zip"):
        open_source(DataConfig(root=str(root)))


@pytest.mark.data
def test_the_photographs_and_their_half_size_copies() -> None:
    root = Path(os.environ["LOMIT_DATA"])
    config = DataConfig(root=str(root / "celeba"), extra_roots=(str(root / "celeba_lowres"),), attributes=("Smiling",))
    full, both = open_source(DataConfig(root=config.root)), open_source(config)
    column = full.attributes.index("Smiling")
    assert (len(full), int(full.labels[:, column].sum())) == (10_690, 4_973)
    assert [int((full.split == part).sum()) for part in (TRAIN, VAL, TEST)] == [8_533, 597, 1_560]
    assert list(both.names[: len(full)]) == list(full.names)
    assert len(full) < len(both) < len(full) + 9_937  # some images stand in both sets
    parts: dict[int, set[int]] = {}
    for person, part in zip(both.identity.tolist(), both.split.tolist(), strict=True):
        parts.setdefault(person, set()).add(part)
    assert all(len(p) == 1 for p in parts.values())
    assert full.load(0).size == (178, 218)
    assert both.load(len(both) - 1).size == (89, 109)
