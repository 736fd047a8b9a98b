"""What `lomit evaluate` wrote, read back."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lomit.errors import LomitError
from lomit.evaluation.results import SCHEMA, Row
from lomit.stats.bootstrap import Estimate

NAME = "results.json"
MODEL, PLAIN, FLOOR, CEILING = "model", "m = 1", "floor", "ceiling"
"""Columns of the rows, as the protocols call them."""


@dataclass(frozen=True)
class Results:
    """One evaluation.

    Attributes:
        facts: what decides the numbers: protocol, model, data, ...
        notes: how they are defined.
        rows: the numbers.
    """

    facts: dict[str, Any]
    notes: Sequence[str]
    rows: Sequence[Row]

    def fact(self, *path: str) -> Any:
        """A fact by the keys that lead to it; None where it is not told."""
        value: Any = self.facts
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    @property
    def terms(self) -> tuple[str, ...]:
        """What two evaluations must share for their numbers to be comparable: protocol, data, draw and judge."""
        paths = ("protocol",), ("seed",), ("data", "name"), ("pairs_sha256",), ("classifier", "sha256")
        split = self.fact("data", "split") or "test"  # results of before there was a choice don't tell
        return (split, *(str(self.fact(*path)) for path in paths))

    @property
    def draws(self) -> dict[str, str]:
        """Class -> hash of its pairs, for protocols that draw some for each class."""
        classes = self.fact("classes")
        found = classes.items() if isinstance(classes, dict) else ()
        return {name: str(told.get("pairs_sha256")) for name, told in found if isinstance(told, dict)}

    def comparable(self, other: Results) -> bool:
        """Whether the numbers of both may stand in one table."""
        shared = self.draws.keys() & other.draws.keys()
        return self.terms == other.terms and all(self.draws[name] == other.draws[name] for name in shared)


def read_results(path: Path) -> Results:
    """Reads a results.json.

    Raises:
        LomitError: where it can't be read, is of another schema or not what `lomit evaluate` writes.
    """
    values = read_json(path)
    if values.get("schema") != SCHEMA:
        raise LomitError(f"{path} has the schema {values.get('schema')}; this lomit reads {SCHEMA}: evaluate again")
    entries, notes = values.get("results"), values.get("notes", [])
    if not isinstance(entries, list) or not isinstance(notes, list):
        raise LomitError(f"{path} is not what lomit evaluate writes: it needs the lists 'results' and 'notes'")
    rows = [_row(entry, f"{path}: result {number}") for number, entry in enumerate(entries, start=1)]
    facts = {key: value for key, value in values.items() if key not in ("results", "notes")}
    return Results(facts, [str(note) for note in notes], rows)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        LomitError: where it is missing, no JSON (NaN is none), or not an object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except FileNotFoundError:
        raise LomitError(f"no such file: {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise LomitError(f"{path} can't be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise LomitError(f"{path}: expected an object with keys, found {type(values).__name__}")
    return values


def number(value: Any, where: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number of a file.

    Raises:
        LomitError: for anything else, and outside [low, high].
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise LomitError(f"{where}: expected a number, found {value!r}")
    if not low <= value <= high:
        raise LomitError(f"{where}: {value:g} lies outside {low:g} to {high:g}")
    return float(value)


def count(value: Any, where: str) -> int:
    """A whole number of a file, 0 or more.  Raises as `number`."""
    if number(value, where, low=0) != int(value):
        raise LomitError(f"{where}: expected a whole number, found {value!r}")
    return int(value)


def _row(entry: Any, where: str) -> Row:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("section", "name")):
        raise LomitError(f"{where} needs 'section' and 'name'")
    unit = str(entry.get("unit", ""))
    cells = {}
    for column, cell in entry.items():
        if not isinstance(cell, dict) or column == "quoted":
            continue
        place = f"{where}, '{column}'"
        value, low, high = (
            None if cell.get(key) is None else number(cell[key], f"{place}.{key}") for key in ("value", "low", "high")
        )
        samples, people = (count(cell.get(key), f"{place}.{key}") for key in ("samples", "people"))
        cells[column] = Estimate(value, low, high, samples, people)
    # The file holds every digit; how many are worth reading follows from the unit.
    digits = {"%": 1, "0..255": 2, "nats": 4}.get(unit, 3)
    return Row(entry["section"], entry["name"], unit, digits, cells, flag=str(entry.get("flag", "")))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")
