"""`lomit study serve`, `invite`, `preview` and `simulate`: what is done with a study that was built."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lomit.commands.options import parse
from lomit.errors import LomitError
from lomit.images import write_file


@dataclass
class StudyServeOptions:
    """Serve a study to participants: usage `lomit study serve DIR [OPTIONS]`.

    Prints the link by which people take part, and the owner's page.  Stops with Ctrl-C; nothing that was acknowledged
    is ever lost.  For the internet put a reverse proxy with TLS before it; see docs/study.md.
    """

    study: str | None = None
    """Folder of the study, where it does not stand first."""
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


@dataclass
class StudyInviteOptions:
    """Make personal links, each for one participant: usage `lomit study invite DIR --count N`.

    Prints one link a line, told only now.  Works while the study is served.
    """

    study: str | None = None
    """Folder of the study, where it does not stand first."""
    count: int = 1
    """How many."""
    url: str = "http://127.0.0.1:8765"
    """Address under which participants reach the study."""


@dataclass
class StudyPreviewOptions:
    """Everything that a study shows as one page, with the key: usage `lomit study preview DIR --out FILE.html`."""

    study: str | None = None
    """Folder of the study, where it does not stand first."""
    out: str | None = None
    """File to write."""
    list: int = 1
    """Which list."""
    overwrite: bool = False
    """Replace a page that is there."""


@dataclass
class StudySimulateOptions:
    """Add participants that a program plays: usage `lomit study simulate DIR --strengths NAME=S ... [OPTIONS]`.

    Their answers are marked wherever they appear and are never counted with people's.
    """

    study: str | None = None
    """Folder of the study, where it does not stand first."""
    participants: int = 40
    """How many."""
    strengths: tuple[str, ...] = ()
    """NAME=S: log strength of a model, or of `real`, by Bradley and Terry; 0 where not given."""
    careless: float = 0.0
    """Share of participants who toss coins."""
    seed: int = 0
    """Draws the answers."""


def run_study_serve(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return study_serve(parse(StudyServeOptions, study_first(argv), "lomit study serve"))


def run_study_invite(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return study_invite(parse(StudyInviteOptions, study_first(argv), "lomit study invite"))


def run_study_preview(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return study_preview(parse(StudyPreviewOptions, study_first(argv), "lomit study preview"))


def run_study_simulate(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return study_simulate(parse(StudySimulateOptions, study_first(argv), "lomit study simulate"))


def study_first(argv: Sequence[str]) -> list[str]:
    """A first word that is no option is the study's folder."""
    return ["--study", *argv] if argv and not argv[0].startswith("-") else list(argv)


def folder_of(study: str | None) -> str:
    """The study's folder, which must be given."""
    if study is None:
        raise LomitError("give the folder that lomit study build made")
    return study


def study_serve(options: StudyServeOptions) -> int:
    """Serves until it is interrupted.

    Raises:
        LomitError: for folders, addresses and numbers that can't be used.
    """
    for name in ("rate", "joins"):
        if getattr(options, name) <= 0:
            raise LomitError(f"--{name} must be above 0; it is {getattr(options, name):g}")
    from lomit.apps.study.definition import read_folder
    from lomit.apps.study.server import create_app, require
    from lomit.apps.study.store import AnswerStore
    from lomit.apps.web import base_url, check_url, listening, serve

    check_url(options.url)
    require()
    folder = read_folder(folder_of(options.study))
    folder.require_images()
    with listening(options.host, options.port) as bound, contextlib.closing(AnswerStore(folder)) as store:
        base = (options.url or base_url(bound, options.host)).rstrip("/")
        print(f"take part:    {base}/join/{folder.access.join}\nowner's page: {base}/owner", flush=True)
        print("personal links: lomit study invite; Ctrl-C stops the server", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            serve(create_app(folder, store, options.rate, options.joins), bound, options.proxy)
    print("stopped")
    return 0


def study_invite(options: StudyInviteOptions) -> int:
    """Prints personal links.

    Raises:
        LomitError: for folders and numbers that can't be used.
    """
    if not 1 <= options.count <= 100_000:
        raise LomitError(f"--count must lie in 1 to 100000; it is {options.count}")
    from lomit.apps.study.definition import read_folder
    from lomit.apps.study.store import AnswerStore

    with contextlib.closing(AnswerStore(read_folder(folder_of(options.study)))) as store:
        for _ in range(options.count):
            print(f"{options.url.rstrip('/')}/s/{store.invite()}/")
    return 0


def study_preview(options: StudyPreviewOptions) -> int:
    """Writes the page.

    Raises:
        LomitError: for folders and files that can't be used.
    """
    if options.out is None:
        raise LomitError("give --out, the HTML file to write")
    if os.path.lexists(options.out) and not options.overwrite:
        raise LomitError(f"{options.out} exists already; add --overwrite to replace it")
    from lomit.apps.study.definition import read_folder
    from lomit.apps.study.preview import preview_page

    folder = read_folder(folder_of(options.study))
    if not 1 <= options.list <= folder.study.lists:
        raise LomitError(f"--list must lie in 1 to {folder.study.lists}; it is {options.list}")
    folder.require_images()
    content = preview_page(folder, options.list - 1).encode()
    write_file(Path(options.out), lambda file: file.write(content), options.overwrite)
    print(f"written to {options.out}; it holds the key: keep it from participants")
    return 0


def study_simulate(options: StudySimulateOptions) -> int:
    """Adds the answers.

    Raises:
        LomitError: for folders and numbers that can't be used.
    """
    if not 1 <= options.participants <= 100_000:
        raise LomitError(f"--participants must lie in 1 to 100000; it is {options.participants}")
    if not 0 <= options.careless <= 1:
        raise LomitError(f"--careless must lie in 0 to 1; it is {options.careless:g}")
    if options.seed < 0:
        raise LomitError(f"--seed must not be negative; it is {options.seed}")
    strengths = dict(_strength(word) for word in options.strengths)
    from lomit.apps.study.definition import read_folder
    from lomit.apps.study.simulate import simulate
    from lomit.apps.study.store import AnswerStore

    folder = read_folder(folder_of(options.study))
    with contextlib.closing(AnswerStore(folder)) as store:
        simulate(folder, store, options.participants, strengths, options.careless, options.seed)
    print(f"added {options.participants} simulated participants; lomit study analyse {options.study} --simulated")
    return 0


def _strength(word: str) -> tuple[str, float]:
    name, _, value = word.rpartition("=")
    try:
        strength = float(value)
        if name and abs(strength) <= 20:
            return name, strength
    except ValueError:
        pass
    raise LomitError(f"--strengths needs NAME=S with a number from -20 to 20; found '{word}'")
