"""Splits, people and merging, whatever files the annotations come from."""

from __future__ import annotations

import numpy as np

from lomit.data.source import TEST, TRAIN, UNASSIGNED, VAL, Table, assign_splits, merge_tables, number_people


def table(names: list[str], people: list[str] | None = None, split: list[int] | None = None, **more: object) -> Table:
    n = len(names)
    values = {"attributes": ("Hat",), "labels": np.ones((n, 1), dtype=np.int8), **more}
    parts = np.array(split if split is not None else [UNASSIGNED] * n, dtype=np.int8)
    return Table(names=names, people=people or [""] * n, split=parts, **values)  # type: ignore[arg-type]


def test_a_drawn_split_keeps_people_together_and_has_the_shares() -> None:
    people = [f"person {k // 3}" for k in range(9000)]
    split = assign_splits(table([f"{k}.png" for k in range(9000)], people))
    assert all(len(set(split[k : k + 3])) == 1 for k in range(0, 9000, 3))
    shares = [(split == part).mean() for part in (TRAIN, VAL, TEST)]
    assert np.allclose(shares, [0.85, 0.05, 0.10], atol=0.02)


def test_a_drawn_split_depends_on_nothing_but_the_name() -> None:
    names = [f"{k}.png" for k in range(200)]
    forward = dict(zip(names, assign_splits(table(names)), strict=True))
    backward = dict(zip(names[::-1], assign_splits(table(names[::-1])), strict=True))
    assert forward == backward
    alone = assign_splits(table(names[50:60]))
    assert [forward[n] for n in names[50:60]] == alone.tolist()


def test_an_image_without_split_goes_where_its_person_is() -> None:
    people = ["ann"] * 20 + ["bob"] * 20
    split = [TEST, *[UNASSIGNED] * 19, VAL, *[UNASSIGNED] * 19]
    assert assign_splits(table([str(k) for k in range(40)], people, split)).tolist() == [TEST] * 20 + [VAL] * 20


def test_people_are_numbered_and_the_unknown_are_all_different() -> None:
    assert number_people(["12", "7", "12"]).tolist() == [12, 7, 12]
    assert number_people(["zoe", "ann", "zoe"]).tolist() == [1, 0, 1]
    assert number_people(["12", "", "7", ""]).tolist() == [12, 13, 7, 14]
    assert number_people(["", ""]).tolist() == [0, 1]


def test_merge_skips_known_names_and_keeps_people_in_one_split() -> None:
    first = table(["a", "b"], ["ann", "bob"], [TRAIN, TEST])
    # b stands there again; bob's other picture claims to be for training; carl is new; dora says nothing.
    second = table(["b", "c", "d", "e"], ["bob", "bob", "carl", "dora"], [TRAIN, TRAIN, VAL, UNASSIGNED])
    merged, origin = merge_tables([first, second])
    assert merged.names == ["a", "b", "c", "d", "e"]
    assert origin == [(0, 0), (0, 1), (1, 1), (1, 2), (1, 3)]
    assert merged.split.tolist() == [TRAIN, TEST, TEST, VAL, UNASSIGNED]
    assert merged.people == ["ann", "bob", "bob", "carl", "dora"]


def test_merge_fills_attributes_that_one_table_lacks() -> None:
    first = table(["a"], attributes=("Hat", "Smiling"), labels=np.array([[1, 0]], dtype=np.int8))
    second = table(["b"], attributes=("Glasses", "Hat"), labels=np.array([[1, 0]], dtype=np.int8))
    merged, _ = merge_tables([first, second])
    assert merged.attributes == ("Hat", "Smiling", "Glasses")
    assert merged.labels.tolist() == [[1, 0, -1], [0, -1, 1]]
