"""The program around the commands."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lomit
from doubles import saved_double
from lomit.cli import COMMANDS, main
from lomit.errors import LomitError
from lomit.inference import catalogue
from lomit.models import methods, presets


def test_overview_names_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for argv in ([], ["--help"]):
        assert main(argv) == 0
        told = capsys.readouterr().out
        assert all(f"  {name} " in told and line in told for name, (line, _) in COMMANDS.items())
    assert main(["data"]) == 0
    told = capsys.readouterr().out
    assert "data avatars" in told
    assert "translate" not in told


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lomit {lomit.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_as_wide_as_the_terminal(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    assert main([*name.split(), "--help"]) == 0
    told = capsys.readouterr().out
    assert f"usage: lomit {name}" in told
    assert max(map(len, told.splitlines())) <= 90


@pytest.mark.parametrize("name", ["models", "study invite", "study preview", "train", "weights"])
def test_a_usage_line_is_broken_where_the_terminal_ends(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert main([*name.split(), "--help"]) == 0
    told = capsys.readouterr().out
    lines = told[told.index("usage: ") :].split("\n\n")[0].splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 50


def test_the_overview_of_presets_begins_with_what_to_begin_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["train", "--help"]) == 0
    usage, *rest = capsys.readouterr().out.split("\n\n")
    assert usage.startswith("usage: lomit train PRESET")
    sections = [part.splitlines() for part in rest[:-1]]
    headings = [lines[0] for lines in sections]
    assert headings[:2] == ["to begin with:", "LOMIT:"]
    assert set(headings[2:]) == {f"{method.title}:" for method in methods().values() if method.name != "lomit"}
    listed = [[line.split()[0] for line in lines[1:]] for lines in sections]
    assert len(listed[0]) == 3
    assert set(listed[0]) <= set(listed[1])
    assert sorted(name for names in listed[1:] for name in names) == sorted(presets())


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["trnslate"], "unknown command 'trnslate' (did you mean 'translate'?); see lomit --help"),
        (["dta"], "unknown command 'dta' (did you mean 'data'?); see lomit --help"),
        (["data", "pac"], "unknown command 'data pac' (did you mean 'pack'?); see lomit data --help"),
        (["xyzzy"], "unknown command 'xyzzy'; see lomit --help"),
        *(
            (["translate", *words], f"{line}; see lomit translate --help")
            for words, line in [
                (["--stpes", "3"], "unknown option '--stpes' (did you mean '--steps'?)"),
                (["--match", "some"], "--match must be one of all, zip; it is 'some'"),
                (["--steps", "some"], "--steps must be INT; it is 'some'"),
                (["--steps=some"], "--steps must be INT; it is 'some'"),
                (["--out"], "--out needs a value"),
            ]
        ),
        (["weights"], "give MODEL and --out; see lomit weights --help"),
        (["weights", "a", "b", "--out", "c"], "unexpected 'b'; see lomit weights --help"),
        (
            ["evaluate", "table1", "m", "--data.rot", "x"],
            "unknown option '--data.rot' (did you mean '--data.root'?); see lomit evaluate table1 --help",
        ),
    ],
)
def test_wrong_words_get_one_line(argv: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    told = capsys.readouterr()
    assert told.err == f"lomit: error: {line}\n"
    assert told.out == ""


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (LomitError("this is\nwrong"), 2, "lomit: error: this is wrong\n"),
        (KeyboardInterrupt(), 130, "lomit: interrupted\n"),
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), 2, "lomit: error: no space left for a/b; free some"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a/b"), 2, "lomit: error: a name is too long for a/b"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), 2, "lomit: error: permission denied for a/b\n"),
        (RuntimeError("Could not determine home directory."), 2, "lomit: error: no home folder is known; set HOME"),
    ],
)
def test_what_went_wrong_becomes_a_line_and_a_code(
    raised: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(argv: list[str]) -> None:
        raise raised

    monkeypatch.setitem(COMMANDS, "fails", ("", "fails:fails"))
    monkeypatch.setitem(sys.modules, "lomit.commands.fails", type("Module", (), {"fails": staticmethod(fails)}))
    assert main(["fails"]) == code
    assert capsys.readouterr().err.startswith(line)


@pytest.mark.parametrize(("encoding", "columns"), [("utf-8", "40"), ("utf-8", "200"), ("ascii", "40")])
def test_wrong_options_get_one_line_in_every_terminal(encoding: str, columns: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": columns}
    words = program("translate", "--stpes", "3")
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert done.stderr == (
        "lomit: error: unknown option '--stpes' (did you mean '--steps'?); see lomit translate --help\n"
    )


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "broken", ("", "no_such_module:run"))
    with pytest.raises(ModuleNotFoundError):
        main(["broken"])


def test_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(catalogue, "PACKAGE", tmp_path / "src" / "lomit")
    assert main(["models"]) == 0
    assert "no models here" in capsys.readouterr().out
    saved_double(tmp_path / "weights" / "mine")
    assert main(["models"]) == 0
    assert capsys.readouterr().out == "mine  double, 16 pixels, Smiling, Male\n"
    assert main(["models", "--json", "-"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row == {"name": "mine", "method": "double", "image_size": 16, "attributes": ["Smiling", "Male"]}
    kept = tmp_path / "list.json"
    kept.write_text("before")
    assert main(["models", "--json", str(kept)]) == 2
    assert "exists already; add --overwrite to replace it" in capsys.readouterr().err
    assert main(["models", "--json", str(kept), "--overwrite"]) == 0
    assert capsys.readouterr().out == "mine  double, 16 pixels, Smiling, Male\n"
    assert json.loads(kept.read_text()) == [row]


@pytest.mark.parametrize(
    "config",
    [
        "{", "[]", "{}", '{"method": 3, "model": {}}', '{"method": "double", "model": []}',
        '{"method": "double", "model": {"attributes": 5}}', '{"method": "double", "model": {"attributes": [5]}}',
    ],
)  # fmt: skip
def test_a_damaged_model_is_listed_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: str
) -> None:
    monkeypatch.setattr(catalogue, "PACKAGE", tmp_path / "src" / "lomit")
    saved_double(tmp_path / "weights" / "mine")
    (tmp_path / "weights" / "mine" / "config.json").write_text(config)
    assert main(["models"]) == 0
    assert capsys.readouterr().out == "mine  damaged: its config.json can't be read\n"
    assert main(["models", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": "mine", "method": None, "image_size": None, "attributes": []}
    ]


def program(*words: str) -> list[str]:
    return [sys.executable, "-m", "lomit", *words]


LIGHT = """
import contextlib, io, sys
from lomit.cli import COMMANDS, main

for words in ([], ["--version"], ["models"], *([*name.split(), "--help"] for name in COMMANDS)):
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(words) == 0
    if "torch" in sys.modules:
        sys.exit(f"lomit {' '.join(words)} loads torch")
"""


def test_help_and_lists_do_not_load_torch() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("words", ["--version", "models", "translate --help", "train --help"])
def test_what_needs_no_torch_starts_at_once(words: str) -> None:
    resource: Any = pytest.importorskip("resource", reason="Windows doesn't count the time of a child")

    def processor_seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(program(*words.split()), check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Another program on the same core makes processor time longer, too, but not three times in a row.
    assert any(processor_seconds() < 0.5 for _ in range(3))


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_names_that_the_terminal_cannot_show(encoding: str, tmp_path: Path) -> None:
    words = program("weights", "avatars", "--out", str(tmp_path / "日本"))
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(words, capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u65e5\\u672c" in done.stdout


def test_the_program_ends_with_the_code() -> None:
    done = subprocess.run(program("xyzzy"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lomit: error: unknown command 'xyzzy'; see lomit --help\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(program("--help"), stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_public_names() -> None:
    assert lomit.Predictor.__name__ == "Predictor"
    assert lomit.LomitError is LomitError
    with pytest.raises(AttributeError, match="no attribute 'Predicter'"):
        _ = lomit.Predicter
