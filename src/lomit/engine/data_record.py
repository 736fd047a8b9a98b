"""What images a run learns from, kept beside it: resuming then notices other data behind the same path."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lomit.data.cache import Cache
from lomit.engine.checkpoint import write_text
from lomit.errors import LomitError

FILE = "data.json"
COMPARED = 64
"""Images whose pixels are compared."""


def update(run: Path, cache: Cache, resumed: bool) -> str:
    """Writes down what a run learns from, and compares it with what stood there.

    Where the run is not resumed, that is of one that saved nothing.  Returns what has changed, in one line, empty where
    nothing has.  LomitError where images have other labels; the file stays as it was.
    """
    now = _described(cache)
    path, text = run / FILE, json.dumps(now) + "\n"
    before = path.read_bytes() if path.is_file() else None
    if before == text.encode():
        return ""
    changes = ""
    if resumed and before is not None:  # runs of earlier releases have none
        try:
            changes = _changes(json.loads(before), now)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            changes = f"{path} can't be read, so it is not known whether the data is still the same"
    write_text(path, text)
    return changes


def _changes(before: Any, now: dict[str, dict[str, Any]]) -> str:
    known, images, pixels = before["images"], now["images"], before["pixels"]
    common = [name for name in images if name in known]
    relabelled = [name for name in common if known[name][1:] != images[name][1:]]
    if relabelled:
        raise LomitError(
            f"--resume with other labels: {len(relabelled)} of {len(common)} images have others than when the run "
            f"began, such as {relabelled[0]}; give back those, or start a new run from it with --train.init"
        )
    counts = {
        "gone": len(known) - len(common),
        "new": len(images) - len(common),
        "in another split": sum(known[name][0] != images[name][0] for name in common),
        f"with other pixels ({COMPARED} are compared)": sum(
            now["pixels"].get(name, checksum) != checksum for name, checksum in pixels.items()
        ),
    }
    listed = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"the images are not those that the run began with: {listed}; it goes on with those of now" if listed else ""


def _described(cache: Cache) -> dict[str, dict[str, Any]]:
    """By name, the split and the labels of all images that a run uses, and checksums of some."""
    rows = {split: cache.subset(split) for split in ("train", "val")}
    together = np.concatenate([*rows.values()])
    return {
        "images": {cache.names[k]: [split, *cache.labels[k].tolist()] for split in rows for k in rows[split].tolist()},
        "pixels": {
            cache.names[k]: zlib.crc32(cache.images[k].tobytes())
            for k in together[:: -(-len(together) // COMPARED)].tolist()
        },
    }
