"""The sessions of all pages, in memory alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from lomit.apps.editor.session import Session
from lomit.apps.editor.state import Limits
from lomit.errors import LomitError


class Sessions:
    """Page -> session.

    Args:
        make: a new session.
        limits: how many, and how long a silent one may stay when another needs its place.
    """

    def __init__(self, make: Callable[[], Session], limits: Limits) -> None:
        self._make, self._limits, self._lock = make, limits, Lock()
        self._open: dict[str, Session] = {}
        self._used: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, page: str) -> Session:
        """A session for a page that has been loaded.

        Raises:
            LomitError: where the editor is full.
        """
        with self._lock:
            now = time.monotonic()
            if page not in self._open and len(self._open) >= self._limits.sessions:
                longest = min(self._used, key=lambda key: self._used[key])
                if now - self._used[longest] < self._limits.idle:
                    raise LomitError("the editor is full; try again in a while")
                self._drop(longest)
            self._used[page] = now
            return self._open.setdefault(page, self._make())

    def get(self, page: str) -> Session:
        """The session of a page.

        Raises:
            LomitError: where it has ended.
        """
        with self._lock:
            if page not in self._open:
                raise LomitError("this page has lost its images: load it again")
            self._used[page] = time.monotonic()
            return self._open[page]

    def end(self, page: str) -> None:
        """Forgets a page's images."""
        with self._lock:
            self._drop(page)

    def _drop(self, page: str) -> None:
        self._open.pop(page, None)
        self._used.pop(page, None)
