"""CelebA's files: the layout, the optional ones, and damaged ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lomit.config import DataConfig
from lomit.data.celeba import CelebASource
from lomit.data.open import open_source
from lomit.data.source import TEST, TRAIN, VAL
from lomit.errors import LomitError

Write = Callable[..., Path]


def test_labels_people_and_split_are_read(tmp_path: Path, write_celeba: Write) -> None:
    source = CelebASource(write_celeba(tmp_path / "celeba"))
    assert list(source.names) == ["000003.jpg", "000007.jpg", "000011.jpg", "000012.jpg"]
    assert source.attributes == ("Smiling", "Male")
    assert source.labels.tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]
    assert source.identity.tolist() == [5, 6, 7, 5]
    assert source.split.tolist() == [TRAIN, VAL, TEST, TRAIN]
    assert source.load(0).size == (178, 218)


def test_identities_and_partition_may_be_missing(tmp_path: Path, write_celeba: Write) -> None:
    source = CelebASource(write_celeba(tmp_path / "celeba", people=None, split=None))
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


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("list_attr_celeba.txt", "4\n", "", "expected the number of images"),
        ("list_attr_celeba.txt", "4\n", "5\n", "promises 5 images, 4 follow; the file may be cut off"),
        ("list_attr_celeba.txt", "000007.jpg -1  1", "000007.jpg -1", "line 4 (000007.jpg): 1 values for 2 attributes"),
        ("list_attr_celeba.txt", "000007.jpg -1  1", "000007.jpg -1  2", "line 4 (000007.jpg), Male: '2' is neither"),
        ("list_attr_celeba.txt", "000007", "000003", "000003.jpg is listed twice"),
        ("identity_CelebA.txt", "000007.jpg 6", "000007.jpg six", "line 2: expected a file name and a number"),
        ("list_eval_partition.txt", "000011.jpg 2", "000011.jpg 3", "line 3: expected a file name and a number from 0"),
        ("list_eval_partition.txt", "000011.jpg 2", "000011.jpg", "line 3: expected a file name and a number from 0"),
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
        CelebASource(path.parent)
    assert message in str(caught.value)


def test_annotations_without_images(tmp_path: Path, write_celeba: Write) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / "img_align_celeba").rename(root / "images")
    with pytest.raises(LomitError, match="no folder img_align_celeba/"):
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
