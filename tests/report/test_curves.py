"""Training curves from logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lomit.errors import LomitError
from lomit.report.curves import POINTS, curves, memorised, read_log, thinned
from report.conftest import part, shown, write_log

LINES = [
    {"step": 20, "G/cyc": 1.0, "D/loss": 2.0, "mask/mean": 0.5, "lr": 1e-4},
    {"step": 40, "G/cyc": 0.5, "D/loss": None, "mask/mean": 0.4, "lr": 1e-4},
    {"step": 40, "warning": "masks are flat"},
    {"step": 40, "val/cyc": 0.7, "val/score": 3.0, "val/mask/mean": 0.45},
]


def test_log_is_read(tmp_path: Path) -> None:
    run = write_log(tmp_path / "run", LINES)
    with (run / "log.jsonl").open("a") as file:
        file.write('{"step": 60, "G/cy')
    log = read_log(run / "log.jsonl")
    assert log.terms["G/cyc"] == [(20, 1.0), (40, 0.5)]
    assert log.terms["D/loss"] == [(20, 2.0)], "what became NaN is left out"
    assert log.warnings == [(40, "masks are flat")]
    assert (log.steps, log.skipped) == (40, 1)


@pytest.mark.parametrize("text", ["no log\n", "[1, 2]\n", '{"loss": 1}\n', "\x00\xff\n"])
def test_what_is_no_log_is_refused(tmp_path: Path, text: str) -> None:
    run = write_log(tmp_path / "run", text)
    with pytest.raises(LomitError, match="is not the log of a training run"):
        read_log(run / "log.jsonl")


def test_one_chart_a_term_and_one_colour_a_run(tmp_path: Path) -> None:
    runs = {"first": write_log(tmp_path / "a", LINES), "second": write_log(tmp_path / "b", LINES[:1])}
    page, markup = shown(curves(runs)), part(curves(runs))
    alts = [str(attributes["aria-label"]) for name, attributes in page.tags if name == "svg"]
    assert alts[0] == "cycle (Eq. 8) by iteration: first ends at 0.5; second ends at 1"
    assert [alt.partition(" by ")[0] for alt in alts] == [
        "cycle (Eq. 8)", "mask, mean", "score that picks the best checkpoint", "learning rate", "D, total"
    ]  # fmt: skip
    first = markup.split("<svg")[1]
    assert [f'class="line c{k}{more}"' in first for k, more in ((0, ""), (0, " dashed"), (1, ""))] == [True] * 3
    assert "masks are flat" in page.text
    assert "unseen pairs" in page.text


def test_a_discriminator_that_knows_its_images_by_heart_shows(tmp_path: Path) -> None:
    lines = [
        {"step": 10, "val/real": 0.0},
        {"step": 20, "D/real": 3.0, "D/fake": -1.0},
        {"step": 20, "val/real": 3.0},
        {"step": 40, "D/real": 4.0, "D/fake": -4.0},
        {"step": 45, "val/real": 0.0},
        {"step": 60, "D/real": 1.0, "D/fake": 2.0},
        {"step": 60, "val/real": 1.0},
    ]
    run = write_log(tmp_path / "run", lines)
    # Nothing before D is trained, nothing where it does not tell real from translated.
    assert memorised(read_log(run / "log.jsonl")) == [(20, 0.0), (45, 0.5)]
    alts = [str(attributes["aria-label"]) for name, attributes in shown(curves({"run": run})).tags if name == "svg"]
    assert alts[0] == "how far D knows its images by heart by iteration: run ends at 0.5"


def test_an_empty_log_has_no_curves(tmp_path: Path) -> None:
    assert curves({"run": write_log(tmp_path / "run", "")}) == []


def test_long_logs_are_averaged() -> None:
    points = [(float(k), float(k % 2)) for k in range(12 * POINTS)]
    thin = thinned(points)
    assert len(thin) == POINTS
    assert {y for _, y in thin} == {0.5}
    assert thin[0][0] == 5.5
    assert thinned(points[:POINTS]) == points[:POINTS]
