"""The folder layout: what is understood, and what is refused with the place named."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lomit.data import source as sources
from lomit.data.folder import FolderSource, pack_regions, read_table, unpack_regions
from lomit.data.source import TEST, TRAIN, VAL, Table
from lomit.errors import LomitError

WriteFolder = Callable[..., Path]


def written(tmp_path: Path, *lines: str, name: str = "attributes.csv") -> Path:
    (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / name


def read(tmp_path: Path, *lines: str) -> Table:
    return read_table(written(tmp_path, *lines))[0]


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("+1", "-1"), ("true", "FALSE"), ("Yes", "no"), ("1.0", "0.0")])
def test_every_way_to_say_yes_and_no(tmp_path: Path, yes: str, no: str) -> None:
    table = read(tmp_path, "image,Hat", f"a.png,{yes}", f"b.png,{no}", "c.png,", "d.png,?", "e.png,nan")
    assert table.labels[:, 0].tolist() == [1, 0, -1, -1, -1]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_byte_order_mark_and_blank_lines(tmp_path: Path, delimiter: str) -> None:
    rows = [["\ufeffFilename", "Hat", "Smiling"], ["a.png", "1", "0"], ["", "", ""], ["b.png", "0", "1"]]
    table = read(tmp_path, *(delimiter.join(r) for r in rows))
    assert table.names == ["a.png", "b.png"]
    assert table.attributes == ("Hat", "Smiling")
    assert table.labels.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("header", "rows"),
    [("who,Hat", ["./a.png,1", "sub\\b.png,0"]), ("face,image,Hat", ["a.png,c.png,1", "sub/b.png,d.png,0"])],
)
def test_the_first_column_names_the_images(tmp_path: Path, header: str, rows: list[str]) -> None:
    table = read(tmp_path, header, *rows)
    assert table.names == ["a.png", "sub/b.png"]
    assert table.attributes == ("Hat",)


@pytest.mark.parametrize(
    "other",
    [
        "images/a.png",
        "./images//a.png",
        "sub/../a.png",
        "images/../images/a.png",
        "images\\a.png",
        "{root}/images/a.png",
    ],
)
def test_a_file_under_two_spellings_is_one_image(tmp_path: Path, other: str) -> None:
    (tmp_path / "images").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "images" / "a.png")
    other = other.format(root=tmp_path)
    with pytest.raises(LomitError) as caught:
        read(tmp_path, "image,Hat,split", "a.png,1,train", "b.png,1,train", f"{other},0,test")
    assert f"line 4: '{other}' is already in line 2, as 'a.png'; remove one" in str(caught.value)


UNKNOWN_WORDS = ["", "nan", "NaN", "NA", "n/a", "None", "null", "?", "-", "unknown"]


@pytest.mark.parametrize("word", [*UNKNOWN_WORDS, "-1"])
def test_who_is_not_known_is_nobody(write_folder: WriteFolder, caplog: pytest.LogCaptureFixture, word: str) -> None:
    rows = [f"{k:03d}.png,{k % 2},{word if k % 3 else 'ann'}" for k in range(60)]
    source = FolderSource(write_folder(["image,Hat,identity", *rows]))
    known = [k % 3 == 0 for k in range(60)]
    assert len(set(source.identity[known].tolist())) == 1
    assert len(set(source.identity.tolist())) == 1 + 40  # each of the others is a person of its own
    assert len(set(source.split.tolist())) > 1
    source.report()
    assert caplog.messages == ["who is shown is not known of 40 of 60 images: each counts as a person"]


@pytest.mark.parametrize("word", UNKNOWN_WORDS)
def test_what_is_not_known_is_not_annotated(tmp_path: Path, word: str) -> None:
    table = read(tmp_path, "image,Hat,split", f"a.png,{word},{word}", "b.png,1,test", "c.png,0,train")
    assert table.labels[:, 0].tolist() == [-1, 1, 0]
    assert table.split.tolist() == [-1, TEST, TRAIN]


def test_nobody_known_and_people_in_two_splits_are_said(
    write_folder: WriteFolder, caplog: pytest.LogCaptureFixture
) -> None:
    FolderSource(write_folder(["image,Hat", "a.png,1", "b.png,0"], name="nobody")).report()
    rows = ["a.png,1,ann,train", "b.png,0,ann,test", "c.png,0,bob,train"]
    FolderSource(write_folder(["image,Hat,identity,split", *rows], name="twice")).report()
    assert [line.split(":")[0] for line in caplog.messages] == [
        "who is shown is not known",
        "1 person stands in more than one split",
    ]


def test_split_and_identity_columns(tmp_path: Path) -> None:
    lines = ["image,Hat,Split,identity", "a.png,1,train,ann", "b.png,0,1,bob", "c.png,0,Test,", "d.png,0,,ann"]
    table = read(tmp_path, *lines)
    assert table.attributes == ("Hat",)
    assert table.split.tolist() == [TRAIN, VAL, TEST, -1]
    assert table.people == ["ann", "bob", "", "ann"]


def test_a_column_that_is_no_attribute_is_kept_aside_with_its_place(tmp_path: Path) -> None:
    table = read(tmp_path, "image,Hat,age,note", "a.png,1,1,x", "b.png,0,31,")
    assert table.attributes == ("Hat",)
    assert "line 3, column 'age': '31' is neither" in table.rejected["age"]
    assert "line 2, column 'note': 'x'" in table.rejected["note"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,Hat", "a.png,1", "b.png,0,1"], "line 3: 3 values for 2 columns"),
        (["image,Hat", "a.png,1", "b.png,0", "a.png,0"], "line 4: 'a.png' is already in line 2"),
        (["image,Hat", "a.png,1", ",0"], "line 3, column 'image': no image is named"),
        (["image,Hat", "a\0.png,1"], "line 2, column 'image': no image is named"),
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
    with pytest.raises(LomitError, match="attributes.csv") as caught:
        read(tmp_path, *lines)
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
    written(tmp_path, "image,Hat", "gone.png,1")
    with pytest.raises(LomitError, match="none of its images is there; the first column must name them: 'gone.png'"):
        FolderSource(tmp_path)


def raw(seed: int) -> bytes:
    """An uncompressed picture: always as many bytes."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(file, "BMP")
    return file.getvalue()


def filled(root: Path, content: list[bytes]) -> str:
    """Writes a folder of these files, all of one time; its fingerprint."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    for k, data in enumerate(content):
        path = root / "images" / f"{k:04d}.bmp"
        path.write_bytes(data)
        os.utime(path, ns=(10**18, 10**18))
    rows = [f"{k:04d}.bmp,{k % 2}" for k in range(len(content))]
    written(root, "image,Hat", *rows)
    return FolderSource(root).fingerprint


def test_the_fingerprint_holds_the_folder_and_the_content(tmp_path: Path) -> None:
    first = filled(tmp_path / "a", [raw(0), raw(1)])
    assert filled(tmp_path / "a", [raw(0), raw(1)]) == first
    assert filled(tmp_path / "b", [raw(0), raw(1)]) != first  # another folder
    # The same names, sizes and times, other pixels: all of them, one image, the end of one.
    assert filled(tmp_path / "a", [raw(2), raw(3)]) != first
    assert filled(tmp_path / "a", [raw(0), raw(2)]) != first
    assert filled(tmp_path / "a", [raw(0), raw(1)[:-9] + bytes(9)]) != first
    assert filled(tmp_path / "a", [raw(0), raw(1)]) == first
    (tmp_path / "a" / "images" / "0001.bmp").unlink()
    assert FolderSource(tmp_path / "a").fingerprint != first


def test_of_a_large_set_some_files_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SAMPLED", 10)
    opened: list[Path] = []
    pieces = sources._pieces

    def counted(path: Path, size: int) -> bytes:
        opened.append(path)
        return pieces(path, size)

    monkeypatch.setattr(sources, "_pieces", counted)
    first = filled(tmp_path / "a", [raw(k) for k in range(35)])
    assert len(opened) == 9  # every fourth
    assert filled(tmp_path / "a", [raw(k + 1) for k in range(35)]) != first


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
        ("{", "can't be read as JSON"),
        ("[]", "expected an object"),
        ('{"groups": ["Hat"]}', "'groups' must be a list of lists"),
        ('{"regions": [1, 2]}', "'regions' must be a list of at most 8 names"),
        (json.dumps({"regions": list("abcdefghi")}), "'regions' must be a list of at most 8 names"),
        ("[" * 100_000, "can't be read as JSON"),
        ('{"regions": ["hat"], "region_of": {"Hat": ["hut"]}}', "'region_of' must give some of 'regions'"),
    ],
)
def test_a_wrong_dataset_json(folder: Path, text: str, message: str) -> None:
    (folder / "dataset.json").write_text(text)
    with pytest.raises(LomitError, match="dataset.json") as caught:
        FolderSource(folder)
    assert message in str(caught.value)
