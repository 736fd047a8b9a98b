"""From pictures and questions to a study's folder."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from lomit.apps.study.definition import ACCESS, IMAGES, KEY, STUDY, Access, Key, StudyDefinition, Texts, key_json
from lomit.apps.study.design import Block, design, meetings, require_room
from lomit.apps.study.material import Material
from lomit.apps.web import hashed, token
from lomit.config import from_dict
from lomit.errors import LomitError
from lomit.images import writing_failed


def read_texts(title: str | None, contact: str | None, consent: str | None, completion_url: str) -> Texts:
    """What participants read: the defaults, but for what is given.  `consent` is a file of paragraphs.  Raises
    LomitError where it can't be read or is empty.
    """
    given: dict[str, Any] = {name: text for name, text in (("title", title), ("contact", contact)) if text is not None}
    if consent is not None:
        try:
            text = Path(consent).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LomitError(f"{consent} can't be read as text: {error}") from error
        given["consent"] = tuple(" ".join(part.split()) for part in text.split("\n\n") if part.strip())
        if not given["consent"]:
            raise LomitError(f"{consent} is empty")
    return replace(Texts(completion_url=completion_url), **given)


def read_entries(path: Path) -> list[Any]:
    """The blocks that a JSON file holds, not checked yet.  Raises LomitError where it holds something else."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(entries, ensure_ascii=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        raise LomitError(f"{path} can't be read as JSON: {error}") from error
    if not isinstance(entries, list):
        raise LomitError(f"{path} must hold a list of blocks; see docs/study.md")
    return entries


def own_blocks(
    entries: Sequence[Any], path: Path, models: tuple[str, ...], which: Literal["first", "all"]
) -> tuple[Block, ...]:
    """The blocks of `read_entries`; those about two models that name none let them meet as `which` says.  Raises
    LomitError where an entry is no block.
    """
    blocks = []
    for number, entry in enumerate(entries, start=1):
        where = f"{path}: block {number}"
        missing = [k for k in ("name", "question", "kind") if not isinstance(entry, dict) or k not in entry]
        if missing:
            raise LomitError(f"{where} needs {', '.join(missing)}")
        block = from_dict(Block, entry, where)
        if block.kind == "models" and not block.comparisons:
            block = replace(block, comparisons=meetings(models, which))
        blocks.append(block)
    return tuple(blocks)


def build_study(
    out: Path,
    material: Material,
    study: StudyDefinition,
    progress: Callable[[str], None] = lambda line: None,
) -> str:
    """Makes the pictures and writes the folder, whole or not at all; only its owner can read it.  Returns the owner's
    token, which is kept nowhere.

    Raises LomitError where there are too few pictures, a model can't be used, or the folder is there or can't be
    written.
    """
    if os.path.lexists(out):
        raise LomitError(f"{out} exists already; choose another --out (a study with answers is never replaced)")
    require_room(study.blocks, material.models, material.room)
    lists = design(study.blocks, material.models, material.pairs, material.reals, study.lists, study.seed)
    wanted = sorted({picture for trials in lists for trial in trials for picture in trial.pictures})
    progress(f"making {len(wanted)} pictures")
    images = material.pictures(wanted, study.seed)
    # Names are random, not drawn by the seed, which is no secret.
    key = Key(lists, {picture: secrets.token_hex(16) for picture in wanted})
    owner = token()
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        (part / IMAGES).mkdir(parents=True)
        part.chmod(0o700)
        for picture, image in images.items():
            # Uncompressed: all files are equally long, so that no length tells a drawing from a photograph, a
            # translation or an attention check.
            image.save(part / IMAGES / f"{key.files[picture]}.png", "PNG", compress_level=0)
        _write(part / STUDY, asdict(study))
        _write(part / KEY, key_json(key))
        _write(part / ACCESS, asdict(Access(hashed(owner), token())))
        part.rename(out)
    except OSError as error:
        raise writing_failed(out, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return owner


def _write(path: Path, values: dict[str, object]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    path.chmod(0o600)
