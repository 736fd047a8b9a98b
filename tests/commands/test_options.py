"""A dataclass as a command line: what is understood, what the help says, what a wrong one is told."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from lomit.commands.options import Group, named, parse, positional
from lomit.errors import LomitError


@dataclass
class Output(Group):
    """Where results go."""

    out: Path = Path("results")
    """Folder for
    the results."""
    overwrite: bool = False
    """Replace files."""


@dataclass
class Data:
    """The images."""

    root: str | None = None
    """Folder of images."""
    flip: bool = True
    """Mirror them."""


@dataclass
class Options:
    """Translate an image.

    The second paragraph is longer than a narrow terminal is wide, and is
    broken where the terminal ends.
    """

    input: str = field(metadata=positional("INPUT"))
    """Image to translate."""
    exemplars: tuple[str, ...] = field(default=(), metadata=positional("[EXEMPLAR ...]"))
    """Images whose style is taken, in a help text that is written over several lines and that the terminal breaks
    where it ends, and nowhere else."""
    steps: int | None = None
    """How many."""
    differ: tuple[str, ...] = ()
    """Attributes."""
    box: tuple[int, int, int, int] | None = field(default=None, metadata=named("LEFT TOP RIGHT BOTTOM"))
    """A box."""
    match: Literal["all", "zip"] = "all"
    """Which."""
    data: Data = field(default_factory=Data)
    """Where the images are."""
    output: Output = field(default_factory=lambda: Output(Path("elsewhere")))


def parsed(line: str) -> Options:
    return parse(Options, line.split(), "lomit x")


def test_what_is_not_given_keeps_its_default() -> None:
    assert parsed("a.png") == Options("a.png")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a b c", Options("a", ("b", "c"))),
        ("a --steps 3 b", Options("a", ("b",), steps=3)),
        ("a --steps=3", Options("a", steps=3)),
        ("a --steps 3 --steps 4", Options("a", steps=4)),
        ("a b --differ x y --steps 3", Options("a", ("b",), differ=("x", "y"), steps=3)),
        ("a --box -1 2 3 4 --match zip", Options("a", box=(-1, 2, 3, 4), match="zip")),
        ("a --out c --overwrite", Options("a", output=Output(Path("c"), True))),
        ("a --data.root d --data.flip False", Options("a", data=Data("d", False))),
        ("-- -a -b", Options("-a", ("-b",))),
        ("-- --a=b --differ=c", Options("--a=b", ("--differ=c",))),
        ("--steps=3 -- --help", Options("--help", steps=3)),
    ],
)
def test_what_is_understood(line: str, expected: Options) -> None:
    assert parsed(line) == expected


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "give INPUT"),
        ("a --stpes 3", "unknown option '--stpes' (did you mean '--steps'?)"),
        ("a --data.rot x", "unknown option '--data.rot' (did you mean '--data.root'?)"),
        ("a --output.out x", "unknown option '--output.out' (did you mean '--out'?)"),
        ("a --data.no-flip", "unknown option '--data.no-flip' (did you mean '--data.flip'?)"),
        ("a --steps three", "--steps must be INT; it is 'three'"),
        ("a --steps=three", "--steps must be INT; it is 'three'"),
        ("a --box 1 2 3", "--box must be LEFT TOP RIGHT BOTTOM; it is '1 2 3'"),
        ("a --match some", "--match must be one of all, zip; it is 'some'"),
        ("a --steps", "--steps needs a value"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(line: str, says: str) -> None:
    with pytest.raises(LomitError) as caught:
        parsed(line)
    assert str(caught.value) == f"{says}; see lomit x --help"


def test_a_list_in_pieces_would_lose_the_first() -> None:
    with pytest.raises(LomitError, match="--differ is given twice; it takes all its values at once: --differ A B"):
        parsed("a --differ x --differ y")


@pytest.mark.parametrize("columns", [50, 79, 120])
def test_help(columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as stopped:
        parsed("--help")
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    rows = told.splitlines()
    assert max(map(len, rows)) <= columns
    assert "usage: lomit x [-h]" in told
    assert "INPUT [EXEMPLAR ...]" in told
    places = [told.index(f"{heading} ") for heading in ("positional arguments", "data options", "output options")]
    assert places == sorted(places)
    text = " ".join("".join(" " if letter in "│╭╮╰╯─" else letter for letter in told).split())
    assert "Where results go." in text
    assert "Where the images are." in text
    assert "in a help text that is written over several lines and that the terminal breaks where it ends" in text
    assert "--out PATH Folder for the results. (default: elsewhere)" in text
    assert "--data.flip {True,False} Mirror them. (default: True)" in text
    assert "--box LEFT TOP RIGHT BOTTOM A box. --match" in text, "there is no default to name"
    assert "None" not in text
    # Broken by the terminal alone: no line ends early.
    start = next(k for k, row in enumerate(rows) if "The second paragraph" in row)
    assert len(rows[start]) + 1 + len(rows[start + 1].split()[0] if rows[start + 1] else "x" * columns) > columns


def test_without_its_hook_tyro_speaks_for_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr("tyro._errors.on_parse_error")
    with pytest.raises(SystemExit) as stopped:
        parsed("a --stpes 3")
    assert stopped.value.code == 2
    assert "--stpes" in capsys.readouterr().err


def test_without_tyro_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tyro", None)
    with pytest.raises(LomitError, match="options need tyro: pip install tyro"):
        parsed("a")
