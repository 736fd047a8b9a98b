"""`lomit study analyse` and `lomit study plan`: what the answers say, and how many are needed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lomit.commands.options import parse
from lomit.commands.study import folder_of, study_first
from lomit.errors import LomitError


@dataclass
class StudyAnalyseOptions:
    """What the answers say: usage `lomit study analyse DIR [--out DIR] [OPTIONS]`.

    Shares with Wilson intervals, exact binomial tests corrected for their number, intervals and tests over
    participants, the ranking, excluded participants, response times.  Prints tables; --out keeps them with every
    answer as CSV, the figure, and study.json, which `lomit report --study` reads.  Works while the study is served.
    """

    study: str | None = None
    """Folder of the study, where it does not stand first."""
    out: str | None = None
    """Folder for study.json, study.md, answers.csv and figure7.png, .pdf, .svg."""
    panel: str | None = None
    """File for the panel's names, each with what the participant did, so that people can be paid; see docs/study.md."""
    simulated: bool = False
    """Analyse simulated answers; everything is marked."""
    least_checks: float | None = None
    """Share of the attention checks that an included participant answered rightly; by default the study's own."""
    seed: int = 0
    """Of the bootstrap."""
    json: bool = False
    """Print JSON instead of the tables."""
    overwrite: bool = False
    """Replace an analysis that is in the folder."""


@dataclass
class StudyPlanOptions:
    """How many participants a difference needs: usage `lomit study plan --share 0.6 [OPTIONS]`.

    Simulates studies and prints the power of the exact binomial test of the answers and of the test of the
    participants' shares; the number that is asked for is the smallest with which both find the difference often enough.
    """

    share: float = 0.6
    """How often the better one is really chosen; the paper's style question had 0.66 to 0.68."""
    trials: int = 10
    """Questions of a participant about these two."""
    spread: float = 0.1
    """Standard deviation of the participants' own shares: people differ. 0: all are alike."""
    power: float = 0.8
    """How often a study shall find the difference."""
    alpha: float = 0.05
    """Level of the two-sided test."""
    tests: int = 1
    """Questions that are corrected for; the paper's study with three models has 7."""
    studies: int = 4_000
    """Simulated studies for each number of participants."""
    participants: int | None = None
    """Print the power of this number instead of looking for one."""
    seed: int = 0
    """Of the simulation."""


def run_study_analyse(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return study_analyse(parse(StudyAnalyseOptions, study_first(argv), "lomit study analyse"))


def run_study_plan(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return study_plan(parse(StudyPlanOptions, argv, "lomit study plan"))


def study_analyse(options: StudyAnalyseOptions) -> int:
    """Prints, and with --out writes, the analysis.

    Raises:
        LomitError: for folders and numbers that can't be used, and without answers.
    """
    if options.least_checks is not None and not 0 <= options.least_checks <= 1:
        raise LomitError(f"--least-checks must lie in 0 to 1; it is {options.least_checks:g}")
    if options.seed < 0:
        raise LomitError(f"--seed must not be negative; it is {options.seed}")
    from lomit.apps.study.analysis import analyse
    from lomit.apps.study.definition import read_folder
    from lomit.apps.study.store import AnswerStore, Sort
    from lomit.apps.study.written import RESULTS, check_new, to_json_text, to_markdown, write_panel, write_results

    folder = read_folder(folder_of(options.study))
    out, panel = (None if path is None else Path(path) for path in (options.out, options.panel))
    check_new(folder, out, panel, options.overwrite)
    sort: Sort = "simulated" if options.simulated else "person"
    with contextlib.closing(AnswerStore(folder)) as store:
        if panel is not None:
            write_panel(folder, store, panel, options.overwrite)
        analysis = analyse(folder, store, sort, options.least_checks, options.seed)
        if out is not None:
            write_results(analysis, folder, store, sort, out, options.overwrite)
    print(to_json_text(analysis) if options.json else to_markdown(analysis), end="")
    if out is not None and not options.json:
        print(f"\nwritten to {out}; the report's Figure 7: lomit report ... --study {out / RESULTS}")
    return 0


def study_plan(options: StudyPlanOptions) -> int:
    """Prints how many participants are needed.

    Raises:
        LomitError: for numbers that can't be used, and where no number in reach is enough.
    """
    if options.seed < 0:
        raise LomitError(f"--seed must not be negative; it is {options.seed}")
    for name, least, most in (("studies", 100, 1_000_000), ("participants", 1, 100_000), ("trials", 1, 1_000)):
        value = getattr(options, name)
        if value is not None and not least <= value <= most:
            raise LomitError(f"--{name} must lie in {least} to {most}; it is {value}")
    from lomit.apps.study.inference import require
    from lomit.apps.study.power import FALSE_ALARMS, Need, participants_needed, power_table, simulate_power

    require()
    need = Need(options.share, options.trials, options.spread, options.alpha, options.tests)
    if options.participants is not None:
        found = simulate_power(need, options.participants, options.studies, options.seed)
        tried = [found]
    else:
        best, tried = participants_needed(need, options.power, options.studies, options.seed)
        if best is None:
            raise LomitError(
                f"{tried[-1].participants} participants are not enough (power {100 * tried[-1].people:.0f} %); ask "
                "them more with --trials, or look for a larger difference with --share"
            )
        found = best
    print(power_table(need, tried))
    if options.participants is None:
        print(
            f"\n{found.participants} participants: both tests find the difference "
            f"in {100 * options.power:.0f} % of studies"
        )
    if found.false > 1.5 * need.level:
        print(FALSE_ALARMS)
    return 0
