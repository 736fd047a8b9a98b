"""Stages of an experiment: each one command, done once, its finished state kept beside what it made."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lomit import __version__
from lomit.config import from_dict, read_json
from lomit.errors import LomitError
from lomit.images import write_bytes

Call = Callable[[Sequence[str]], int]
"""Runs the command line after `lomit` in this process and returns its exit code."""
STAGES = "stages"
"""Folder of the records."""


@dataclass(frozen=True)
class Stage:
    """One command.

    Attributes:
        name: unique; a `/` in it is written as `-` in its record's name.
        words: the command line after `lomit`, which decides what is made.
        how: more words, which may change when it is taken up: device, threads, workers.
        makes: what it writes; removed where the stage is made again with other settings.
        after: names of the stages that it reads from.
        complete: a file or folder that the command writes last, where there is one: a stage that was begun and has it
            was stopped before its record was written.
        resumed: asked where it was begun before: the words to add, which depend on what it left.
        seconds: how long it is expected to take on this machine, if nothing else runs.
    """

    name: str
    words: tuple[str, ...]
    makes: Path
    how: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    complete: Path | None = None
    resumed: Callable[[], Sequence[str]] = tuple
    seconds: float = 0.0

    @property
    def command(self) -> str:
        """As a user would type it into a shell."""
        return shlex.join(("lomit", *self.words, *self.how))


@dataclass
class Record:
    """What is kept of a stage.

    Attributes:
        state: `begun` or `finished`.
        settings: what decided it: its words, and the keys of the stages before it.
        seconds, cpu_seconds: elapsed and processor time of the attempts that ended by themselves or by a signal that
            the command caught.
        version: of lomit, at the end.
    """

    stage: str
    state: str
    settings: Mapping[str, Any]
    key: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    attempts: int = 0
    version: str = field(default=__version__)


class Ledger:
    """The records of an experiment's stages, each after those it reads from, in the experiment's folder."""

    def __init__(self, out: Path, stages: Sequence[Stage]) -> None:
        self.out, self.stages = out, tuple(stages)
        self.settings: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        for stage in self.stages:
            # The folder itself decides nothing: it may be moved between two calls.
            words = [word.replace(str(out), "OUT") for word in stage.words]
            settings = {"words": words, "after": {name: self.keys[name] for name in stage.after}}
            self.settings[stage.name] = settings
            self.keys[stage.name] = hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def read(self, name: str) -> Record | None:
        """The record of a stage, None where it was never begun.  Raises `LomitError` where the file is damaged."""
        path = self._path(name)
        if not path.is_file():
            return None
        try:
            return from_dict(Record, read_json(path), str(path))
        except LomitError as error:
            raise LomitError(f"{error}; remove it to run the stage again") from error

    def state(self, stage: Stage) -> str:
        """`finished`, `begun`, `to do`, or `other settings`."""
        record = self.read(stage.name)
        if record is None:
            return "to do"
        return record.state if record.key == self.keys[stage.name] else "other settings"

    def check(self, overwrite: bool) -> None:
        """Raises `LomitError` for the first stage that was made with other settings, and says what differs; with
        `overwrite` removes what such stages made.
        """
        for stage in self.stages:
            record = self.read(stage.name)
            if record is None or record.key == self.keys[stage.name]:
                continue
            if not overwrite:
                raise LomitError(
                    f"{self.out} holds the stage {stage.name} made with other settings"
                    f"{_difference(record.settings, self.settings[stage.name])}; give those again, choose another "
                    "--out, or add --overwrite to make it and all that rests on it again"
                )
            if stage.makes.is_dir():
                shutil.rmtree(stage.makes)
            else:
                stage.makes.unlink(missing_ok=True)
            self._path(stage.name).unlink()

    def run(self, call: Call, say: Callable[[str], None]) -> int:
        """Runs every stage that is not finished, in order.  Raises LomitError where another process works in the
        folder; and what the commands raise.

        Returns:
            0, or the code of the command that was stopped.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.out / ".lock", timeout=0):
                for number, stage in enumerate(self.stages, start=1):
                    place = f"[{number}/{len(self.stages)}] {stage.name}"
                    if self.state(stage) == "finished":
                        say(f"{place}: done before")
                        continue
                    say(f"{place}: {stage.command}")
                    code = self._run(stage, call)
                    if code:
                        say(f"stopped in the stage {stage.name}; the same command goes on from there")
                        return code
        except Timeout:
            raise LomitError(
                f"another lomit reproduce is at work in {self.out}; wait for it or choose another --out"
            ) from None
        return 0

    def _run(self, stage: Stage, call: Call) -> int:
        record = self.read(stage.name) or Record(stage.name, "begun", self.settings[stage.name], self.keys[stage.name])
        again = record.attempts > 0
        record.attempts += 1
        self._write(record)
        started, spent = time.monotonic(), time.process_time()
        try:
            if again and stage.complete is not None and stage.complete.exists():
                code = 0
            else:
                code = call([*stage.words, *stage.how, *(stage.resumed() if again else ())])
        finally:
            record.seconds += time.monotonic() - started
            record.cpu_seconds += time.process_time() - spent
            self._write(record)
        if code == 0:
            record.state, record.version = "finished", __version__
            self._write(record)
        return code

    def _path(self, name: str) -> Path:
        return self.out / STAGES / f"{name.replace('/', '-')}.json"

    def _write(self, record: Record) -> None:
        content = (json.dumps(asdict(record), indent=1) + "\n").encode()
        write_bytes(self._path(record.stage), content, overwrite=True)


def _difference(before: Mapping[str, Any], now: dict[str, Any]) -> str:
    """The first word in which two settings differ, for a message."""
    old, new = before.get("words", []), now["words"]
    for k in range(max(len(old), len(new))):
        a, b = (words[k] if k < len(words) else "nothing" for words in (old, new))
        if a != b:
            option = next((word for word in reversed(old[: k + 1]) if word.startswith("--")), "")
            return f" ({option + ' ' if option and option != a else ''}{a}, now {b})"
    return " (a stage that it reads from was)"
