"""Errors that a user can cause."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable


class LomitError(Exception):
    """Something the user can mend: one clear line that says what is wrong and what to do.

    The command line prints the line and exits with code 2, without a traceback.  Everything else
    that is raised is a bug of ours and keeps its traceback.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"`, or an empty string where nothing known is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{near[0]}'?)" if near else ""


def line_of(error: BaseException) -> str:
    """The first line that an error says, or its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def require(what: str, extra: str, *modules: str) -> None:
    """Raises `LomitError` where a module of an extra can't be imported; `what` needs it."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise LomitError(f"{what} needs {name}: pip install 'lomit[{extra}]' ({error})") from None


def at_least(least: int, **values: int | None) -> None:
    """Raises `LomitError` for the first of these options that is less; None is not given."""
    for name, value in values.items():
        if value is not None and value < least:
            raise LomitError(f"--{name.replace('_', '-')} must be at least {least}; it is {value}")


def within(least: int, most: int, **values: float | None) -> None:
    """Raises `LomitError` for the first of these options that is not in [least, most]; None is not given."""
    for name, value in values.items():
        if value is not None and not least <= value <= most:
            raise LomitError(f"--{name.replace('_', '-')} must lie in {least} to {most}; it is {value}")
