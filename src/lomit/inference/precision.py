"""Convolutions in bfloat16, where they are faster and near enough to float32: what `--precision` decides.

Under autocast convolutions and matrix products alone are in bfloat16.  Statistics of norms and of AdaIN, what is
blended, and the image that comes out are in float32, as in training; so are LOMIT's masks with all they are made of.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import median

import torch
from filelock import FileLock
from torch import Tensor
from torch.nn import functional as F

from lomit.config import NumberFormat, Precision, read_json
from lomit.data.cache import cache_root
from lomit.errors import LomitError, line_of
from lomit.images import write_bytes
from lomit.models.base import Guide, Translator

MEAN, LARGEST = 0.3, 4.0
"""How far a translation in bfloat16 may be from float32's, on average and at most, in steps of 1/255."""
SECONDS = 1.0
"""For how long both are timed, by turns, after each has run once; each is timed once at least."""
PAIRS = 8
"""Of the first batch, at most so many are tried."""

Run = Callable[[], Tensor]
"""Computes something whose time counts, in one format, and returns what both are compared by."""


def in_hardware() -> bool:
    """Whether this CPU has instructions for bfloat16 (AVX-512 BF16, AMX, or those of ARM).

    Without them torch converts to float32 and back, or goes through a reference implementation, which takes up to ten
    times as long: nothing is worth trying.
    """
    return any(has for name, has in _capabilities().items() if name.lower().endswith("bf16"))


def _capabilities() -> dict[str, object]:
    """What torch knows of this processor: its name, its sizes and each set of instructions."""
    return dict(getattr(torch.cpu, "get_capabilities", dict)())


def usable_precision(wanted: Precision, device: torch.device) -> Precision:
    """What was asked for; float32 for `auto` where trying is of no use.  `auto` is for CPUs.

    Raises:
        LomitError: where bfloat16 is asked for and torch can't compute in it on this device.
    """
    if wanted == "auto":
        return "auto" if device.type == "cpu" and in_hardware() else "float32"
    if wanted == "bfloat16":
        try:
            with computing_in(wanted, device), torch.no_grad():
                F.conv2d(torch.zeros(1, 1, 1, 1, device=device), torch.zeros(1, 1, 1, 1, device=device))
        except (RuntimeError, NotImplementedError) as error:
            raise LomitError(f"bfloat16 can't be used on '{device}' ({line_of(error)}); take float32") from error
    return wanted


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """A block whose convolutions compute in bfloat16, where that is meant; else one that changes nothing."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def try_translation(translator: Translator, x: Tensor, guide: Guide) -> NumberFormat:
    """The faster format for a translator in eval mode, tried on a batch of what it is to translate; see `choose`."""
    tensors = {name: t[:PAIRS] for name, t in vars(guide).items() if isinstance(t, Tensor)}
    few, device = replace(guide, masks=None, **tensors), x.device

    def translate(form: NumberFormat) -> Tensor:
        with torch.inference_mode(), computing_in(form, device):
            return translator.translate(x[:PAIRS], few).image * (255 / 2)

    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in translator.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().numpy().tobytes())
    what = ["translate", asdict(translator.config), digest.hexdigest()]
    return choose(what, lambda form: partial(translate, form), MEAN, LARGEST)


def choose(
    what: Sequence[object],
    prepare: Callable[[NumberFormat], Run],
    mean: float = math.inf,
    largest: float = math.inf,
    now: Callable[[], float] | None = None,
) -> NumberFormat:
    """The faster of float32 and bfloat16, whose results have to be finite and near float32's.

    What a trial found is kept in the folder of caches, for this processor, this release of torch and `what`; of several
    processes one tries, and the others wait for it.

    Args:
        what: names what is computed, as JSON values.
        prepare: makes what is run in a format.
        mean, largest: how far results may differ, on average and at most.
        now: gives the time in seconds.
    """
    parts = [*what, _capabilities(), torch.__version__]
    key = hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()
    path = cache_root(None) / "precision" / f"{key}.json"
    tried = None
    # Where nothing can be kept, every command tries anew.
    with suppress(OSError, NotImplementedError, LomitError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if (known := _known(path)) is not None:
                return known
            tried = _try(prepare, mean, largest, now or time.perf_counter)
            write_bytes(path, (json.dumps(tried, indent=1) + "\n").encode(), overwrite=True)
    tried = tried or _try(prepare, mean, largest, now or time.perf_counter)
    return "bfloat16" if tried["take"] == "bfloat16" else "float32"


def _known(path: Path) -> NumberFormat | None:
    with suppress(LomitError):
        match read_json(path):
            case {"take": "float32" | "bfloat16" as form}:
                return form
    return None


def _try(
    prepare: Callable[[NumberFormat], Run], mean: float, largest: float, now: Callable[[], float]
) -> dict[str, str | float]:
    """Which to take, and what was found: differences, median seconds."""
    runs: dict[NumberFormat, Run] = {}
    seconds: dict[NumberFormat, list[float]] = {"float32": [], "bfloat16": []}
    results: dict[NumberFormat, Tensor] = {}
    for form in seconds:
        runs[form] = prepare(form)
        results[form] = runs[form]().double()
    error = (results["bfloat16"] - results["float32"]).abs()
    found: dict[str, str | float] = {"mean": error.mean().item(), "largest": error.max().item()}
    # Written so that what is not a number is refused, too.
    if not (error.mean() <= mean and error.max() <= largest):
        return {"take": "float32", **found}
    end = now() + SECONDS
    while True:
        for form, run in runs.items():
            start = now()
            run()
            seconds[form].append(now() - start)
        if now() >= end:
            break
    plain, short = (median(times) for times in seconds.values())
    return {"take": "bfloat16" if short < plain else "float32", **found, "float32": plain, "bfloat16": short}
