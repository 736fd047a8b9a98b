"""Figure 7 from counted answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lomit.errors import LomitError
from lomit.report.figure7 import figure_7, read_study
from lomit.stats.estimate import MARK, wilson
from report.conftest import HOSTILE, Page, shown, write_json

STUDY: dict[str, Any] = {
    "study": 1,
    "simulated": False,
    "participants": 12,
    "realism": [{"model": "ours", "chosen": 30, "shown": 120}],
    "comparisons": [{"question": HOSTILE, "models": ["ours", "DRIT"], "chosen": [90, 30]}],
}


def figure(tmp_path: Path, **more: Any) -> Page:
    return shown(figure_7(read_study(write_json(tmp_path / "study.json", STUDY | more))))


def test_answers_stand_beside_the_papers(tmp_path: Path) -> None:
    page = figure(tmp_path)
    for text in ("12 participants", "25.0", "18.1 to 33.4", "75.0", "25.6", "67.7 : 32.3", "96.7 : 3.2", HOSTILE):
        assert text in page.text
    assert "simulated" not in page.text
    assert not {"script", "img"} & {name for name, _ in page.tags}


def test_simulated_answers_are_marked_at_every_number(tmp_path: Path) -> None:
    assert figure(tmp_path, simulated=True).text.count(MARK) == 3
    assert "12 simulated participants" in figure(tmp_path, simulated=True).text


def test_what_takes_participants_as_the_unit_stands_beside(tmp_path: Path) -> None:
    plain = figure(tmp_path)
    assert "over participants" not in plain.text.lower()
    entry = STUDY["realism"][0] | {"people": [0.125, 0.375], "p": 0.00001}
    page = figure(tmp_path, realism=[entry], excluded=3)
    for text in ("12 participants; 3 more are not counted.", "over participants", "12.5 to 37.5", "< 0.0001"):
        assert text in page.text, text
    cells = [name for name, _ in page.tags if name in ("th", "td")]
    assert len(cells) > len([name for name, _ in plain.tags if name in ("th", "td")])


def test_intervals_are_wilsons() -> None:
    stats = pytest.importorskip("scipy.stats")
    for hits, trials in ((0, 10), (3, 10), (10, 10), (77, 1000)):
        expected = stats.binomtest(hits, trials).proportion_ci(method="wilson")
        assert wilson(hits, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"study": 2}, "'study' must be 1"),
        ({"simulated": None}, "'simulated' must be true or false: say whether people gave the answers"),
        ({"participants": -1}, "'participants' and 'excluded' must not be negative"),
        ({"participants": 1.5}, "participants: expected int, found '1.5'"),
        ({"excluded": -1}, "'participants' and 'excluded' must not be negative"),
        ({"realism": [STUDY["realism"][0] | {"people": [0.1]}]}, "realism[1].people: expected 2 values, found 1"),
        ({"realism": [STUDY["realism"][0] | {"people": [10, 30]}]}, "must lie between 0 and 1, not 10, 30"),
        ({"comparisons": [STUDY["comparisons"][0] | {"p": 2}]}, "must lie between 0 and 1, not 2"),
        (
            {"comparisons": [STUDY["comparisons"][0] | {"chosen": [-4, 2]}]},
            "'chosen' must not be negative, as it is of ours and DRIT",
        ),
        ({"participants": 10**30}, "a number of 31 digits; 20 are the most"),
        ({"realism": {}}, "realism: expected a list"),
        ({"realism": [{"chosen": 1}]}, "realism[1]: the key 'model' is missing"),
        (
            {"realism": [{"model": "x", "chosen": 3, "shown": 2}]},
            "'x' can't be chosen 3 times where it was shown 2 times",
        ),
        ({"comparisons": [{"question": "?", "models": ["a"], "chosen": [1, 2]}]}, "models: expected 2 values, found 1"),
        (
            {"comparisons": [{"question": "?", "models": ["a", "b"], "chosen": [1]}]},
            "chosen: expected 2 values, found 1",
        ),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, more: dict[str, Any], says: str) -> None:
    with pytest.raises(LomitError) as raised:
        figure(tmp_path, **more)
    assert says in str(raised.value)
