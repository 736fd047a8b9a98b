"""The program around the commands."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import lomit
from doubles import saved_double
from lomit import weights
from lomit.cli import COMMANDS, Command, main
from lomit.errors import LomitError


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["--help"]):
        assert main(argv) == 0
        told = capsys.readouterr().out
        assert all(f"  {name} " in told and command.help in told for name, command in COMMANDS.items())
    assert main(["data"]) == 0
    told = capsys.readouterr().out
    assert "data avatars" in told
    assert "translate" not in told


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lomit {lomit.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, _, function = COMMANDS[name].target.partition(":")
    assert callable(getattr(import_module(module), function))
    assert main([*name.split(), "--help"]) == 0
    assert "usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["trnslate"], "unknown command 'trnslate' (did you mean 'translate'?); see lomit --help"),
        (["dta"], "unknown command 'dta' (did you mean 'data'?); see lomit --help"),
        (["data", "pac"], "unknown command 'data pac' (did you mean 'pack'?); see lomit data --help"),
        (["xyzzy"], "unknown command 'xyzzy'; see lomit --help"),
        (
            ["translate", "--inptu", "x"],
            "Unrecognized options: --inptu, x (did you mean '--input'?); see lomit translate --help",
        ),
        (
            ["translate", "--match", "some"],
            "invalid choice 'some' for argument '--match'. Expected one of ('all', 'zip'); see lomit translate --help",
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
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), 2, "lomit: error: permission denied for a/b\n"),
    ],
)
def test_what_went_wrong_becomes_a_line_and_a_code(
    raised: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise raised

    monkeypatch.setitem(COMMANDS, "fails", Command("fails", f"{__name__}:fails", typed=True))
    monkeypatch.setitem(sys.modules, __name__, type("Module", (), {"fails": staticmethod(fails)}))
    assert main(["fails"]) == code
    assert capsys.readouterr().err.startswith(line)


@pytest.mark.parametrize(("encoding", "columns"), [("utf-8", "40"), ("utf-8", "200"), ("ascii", "40")])
def test_wrong_options_get_one_line_in_every_terminal(encoding: str, columns: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": columns}
    words = program("translate", "--stpes", "3")
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert done.stderr == (
        "lomit: error: Unrecognized options: --stpes, 3 (did you mean '--steps'?); see lomit translate --help\n"
    )


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "broken", Command("", "lomit.no_such_module:run"))
    with pytest.raises(ModuleNotFoundError):
        main(["broken"])


def test_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(weights, "_PACKAGE", tmp_path / "src" / "lomit")
    assert main(["models"]) == 0
    assert "no models here" in capsys.readouterr().out
    saved_double(tmp_path / "weights" / "mine")
    assert main(["models"]) == 0
    assert capsys.readouterr().out == "mine  double, 16 pixels, Smiling, Male\n"


def program(*words: str) -> list[str]:
    return [sys.executable, "-m", "lomit", *words]


def test_help_does_not_load_torch() -> None:
    code = (
        "import sys; from lomit.cli import main; main(['--help']); main(['--version']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    # Processor time: unlike the clock, it is not another program's fault.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(program("--version"), check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


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
