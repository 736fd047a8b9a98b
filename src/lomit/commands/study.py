"""`lomit study serve`, `invite`, `preview` and `simulate`: what is done with a study that was built."""

from __future__ import annotations

import contextlib
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from lomit.apps.study.definition import read_folder
from lomit.apps.study.store import AnswerStore
from lomit.apps.web import base_url, check_url, listening, serve
from lomit.commands.options import named, positional
from lomit.errors import LomitError, at_least, within


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
        if os.path.lexists(self.out) and not self.overwrite:
            raise LomitError(f"{self.out} exists already; add --overwrite to replace it")
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
