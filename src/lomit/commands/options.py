"""A command's options: a dataclass whose fields become options through tyro.

A field is an option called like it (`--batch-size`), its docstring the help.  A tuple takes its values after one option
(`--differ A B C`), a field marked `positional` stands without a name.  Fields of a nested `Group` keep their own names
under a heading of their own; those of any other nested dataclass are prefixed (`--data.root`).

Its `main` does the work, says what was done and returns the exit code: 0, or 1 where a file could not be used, which is
then listed last and stops no other.  It raises `LomitError` for what a user can mend.  What loads torch, a server or an
extra is imported in `main`, after all that can be known to be wrong with the options alone.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import io
import math
import shutil
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import Annotated, Any, TypeVar

from lomit.errors import LomitError, did_you_mean

T = TypeVar("T")


class Group:
    """Base of options that several commands take: they get a heading in the help and no prefix."""


def positional(metavar: str) -> dict[str, Any]:
    """Metadata of a field that stands without a name; `metavar` is what the help calls it."""
    return {"metavar": metavar, "positional": True}


def named(metavar: str) -> dict[str, Any]:
    """Metadata of a field whose values the help calls `metavar`, in place of their type."""
    return {"metavar": metavar}


def parse(options: type[T], argv: Sequence[str], prog: str, default: Callable[[Any], T] | None = None) -> T:
    """An options dataclass from a command line.

    Args:
        argv: the words after the command.
        prog: the command, for messages.
        default: makes an instance with other values than the dataclass's, given a mark for those that are required.

    Raises:
        LomitError: for a wrong command line, in one line.
        SystemExit: after `--help`.
    """
    try:
        import tyro
    except ImportError:
        raise LomitError("options need tyro: pip install tyro") from None
    # `--option=value` is `--option value`.  After a bare `--` no word is an option.
    end = argv.index("--") if "--" in argv else len(argv)
    words = [part for word in argv[:end] for part in (word.split("=", 1) if word.startswith("--") else [word])]
    for name, hint in _options(options).items():
        # Of another option the last one holds, so that a script can be given more of them.
        if typing.get_origin(hint) is tuple and words.count(name) > 1:
            raise LomitError(f"{name} is given twice; it takes all its values at once: {name} A B")
    asked = not {"-h", "--help", "-H", "--help-verbose"}.isdisjoint(words)
    if asked:
        print(_wrapped(options.__doc__ or ""), end="\n\n")
    registry = tyro.constructors.ConstructorRegistry()
    registry.struct_rule(_take_apart)
    values: dict[str, Any] = {} if default is None else {"default": default(tyro.MISSING)}
    with _one_line(options, words, prog), _narrow_usage() if asked else contextlib.nullcontext():
        given = tyro.cli(
            options,
            args=[*words, *argv[end:]],
            prog=prog,
            description="",
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
            registry=registry,
            **values,
        )
    _require_finite(given)
    return given


def _require_finite(options: Any, prefix: str = "--") -> None:
    """Raises `LomitError` for the first number that is NaN or infinite; no option takes one."""
    for field in dataclasses.fields(options):
        value, name = getattr(options, field.name), prefix + field.name.replace("_", "-")
        if dataclasses.is_dataclass(value):
            _require_finite(value, prefix if isinstance(value, Group) else f"{name}.")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise LomitError(f"{name} must be a finite number; it is {number}")


def two_columns(rows: Mapping[str, str]) -> list[str]:
    """Names and what is said of them as lines, at most as wide as the terminal."""
    margin = max(map(len, rows), default=0) + 4
    width = max(shutil.get_terminal_size().columns, margin + 30)
    lines = []
    for name, text in rows.items():
        lines += textwrap.wrap(text, width, initial_indent=f"  {name}".ljust(margin), subsequent_indent=" " * margin)
    return lines


def usage(line: str) -> str:
    """A usage line, broken where the terminal ends."""
    width = shutil.get_terminal_size().columns
    return textwrap.fill(line, width, subsequent_indent=" " * 7, break_long_words=False, break_on_hyphens=False)


@contextlib.contextmanager
def _narrow_usage() -> Iterator[None]:
    """Breaks the first line that is printed, the only one of its help that tyro does not fit into the terminal."""
    printed = io.StringIO()
    printed.isatty = sys.stdout.isatty  # type: ignore[method-assign]  # else tyro leaves out the colours
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        first, *rest = printed.getvalue().splitlines()
        print(usage(first), *rest, sep="\n")


def _wrapped(docstring: str) -> str:
    """The paragraphs of a docstring, at most as wide as the terminal."""
    width = shutil.get_terminal_size().columns
    return "\n\n".join(textwrap.fill(" ".join(part.split()), width) for part in docstring.split("\n\n"))


def _take_apart(info: Any) -> Any:
    """A rule for tyro: the fields of a dataclass, marked as this module's docstring says."""
    from tyro import constructors

    cls = info.type
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        return None
    hints = typing.get_type_hints(cls, include_extras=True)
    docs = _field_docs(cls)
    specs = []
    for field in dataclasses.fields(cls):
        default = constructors.MISSING_NONPROP
        if info.default is constructors.MISSING or dataclasses.is_dataclass(info.default):
            default = getattr(info.default, field.name, constructors.MISSING)
        elif field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        marks = _marks(field, default, issubclass(cls, Group))
        hint: Any = Annotated[(hints[field.name], *marks)]  # type: ignore[valid-type,name-defined]
        specs.append(constructors.StructFieldSpec(field.name, hint, default, docs.get(field.name)))
    return constructors.StructConstructorSpec(cls, tuple(specs))


def _marks(field: dataclasses.Field[Any], default: Any, in_group: bool) -> list[Any]:
    """What makes tyro treat a field as this module's docstring says."""
    from tyro import conf

    marks: list[Any] = [
        conf.arg(
            metavar=field.metadata.get("metavar"),
            prefix_name=False if in_group else None,
            help_behavior_hint=lambda shown: "" if shown in ("None", "False", "") else f"(default: {shown})",
        )
    ]
    if "positional" in field.metadata:
        marks.append(conf.Positional)
    if default is True:
        # `--flip False`: as `--no-flip`, it would be described as its opposite.
        marks.append(conf.FlagConversionOff)
    return marks


@lru_cache(maxsize=64)
def _field_docs(cls: type) -> dict[str, str]:
    """Name -> docstring of the fields of a dataclass and its bases, in one line."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        try:
            (node,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        except (OSError, TypeError):  # made at run time, or built in
            continue
        assert isinstance(node, ast.ClassDef)
        for field, doc in pairwise(node.body):
            match field, doc:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    docs[name] = " ".join(text.split())
    return docs


@contextlib.contextmanager
def _one_line(options: type, argv: Sequence[str], prog: str) -> Iterator[None]:
    """Turns what tyro finds wrong into a LomitError.

    The hook is not of tyro's public interface.  Where it is not there, or what it gives is not what it was, tyro prints
    its own message and exits.
    """
    try:
        from tyro._errors import on_parse_error
    except ImportError:
        yield
        return

    def say(event: Any) -> None:
        line = None
        with contextlib.suppress(AttributeError, ValueError):
            line = _what_is_wrong(event, options, argv)
        if line is not None:
            raise LomitError(f"{line}; see {prog} --help")

    with on_parse_error(say):
        yield


def _what_is_wrong(event: Any, options: type, argv: Sequence[str]) -> str | None:
    """One line for an event of tyro's; None for one of another kind."""
    match type(event).__name__:
        case "UnrecognizedArgs":
            word = next((word for word in event.tokens if word.startswith("-")), None)
            if word is None:
                return f"unexpected '{event.tokens[0]}'"
            return f"unknown option '{word}'{did_you_mean(word, _options(options))}"
        case "MissingArgs":
            return "give " + " and ".join(_called(each.arg) for each in event.missing_arguments)
        case "InvalidChoice":
            choices = ", ".join(sorted(set(event.choices) - {"None"}))
            return f"{_called(event.argument)} must be one of {choices}; it is '{event.value}'"
        case "BadValue":
            name = _called(event.argument)
            return f"give {name}" if event.argument.is_positional() else f"{name} needs a value"
        case "InstantiationFailure" if event.argument is not None:
            name, kind = _called(event.argument), event.argument.lowered.metavar.strip("{}")
            last = len(argv) - argv[::-1].index(name)
            values = takewhile(lambda word: not word.startswith("--"), argv[last:])
            return f"{name} must be {kind}; it is '{' '.join(values)}'"
    return None


def _called(argument: Any) -> str:
    """An argument as a user writes it."""
    return str(argument.lowered.metavar if argument.is_positional() else argument.lowered.name_or_flags[0])


def _options(options: type, prefix: str = "") -> dict[str, Any]:
    """Name -> type of every option."""
    hints = typing.get_type_hints(options)
    names: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        hint, name = hints[field.name], field.name.replace("_", "-")
        if dataclasses.is_dataclass(hint):
            names |= _options(hint, prefix if issubclass(hint, Group) else f"{prefix}{name}.")  # type: ignore[arg-type]
        elif "positional" not in field.metadata:
            names[f"--{prefix}{name}"] = hint
    return names
