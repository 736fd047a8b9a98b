"""An analysis as text, as JSON and as files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from lomit.apps.study.analysis import Analysis, Share, counted
from lomit.apps.study.definition import StudyFolder
from lomit.apps.study.design import REAL
from lomit.apps.study.figure import FORMATS, draw_figure
from lomit.apps.study.results import answers_csv, panel_csv
from lomit.apps.study.store import AnswerStore, Sort
from lomit.errors import LomitError
from lomit.images import write_bytes, write_file
from lomit.stats.estimate import MARK, markdown_table

RESULTS, TABLE, ANSWERS, FIGURE = "study.json", "study.md", "answers.csv", "figure7"


def check_new(folder: StudyFolder, out: Path | None, panel: Path | None, json: Path | None, overwrite: bool) -> None:
    """Raises `LomitError` where results can't go to a folder, or a panel's names or the JSON to a file."""
    folder.require_outside(out=out, panel=panel, json=json)
    if panel is not None and not folder.study.external_id:
        raise LomitError("--panel: this study stores no names of a panel; lomit study build --external-id does")
    names = (RESULTS, TABLE, ANSWERS, *(f"{FIGURE}.{kind}" for kind in FORMATS))
    wanted = [] if out is None else [out / name for name in names]
    wanted += [path for path in (panel, json) if path is not None]
    for path in (panel, json):
        if path is not None and [each.resolve() for each in wanted].count(path.resolve()) > 1:
            raise LomitError(f"two results would be written to {path}; choose another place for one")
    there = [path for path in wanted if os.path.lexists(path)]
    if there and not overwrite:
        raise LomitError(f"{there[0]} exists already; choose another place or add --overwrite")


def write_results(
    analysis: Analysis, folder: StudyFolder, store: AnswerStore, sort: Sort, out: Path, overwrite: bool
) -> None:
    """Writes the figure, the tables, every answer, and `study.json`, which `lomit report --study` reads."""
    draw_figure(analysis, out / FIGURE, overwrite)
    texts = {
        TABLE: to_markdown(analysis),
        ANSWERS: answers_csv(folder, store, sort, analysis.least_checks),
        RESULTS: to_json_text(analysis),
    }
    for name, text in texts.items():
        write_bytes(out / name, text.encode(), overwrite)


def write_panel(folder: StudyFolder, store: AnswerStore, path: Path, overwrite: bool) -> None:
    """Writes the panel's names, for their owner's eyes alone."""

    def save(file: BinaryIO) -> None:
        os.chmod(file.name, 0o600)
        file.write(panel_csv(folder, store).encode())

    write_file(path, save, overwrite)


def to_json_text(analysis: Analysis) -> str:
    """`to_json` as the text of a file."""
    return json.dumps(to_json(analysis), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_markdown(analysis: Analysis) -> str:
    """Tables for reading."""
    who = f"{'simulated ' if analysis.simulated else ''}participant{'s' if len(analysis.included) != 1 else ''}"
    lines = [f"**{MARK}**", ""] if analysis.simulated else []
    lines += [
        f"{len(analysis.included)} {who} counted, {analysis.unfinished} of them unfinished; "
        f"{len(analysis.excluded)} excluded "
        f"(fewer than {100 * analysis.least_checks:.0f} % of the attention checks right).",
        "",
    ]
    header = ["question", "chosen", "share, %", "Wilson 95 %", "over participants 95 %"]
    header += ["answers", "p", "p (participants)"]
    lines += _table(header, [_row(share, analysis.simulated) for share in analysis.shares])
    lines += [
        "p: exact binomial test that both are chosen alike, answers taken for independent; p (participants): "
        "t test of the participants' shares. Both are corrected for all rows (Holm).",
        "",
    ]
    for block, ranking in analysis.rankings.items():
        people = ranking.people
        rows = [[_what(name), f"{s:+.3f}", _strengths(people.get(name))] for name, s in ranking.strengths.items()]
        lines += [f"Bradley-Terry, {block}{' (' + MARK + ')' if analysis.simulated else ''}:", ""]
        lines += _table(["", "log strength", "over participants 95 %"], rows)
        if ranking.regularised:
            lines += ["One of them always won or always lost: the strengths are penalised estimates.", ""]
    rows = [
        [block, *(f"{value / 1000:.2f}" for value in times[:3]), str(times[3])]
        for block, times in analysis.times.items()
    ]
    lines += _table(["response time, s", "25 %", "median", "75 %", "answers"], rows)
    if analysis.excluded:
        rows = [[str(p.id), "{} of {}".format(*p.checks)] for p in analysis.excluded]
        lines += _table(["excluded participant", "checks right"], rows)
    return "\n".join(lines).rstrip() + "\n"


def to_json(analysis: Analysis) -> dict[str, Any]:
    """Everything: the counts that `lomit report --study` reads, and beside them the rest."""
    return {
        **counted(analysis),
        "unfinished": analysis.unfinished,
        "least_checks": analysis.least_checks,
        "excluded_participants": [
            {"participant": p.id, "right": p.checks[0], "checks": p.checks[1]} for p in analysis.excluded
        ],
        "shares": [_entry(share) for share in analysis.shares],
        "bradley_terry": {
            block: {
                "log_strengths": dict(ranking.strengths),
                "people": {name: list(two) for name, two in ranking.people.items()},
                "regularised": ranking.regularised,
            }
            for block, ranking in analysis.rankings.items()
        },
        "milliseconds": {
            block: {"low": low, "median": middle, "high": high, "answers": count}
            for block, (low, middle, high, count) in analysis.times.items()
        },
    }  # fmt: skip


def _entry(share: Share) -> dict[str, Any]:
    return {
        **asdict(share.question),
        "chosen": share.hits, "asked": share.asked,
        "wilson": list(share.wilson), "people": None if share.people is None else list(share.people),
        "p": share.p, "p_holm": share.p_holm, "p_people": share.p_people, "p_people_holm": share.p_people_holm,
    }  # fmt: skip


def _row(share: Share, simulated: bool) -> list[str]:
    q = share.question
    value = f"{100 * share.hits / share.asked:.1f}" if share.asked else "–"
    chosen = _cell(q.chosen) + (f" ({MARK})" if simulated else "")
    return [
        _cell(q.question), chosen, value, _range(share.wilson), _range(share.people), str(share.asked),
        _p(share.p_holm), _p(share.p_people_holm),
    ]  # fmt: skip


def _what(name: str) -> str:
    return "a real image" if name == REAL else _cell(name)


def _range(two: tuple[float, float] | None) -> str:
    return "–" if two is None else f"{100 * two[0]:.1f} to {100 * two[1]:.1f}"


def _strengths(two: tuple[float, float] | None) -> str:
    return "–" if two is None else f"{two[0]:+.3f} to {two[1]:+.3f}"


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; none without rows."""
    return [markdown_table([header, *rows]), ""] if rows else []
