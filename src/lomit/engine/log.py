"""Where a run's numbers go: JSON lines, TensorBoard, and the terminal."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lomit.engine.checkpoint import write_text
from lomit.errors import line_of
from lomit.nn.blocks import float64

logger = logging.getLogger(__name__)
_ROOM = 2**24
"""Bytes that must be free for a sheet."""


class Means:
    """Means of named scalars since the last call of `take`, kept on the device: nothing waits for it.

    The terms of one call are one vector, so that a step adds two kernels and not two for each term.
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, prefix: str, terms: Mapping[str, Tensor]) -> None:
        """Takes in the terms of one update; a name with a slash stays as it is, others get the prefix."""
        if not terms:
            return
        keys = tuple(name if "/" in name else f"{prefix}/{name}" for name in terms)
        values = torch.stack(list(terms.values()))
        self._sums[keys] = self._sums[keys] + values if keys in self._sums else values
        self._counts[keys] = self._counts.get(keys, 0) + 1

    def take(self) -> dict[str, float]:
        """The means; the only place where the device is waited for."""
        if not self._sums:
            return {}
        values = torch.cat([float64(v) / self._counts[k] for k, v in self._sums.items()]).tolist()
        names = [name for keys in self._sums for name in keys]
        self._sums, self._counts = {}, {}
        return dict(zip(names, values, strict=True))


class RunLog:
    """`log.jsonl` and `tensorboard/` of a run.

    Lines of steps later than `after`, written by a run that was killed after its last checkpoint, are dropped.
    """

    def __init__(self, folder: Path, after: int = 0) -> None:
        self.path = folder / "log.jsonl"
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        kept = "".join(f"{line}\n" for line in text.splitlines() if after and _step(line) <= after)
        if kept != text:
            write_text(self.path, kept)
        self._file = self.path.open("a", buffering=1, encoding="utf-8", newline="\n")
        self._board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:  # an optional extra; the JSON lines hold the same numbers
            return
        except Exception as error:  # installed beside a package that it does not fit, it fails in many ways
            logger.warning("no tensorboard/ is written, since it can't be imported: %s", line_of(error))
            return
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=after + 1)

    def write(self, step: int, values: Mapping[str, float | str]) -> None:
        """One line: the step and its values (NaN as null, so that every line is valid JSON)."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        self._file.write(json.dumps({"step": step, **clean}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(name, value, step)

    def show(self, step: int, sheet: Image.Image) -> None:
        """A sample sheet, for TensorBoard; none where the disk is nearly full, which its thread would not survive."""
        if self._board is not None and shutil.disk_usage(self.path.parent).free > _ROOM:
            self._board.add_image("samples", np.asarray(sheet.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def _step(line: str) -> float:
    """The step of a log line; a line cut off by a kill belongs to no step."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
