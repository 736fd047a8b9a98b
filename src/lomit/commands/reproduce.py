"""`lomit reproduce table1|rivals|ablations`: from nothing to a page, in stages that are taken up where they stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lomit.commands.classifier import run_classifier_train
from lomit.commands.data import data_avatars
from lomit.commands.evaluate import run_evaluate
from lomit.commands.labelled import LabelledData, usable_device
from lomit.commands.options import call_typed, parse
from lomit.commands.report import run_report
from lomit.commands.train import preset_config, run_train
from lomit.config import RunConfig
from lomit.data.open import open_source
from lomit.data.source import TRAIN
from lomit.errors import LomitError
from lomit.images import write_file, write_png
from lomit.metrics.report import markdown_table
from lomit.reproduce.costs import Costs
from lomit.reproduce.recipes import Plan, Recipe, ablations, rivals, table1
from lomit.reproduce.stages import Ledger
from lomit.reproduce.summary import figure, summary

BUSY = 1.2
"""Other processes are told of where they make everything so much slower."""
PLAN, SUMMARY, FIGURE = "plan.json", "summary.md", "figure.png"


@dataclass
class CommonOptions:
    """Options of every recipe."""

    out: str
    """Folder for everything: faces, models, results, page.  The same command goes on with what lies in it."""
    minutes: float | None = None
    """Minutes of computing for each model: processor time on a CPU, elapsed time on a GPU.  How many iterations
    fit is measured once, and the schedule's shape kept."""
    steps: int | None = None
    """Iterations for each model, in place of minutes."""
    pairs: int = 1_000
    """Pairs of each evaluation."""
    seed: int = 0
    """Of faces, runs, draws and bootstrap."""
    classifier: str | None = None
    """Folder of an attribute classifier that is there already; by default one is trained, or that of the package taken
    for rendered faces."""
    device: str | None = None
    """cpu or cuda; by default CUDA where there is one."""
    threads: int | None = None
    """CPU threads; by default PyTorch's choice."""
    plan: bool = False
    """Only say what would be done and how long it takes, and leave the folder alone."""
    quick: bool = False
    """A smoke run: a few faces of 32 pixels, networks of a few thousand weights, a few iterations each.  Its numbers
    mean nothing."""
    overwrite: bool = False
    """Make stages again that were made with other settings."""


@dataclass
class Table1Options(CommonOptions):
    """The paper's Table 1 on photographs: classifier, every method's models, their evaluation, the page.

    Without minutes or steps each model is trained for its preset's whole schedule.  --plan tells how long that takes.
    """

    data: LabelledData = field(default_factory=LabelledData)
    """CelebA, or a part of it."""
    size: Literal["128", "64"] = "128"
    """Side of the images in pixels; 64 takes narrow networks with a short schedule."""
    methods: tuple[str, ...] = ()
    """Name of a method, such as lomit; repeat the option for more.  By default all."""


@dataclass
class RivalsOptions(CommonOptions):
    """LOMIT and its rivals on rendered faces, with an equal budget (30 minutes unless given) and on the same pairs."""

    attribute: str = "Blond_Hair"
    """What the domains of a method with domains differ in: Blond_Hair, Smiling or Facial_Hair."""
    methods: tuple[str, ...] = ()
    """Name of a method, such as lomit; repeat the option for more.  By default all."""
    faces: str | None = None
    """Folder of `lomit data avatars` with the test part's regions; by default 10,000 faces are rendered."""


@dataclass
class AblationsOptions(CommonOptions):
    """LOMIT on rendered faces with one part taken away at a time (25 minutes each unless given)."""

    variants: tuple[str, ...] = ()
    """full, full-again (another seed) or an ablation as in the presets' names; repeat the option for more.  By default
    all."""
    faces: str | None = None
    """Folder of `lomit data avatars` with the test part's regions; by default 10,000 faces are rendered."""


def run_reproduce_table1(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(Table1Options, argv, "lomit reproduce table1")
    if options.data.root is None and not options.quick:
        raise LomitError("no data: set --data.root to a folder in CelebA's layout, or try --quick, which renders faces")
    if options.quick and options.data.root is not None:
        raise LomitError("--quick renders its own faces; leave out --data.root")
    given: dict[str, Any] = {"size": int(options.size)}
    if options.data.root is not None:
        source = open_source(options.data.config(64))
        given |= {
            "root": str(Path(options.data.root).expanduser().resolve()),
            "extra_roots": tuple(str(Path(r).expanduser().resolve()) for r in options.data.extra_roots),
            "images": int((source.split == TRAIN).sum()),
        }
    return _reproduce(options, "table1", lambda plan: table1(plan, options.methods), None, given)


def run_reproduce_rivals(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(RivalsOptions, argv, "lomit reproduce rivals")
    recipe = lambda plan: rivals(plan, options.methods, options.attribute)  # noqa: E731
    return _reproduce(options, "rivals", recipe, 30.0, _rendered(options.faces))


def run_reproduce_ablations(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(AblationsOptions, argv, "lomit reproduce ablations")
    return _reproduce(
        options, "ablations", lambda plan: ablations(plan, options.variants), 25.0, _rendered(options.faces)
    )


def _rendered(folder: str | None) -> dict[str, Any]:
    if folder is None:
        return {}
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise LomitError(f"--faces {folder}: no such folder; lomit data avatars makes one")
    return {"root": str(path)}


def _reproduce(
    options: CommonOptions,
    name: str,
    make: Callable[[Plan], Recipe],
    minutes: float | None,
    given: dict[str, Any],
) -> int:
    """Plans, tells, and unless only that was asked for, runs.

    Raises:
        LomitError: for options that can't be used, a folder of other settings, and what the commands raise.
    """
    _check(options)
    out, device = Path(options.out).expanduser().resolve(), usable_device(options.device)
    known = _read_plan(out, name)
    costs = Costs(device, options.threads, known.get("costs") if known.get("device") == device.type else None)
    threads = () if options.threads is None else ("--train.threads", str(options.threads))
    workers = ("--threads", str(options.threads)) if options.threads is not None else ()
    plan = Plan(
        out, costs, _config_of,
        minutes=options.minutes or (None if options.steps else minutes), steps=options.steps, pairs=options.pairs,
        seed=options.seed, classifier=options.classifier, quick=options.quick,
        how_train=("--train.accelerator", device.type, *threads),
        how_classifier=("--device", device.type, *workers), how_evaluate=("--device", device.type),
        how_report=("--device", device.type), **given,
    )  # fmt: skip
    print("measuring what an iteration costs here ..." if not known else "costs as measured at the first start")
    recipe = make(plan)
    ledger = Ledger(out, recipe.stages)
    print(f"\n{_overview(recipe, ledger, device.type)}\n")
    if options.plan:
        return 0
    ledger.check(options.overwrite)
    content = json.dumps({"recipe": name, "device": device.type, "costs": costs.to_dict()}, indent=1) + "\n"
    write_file(out / PLAN, lambda file: file.write(content.encode()), overwrite=True)
    code = ledger.run(_call, lambda line: print(line, flush=True))
    if code:
        return code
    text = summary(recipe, out, ledger)
    write_file(out / SUMMARY, lambda file: file.write(text.encode()), overwrite=True)
    picture = figure(recipe, out)
    if picture is not None:
        write_png(out / FIGURE, picture, overwrite=True)
    print(f"\n{text}\nthe page is {out / 'report.html'}; these tables are in {out / SUMMARY}")
    return 0


def _check(options: CommonOptions) -> None:
    if options.minutes is not None and options.steps is not None:
        raise LomitError("give --minutes or --steps, not both")
    for name in ("minutes", "steps", "pairs", "threads"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise LomitError(f"--{name} must be positive; it is {value}")
    if options.seed < 0:
        raise LomitError(f"--seed must not be negative; it is {options.seed}")


def _read_plan(out: Path, name: str) -> dict[str, Any]:
    """What an earlier start measured; iterations must not change when a recipe is taken up."""
    path = out / PLAN
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        recipe = found["recipe"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LomitError(f"{path} is damaged ({error}); remove it to plan anew") from error
    if recipe != name:
        raise LomitError(f"{out} belongs to lomit reproduce {recipe}; choose another --out")
    return found


def _config_of(argv: Sequence[str]) -> RunConfig:
    """As `lomit train` would fill it in."""
    config, _ = preset_config(argv)
    config.model.attributes, config.model.image_size = config.data.attributes, config.data.image_size
    return config


_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "train": run_train,
    "evaluate": run_evaluate,
    "report": run_report,
    "classifier train": run_classifier_train,
    "data avatars": lambda argv: call_typed(data_avatars, argv, "lomit data avatars") or 0,
}
"""What stages consist of."""


def _call(words: Sequence[str]) -> int:
    name = words[0] if words[0] in _COMMANDS else " ".join(words[:2])
    return _COMMANDS[name](words[len(name.split()) :])


def _overview(recipe: Recipe, ledger: Ledger, device: str) -> str:
    """Every stage with its state and time."""
    rows = [["stage", "state", "time"]]
    free = busy = 0.0
    for stage in recipe.stages:
        state = ledger.state(stage)
        rows.append([stage.name, state, "–" if stage.seconds is None else duration(stage.seconds)])
        if state != "finished":
            free, busy = free + (stage.seconds or 0.0), busy + (stage.busy_seconds or 0.0)
    line = f"about {duration(free)} to go on this machine ({device}) if nothing else runs, decoding of the images apart"
    if busy > BUSY * free:
        line += f"; as busy as it was when that was measured, {duration(busy)}"
    return f"{markdown_table(rows)}\n\n{line}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`, `5 days 3 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h"
