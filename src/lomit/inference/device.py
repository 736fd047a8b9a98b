"""The device that a model runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lomit.errors import LomitError, line_of


def usable_device(name: str | torch.device | None) -> torch.device:
    """The device of that name; None takes CUDA where there is one.

    Raises:
        LomitError: where there is no such device, or it can't compute.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # the device "meta" has no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        # Of other devices than CUDA torch says in a thousand words that it was built without them.
        why = f" ({line_of(error)})" if str(name).startswith("cuda") else ""
        which = "cpu, cuda where there is an NVIDIA GPU, or mps on a Mac"
        raise LomitError(f"no device '{name}' here{why}; give {which}") from error
    return device


@contextmanager
def exactly() -> Iterator[None]:
    """For computing without gradients, by algorithms that give equal inputs equal bits."""
    with torch.inference_mode(), torch.backends.cudnn.flags(deterministic=True, benchmark=False):
        yield
