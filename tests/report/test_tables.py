"""Table 1, measures and ablations from results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lomit.evaluation.classes import TABLE_1, papers_name
from lomit.evaluation.results import Results, read_results
from lomit.models.lomit.config import LossWeights
from lomit.models.registry import read_saved_config
from lomit.report.tables import ablations, classes_of, comparable, measures, table_1
from report.conftest import Page, cell, part, results_json, row, shown, write_json


def read(tmp_path: Path, values: Any) -> Results:
    return read_results(write_json(tmp_path / "results.json", values))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Male", "gender"),
        ("Goatee + Mustache + No_Beard", "facial hair"),
        ("Goatee + Male", "facial hair + gender"),
        ("Heavy_Makeup + Wearing_Lipstick", "makeup + wearing lipstick"),
        ("facial hair + Smiling", "facial hair + Smiling"),
        ("Smiling", "Smiling"),
    ],
)
def test_classes_get_the_papers_names(name: str, expected: str) -> None:
    assert papers_name(name) == expected


def test_rows_of_table_1_are_found(tmp_path: Path) -> None:
    rows = [
        row("ca", "Male", model=cell(80.0)),
        row("ca", "Goatee + Male", model=cell(70.0)),
        row("is", "Male", "nats", model=cell(0.25)),
        row("is_exp", "Male", "", model=cell(1.3)),
        row("is_std", "Male", "", model=cell(0.3)),
        row("cis", "Male", "nats", model=cell(0.1)),
        row("ca_with_Smiling", "Male", model=cell(1.0)),
        row("accuracy", "Hat", model=cell(90.0)),
        row("changed_each", model=cell(91.0)),
        row("change_target", unit="0..255", model=cell()),
    ]
    found = classes_of([read(tmp_path, results_json(rows))])
    values = {(name, k): r.cells["model"].value for name, scores in found.items() for k, r in scores.items()}
    assert values == {
        ("gender", "ca"): 80,
        ("facial hair + gender", "ca"): 70,
        ("gender", "is"): 0.25,
        ("Hat", "ca"): 90,
    }


def test_table_1_has_the_papers_numbers_beside_ours(tmp_path: Path) -> None:
    rows = [row("ca", "Male", model=cell(81.25), floor=cell(1.5), ceiling=cell(98.5))]
    text = shown(
        table_1([("ours", read(tmp_path, results_json(rows))), ("other", read(tmp_path, results_json([])))])
    ).text
    for methods in TABLE_1.values():
        for printed in methods.values():
            assert f"{printed.score:.4f}" in text
            assert f"std {printed.std:.2f}" in text
            assert f" {printed.accuracy:.1f} " in text
    for ours in ("81.2", "40.0 to 60.0", "n = 200, 150 people", " 1.5 ", " 98.5 ", "ours: section of ca"):
        assert ours in text
    assert "other" not in text.split("Measures by their full names")[0].split("class")[0]
    assert table_1([("other", read(tmp_path, results_json([])))]) == []
    nobody = read(tmp_path, results_json(rows, interval={"over": "images"}))
    assert "n = 200, 150 images" in shown(table_1([("ours", nobody)])).text


def test_single_attributes_of_another_protocol_stand_behind(tmp_path: Path) -> None:
    rows = [
        row("ca", "gender", model=cell(80.0), flag="few people"),
        row("is", "gender", "nats", 4, model=cell(0.25)),
        row("is_std", "gender", "nats", 2, model=cell(0.11)),
    ]
    table1 = read(tmp_path, results_json(rows, protocol="table1"))
    single = [row("accuracy", "Hat", model=cell(90.0)), row("accuracy", "Male", model=cell(44.4))]
    text = shown(table_1([("ours", read(tmp_path, results_json(single))), ("ours", table1)])).text
    assert "0.2500" in text
    assert "90.0" in text
    for left_out in ("0.1100", "0.11 ", "44.4"):
        assert left_out not in text
    assert text.count("†") == 2, "the number, and the reason"
    assert "† few people" in text


def test_only_what_can_be_compared_stands_in_one_table(tmp_path: Path) -> None:
    rows = [row("iou", unit="", digits=3, model=cell(0.5, 0.4, 0.6))]
    one, two = read(tmp_path, results_json(rows)), read(tmp_path, results_json(rows, protocol="photos"))
    together, apart = (part(measures([("a", one), ("b", other)])) for other in (one, two))
    assert together.count("<table") == 1
    assert "can't be compared" not in Page(together).text
    assert apart.count("<table") == 2
    assert "can't be compared" in Page(apart).text
    assert "0.500" in together
    assert "0.400 to 0.600" in together


def test_groups_of_what_can_be_compared(tmp_path: Path) -> None:
    def of(sha: str) -> Results:
        return read(tmp_path, results_json([], draws={"gender": {"pairs_sha256": sha}}))

    groups = comparable([("one", of("a")), ("two", of("x")), ("three", of("a"))])
    assert [list(group) for group in groups] == [["one", "three"], ["two"]]


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
    rows = part(ablations(list(found.items()), configs)).split("<tr>")[2:]
    assert [name in line for line, name in zip(rows, ("full", "full, m = 1", "plain AdaIN", "without R1"), strict=True)]
    for line, value in zip(rows, ("61.0", "33.3", "60.0", "62.0"), strict=True):
        assert value in line
    assert ablations([("whole", found["whole"])], configs) == []
    assert ablations(list(found.items()), dict.fromkeys(found)) == []
