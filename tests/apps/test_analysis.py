"""From answers to Figure 7."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lomit.apps.study.analysis import analyse
from lomit.apps.study.design import REAL, alternative
from lomit.apps.study.results import answers_csv, people
from lomit.apps.study.simulate import preference, simulate
from lomit.apps.study.store import Answer, AnswerStore
from lomit.apps.study.trials import order_of
from lomit.apps.study.written import to_json, to_markdown
from lomit.cli import main
from lomit.errors import LomitError
from lomit.report.figure7 import figure_7, read_study
from lomit.report.parts import page
from lomit.stats.estimate import MARK, wilson
from support.studies import MODELS, small_blocks, small_study

pytest.importorskip("scipy")
pytest.importorskip("choix")

STRENGTHS = {"real": 1.5, "ours": 0.8, "MUNIT": 0.3}


@pytest.fixture
def study(tmp_path: Path):
    folder, _ = small_study(tmp_path / "study")
    store = AnswerStore(folder)
    yield folder, store
    store.close()


def answer_all(
    folder, store: AnswerStore, chooses, sort: str = "person", stop: int | None = None, away: bool = False
) -> None:
    """A participant who takes the alternative that `chooses(trial)` names."""
    who = store.find(store.join(sort))  # type: ignore[arg-type]
    trials = folder.key.lists[who.list]
    answers = []
    for position, number in enumerate(order_of(folder, who)[:stop]):
        trial = trials[number]
        side = "left" if alternative(trial.left) == chooses(trial) else "right"
        answers.append(Answer(number, position, side, 1000.0 + position, "pointer", away))
    store.add(who.id, answers)


def whole(trial) -> str:
    """Passes every check; ours over others, real over ours."""
    names = {alternative(trial.left), alternative(trial.right)} - {"spoilt"}
    return next(name for name in (REAL, "ours", *MODELS) if name in names)


def spoilt(trial) -> str:
    names = {alternative(trial.left), alternative(trial.right)}
    return "spoilt" if "spoilt" in names else whole(trial)


def test_counts_by_hand(study) -> None:
    folder, store = study
    for _ in range(3):
        answer_all(folder, store, whole)
    answer_all(folder, store, spoilt)
    answer_all(folder, store, whole, stop=4)
    result = analyse(folder, store, "person")
    assert len(result.included) == 4
    assert [person.id for person in result.excluded] == [4]
    assert result.unfinished == 1
    shares = {(s.question.block, s.question.first, s.question.second): s for s in result.shares}
    assert len(shares) == 7
    style = shares["style", "ours", "DRIT"]
    assert (style.hits, style.asked) == (6, 6)
    assert style.wilson == wilson(6, 6)
    assert style.people == (1, 1)
    assert style.p == pytest.approx(2 / 2**6)
    # The fourth who counts got no further than realism.
    realism = [shares["realism", model, REAL] for model in MODELS]
    assert [s.hits for s in realism] == [0, 0, 0]
    assert 18 < sum(s.asked for s in realism) <= 18 + 3


def test_practice_and_checks_are_not_counted(study) -> None:
    folder, store = study
    answer_all(folder, store, whole)
    result = analyse(folder, store, "person")
    assert sum(s.asked for s in result.shares) == 6 + 4 + 4
    (person,) = people(folder, store, "person")
    assert person.checks == (3, 3)
    assert len(person.choices) == 14 + 3 + 3


def test_checks_decide_by_the_studys_share_or_another(study) -> None:
    folder, store = study
    answer_all(folder, store, spoilt)
    with pytest.raises(LomitError, match="all 1 participants failed the attention checks"):
        analyse(folder, store, "person")
    assert len(analyse(folder, store, "person", least=0.0).included) == 1


def test_times_leave_out_who_was_away(study) -> None:
    folder, store = study
    answer_all(folder, store, whole)
    answer_all(folder, store, whole, away=True)
    times = analyse(folder, store, "person").times
    assert times["realism"][3] == 6
    assert 1000 < times["realism"][1] < 1020


def test_people_and_simulated_are_never_counted_together(study) -> None:
    folder, store = study
    with pytest.raises(LomitError, match="has no answers yet"):
        analyse(folder, store, "person")
    simulate(folder, store, 5, {}, 0.0, 0)
    with pytest.raises(LomitError, match="there are simulated ones: add --simulated"):
        analyse(folder, store, "person")
    answer_all(folder, store, whole)
    answer_all(folder, store, whole, sort="preview")
    assert len(analyse(folder, store, "person").included) == 1
    assert len(analyse(folder, store, "simulated").included) == 5


def test_known_preferences_are_recovered(tmp_path: Path) -> None:
    folder, _ = small_study(tmp_path / "large", blocks=small_blocks(trials=10, checks=2))
    store = AnswerStore(folder)
    simulate(folder, store, 60, STRENGTHS, 0.15, seed=3)
    result = analyse(folder, store, "simulated")
    assert result.excluded, "careless participants fail checks"
    missed = 0
    for share in result.shares:
        true = preference(STRENGTHS, share.question.first, share.question.second)
        assert share.people is not None
        missed += not share.people[0] <= true <= share.people[1]
        assert share.hits / share.asked == pytest.approx(true, abs=0.08)
    assert missed <= 1, "95 % intervals"
    ranking = result.rankings["realism"]
    assert list(ranking.strengths) == ["real", "ours", "MUNIT", "DRIT"]
    assert ranking.strengths["real"] - ranking.strengths["DRIT"] == pytest.approx(1.5, abs=0.3)
    centre = (1.5 + 0.8 + 0.3 + 0) / 4
    true = {name: STRENGTHS.get(name, 0.0) - centre for name in ranking.people}
    assert len(true) == 4
    assert sum(not low <= true[name] <= high for name, (low, high) in ranking.people.items()) <= 1
    assert to_json(result)["bradley_terry"]["realism"]["people"]["ours"] == list(ranking.people["ours"])
    row = f"| ours | {ranking.strengths['ours']:+.3f} | {ranking.people['ours'][0]:+.3f} to "
    assert row in re.sub(" +", " ", to_markdown(result))
    store.close()


def test_simulation_is_seeded(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        folder, _ = small_study(tmp_path / name)
        store = AnswerStore(folder)
        simulate(folder, store, 6, STRENGTHS, 0.3, seed=9)
        found.append(answers_csv(folder, store, "simulated"))
        store.close()
    assert found[0] == found[1]
    with pytest.raises(LomitError, match="'StarGAN' is not compared in this study; known: ours, DRIT, MUNIT, real"):
        simulate(folder, store, 1, {"StarGAN": 1.0}, 0.0, 0)


def test_csv_has_every_answer_and_runs_nothing(tmp_path: Path) -> None:
    names = ("=HYPERLINK(1)", "a,b")
    folder, _ = small_study(tmp_path / "study", models=names)
    store = AnswerStore(folder)
    answer_all(
        folder, store, lambda trial: next(iter({alternative(trial.left), alternative(trial.right)} - {"spoilt"}))
    )
    rows = list(csv.DictReader(io.StringIO(answers_csv(folder, store, "person"))))
    assert len(rows) == len(folder.key.lists[0])
    assert {row["simulated"] for row in rows} == {"0"}
    cells = {value for row in rows for value in row.values()}
    assert "a,b" in cells
    assert not any(cell.startswith("=") for cell in cells)
    assert {row["role"] for row in rows} == {"practice", "main", "check"}
    store.close()


def test_the_report_reads_what_is_written(study, tmp_path: Path) -> None:
    folder, store = study
    simulate(folder, store, 12, STRENGTHS, 0.0, seed=1)
    result = analyse(folder, store, "simulated")
    path = tmp_path / "study.json"
    path.write_text(json.dumps(to_json(result), allow_nan=False))
    read = read_study(path)
    assert read.simulated
    assert read.participants == len(result.included)
    assert read.excluded == len(result.excluded)
    assert [(r.model, r.shown) for r in read.realism] == [(m, 2 * read.participants) for m in MODELS]
    questions = [(c.question, c.models) for c in read.comparisons]
    assert questions == [(s.question.question, (s.question.first, s.question.second)) for s in result.shares[3:]]
    assert read.comparisons[0].people == result.shares[3].people
    shown = page("", figure_7(read), {})
    assert shown.count(MARK) >= 8
    assert "over participants" in shown


def test_marks_of_simulated_answers_are_everywhere(study, tmp_path: Path) -> None:
    folder, store = study
    simulate(folder, store, 8, STRENGTHS, 0.0, seed=1)
    answer_all(folder, store, whole)
    answer_all(folder, store, whole)
    store.close()
    for flag, marked in ((["--simulated"], True), ([], False)):
        out = tmp_path / f"out-{marked}"
        assert main(["study", "analyse", str(folder.path), "--out", str(out), *flag]) == 0
        table = (out / "study.md").read_text()
        assert all((MARK in line) == marked for line in table.splitlines() if line.startswith("| Which"))
        assert table.startswith(f"**{MARK}**") == marked
        assert json.loads((out / "study.json").read_text())["simulated"] is marked
        rows = list(csv.DictReader((out / "answers.csv").open()))
        assert {row["simulated"] for row in rows} == {str(int(marked))}
        drawing = ElementTree.parse(out / "figure7.svg")
        text = " ".join(drawing.getroot().itertext())
        assert text.count(MARK) == (3 if marked else 0)
        assert (MARK.upper() in text) == marked
        # In the picture, too: the mark is the only red there is.
        red, green, blue = np.asarray(Image.open(out / "figure7.png").convert("RGB")).astype(int).transpose(2, 0, 1)
        assert (((red - green > 40) & (abs(green - blue) < 40)).sum() > 500) == marked
        assert (out / "figure7.pdf").read_bytes().startswith(b"%PDF")


def test_tables_name_everything(study) -> None:
    folder, store = study
    answer_all(folder, store, whole)
    answer_all(folder, store, spoilt)
    text = to_markdown(analyse(folder, store, "person"))
    for words in (
        "1 participant counted",
        "1 excluded",
        "ours over a real image",
        "Bradley-Terry",
        "response time",
        "0 of 3",
    ):
        assert words in text, words
    assert MARK not in text


def test_a_panels_names_are_written_where_they_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = small_study(tmp_path / "study", external_id="PANEL_ID")
    store = AnswerStore(folder)
    store.join(external="anna")
    answer_all(folder, store, whole)
    store.close()
    out, panel = tmp_path / "results", tmp_path / "panel.csv"
    modes = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: (modes.append(self.stat().st_mode), replace(self, to))[1])
    words = ["study", "analyse", str(folder.path), "--out", str(out), "--panel", str(panel)]
    assert main(words) == 0
    assert panel.read_text().splitlines()[1].startswith("anna,0,0,")
    assert modes[-1] & 0o077 == 0  # before it stands under its name
    assert panel.stat().st_mode & 0o077 == 0
    assert not any(b"anna" in path.read_bytes() for path in out.iterdir())
    before = panel.read_bytes()
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err
    assert panel.read_bytes() == before


def test_an_analysis_that_fails_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = small_study(tmp_path / "study", external_id="PANEL_ID")
    panel = tmp_path / "panel.csv"
    assert main(["study", "analyse", str(folder.path), "--panel", str(panel)]) == 2
    assert "has no answers yet" in capsys.readouterr().err
    assert not panel.exists()
