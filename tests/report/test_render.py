"""Nothing that is given becomes markup; charts stay within their drawing."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from lomit.report.parts import (
    Cell,
    Charts,
    Head,
    HowTo,
    Notes,
    PagePart,
    PageTable,
    Paragraph,
    Series,
    Sheet,
    line_chart,
    picture,
    scatter,
    short,
    ticks,
)
from report.conftest import HOSTILE, Page, shown

IMAGE = picture(Image.new("RGB", (8, 4), (10, 20, 30)), HOSTILE, width=16)


@pytest.mark.parametrize(
    ("block", "times"),
    [
        (Paragraph((HOSTILE, HOSTILE), "notes", HOSTILE), 3),
        (Notes([HOSTILE]), 1),
        (
            PageTable(
                HOSTILE, [[HOSTILE, Head(HOSTILE, 2)]], [[HOSTILE], [Cell(HOSTILE, (HOSTILE,), "code"), IMAGE]], "x"
            ),
            7,
        ),
        (Charts([line_chart(HOSTILE, HOSTILE, [Series([(0, 1), (1, 2)], 0)])], [HOSTILE], HOSTILE, HOSTILE), 5),
        (Charts([scatter("x", HOSTILE, [(0, 1), (1, 2)], [0, 1])], []), 1),
        (Sheet(HOSTILE, IMAGE), 2),
        (HowTo({HOSTILE: (HOSTILE, HOSTILE)}), 3),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_text_is_escaped(block: PagePart, times: int) -> None:
    page = shown(block)
    allowed = {"img"} if isinstance(block, PageTable | Sheet) else set()
    assert not {name for name, _ in page.tags} & {"script", "img"} - allowed
    assert not page.stray
    attributes = [value for _, values in page.tags for value in values.values() if value == HOSTILE]
    assert page.text.count(HOSTILE) + len(attributes) == times + isinstance(block, PageTable)  # the box has a name, too


def test_picture_is_within_the_page() -> None:
    ((name, attributes),) = [tag for tag in shown(Sheet("x", IMAGE)).tags if tag[0] == "img"]
    assert (name, attributes["alt"], attributes["width"], attributes["height"]) == ("img", HOSTILE, "16", "8")
    kind, _, data = str(attributes["src"]).partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as read:
        assert read.getpixel((0, 0)) == (10, 20, 30)
    assert picture(Image.new("RGB", (8, 4), (10, 20, 30)), HOSTILE, width=16) == IMAGE


def test_a_row_of_one_cell_is_a_heading_over_the_others() -> None:
    page = shown(PageTable("x", [["a", "b"]], [["over"], ["left", "right"]]))
    heads = [attributes for name, attributes in page.tags if name == "th"]
    assert [(h.get("scope"), h.get("colspan")) for h in heads] == [
        ("col", None), ("col", None), ("colgroup", "2"), ("row", None)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.5, 1]), (0, 8000, [0, 2000, 4000, 6000, 8000]), (-0.21, 0.02, [-0.2, -0.1, 0]), (3, 3.9, [3, 3.5])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, 4) == pytest.approx(expected)


def test_numbers_of_an_axis() -> None:
    values = (0, 0.05, 12.0, 2500.0, -0.30000000000000004, 0.00044, 2e6, -3e-7, 1.5e12)
    assert [short(v) for v in values] == ["0", "0.05", "12", "2.5k", "-0.3", "4.4e-4", "2M", "-3e-7", "1.5e12"]


@pytest.mark.parametrize("points", [[(5, 0.25)], [(1, 2), (2, 2)], [(0, -1e-9), (10, 1e9)]])
def test_lines_stay_within_the_drawing(points: list[tuple[float, float]]) -> None:
    page: Page = shown(Charts([line_chart("x", "x", [Series(points, 9, dashed=True)])], []))
    lines = [attributes for name, attributes in page.tags if name == "polyline"]
    assert [line["class"] for line in lines] == ["line c1 dashed"]
    for pair in str(lines[0]["points"]).split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= 320
        assert 0 <= y <= 190
