"""Participants and answers in SQLite.

The journal is a write-ahead log that is synced at every commit (`synchronous=FULL`): what was acknowledged is on disk,
whether the process is killed or the power goes.  Links are kept as hashes alone.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from lomit.apps.study.definition import ANSWERS, KEY, STUDY, StudyFolder
from lomit.apps.web import hashed, token
from lomit.errors import LomitError

Sort = Literal["person", "simulated", "preview"]
"""Who a participant is: a person, a program, or the owner having a look; the last are never counted."""
State = Literal["invited", "active", "finished", "withdrawn"]
Side = Literal["left", "right"]

STALE = 2 * 3600
"""Seconds without an answer after which an unfinished participant no longer counts when lists are balanced."""
WAIT = 20.0
"""Seconds to wait for another process that writes."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS participant (
  id INTEGER PRIMARY KEY,
  token TEXT NOT NULL UNIQUE,
  sort TEXT NOT NULL CHECK (sort IN ('person', 'simulated', 'preview')),
  state TEXT NOT NULL CHECK (state IN ('invited', 'active', 'finished', 'withdrawn')),
  list INTEGER,
  external TEXT UNIQUE,
  seen REAL
);
CREATE TABLE IF NOT EXISTS link (
  token TEXT PRIMARY KEY,
  participant INTEGER NOT NULL REFERENCES participant (id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answer (
  participant INTEGER NOT NULL REFERENCES participant (id),
  trial INTEGER NOT NULL,
  position INTEGER NOT NULL,
  side TEXT NOT NULL CHECK (side IN ('left', 'right')),
  rt REAL NOT NULL,
  means TEXT NOT NULL,
  away INTEGER NOT NULL,
  PRIMARY KEY (participant, trial)
) WITHOUT ROWID;
"""
FIND = (
    "SELECT id, sort, state, list FROM participant "
    "WHERE token = ? OR id = (SELECT participant FROM link WHERE token = ?)"
)


@dataclass(frozen=True)
class Participant:
    """One who takes part.

    Attributes:
        id: number, from 1.
        sort, state: see `Sort`, `State`.
        list: which list, None before consent.
    """

    id: int
    sort: Sort
    state: State
    list: int | None


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        trial: which trial of the participant's list.
        position: when it was shown, from 0.
        side: what was chosen.
        rt: milliseconds from the pictures' appearance to the choice.
        means: `key` or `pointer` (mouse or finger).
        away: the page was hidden meanwhile, so the time means nothing.
    """

    trial: int
    position: int
    side: Side
    rt: float
    means: str
    away: bool


class AnswerStore:
    """The study's data base; several processes may have it open.

    Each method raises `LomitError` where the disk is full or can't be written, or another process holds the data base
    for too long; then nothing was stored, and the next call may succeed.
    """

    def __init__(self, folder: StudyFolder) -> None:
        """Opens or makes it.  Raises LomitError where it can't be, or belongs to another study."""
        self.path = folder.path / ANSWERS
        self.lists = len(folder.key.lists)
        self.trials = [len(trials) for trials in folder.key.lists]
        self._lock = threading.Lock()
        try:
            # One connection for all threads, one at a time: SQLite has one writer anyway.
            self._db = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None, check_same_thread=False)
            self.path.chmod(0o600)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(SCHEMA)
            # As long as nobody takes part, the questions may be changed.
            self._db.execute(
                "INSERT OR REPLACE INTO about SELECT 'study', ? WHERE NOT EXISTS (SELECT 1 FROM participant)",
                (folder.fingerprint,),
            )
            (owner,) = self._db.execute("SELECT value FROM about WHERE key = 'study'").fetchone()
        except (sqlite3.Error, OSError) as error:
            raise LomitError(f"{self.path} can't be used: {error}") from error
        if owner != folder.fingerprint:
            raise LomitError(
                f"{self.path} holds answers to another study, or to other questions: put it back beside its own "
                f"{STUDY} and {KEY}, and undo what was changed in there"
            )

    def close(self) -> None:
        """Closes it; the log is folded into the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _used(self) -> Iterator[sqlite3.Connection]:
        """The data base, for one thread at a time; what the disk or another process denies is a `LomitError`."""
        with self._lock:
            try:
                yield self._db
            except sqlite3.DatabaseError as error:
                # A damaged file is the base class itself; its other subclasses are bugs.
                if type(error) not in (sqlite3.OperationalError, sqlite3.DatabaseError):
                    raise
                raise LomitError(f"{self.path} can't be used: {error}") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start, so that what it reads stays true."""
        with self._used() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                # A full disk ends the transaction by itself; what is left open would block all that follow.
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _rows(self, query: str, *values: object) -> list[tuple]:
        with self._used() as db:
            return db.execute(query, values).fetchall()

    def invite(self) -> str:
        """The token of a new personal link."""
        made = token()
        with self._writing() as db:
            db.execute("INSERT INTO participant (token, sort, state) VALUES (?, 'person', 'invited')", (hashed(made),))
        return made

    def join(self, sort: Sort = "person", external: str | None = None, made: str | None = None) -> str:
        """A participant who has consented: one on the list that the fewest have, or one who is there already.

        Joining again changes nothing: the same token, and the same name with a panel, lead to the same participant.
        Returns a token of the participant: `made`, by default a new one.  `external` is a panel's name for them.
        """
        made = made or token()
        with self._writing() as db:
            if db.execute(FIND, 2 * (hashed(made),)).fetchone() is not None:
                return made
            named = db.execute("SELECT id FROM participant WHERE external = ?", (external,)).fetchone()
            if named is not None:
                # Tokens are kept as hashes alone: who has lost one gets another, and both lead on.
                db.execute("INSERT INTO link VALUES (?, ?)", (hashed(made), *named))
                return made
            chosen = self._emptiest(db, sort)
            db.execute(
                "INSERT INTO participant (token, sort, state, list, external, seen) VALUES (?, ?, 'active', ?, ?, ?)",
                (hashed(made), sort, chosen, external, time.time()),
            )
        return made

    def consent(self, participant: int) -> None:
        """Gives an invited participant a list; nothing happens to others."""
        with self._writing() as db:
            (state,) = db.execute("SELECT state FROM participant WHERE id = ?", (participant,)).fetchone()
            if state == "invited":
                db.execute(
                    "UPDATE participant SET state = 'active', list = ?, seen = ? WHERE id = ?",
                    (self._emptiest(db, "person"), time.time(), participant),
                )

    def _emptiest(self, db: sqlite3.Connection, sort: Sort) -> int:
        """The list with the fewest participants who have finished or are at it; the first of them."""
        taken = dict(
            db.execute(
                "SELECT list, count(*) FROM participant WHERE sort = ? AND "
                "(state = 'finished' OR state = 'active' AND seen > ?) GROUP BY list",
                (sort, time.time() - STALE),
            ).fetchall()
        )
        return min(range(self.lists), key=lambda number: (taken.get(number, 0), number))

    def find(self, secret: str) -> Participant | None:
        """Whose link this is."""
        rows = self._rows(FIND, *2 * (hashed(secret),))
        return Participant(*rows[0]) if rows else None

    def add(self, participant: int, answers: Sequence[Answer]) -> bool:
        """Stores answers, each once: what is there already stays as it is.  On disk when this returns; False where the
        participant has withdrawn meanwhile, and nothing is stored.
        """
        with self._writing() as db:
            state, number = db.execute("SELECT state, list FROM participant WHERE id = ?", (participant,)).fetchone()
            if state not in ("active", "finished"):
                return False
            db.executemany(
                "INSERT OR IGNORE INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(participant, a.trial, a.position, a.side, a.rt, a.means, int(a.away)) for a in answers],
            )
            (count,) = db.execute("SELECT count(*) FROM answer WHERE participant = ?", (participant,)).fetchone()
            db.execute(
                "UPDATE participant SET seen = ?, state = ? WHERE id = ?",
                (time.time(), "finished" if count == self.trials[number] else "active", participant),
            )
        return True

    def answered(self, participant: int) -> list[int]:
        """Positions that are answered."""
        return [p for (p,) in self._rows("SELECT position FROM answer WHERE participant = ? ORDER BY 1", participant)]

    def withdraw(self, participant: int) -> None:
        """Deletes a participant's answers and name with a panel, in the file, too; only the dead link stays."""
        with self._writing() as db:
            db.execute("DELETE FROM answer WHERE participant = ?", (participant,))
            db.execute(
                "UPDATE participant SET state = 'withdrawn', external = NULL, seen = NULL, list = NULL WHERE id = ?",
                (participant,),
            )
        with self._used() as db:
            # The log still holds what was deleted.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def participants(self, sort: Sort) -> list[Participant]:
        """All of a sort."""
        rows = self._rows("SELECT id, sort, state, list FROM participant WHERE sort = ? ORDER BY id", sort)
        return [Participant(*row) for row in rows]

    def named(self) -> dict[str, Participant]:
        """A panel's name -> the participant who has it."""
        rows = self._rows(
            "SELECT external, id, sort, state, list FROM participant WHERE external IS NOT NULL ORDER BY 1"
        )
        return {name: Participant(*row) for name, *row in rows}

    def answers(self, sort: Sort) -> dict[int, list[Answer]]:
        """Participant -> answers, in the order they were shown."""
        found: dict[int, list[Answer]] = {}
        for who, trial, position, side, rt, means, away in self._rows(
            "SELECT participant, trial, position, side, rt, means, away FROM answer "
            "JOIN participant ON participant.id = answer.participant WHERE sort = ? ORDER BY participant, position",
            sort,
        ):
            found.setdefault(who, []).append(Answer(trial, position, side, rt, means, bool(away)))
        return found
