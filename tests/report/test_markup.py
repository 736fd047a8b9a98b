"""Nothing that is given becomes markup."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from lomit.report.charts import Series, legend, line_chart, scatter, short, ticks
from lomit.report.markup import Html, items, join, paragraph, picture, table, tag
from report.conftest import HOSTILE, Page


def harmless(markup: str) -> bool:
    """Whether the hostile text is only text."""
    page = Page(markup)
    names = {name for name, _ in page.tags}
    return not names & {"script", "img"} and not page.stray and "alert" in markup


@pytest.mark.parametrize(
    "markup",
    [
        tag("p", HOSTILE),
        tag("p", title=HOSTILE),
        join([HOSTILE]),
        paragraph("a", HOSTILE),
        items([HOSTILE]),
        table(HOSTILE, [[HOSTILE]], [[HOSTILE], [HOSTILE, HOSTILE]]),
        line_chart(HOSTILE, [Series([(0, 1), (1, 2)], 0)]),
        scatter(HOSTILE, [(0, 1), (1, 2)], [0, 1]),
        legend([HOSTILE], HOSTILE),
    ],
)
def test_text_is_escaped(markup: Html) -> None:
    assert harmless(markup)
    page = Page(markup)
    assert HOSTILE in page.text or HOSTILE in {value for _, attributes in page.tags for value in attributes.values()}


def test_attributes() -> None:
    assert tag("a", "x", class_="y", aria_label="z", hidden=True, id=None) == '<a class="y" aria-label="z" hidden>x</a>'
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_picture_is_within_the_page() -> None:
    image = Image.new("RGB", (8, 4), (10, 20, 30))
    markup = picture(image, HOSTILE, width=16)
    ((name, attributes),) = Page(markup).tags
    assert (name, attributes["alt"], attributes["width"], attributes["height"]) == ("img", HOSTILE, "16", "8")
    kind, _, data = str(attributes["src"]).partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as read:
        assert read.tobytes() == image.tobytes()
    assert markup == picture(image, HOSTILE, width=16)


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
    page = Page(line_chart("x", [Series(points, 9, dashed=True)]))
    lines = [attributes for name, attributes in page.tags if name == "polyline"]
    assert [line["class"] for line in lines] == ["line c1 dashed"]
    for pair in str(lines[0]["points"]).split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= 320
        assert 0 <= y <= 190
