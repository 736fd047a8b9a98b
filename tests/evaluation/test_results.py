"""Results are read back as they were written, and other files are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lomit.errors import LomitError
from lomit.evaluation.results import Results, Row, read_results
from lomit.stats.estimate import Estimate, number_text
from report.conftest import cell, results_json, row, write_json

HALF, NOTHING = Estimate(0.5, 0.4, 0.6, 10, 5), Estimate(None, None, None, 0, 0)


def test_what_evaluate_writes_is_read_back(tmp_path: Path) -> None:
    rows = [
        Row("iou", "masks", "IoU", {"model": HALF, "floor": NOTHING}, "hair"),
        Row("ca", "CA-attr, %", "gender", {"model": HALF}, "gender", "%", 1, {"LOMIT": 83.9}, "few people"),
    ]
    written = Results({"protocol": "avatars", "counted": "pairs"}, ("a note",), rows)
    (tmp_path / "results.json").write_text(written.to_json())
    found = read_results(tmp_path / "results.json")
    assert found.rows == rows
    assert found.notes == ["a note"]
    assert found.fact("protocol") == "avatars"
    assert found.fact("versions", "nothing", "deeper") is None
    assert found.row("iou", "hair") == rows[0]
    assert found.row("iou") is None


def test_table_for_people() -> None:
    rows = [
        Row("iou", "masks", "IoU", {"model": HALF, "floor": NOTHING}),
        Row("ca", "CA-attr, %", "gender", {"model": HALF}, "gender", "%", 1, {"LOMIT": 83.9}, "few people"),
        Row("change", "kept", "change", {"model": replace(HALF, low=None), "plain": HALF}, "", "0..255", 2),
    ]
    facts = {"counted": "pairs", "interval": {"over": "images"}}
    lines = Results(facts, ("a note",), rows).to_markdown().splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    assert cells == [
        ["masks", "model", "floor", "pairs", "images"],
        ["IoU", "0.500 [0.400, 0.600]", "–", "10", "5"],
        ["CA-attr, %", "model", "LOMIT (paper)", "pairs", "images"],
        ["gender †", "0.5 [0.4, 0.6]", "83.9", "10", "5"],
        ["kept", "model", "m = 1", "pairs", "images"],
        ["change, 0..255", "0.50", "0.50 [0.40, 0.60]", "10", "5"],
    ]
    assert lines[-2:] == ["- † few people", "- a note"]
    assert number_text(None, 0.1, 0.2, 1) == "–"


def read(tmp_path: Path, values: Any) -> Results:
    """From values, or from the file's text."""
    path = write_json(tmp_path / "results.json", values)
    if isinstance(values, str) and values.startswith("{"):
        path.write_text(values)
    return read_results(path)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ("text", "expected an object with keys, found str"),
        ({}, "has the schema None; this lomit reads 2"),
        ({"schema": 1}, "has the schema 1; this lomit reads 2: evaluate again"),
        ({"schema": 2}, "is not what lomit evaluate writes"),
        (results_json([{"section": "x"}]), "result 1: the key 'measure' is missing"),
        (results_json([row("a") | {"cells": None}]), "result 1.cells: expected an object with keys, found 'None'"),
        (results_json([row("a", mine=cell())]), "has a column 'mine'; known: model, plain"),
        (results_json([row("a", model=3)]), "result 1.cells.model: expected an object with keys"),  # type: ignore[arg-type]
        (results_json([row("a") | {"digits": "x"}]), "result 1.digits: expected int, found 'x'"),
        (results_json([row("a", model=cell("many"))]), "result 1.cells.model.value: expected float, found 'many'"),  # type: ignore[arg-type]
        (results_json([row("a", model={"value": 1})]), "result 1.cells.model: the key 'low' is missing"),
        (results_json([row("a", model=cell(float("nan")))]), "NaN is no number in JSON"),
        (results_json([row("a", model=cell(10**400))]), "a number of 401 digits; 20 are the most"),
        ('{"schema": 2, "results": [1e999]}', "1e999 is too large"),
        (results_json([row("a", digits=5000, model=cell())]), "1: 'digits' must lie between 0 and 20, not 5000"),
        (results_json([row("a", digits=-1, model=cell())]), "1: 'digits' must lie between 0 and 20, not -1"),
        (results_json([row("a", model=cell() | {"people": -1})]), "model: 'samples' and 'people' must not be negative"),
        (results_json([row("a", model=cell()), row("b")]), "result 2 has no cells"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, values: Any, says: str) -> None:
    with pytest.raises(LomitError) as raised:
        read(tmp_path, values)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_only_equal_terms_are_compared(tmp_path: Path) -> None:
    def of(**facts: Any) -> Results:
        return read(tmp_path, results_json([], **facts))

    assert of().comparable(of())
    for facts in (
        {"protocol": "masks"},
        {"seed": 3},
        {"data": {"name": "faces", "split": "val"}},
        {"classifier": {"sha256": "other"}},
        {"labels": {"sha256": "some"}},
        {"lpips": {"sha256": "some"}},
        {"modes": ["Smiling"]},
        {"draws": {"pairs": {"pairs_sha256": "other"}}},
    ):
        assert not of(**facts).comparable(of()), json.dumps(facts)


def test_classes_with_other_pairs_are_not_compared(tmp_path: Path) -> None:
    def of(**draws: str) -> Results:
        return read(tmp_path, results_json([], draws={name: {"pairs_sha256": sha} for name, sha in draws.items()}))

    assert of(gender="a", hat="b").comparable(of(gender="a", smile="c"))
    assert not of(gender="a", hat="b").comparable(of(gender="x", hat="b"))
    assert read(tmp_path, results_json([], draws={"gender": "a"})).draws == {"gender": "None"}
