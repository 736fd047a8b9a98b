"""Results read back, Table 1, measures and ablations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lomit.errors import LomitError
from lomit.evaluation.classes import TABLE_1
from lomit.evaluation.results import Report, Row
from lomit.models.base import read_saved_config
from lomit.models.lomit.config import LossWeights
from lomit.report.measures import ablations, comparable, measures
from lomit.report.results import Results, read_results
from lomit.report.table1 import classes_of, paper_class, table_1
from lomit.stats.bootstrap import Estimate
from report.conftest import Page, cell, results_json, row, write_json


def read(tmp_path: Path, values: Any) -> Results:
    return read_results(write_json(tmp_path / "results.json", values))


def test_what_evaluate_writes_is_read_back(tmp_path: Path) -> None:
    rows = [
        Row(
            "masks", "IoU", "", 3, {"model": Estimate(0.5, 0.4, 0.6, 10, 5), "floor": Estimate(None, None, None, 0, 0)}
        ),
        Row(
            "CA-attr, %",
            "gender",
            "%",
            1,
            {"model": Estimate(50, 40, 60, 10, 5)},
            {"LOMIT (paper)": 83.9},
            "few people",
        ),
    ]
    (tmp_path / "results.json").write_text(Report({"protocol": "avatars"}, ("a note",), rows).to_json())
    found = read_results(tmp_path / "results.json")
    assert found.rows == [rows[0], replace(rows[1], quoted={})], "the page has the paper's numbers itself"
    assert found.notes == ["a note"]
    assert found.fact("protocol") == "avatars"
    assert found.fact("versions", "nothing", "deeper") is None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ("text", "expected an object with keys, found str"),
        ({}, "has the schema None; this lomit reads 1"),
        ({"schema": 2}, "has the schema 2; this lomit reads 1: evaluate again"),
        ({"schema": 1}, "is not what lomit evaluate writes"),
        (results_json([{"section": "x"}]), "result 1 needs 'section' and 'name'"),
        (results_json([row("a", "b", model=cell("many"))]), "result 1, 'model'.value: expected a number, found 'many'"),  # type: ignore[arg-type]
        (results_json([row("a", "b", model={"value": 1})]), "'model'.samples: expected a number, found None"),
        (results_json([row("a", "b", model=cell(float("nan")))]), "NaN is no number in JSON"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, values: Any, says: str) -> None:
    with pytest.raises(LomitError) as raised:
        read(tmp_path, values)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Male", "gender"),
        ("Goatee + Mustache + No_Beard", "facial hair"),
        ("Goatee + Male", "facial hair + gender"),
        ("Heavy_Makeup + Wearing_Lipstick", "makeup + wearing lipstick"),
        ("Smiling", "Smiling"),
    ],
)
def test_classes_get_the_papers_names(name: str, expected: str) -> None:
    assert paper_class(name) == expected


def test_rows_of_table_1_are_found(tmp_path: Path) -> None:
    rows = [
        row("Table 1", "CA-attr Male", model=cell(80.0)),
        row("CA-inception-v3, %", "Goatee + Male", model=cell(70.0)),
        row("Table 1", "IS-raw-attr Male", "", model=cell(0.25)),
        row("Table 1", "IS-exp-attr Male", "", model=cell(1.3)),
        row("Table 1", "CIS-raw-attr Male", "", model=cell(0.1)),
        row("attribute accuracy, %", "Hat", model=cell(90.0)),
        row("attribute accuracy, %", "changed, each", model=cell(91.0)),
        row("background kept", "change outside target", "0..255", model=cell()),
    ]
    found = classes_of([read(tmp_path, results_json(rows))])
    values = {(name, k): cells["model"].value for name, f in found.items() for k, cells in f.scores.items()}
    assert values == {
        ("gender", "CA"): 80,
        ("facial hair + gender", "CA"): 70,
        ("gender", "IS-raw"): 0.25,
        ("Hat", "CA"): 90,
    }
    assert found["gender"].names == {"CA": "CA-attr", "IS-raw": "IS-raw-attr"}


def test_table_1_has_the_papers_numbers_beside_ours(tmp_path: Path) -> None:
    rows = [row("Table 1", "CA-attr Male", model=cell(81.25), floor=cell(1.5), ceiling=cell(98.5))]
    markup = table_1([("ours", read(tmp_path, results_json(rows))), ("other", read(tmp_path, results_json([])))])
    assert markup is not None
    text = Page(markup).text
    for methods in TABLE_1.values():
        for printed in methods.values():
            assert f"{printed.score:.4f}" in text
            assert f"std {printed.std:.2f}" in text
            assert f" {printed.accuracy:.1f} " in text
    assert "81.2" in text
    assert "40.0 to 60.0" in text
    assert "n = 200, 150 people" in text
    assert "ours: CA-attr" in text
    assert "other" not in text.split("Measures by their full names")[0].split("class")[0]
    assert table_1([("other", read(tmp_path, results_json([])))]) is None


def test_only_what_can_be_compared_stands_in_one_table(tmp_path: Path) -> None:
    rows = [row("masks", "IoU", "", model=cell(0.5, 0.4, 0.6))]
    one, two = read(tmp_path, results_json(rows)), read(tmp_path, results_json(rows, protocol="photos"))
    together, apart = measures([("a", one), ("b", one)]), measures([("a", one), ("b", two)])
    assert together.count("<table") == 1
    assert "can't be compared" not in Page(together).text
    assert apart.count("<table") == 2
    assert "can't be compared" in Page(apart).text
    assert "0.500" in together
    assert "0.400 to 0.600" in together


def test_results_on_another_split_are_not_compared(tmp_path: Path) -> None:
    def of(**data: str) -> Results:
        return read(tmp_path, results_json([], data={"name": "faces", **data}))

    assert not of(split="val").comparable(of(split="test"))
    assert of().comparable(of(split="test")), "before there was a choice it was the test split"


def test_ablations_have_a_row_each(tmp_path: Path, results_of: Callable[..., dict[str, Any]]) -> None:
    changes: dict[str, dict[str, Any]] = {
        "bare": {"masks": "ones"},
        "whole": {},
        "loose": {"weights": LossWeights(r1=0.0)},
    }
    found = {label: read(tmp_path, results_of(60 + k, **more)) for k, (label, more) in enumerate(changes.items())}
    configs = {
        label: read_saved_config({"method": "lomit", "model": r.facts["model"]["config"]}) for label, r in found.items()
    }
    markup = ablations(list(found.items()), configs)
    assert markup is not None
    rows = markup.split("<tr>")[2:]
    assert [name in line for line, name in zip(rows, ("full", "full, m = 1", "plain AdaIN", "without R1"), strict=True)]
    for line, value in zip(rows, ("61.0", "33.3", "60.0", "62.0"), strict=True):
        assert value in line
    assert ablations([("whole", found["whole"])], configs) is None
    assert ablations(list(found.items()), dict.fromkeys(found)) is None


def test_what_the_protocol_table1_writes(tmp_path: Path) -> None:
    rows = [
        row("CA-attr, %", "gender", model=cell(80.0), flag="few people"),  # type: ignore[arg-type]
        row("IS-raw-attr, nats", "gender", "nats", model=cell(0.25)),
        row("IS-raw-attr, standard deviation over images", "gender", "nats", model=cell(0.11)),
    ]
    table1 = read(tmp_path, results_json(rows, protocol="table1"))
    avatars = read(tmp_path, results_json([row("attribute accuracy, %", "Hat", model=cell(90.0))]))
    markup = table_1([("ours", avatars), ("ours", table1)])
    assert markup is not None
    text = Page(markup).text
    assert "0.2500" in text
    assert "0.1100" not in text
    assert "90.0" in text
    assert text.count("†") == 3, "both numbers, and the reason"
    assert "† few people" in text


def test_classes_with_other_pairs_are_not_compared(tmp_path: Path) -> None:
    def of(**draws: str) -> Results:
        classes = {name: {"pairs_sha256": sha} for name, sha in draws.items()}
        return read(tmp_path, results_json([], pairs_sha256=None, classes=classes))

    assert of(gender="a", hat="b").comparable(of(gender="a", smile="c"))
    assert not of(gender="a", hat="b").comparable(of(gender="x", hat="b"))
    groups = comparable([("one", of(gender="a")), ("two", of(gender="x")), ("three", of(gender="a"))])
    assert [list(group) for group in groups] == [["one", "three"], ["two"]]
