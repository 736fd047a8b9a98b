"""Both annotation formats of EmotioNet."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lomit.config import DataConfig
from lomit.data.emotionet import read_emotionet
from lomit.data.open import open_source, recognise
from lomit.errors import LomitError

Write = Callable[..., Path]
MANUAL, AUTOMATIC = "EmotioNet_FACS.csv", "dataFile_0001.txt"


def test_both_formats_give_the_same_columns(tmp_path: Path, write_emotionet: Write) -> None:
    source = read_emotionet(write_emotionet(tmp_path / "set"))
    assert list(source.names) == ["a_1.jpg", "b_2.jpg"]
    assert source.attributes == tuple(f"AU{k}" for k in range(1, 61))
    by_hand, automatic = ({f"AU{k + 1}": int(v) for k, v in enumerate(row) if v != -1} for row in source.labels)
    assert by_hand == {"AU1": 1, "AU12": 0}  # 999 is not annotated
    assert automatic == {"AU2": 1, "AU60": 0}
    assert source.identity.tolist() == [0, 1]
    assert source.load(1).size == (30, 40)


def test_annotations_by_hand_come_first(tmp_path: Path, write_emotionet: Write) -> None:
    root = write_emotionet(tmp_path / "set", names=("a.jpg", "a.jpg"))
    source = read_emotionet(root)
    assert list(source.names) == ["a.jpg"]
    assert (source.labels[0, 0], source.labels[0, 1]) == (1, -1)


def test_names_are_the_decoded_ends_of_the_urls(tmp_path: Path, write_emotionet: Write) -> None:
    root = write_emotionet(tmp_path / "set", names=("a b.jpg", "c.jpg"))
    for file in (MANUAL, AUTOMATIC):
        text = (root / file).read_text().replace("a b.jpg", "a%20b.jpg?size=large")
        (root / file).write_text(text)
    assert list(read_emotionet(root).names) == ["a b.jpg", "c.jpg"]


def test_a_name_of_two_images_is_left_out_with_a_line(
    tmp_path: Path, write_emotionet: Write, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_emotionet(tmp_path / "set")
    with (root / MANUAL).open("a") as file:
        file.write("'http://example.invalid/y/a_1.jpg','o',0,0,999\n")
    assert list(read_emotionet(root).names) == ["b_2.jpg"]
    assert f"1 image is left out: more than one annotated URL ends in its name, with other labels (a_1.jpg, {root}" in (
        caplog.text
    )
    assert "line 3" in caplog.text
    with (root / AUTOMATIC).open("a") as file:
        values = "\t".join(["0"] * 60)
        file.write(f"http://example.invalid/y/b_2.jpg\to\t{values}\n")
    with pytest.raises(LomitError):  # none is left
        read_emotionet(root)
    assert "2 images are left out: more than one annotated URL ends in their name" in caplog.text
    # Where they have the same labels, they are right whichever it is.
    root = write_emotionet(tmp_path / "same")
    with (root / MANUAL).open("a") as file:
        file.write("'http://example.invalid/y/a_1.jpg','o',1,0,999\n")
    assert list(read_emotionet(root).names) == ["a_1.jpg", "b_2.jpg"]


def test_images_that_were_not_downloaded_are_left_out(
    tmp_path: Path, write_emotionet: Write, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_emotionet(tmp_path / "set")
    (root / "images" / "a_1.jpg").unlink()
    assert list(read_emotionet(root).names) == ["b_2.jpg"]
    assert "1 of 2 annotated images are not there (a_1.jpg" in caplog.text
    (root / "images" / "b_2.jpg").unlink()
    with pytest.raises(LomitError, match="has none of the 2 annotated images"):
        read_emotionet(root)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (MANUAL, "URL,", "Link,", "the first line must read URL,URL orig,'AU 1',..."),
        (MANUAL, "'AU 12'", "'AU 61'", "the first line must read"),
        (MANUAL, "'AU 12'", "'AU 1'", "the column 'AU 1' stands twice; remove one of them"),
        (MANUAL, "'AU 12'", f"'AU {'9' * 5000}'", "the first line must read"),
        (MANUAL, "'AU 12'", "'Smile'", "the first line must read"),
        (MANUAL, ",1,0,999", ",1,0", "line 2: 2 values for 3 action units"),
        (MANUAL, ",1,0,999", ",1,7,999", "line 2, AU12: '7' is neither 0, 1 nor 999"),
        (MANUAL, "'http://example.invalid/x/a_1.jpg'", "''", "line 2: no image name in the URL"),
        (AUTOMATIC, "\t999\t1\t", "\t1\t", "line 1: 59 values for 60 action units"),
        (AUTOMATIC, "\t999\t1\t", "\t999\tyes\t", "line 1, AU2: 'yes' is neither 0, 1 nor 999"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, write_emotionet: Write, file: str, old: str, new: str, message: str
) -> None:
    path = write_emotionet(tmp_path / "set") / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(LomitError, match=file) as caught:
        read_emotionet(path.parent)
    assert message in str(caught.value)


@pytest.mark.data
def test_the_proxy_photographs() -> None:
    root = Path(os.environ["LOMIT_DATA"]) / "emotionet_proxy"
    assert recognise(root) == "emotionet"
    source = open_source(DataConfig(root=str(root), attributes=("AU1", "AU12", "AU25")))
    assert len(source) == 1648
    assert set(np.unique(source.labels)) == {-1, 0, 1}
    by_hand = source.labels[:, source.attributes.index("AU43")]
    assert (by_hand == -1).any()
