"""What an evaluation has translated and scored so far, kept on disk, so that a killed one is taken up where it was.

A part is a few tensors under a name.  It is written whole or not at all, as safetensors, and computed again only where
it is not there.  The folder of parts is removed when the results are written: it is there while a run is unfinished.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from lomit.config import read_json
from lomit.errors import LomitError
from lomit.images import write_bytes, write_png, writing_failed
from lomit.stats.estimate import Estimate

PARTS, SETTINGS, IMAGES = "unfinished", "settings.json", "images"
LOCK = ".lomit-evaluate.lock"

Part = dict[str, Tensor]


class Store:
    """Parts by name.

    Args:
        parts: folder they are kept in; None keeps nothing, every part is computed.
        settings: what decides the parts, as plain JSON values; written beside the first of them.
        images: folder for translated images; None keeps none.
    """

    def __init__(
        self, parts: Path | None = None, settings: Mapping[str, object] | None = None, images: Path | None = None
    ) -> None:
        self._parts, self._settings, self._images = parts, dict(settings or {}), images

    def part(self, name: str, compute: Callable[[], Mapping[str, Tensor]]) -> Part:
        """The part of that name (words between slashes), on the CPU: the kept one, or a new one, which is then kept.

        Raises LomitError where it can't be written.
        """
        path = None if self._parts is None else self._parts / f"{_file_name(name, hashed=True)}.safetensors"
        if path is not None and path.is_file():
            with suppress(SafetensorError, OSError):  # a damaged part is computed again
                return load_file(path)
        found = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in compute().items()}
        if path is not None:
            self._write_settings()
            write_bytes(path, save(found), overwrite=True)
        return found

    def estimate(self, name: str, compute: Callable[[], Estimate]) -> Estimate:
        """A number with its interval as a part; args and errors as for `part`."""

        def tensor() -> Part:
            values = [math.nan if v is None else v for v in astuple(compute())]
            return {"estimate": torch.tensor(values, dtype=torch.float64)}

        value, low, high, samples, people = self.part(name, tensor)["estimate"].tolist()
        number, lowest, highest = (None if math.isnan(v) else v for v in (value, low, high))
        return Estimate(number, lowest, highest, int(samples), int(people))

    def keep_images(self, stage: str, names: Sequence[str], images: Tensor) -> None:
        """Writes images (uint8, N x 3 x H x W) where they are to be kept: `images/STAGE/NAME.png`."""
        if self._images is None:
            return
        self._write_settings()  # a run that is stopped in its first part is known by its images, too
        for name, image in zip(names, images.permute(0, 2, 3, 1).cpu().numpy(), strict=True):
            write_png(self._images / _file_name(stage) / f"{_word(name)}.png", Image.fromarray(image), overwrite=True)

    def finish(self) -> None:
        """Removes the parts; the results are written."""
        if self._parts is not None:
            shutil.rmtree(self._parts, ignore_errors=True)

    def _write_settings(self) -> None:
        if self._parts is not None and not (self._parts / SETTINGS).is_file():
            write_bytes(self._parts / SETTINGS, json.dumps(self._settings, indent=2).encode(), overwrite=True)


@contextmanager
def open_store(
    out: Path, settings: Mapping[str, object], keep_images: bool = False, overwrite: bool = False
) -> Iterator[Store]:
    """The store of an evaluation, new or taken up; a second evaluation is kept out, and no empty folder left behind.
    Raises LomitError where an unfinished evaluation has other settings and `overwrite` is False, where images of
    another run are in the way, or another process writes there.

    Args:
        settings: name -> value of all that decides the parts, JSON values.
        keep_images: keep translated images, in `out/images`.
        overwrite: start afresh where an unfinished evaluation had other settings.
    """
    lock = FileLock(out / LOCK, timeout=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise LomitError(f"another evaluation writes into {out}; wait for it or choose another --out") from None
    except OSError as error:
        raise writing_failed(out, error) from error
    parts, images = out / PARTS, out / IMAGES
    try:
        if not _unfinished(parts, settings, overwrite):
            if keep_images and images.is_dir() and any(images.iterdir()):
                raise LomitError(f"{images} holds pictures of another run; remove it or choose another --out")
            shutil.rmtree(parts, ignore_errors=True)
        yield Store(parts, settings, images if keep_images else None)
    finally:
        with suppress(OSError):
            (out / LOCK).unlink()
        lock.release()
        with suppress(OSError):  # it holds something
            out.rmdir()


def _unfinished(parts: Path, settings: Mapping[str, object], overwrite: bool) -> bool:
    """Whether an unfinished evaluation with these settings is there; one with others may be replaced by `overwrite`."""
    if not os.path.lexists(parts):
        return False
    try:
        found = read_json(parts / SETTINGS)
    except LomitError:
        raise LomitError(f"{parts} is not of an evaluation; remove it or choose another --out") from None
    found, wanted = (dict(_leaves(values)) for values in (found, json.loads(json.dumps(dict(settings)))))
    changed = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    if not changed:
        return True
    if not overwrite:
        name = changed[0]
        raise LomitError(
            f"{parts.parent} holds an unfinished evaluation with another setting: {name} was {found.get(name)}, now "
            f"{wanted.get(name)}; take it up as it was, choose another --out or add --overwrite to start afresh"
        )
    return False


def _leaves(values: Mapping[str, object], start: str = "") -> Iterator[tuple[str, object]]:
    """`classifier.sha256` and its value, for every value that is no object itself."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{start}{name}.")
        else:
            yield start + name, value


def _file_name(name: str, hashed: bool = False) -> Path:
    """A path of as many words; with `hashed`, words that are rewritten stay different from each other."""
    return Path(*(_word(word, hashed) for word in name.split("/")))


def _word(text: str, hashed: bool = False) -> str:
    """A file's name that every system takes, of 100 characters at most and some of a hash."""
    word = re.sub(r"[^\w.+-]+", "_", text).lstrip(".")[:100] or "_"
    if not hashed or word == text:
        return word
    return f"{word}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
