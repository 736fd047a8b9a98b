"""`lomit COMMAND ...`: finds the command, runs it, and turns what went wrong into one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module

from lomit import __version__
from lomit.errors import LomitError, did_you_mean

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("translate rendered faces, or two images of yours, into a grid", "demo:Demo"),
    "translate": ("translate images, folders or a table of pairs", "translate:Translate"),
    "photo": ("translate the faces of whole photographs", "photo:Photo"),
    "video": ("translate a face of a video, frame by frame", "photo:Video"),
    "live": ("translate the face before a camera, in the browser", "live:LiveView"),
    "edit": ("edit masks by hand in the browser", "edit:EditMasks"),
    "recipe": ("make a result of the editor again", "edit:RunRecipe"),
    "train": ("train a model from a preset", "train:run_train"),
    "evaluate avatars": (
        "accuracy, background and masks on rendered faces, beside the same weights without masks",
        "evaluate:Avatars",
    ),
    "evaluate table1": ("inception score and accuracy of the paper's classes", "evaluate:Table1"),
    "evaluate starganv2": ("FID, KID, diversity and conditional inception score between domains", "evaluate:StarganV2"),
    "evaluate background": ("what changes where nothing was to change", "evaluate:Background"),
    "evaluate masks": ("overlap, area and saturation of the masks", "evaluate:Masks"),
    "report": ("tables and figures of runs and evaluations as one page", "report:Report"),
    "classifier train": ("train the attribute classifier that evaluate needs", "classifier:ClassifierTrain"),
    "classifier label": ("label faces that have no attributes as a classifier sees them", "classifier:ClassifierLabel"),
    "bench": ("measure speeds, in a checkout", "bench:run_bench"),
    "export": ("write a model as an ONNX file or as a web page", "export:Export"),
    "reproduce table1": ("classifier, models, evaluation and page of the paper's Table 1", "reproduce:ReproduceTable1"),
    "reproduce rivals": ("all methods on rendered faces at an equal budget", "reproduce:ReproduceRivals"),
    "reproduce ablations": ("LOMIT with one part taken away at a time", "reproduce:ReproduceAblations"),
    "study build": ("make the pictures and lists of a user study", "study_build:StudyBuild"),
    "study preview": ("show all of a study on one page, with the key", "study:StudyPreview"),
    "study serve": ("let people take part in a browser", "study:StudyServe"),
    "study invite": ("make personal links to a study", "study:StudyInvite"),
    "study simulate": ("add marked answers of a program", "study:StudySimulate"),
    "study analyse": ("shares, tests and figure from a study's answers", "study:StudyAnalyse"),
    "study plan": ("how many participants a study needs", "study:StudyPlan"),
    "models": ("list the models that can be used by name", "models:ListModels"),
    "weights": ("write a model's weights to share", "models:Weights"),
    "data avatars": ("render a set of labelled faces", "data:DataAvatars"),
    "data pack": ("write a data set as one compact file", "data:DataPack"),
}
"""Name -> its line in `lomit --help`, and where it is: `module:name` in `lomit.commands`.

A dataclass is made of the rest of the command line and its `main` run; a function takes the rest as it is.  Both return
the exit code.  A name of two words is a command with a subcommand.
"""


def entry() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        # A path may hold what the terminal's encoding does not.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())


def main(argv: list[str] | None = None) -> int:
    """Runs one command line.

    Args:
        argv: the words after `lomit`; None takes the process's own.

    Returns:
        The exit code: 0, 1 (done, but for files that are listed), 2 (something the user can mend: with one line),
        130 (interrupted), 141 (the reader of the output went away).  A bug raises.
    """
    try:
        code = _dispatch(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
        return code
    except SystemExit as stopped:  # after --help
        return stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except LomitError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("lomit: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return _unread()
    except RuntimeError as error:
        if "home directory" in str(error):  # Path.home() and Path("~/x").expanduser()
            return _fail("no home folder is known; set HOME, or give paths without ~ and set LOMIT_CACHE")
        raise
    except OSError as error:
        place = f" for {error.filename}" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail(f"no space left{place}; free some and run it again")
        if error.errno == errno.ENAMETOOLONG:
            return _fail(f"a name is too long{place}; give a shorter one")
        if error.errno == errno.EINVAL and sys.platform == "win32" and not error.filename:
            return _unread()  # what Windows calls a broken pipe
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return _fail(f"permission denied{place}")
        raise


def _unread() -> int:
    """`lomit ... | head`: nobody reads on.  What is still buffered must not fail again when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _fail(line: str) -> int:
    print(f"lomit: error: {' '.join(line.split())}", file=sys.stderr)
    return 2


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview(""))
        return 0
    if argv[0] in ("-V", "--version", "version"):
        print(f"lomit {__version__}")
        return 0
    name, rest = argv[0], argv[1:]
    within = {full.split()[1]: full for full in COMMANDS if full.startswith(f"{name} ")}
    if within:
        if not rest or rest[0] in ("-h", "--help"):
            print(_overview(name))
            return 0
        if rest[0] not in within:
            raise LomitError(
                f"unknown command '{name} {rest[0]}'{did_you_mean(rest[0], within)}; see lomit {name} --help"
            )
        name, rest = within[rest[0]], rest[1:]
    if name not in COMMANDS:
        raise LomitError(
            f"unknown command '{name}'{did_you_mean(name, {n.split()[0] for n in COMMANDS})}; see lomit --help"
        )
    return _run(COMMANDS[name][1], rest, f"lomit {name}")


def _run(target: str, argv: list[str], prog: str) -> int:
    """Imports a command and runs it with the words after its name."""
    module, _, name = target.partition(":")
    command = getattr(import_module(f"lomit.commands.{module}"), name)
    if not isinstance(command, type):
        return int(command(argv))
    from lomit.commands.options import parse

    return int(parse(command, argv, prog).main())  # type: ignore[attr-defined]


def _overview(group: str) -> str:
    """The help text that needs no command's module."""
    from lomit.commands.options import two_columns

    chosen = {n: line for n, (line, _) in COMMANDS.items() if not group or n.startswith(f"{group} ")}
    title = "Exemplar-guided image-to-image translation on faces with local masks (LOMIT)."
    return "\n".join(
        [
            f"usage: lomit {group or 'COMMAND'} {'COMMAND ' if group else ''}[OPTIONS]",
            *(["", title] if not group else []),
            "",
            "commands:",
            *two_columns(chosen),
            "",
            f"`lomit {group + ' ' if group else ''}COMMAND --help` lists a command's options"
            + ("; `lomit --version` prints the version." if not group else "."),
        ]
    )
