"""Hand-made results, logs and models for pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lomit.config import to_dict
from lomit.inference.weights import save_pretrained
from lomit.models.registry import saved_config
from lomit.report.parts import PagePart, page
from support.tiny import tiny_config, tiny_translator, write_folder

HOSTILE = "<script>alert('x')</script>\"><img src=http://example.org/x onerror=y>&amp;"
"""What a file of a user's might hold."""


def cell(value: float | None = 50.0, low: float | None = 40.0, high: float | None = 60.0) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "samples": 200, "people": 150}


def row(
    measure: str, of: str = "", unit: str = "%", digits: int = 1, flag: str = "", **cells: dict[str, Any]
) -> dict[str, Any]:
    """A row of results.json, named after its keys."""
    texts = {"measure": measure, "of": of, "section": f"section of {measure}", "name": of or measure, "unit": unit}
    return {**texts, "digits": digits, "flag": flag, "cells": cells}


def results_json(rows: list[dict[str, Any]], **facts: Any) -> dict[str, Any]:
    """What `lomit evaluate` writes, with these rows and facts."""
    told = {
        "schema": 2,
        "protocol": "avatars",
        "model": {"method": "lomit", "attributes": ["Smiling", "Hat"]},
        "classifier": {"sha256": "ab"},
        "data": {"name": "faces"},
        "draws": {"pairs": {"pairs_sha256": "cd"}},
    }
    return told | facts | {"notes": ["How the numbers are defined."], "results": rows}


def write_json(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    return path


def write_log(run: Path, lines: list[dict[str, Any]] | str) -> Path:
    """A training run with this log."""
    run.mkdir(parents=True, exist_ok=True)
    text = lines if isinstance(lines, str) else "".join(json.dumps(line) + "\n" for line in lines)
    (run / "log.jsonl").write_text(text)
    config = saved_config(tiny_config()) | {"data": {"kind": "avatars"}}
    write_json(run / "config.json", config)
    return run


def part(blocks: Sequence[PagePart]) -> str:
    """Blocks as they stand on a page, as HTML."""
    return page("", blocks, {}).partition("</h1>")[2].partition("<nav")[0]


def shown(blocks: PagePart | Sequence[PagePart]) -> Page:
    """The same, taken apart."""
    return Page(part([blocks] if isinstance(blocks, PagePart) else blocks))


class Page(HTMLParser):
    """A page taken apart.

    Attributes:
        tags: (name, attributes) of every element.
        headings: texts of the h2.
        text: all text without style sheets.
        stray: end tags that close nothing, and elements left open.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.text, self.stray = "", list[str]()
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.stray += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self._open.append(tag)
        if tag == "h2":
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.stray.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data + " "
        if self._open and self._open[-1] == "h2":
            self.headings[-1] += data


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained LOMIT for images of 16 pixels."""
    translator = tiny_translator(mask_norm="group")
    return save_pretrained(translator, tmp_path_factory.mktemp("model") / "small")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise that is labelled with the model's attributes."""
    return write_folder(tmp_path_factory.mktemp("faces") / "noise", count=80)


@pytest.fixture
def results_of() -> Callable[..., dict[str, Any]]:
    """results.json of a LOMIT with these config fields."""

    def make(accuracy: float, **config: Any) -> dict[str, Any]:
        told = {"method": "lomit", "attributes": ["Smiling", "Hat"], "config": to_dict(tiny_config(**config))}
        rows = [
            row("accuracy", "Hat", model=cell(accuracy), plain=cell()),
            row("changed_each", model=cell(accuracy), plain=cell(33.3)),
            row("iou", unit="", digits=3, model=cell(0.5, 0.4, 0.6)),
        ]
        return results_json(rows, model=told)

    return make
