"""`lomit study`: what is done with a study that was built, what its answers say, and how many are needed."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from lomit.apps.study.definition import read_folder
from lomit.apps.study.store import AnswerStore, Sort
from lomit.apps.web import base_url, check_url, listening, serve
from lomit.commands.groups import WritesJson
from lomit.commands.options import named, positional
from lomit.errors import LomitError, at_least, require, within


@dataclass
class StudyServe:
    """Serve a study to participants.

    Prints the link by which people take part, and the owner's page.  Stops with Ctrl-C; nothing that was acknowledged
    is ever lost.  For the internet put a reverse proxy with TLS before it; see docs/study-serving.md.
    """

    study: Path = field(metadata=positional("DIR"))
    """Folder of the study."""
    host: str = "127.0.0.1"
    """Where to listen; the default is reached from this machine (and its reverse proxy) alone."""
    port: int = 8765
    """Port; 0 takes a free one."""
    url: str | None = None
    """Address under which participants reach it, for the links that are printed."""
    proxy: bool = False
    """A reverse proxy on this machine passes requests on: take addresses from its X-Forwarded-For."""
    rate: float = 20.0
    """Requests a second that one participant may make in the long run."""
    joins: float = 2.0
    """New participants a second from one address, in the long run; raise it for a lecture hall behind one address."""

    def main(self) -> int:
        for name in ("rate", "joins"):
            if getattr(self, name) <= 0:
                raise LomitError(f"--{name} must be above 0; it is {getattr(self, name):g}")
        from lomit.apps.study.server import create_app, require_server

        check_url(self.url)
        require_server()
        folder = read_folder(self.study)
        folder.require_images()
        with listening(self.host, self.port) as bound, contextlib.closing(AnswerStore(folder)) as store:
            base = (self.url or base_url(bound, self.host)).rstrip("/")
            print(f"take part:    {base}/join/{folder.access.join}\nowner's page: {base}/owner", flush=True)
            print("personal links: lomit study invite; Ctrl-C stops the server", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                serve(create_app(folder, store, self.rate, self.joins), bound, self.proxy)
        print("stopped")
        return 0


@dataclass
class StudyInvite:
    """Make personal links, each for one participant.

    Prints one link a line; they are shown only now.  Works while the study is served.
    """

    study: Path = field(metadata=positional("DIR"))
    """Folder of the study."""
    count: int = 1
    """How many."""
    url: str = "http://127.0.0.1:8765"
    """Address under which participants reach the study."""

    def main(self) -> int:
        within(1, 100_000, count=self.count)

        check_url(self.url)
        with contextlib.closing(AnswerStore(read_folder(self.study))) as store:
            for _ in range(self.count):
                print(f"{self.url.rstrip('/')}/s/{store.invite()}/")
        return 0


@dataclass
class StudyPreview:
    """Show everything of a study on one page, with the key."""

    study: Path = field(metadata=positional("DIR"))
    """Folder of the study."""
    out: Path
    """HTML file to write."""
    list: int = 1
    """Which list."""
    overwrite: bool = False
    """Replace a page that is there."""

    def main(self) -> int:
        from lomit.apps.study.pages import preview_page
        from lomit.images import write_bytes

        folder = read_folder(self.study)
        folder.require_outside(out=self.out)
        within(1, folder.study.lists, list=self.list)
        folder.require_images()
        write_bytes(self.out, preview_page(folder, self.list - 1).encode(), self.overwrite)
        print(f"written to {self.out}; it holds the key: keep it from participants")
        return 0


@dataclass
class StudySimulate:
    """Add participants that a program plays.

    Their answers are marked wherever they appear and are never counted with people's.
    """

    study: Path = field(metadata=positional("DIR"))
    """Folder of the study."""
    participants: int = 40
    """How many."""
    strengths: tuple[str, ...] = field(default=(), metadata=named("NAME=S ..."))
    """Log strength of a model, or of `real`, by Bradley and Terry; 0 where not given."""
    careless: float = 0.0
    """Share of participants who toss coins."""
    seed: int = 0
    """Draws the answers."""

    def main(self) -> int:
        within(1, 100_000, participants=self.participants)
        within(0, 1, careless=self.careless)
        at_least(0, seed=self.seed)
        strengths = dict(_strength(word) for word in self.strengths)
        from lomit.apps.study.simulate import simulate

        folder = read_folder(self.study)
        with contextlib.closing(AnswerStore(folder)) as store:
            simulate(folder, store, self.participants, strengths, self.careless, self.seed)
        analyse = shlex.join(("lomit", "study", "analyse", str(self.study), "--simulated"))
        print(f"added {self.participants} simulated participants; {analyse}")
        return 0


def _strength(word: str) -> tuple[str, float]:
    name, _, value = word.rpartition("=")
    try:
        strength = float(value)
        if name and abs(strength) <= 20:
            return name, strength
    except ValueError:
        pass
    raise LomitError(f"--strengths needs NAME=S with a number from -20 to 20; it has '{word}'")


@dataclass
class StudyAnalyse(WritesJson):
    """What the answers say.

    Shares with Wilson intervals, exact binomial tests corrected for their number, intervals and tests over
    participants, the ranking, excluded participants, response times.  Prints tables; --out keeps them with every
    answer as CSV, the figure, and study.json, which `lomit report --study` reads.  Works while the study is served.
    """

    study: Path = field(metadata=positional("DIR"))
    """Folder of the study."""
    out: Path | None = None
    """Folder for study.json, study.md, answers.csv and figure7.png, .pdf, .svg."""
    panel: Path | None = None
    """File for the panel's names, each with what the participant did, for paying people; see docs/study-serving.md."""
    simulated: bool = False
    """Analyse simulated answers; everything is marked."""
    least_checks: float | None = None
    """Share of the attention checks that an included participant answered rightly; by default the study's own."""
    seed: int = 0
    """Of the bootstrap."""
    json: Path | None = None
    """File for the analysis as JSON; `-` prints it in place of the tables."""
    overwrite: bool = False
    """Replace an analysis that is in the folder."""

    def main(self) -> int:
        within(0, 1, least_checks=self.least_checks)
        at_least(0, seed=self.seed)
        from lomit.apps.study.analysis import analyse
        from lomit.apps.study.written import RESULTS, check_new, to_json_text, to_markdown, write_panel, write_results

        folder = read_folder(self.study)
        out, panel = self.out, self.panel
        check_new(folder, out, panel, None if self.prints_json else self.json, self.overwrite)
        sort: Sort = "simulated" if self.simulated else "person"
        with contextlib.closing(AnswerStore(folder)) as store:
            analysis = analyse(folder, store, sort, self.least_checks, self.seed)
            if out is not None:
                write_results(analysis, folder, store, sort, out, self.overwrite)
            if panel is not None:
                write_panel(folder, store, panel, self.overwrite)
        self.write_json(to_json_text(analysis))
        if not self.prints_json:
            print(to_markdown(analysis), end="" if out is None else "\n")
        if out is not None:
            self.say(
                f"written to {out}; the report's Figure 7: lomit report ... --study {shlex.quote(str(out / RESULTS))}"
            )
        return 0


@dataclass
class StudyPlan:
    """How many participants a difference needs.

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

    def main(self) -> int:
        at_least(0, seed=self.seed)
        within(100, 1_000_000, studies=self.studies)
        within(1, 100_000, participants=self.participants)
        within(1, 1_000, trials=self.trials)
        from lomit.apps.study.power import FALSE_ALARMS, Need, Power, participants_needed, power_table, simulate_power

        require("planning a study", "apps", "scipy")
        need = Need(self.share, self.trials, self.spread, self.alpha, self.tests)
        best: Power | None
        if self.participants is not None:
            best = simulate_power(need, self.participants, self.studies, self.seed)
            tried = [best]
        else:
            best, tried = participants_needed(need, self.power, self.studies, self.seed)
            if best is None:
                raise LomitError(
                    f"{tried[-1].participants} participants are not enough (power {100 * tried[-1].people:.0f} %); ask "
                    "them more with --trials, or look for a larger difference with --share"
                )
        print(power_table(need, tried))
        if self.participants is None:
            print(
                f"\n{best.participants} participants: both tests find the difference "
                f"in {100 * self.power:.0f} % of studies"
            )
        if best.false > 1.5 * need.level:
            print(FALSE_ALARMS)
        return 0
