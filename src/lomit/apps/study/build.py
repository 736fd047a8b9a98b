"""From pictures and questions to a study's folder."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from lomit.apps.study.definition import ACCESS, IMAGES, KEY, STUDY, Access, Key, Study, key_json
from lomit.apps.study.design import design
from lomit.apps.study.material import Material
from lomit.apps.web import hashed, token
from lomit.errors import LomitError
from lomit.images import writing_failed


def build_study(
    out: Path,
    material: Material,
    study: Study,
    progress: Callable[[str], None] = lambda line: None,
) -> str:
    """Makes the pictures and writes the folder, whole or not at all; only its owner can read it.

    Args:
        out: the folder to make.
        material: the pictures.
        study: what is asked.
        progress: is told what is going on.

    Returns:
        The owner's token, which is kept nowhere.

    Raises:
        LomitError: where there are too few pictures, a model can't be used, or the folder is there or can't be written.
    """
    if os.path.lexists(out):
        raise LomitError(f"{out} exists already; choose another --out (a study with answers is never replaced)")
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
