"""The folder layout: what is understood, and what is refused with the place named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lomit.data.folder import FolderSource, pack_regions, read_table, unpack_regions
from lomit.data.source import TEST, TRAIN, VAL
from lomit.errors import LomitError

WriteFolder = Callable[..., Path]


def read(tmp_path: Path, *lines: str, name: str = "attributes.csv") -> Path:
    (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / name


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("+1", "-1"), ("true", "FALSE"), ("Yes", "no"), ("1.0", "0.0")])
def test_every_way_to_say_yes_and_no(tmp_path: Path, yes: str, no: str) -> None:
    table = read_table(read(tmp_path, "image,Hat", f"a.png,{yes}", f"b.png,{no}", "c.png,", "d.png,?", "e.png,nan"))
    assert table.labels[:, 0].tolist() == [1, 0, -1, -1, -1]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_byte_order_mark_and_blank_lines(tmp_path: Path, delimiter: str) -> None:
    rows = [["\ufeffHat", "Filename", "Smiling"], ["1", "a.png", "0"], ["", "", ""], ["0", "b.png", "1"]]
    table = read_table(read(tmp_path, *(delimiter.join(r) for r in rows)))
    assert table.names == ["a.png", "b.png"]
    assert table.attributes == ("Hat", "Smiling")
    assert table.labels.tolist() == [[1, 0], [0, 1]]


def test_the_first_column_names_the_images_where_no_header_says_so(tmp_path: Path) -> None:
    assert read_table(read(tmp_path, "who,Hat", "./a.png,1", "sub\\b.png,0")).names == ["a.png", "sub/b.png"]


def test_split_and_identity_columns(tmp_path: Path) -> None:
    lines = ["image,Hat,Split,identity", "a.png,1,train,ann", "b.png,0,1,bob", "c.png,0,Test,", "d.png,0,,ann"]
    table = read_table(read(tmp_path, *lines))
    assert table.attributes == ("Hat",)
    assert table.split.tolist() == [TRAIN, VAL, TEST, -1]
    assert table.people == ["ann", "bob", "", "ann"]


def test_a_column_that_is_no_attribute_is_kept_aside_with_its_place(tmp_path: Path) -> None:
    table = read_table(read(tmp_path, "image,Hat,age,note", "a.png,1,1,x", "b.png,0,31,"))
    assert table.attributes == ("Hat",)
    assert "line 3, column 'age': '31' is neither" in table.rejected["age"]
    assert "line 2, column 'note': 'x'" in table.rejected["note"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,Hat", "a.png,1", "b.png,0,1"], "line 3: 3 values for 2 columns"),
        (["image,Hat", "a.png,1", "b.png,0", "a.png,0"], "line 4: 'a.png' is already in line 2"),
        (["image,Hat", "a.png,1", ",0"], "line 3, column 'image': no image is named"),
        (["image,Hat", "a.png,maybe"], "line 2, column 'Hat': 'maybe' is neither"),
        (["image,Hat", "a.png,1", "b.png,0", "c.png,-1"], "column 'Hat': holds both 0 and -1"),
        (["image,Hat,split", "a.png,1,train", "b.png,0,dev"], "line 3, column 'split': 'dev' is neither"),
        (["image", "a.png"], "no column beside 'image'"),
        (["image,Hat,Hat", "a.png,1,0"], "column 'Hat' stands twice"),
        (["image,Hat,", "a.png,1,0"], "a column has no name"),
        (["a.png,1", "b.png,0"], "the first line must name the columns; it holds 'a.png'"),
        (["image,Hat"], "needs a line of column names and at least one image"),
        (['image,Hat', '"a.png,1'], "not a readable CSV"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, lines: list[str], message: str) -> None:
    path = read(tmp_path, *lines)
    with pytest.raises(LomitError, match="attributes.csv") as caught:
        read_table(path)
    assert message in str(caught.value)


def test_a_table_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "attributes.csv").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(LomitError, match="not a readable CSV"):
        read_table(tmp_path / "attributes.csv")


def test_images_are_found_beside_the_table_and_in_images(write_folder: WriteFolder) -> None:
    lines = ["image,Hat", "a.png,1", "sub/b.png,0"]
    for images in (".", "images"):
        source = FolderSource(write_folder(lines, name=f"in{images}", images=images))
        assert [source.load(k).size for k in range(2)] == [(24, 32)] * 2


@pytest.mark.parametrize("name", ["attributes.tsv", "labels.csv", "labels.TSV"])
def test_the_table_is_found_under_other_names(write_folder: WriteFolder, name: str) -> None:
    tab = "\t" if name.lower().endswith("tsv") else ","
    root = write_folder([tab.join(r) for r in (["image", "Hat"], ["a.png", "1"], ["b.png", "0"])], table=name)
    assert FolderSource(root).labels.tolist() == [[1], [0]]


def test_two_tables_are_one_too_many(folder: Path) -> None:
    (folder / "attributes.csv").rename(folder / "one.csv")
    (folder / "two.csv").write_text("image,Hat\n")
    with pytest.raises(LomitError, match=r"2 tables \(one.csv, two.csv\); call the right one attributes.csv"):
        FolderSource(folder)


def test_a_table_without_its_images(tmp_path: Path) -> None:
    read(tmp_path, "image,Hat", "gone.png,1")
    with pytest.raises(LomitError, match="none of its images is there; the first is 'gone.png'"):
        FolderSource(tmp_path)


def test_the_fingerprint_follows_the_images(folder: Path) -> None:
    before = FolderSource(folder).fingerprint
    assert FolderSource(folder).fingerprint == before
    Image.new("RGB", (8, 8)).save(folder / "images" / "03.png")
    assert FolderSource(folder).fingerprint != before


def test_groups_and_true_masks_from_dataset_json(folder: Path) -> None:
    info = {"groups": [["Smiling", "Hat"]], "regions": ["hat", "mouth"], "region_of": {"Hat": ["hat"]}}
    (folder / "dataset.json").write_text(json.dumps(info))
    (folder / "regions").mkdir()
    bits = np.zeros((32, 24), dtype=np.uint8)
    bits[:10], bits[5:20, 3:9] = 1, bits[5:20, 3:9] | 2
    bits[5:10, 3:9] = 3
    Image.fromarray(bits).save(folder / "regions" / "01.png")
    source = FolderSource(folder)
    assert source.groups == (("Smiling", "Hat"),)
    assert source.region_names == ("hat", "mouth")
    assert source.region_of == {"Hat": ("hat",)}
    masks = source.regions(1)
    assert (masks["hat"].sum(), masks["mouth"].sum()) == (10 * 24, 15 * 6)
    assert (masks["hat"] & masks["mouth"]).sum() == 5 * 6
    assert source.regions(2) == {}  # no file: not every image needs one


def test_region_bits_go_there_and_back() -> None:
    rng = np.random.default_rng(0)
    names = [f"r{k}" for k in range(8)]
    masks = {n: rng.random((5, 7)) < 0.5 for n in names}
    back = unpack_regions(pack_regions(masks, names), names)
    assert all(np.array_equal(masks[n], back[n]) for n in names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        ("[]", "expected an object"),
        ('{"groups": ["Hat"]}', "'groups' must be a list of lists"),
        ('{"regions": [1, 2]}', "'regions' must be a list of at most 8 names"),
        (json.dumps({"regions": list("abcdefghi")}), "'regions' must be a list of at most 8 names"),
        ('{"regions": ["hat"], "region_of": {"Hat": ["hut"]}}', "'region_of' must give some of 'regions'"),
    ],
)
def test_a_wrong_dataset_json(folder: Path, text: str, message: str) -> None:
    (folder / "dataset.json").write_text(text)
    with pytest.raises(LomitError, match="dataset.json") as caught:
        FolderSource(folder)
    assert message in str(caught.value)
