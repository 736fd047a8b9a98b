"""A folder that is a page: it translates in the visitor's browser, and sends nothing anywhere."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lomit import __version__
from lomit.data.avatars.styles import style_credits
from lomit.errors import LomitError
from lomit.export.graph import require_onnx
from lomit.export.runtime import runtime_files
from lomit.export.write import Exported, export_model
from lomit.figures.demo import rendered_pairs
from lomit.images import writing_failed
from lomit.images.write import save_png
from lomit.inference.catalogue import CARD, read_card
from lomit.inference.choice import of_photographs
from lomit.inference.weights import card_summary
from lomit.models.base import Translator
from lomit.models.registry import method_of
from lomit.photo.faces import TEMPLATE

if TYPE_CHECKING:
    from onnx import ModelProto

STATIC = Path(__file__).parent / "static"
MODEL, ABOUT, WORKER, CARD_COPY = "model.onnx", "about.js", "sw.js", "model-card.md"
RUNTIME = "runtime"
SEED, SAMPLES, SIDE = 2019, 3, 256
"""Of the rendered faces: the seed, the pairs, their pixels."""


def check_folder(path: Path) -> None:
    """Raises LomitError where a page can't be written there: it exists and is not an empty folder."""
    if not os.path.lexists(path):
        return
    if not path.is_dir() or path.is_symlink():
        raise LomitError(f"{path} is not a folder; choose another --web")
    try:
        empty = next(path.iterdir(), None) is None
    except OSError as error:
        raise writing_failed(path, error) from error
    if not empty:
        raise LomitError(f"{path} is not empty; choose another --web, or remove it first")


def export_site(
    translator: Translator,
    path: str | os.PathLike[str],
    folder: Path,
    name: str,
    *,
    runtime: Path | None = None,
    step: int | None = None,
) -> Exported:
    """Writes the page's folder, whole or not at all; of what is returned, path and size are the folder's.

    Args:
        translator: on any device; it stays as it is.
        path: of the folder, which is not there or is empty.
        folder: of the model, whose card says its terms.
        name: of the model, as the page shows it.
        runtime: the package onnxruntime-web, unpacked or packed; None: lomit's cache, or npm.
        step: as for `export_model`.

    Raises:
        LomitError: where the folder is in the way, the package can't be had, or as `export_model`.
    """
    path = Path(path)
    check_folder(path)
    require_onnx()
    vendored = runtime_files(runtime)
    about = describe(translator, folder, name)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        (part / RUNTIME).mkdir(parents=True)
        exported = export_model(translator, part / MODEL, step=step)
        _require_all_inputs(part / MODEL)
        for file in STATIC.iterdir():
            shutil.copyfile(file, part / file.name)
        for file_name, content in vendored.items():
            # Not every server knows .mjs for a script.
            (part / RUNTIME / file_name.replace(".mjs", ".js")).write_bytes(content)
        if (folder / CARD).is_file():
            shutil.copyfile(folder / CARD, part / CARD_COPY)
        (part / ABOUT).write_text(f"export default {json.dumps(about, indent=1)};\n", encoding="utf-8")
        _fill_worker(part)
        size = sum(file.stat().st_size for file in _files(part))
        if path.is_dir():
            path.rmdir()
        part.rename(path)
    except OSError as error:
        raise writing_failed(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return replace(exported, path=path, size=size)


def describe(translator: Translator, folder: Path, name: str) -> dict[str, Any]:
    """What the page knows of the model, as JSON takes it."""
    config, photographs = translator.config, of_photographs(folder)
    samples = [] if photographs else _samples(config.attributes)
    return {
        "name": name,
        "method": method_of(config).name,
        "size": config.image_size,
        "hasMasks": translator.has_masks,
        "attributes": list(config.attributes),
        "moves": [{"name": place, "of": list(of)} for place, of in translator.places.items()],
        "summary": card_summary(folder),
        "terms": terms(folder),
        "card": CARD_COPY if (folder / CARD).is_file() else None,
        "samples": samples,
        "credits": list(style_credits().values()) if samples else [],
        "template": TEMPLATE.tolist() if photographs else None,
        "version": __version__,
    }


def terms(folder: Path) -> str:
    """The terms of a model as its card says them: the row `terms`, else the licence; "" where it says none."""
    text = read_card(folder)
    row = re.search(r"^\| *terms *\| *(.+?) *\|$", text, re.MULTILINE)
    header = text.split("\n---\n", 1)[0] if text.startswith("---\n") else ""
    licence: dict[str, str] = dict(re.findall(r"^(license|license_name): *(.+)$", header, re.MULTILINE))
    return row[1].replace("`", "") if row else licence.get("license_name", licence.get("license", ""))


def _samples(attributes: tuple[str, ...]) -> list[dict[str, str]]:
    """Rendered faces as data URLs, an input and its exemplar by turns; none where they can't be had."""
    try:
        pairs = rendered_pairs(attributes, SIDE, SEED)[:SAMPLES]
    except LomitError:  # no `avatars` extra, or attributes that the faces don't have
        return []
    faces = [face for pair in pairs for face in (pair.input, pair.exemplar)]
    samples = []
    for number, face in enumerate(faces, start=1):
        buffer = io.BytesIO()
        save_png(buffer, face.rgb)
        url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        samples.append({"name": f"rendered face {number}", "url": url})
    return samples


def _require_all_inputs(path: Path) -> None:
    """Takes the defaults from the graph's inputs: ONNX Runtime Web feeds only inputs that have none."""
    import onnx

    model: ModelProto = onnx.load(path)
    inputs = {each.name for each in model.graph.input}
    kept = [each for each in model.graph.initializer if each.name not in inputs]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    path.write_bytes(model.SerializeToString())


def _fill_worker(part: Path) -> None:
    """Tells the service worker which files there are, and by their hash, which version of the page this is."""
    names = sorted(file.relative_to(part).as_posix() for file in _files(part) if file.name != WORKER)
    version = hashlib.sha256()
    for name in [*names, WORKER]:
        version.update(name.encode() + b"\0" + (part / name).read_bytes())
    text = (part / WORKER).read_text(encoding="utf-8")
    head = f"const VERSION = {json.dumps(version.hexdigest()[:16])};\nconst FILES = {json.dumps(names)};\n"
    (part / WORKER).write_text(head + text, encoding="utf-8")


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file())
