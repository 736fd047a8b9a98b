"""Command-line options from dataclasses and typed functions, through tyro."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lomit.config import from_dict
from lomit.errors import LomitError

T = TypeVar("T")

_FRAME = re.compile("[│╭╮╰╯]")


def parse(
    options: type[T],
    argv: Sequence[str],
    prog: str,
    default: Callable[[Any], T] | None = None,
    repeat: bool = True,
) -> T:
    """An options dataclass from a command line.

    Each field is an option, its docstring the help.
    `--config FILE` reads all of them from a JSON object instead, which needs no tyro.

    Args:
        options: the dataclass.
        argv: the words after the command.
        prog: the command, for messages.
        default: makes an instance with other values than the dataclass's, given a mark for those that are required.
        repeat: tuples are options that are repeated (`--a X --a Y`); False: that take several values (`--a X Y`).

    Raises:
        LomitError: for a wrong command line or file, in one line.
        SystemExit: after `--help`.
    """
    if len(argv) == 2 and argv[0] == "--config":
        try:
            values = json.loads(Path(argv[1]).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LomitError(f"{argv[1]} can't be read as JSON: {error}") from error
        return from_dict(options, values, argv[1])
    return _tyro(options, argv, prog, default, repeat)


def call_typed(function: Callable[..., int | None], argv: Sequence[str], prog: str) -> int | None:
    """Calls a function with typed arguments, each an option.  Raises as `parse`, and what the function raises."""
    import functools

    # tyro calls what it builds inside its own error handling: let it build the call and make it outside.
    @functools.wraps(function)
    def bound(*args: Any, **kwargs: Any) -> Callable[[], int | None]:
        return functools.partial(function, *args, **kwargs)

    call: Callable[[], int | None] = _tyro(bound, argv, prog)
    return call()


def _tyro(
    target: Callable[..., T],
    argv: Sequence[str],
    prog: str,
    default: Callable[[Any], T] | None = None,
    repeat: bool = True,
) -> T:
    try:
        import tyro
    except ImportError:
        raise LomitError("options need tyro: pip install tyro (or give them as --config FILE.json)") from None
    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone, *([tyro.conf.UseAppendAction] if repeat else []))
    values: dict[str, Any] = {} if default is None else {"default": default(tyro.MISSING)}
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(target, args=list(argv), prog=prog, config=config, **values)
    except SystemExit as stopped:
        if stopped.code in (None, 0):
            raise
        line = _one_line(said.getvalue())
        if line is None:
            print(said.getvalue(), file=sys.stderr, end="")
            raise
        raise LomitError(f"{line}; see {prog} --help") from None


def _one_line(message: str) -> str | None:
    """The gist of the framed message that tyro prints: what is wrong, and the option it takes to be meant.

    The frame holds a title and sections with rules between them; where the terminal is not UTF-8 it is made of
    blanks and the title has a rule of its own.  None where that isn't found.
    """
    sections: list[list[str]] = [[]]
    for row in message.splitlines():
        text = _FRAME.sub("", row).strip()
        if row.startswith("╭") or (text and not text.strip("─-")):
            sections.append([])
        elif text:
            sections[-1].append(text)
    sections = sections[:1] + [section for section in sections[1:] if section]
    if len(sections) < 2:
        return None
    wrong = " ".join(sections[1]).partition(" Got errors:")[0].rstrip(". ")
    for section in sections[2:]:
        if section[0].startswith("Perhaps you meant") and len(section) > 1:
            return f"{wrong} (did you mean '{section[1].split()[0]}'?)"
    return wrong
