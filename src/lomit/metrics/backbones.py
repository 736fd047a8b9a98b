"""Weights of published networks, which are downloads: a file of the user's, or what the library's own cache holds.

Nothing is fetched here: a measure must not depend on whether the network is up.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from lomit.errors import LomitError, line_of

PUBLISHER = "https://download.pytorch.org/models"


def backbone_file(network: str, file_name: str, given: str | os.PathLike[str] | None = None) -> Path:
    """Where a network's published weights are: a file of the user's, or `file_name` in torch's cache.  Raises
    LomitError where it is not there, with a line that says where to get it.
    """
    if given is not None:
        if not Path(given).is_file():
            raise LomitError(f"no weights of {network} at {given}")
        return Path(given)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / file_name
    if not cached.is_file():
        raise LomitError(
            f"the weights of {network} are not here: get {PUBLISHER}/{file_name} and give its path, or put it into "
            f"{cached.parent}"
        )
    return cached


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a publisher's .pth file.

    The latter is a pickle; it is read with `weights_only`, which makes tensors and runs no code.  LomitError where it
    is damaged or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises nearly everything on damaged data
        raise LomitError(f"{path} is damaged, or holds more than weights ({line_of(error)}); get it again") from error
    if not isinstance(values, dict) or not all(isinstance(v, Tensor) for v in values.values()):
        raise LomitError(f"{path} holds no weights: expected names with tensors")
    return values


def load_into(module: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Copies tensors into a network.  Raises LomitError where names and shapes don't agree."""
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        line = " ".join(str(error).split("\n\t")[1:2]) or str(error)
        raise LomitError(f"{path} does not fit the network: {line}") from error
