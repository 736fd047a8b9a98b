"""Runs an experiment: prices it, says what is to be done, does it, and sums it up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lomit.config import from_dict, read_json, to_dict
from lomit.errors import LomitError
from lomit.images import write_bytes, write_png
from lomit.reproduce.costs import Cost, Costs
from lomit.reproduce.experiments import ConfigOf, Experiment, Setup
from lomit.reproduce.stages import Call, Ledger
from lomit.reproduce.summary import figure, summary
from lomit.stats.text import markdown_table

BUSY = 1.2
"""Where other processes make everything so much slower, the estimate says so."""
NIGHT = 36_000.0
"""Seconds: a plan that takes longer comes with a shorter one."""
PLAN, SUMMARY, FIGURE = "plan.json", "summary.md", "figure.png"


def reproduce(
    name: str,
    make: Callable[[Setup], Experiment],
    out: Path,
    device: torch.device,
    threads: int | None,
    config_of: ConfigOf,
    call: Call,
    *,
    plan: bool = False,
    overwrite: bool = False,
    **given: Any,
) -> int:
    """Goes through the stages that are not finished.

    Args:
        name: of the experiment; a folder belongs to one.
        make: makes the experiment of a setup.
        plan: only say what would be done, and leave the folder alone.
        overwrite: make stages again that were made with other settings.
        given: further fields of the setup.

    Returns:
        0, or the code of the command that was stopped.

    Raises:
        LomitError: for a folder of other settings, and what the commands raise.
    """
    before = read_plan(out, name)
    measured = before.costs if before is not None and before.device == device.type else None
    costs = Costs(device, threads, measured, _say, rough=plan and device.type == "cpu")
    setup = Setup(out, costs, config_of, **given)
    experiment = make(setup)
    ledger = Ledger(out, experiment.stages)
    _say(f"\n{overview(experiment, ledger, device.type)}\n")
    if plan:
        _say("\n".join(stage.command for stage in experiment.stages))
        if costs.rough:
            _say("\nroughly: times and iterations are scaled from a few small images")
        _say(proposal(experiment, make, setup))
        return 0
    ledger.check(overwrite)
    content = json.dumps(to_dict(Plan(name, device.type, costs.known)), indent=1) + "\n"
    write_bytes(out / PLAN, content.encode(), overwrite=True)
    code = ledger.run(call, _say)
    if code:
        return code
    text = summary(experiment, out, ledger)
    write_bytes(out / SUMMARY, text.encode(), overwrite=True)
    picture = figure(experiment, out)
    if picture is not None:
        write_png(out / FIGURE, picture, overwrite=True)
    _say(f"\n{text}\nthe page is {out / 'report.html'}; these tables are in {out / SUMMARY}")
    return 0


def overview(experiment: Experiment, ledger: Ledger, device: str) -> str:
    """Every stage with its state and time."""
    rows = [["stage", "state", "time"]]
    free = busy = 0.0
    for stage in experiment.stages:
        state = ledger.state(stage)
        rows.append([stage.name, state, "–" if stage.seconds is None else duration(stage.seconds)])
        if state != "finished":
            free, busy = free + (stage.seconds or 0.0), busy + (stage.busy_seconds or 0.0)
    line = f"about {duration(free)} to go on this machine ({device}) if nothing else runs, decoding of the images apart"
    if busy > BUSY * free:
        line += f"; as busy as it was when that was measured, {duration(busy)}"
    return f"{markdown_table(rows)}\n\n{line}"


def proposal(experiment: Experiment, make: Callable[[Setup], Experiment], setup: Setup) -> str:
    """What to add to the command for it to end within a night; "" where it does anyway."""
    if _seconds(experiment) <= NIGHT:
        return ""
    small = setup.size == 128 and setup.costs.device.type == "cpu"
    # With one iteration a model, what is left is all the rest.
    rest = make(replace(setup, size=64 if small else setup.size, minutes=None, steps=1))
    minutes = int((NIGHT - _seconds(rest)) / 60 / max(1, len(rest.models)))
    options = ("--size 64 " if small else "") + f"--minutes {minutes}"
    fits = f"to end within {duration(NIGHT)}, add {options}" if minutes >= 1 else "too much for a night; name --methods"
    return f"\n{fits}; --quick is a smoke run of minutes"


def _seconds(experiment: Experiment) -> float:
    return sum(stage.seconds or 0.0 for stage in experiment.stages)


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


@dataclass(frozen=True)
class Plan:
    """What is kept of an experiment before its first stage: its name, and what things cost on this kind of device, so
    that the iterations do not change when it is resumed.
    """

    experiment: str
    device: str
    costs: Mapping[str, Cost]


def read_plan(out: Path, name: str) -> Plan | None:
    """What an earlier start wrote; None where there was none.

    Raises:
        LomitError: where it is damaged, or of another experiment.
    """
    path = out / PLAN
    if not path.is_file():
        return None
    try:
        plan = from_dict(Plan, read_json(path), str(path))
    except LomitError as error:
        raise LomitError(f"{error}; remove it to plan again") from error
    if plan.experiment != name:
        raise LomitError(f"{out} belongs to lomit reproduce {plan.experiment}; choose another --out")
    return plan


def _say(line: str) -> None:
    print(line, flush=True)
