"""A new run that starts from the weights of another one."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lomit.engine.checkpoint import TRAINING, networks_in, read_state
from lomit.engine.ema import Ema
from lomit.errors import LomitError
from lomit.models import method_of
from lomit.models.base import Trainable
from lomit.weights import find_model, load_pretrained, read_config


def start_from(source: str, translator: Trainable, ema: Ema) -> list[str]:
    """Fills a new translator and its average with the weights of a run, a checkpoint or a model.

    A checkpoint holds every network, a model the averaged generator alone.  The generator has to fit; what else does
    not, such as the class head where the attributes are others, keeps its own start.

    Args:
        source: as for `find_model`.
        translator: newly built, with its discriminators.
        ema: the average of its generator.

    Returns:
        The networks, or the layers of one, that keep their own start.

    Raises:
        LomitError: where there is no such model, it is of another method or its generator has other shapes.
    """
    folder = find_model(source)
    there, here = method_of(read_config(folder)).name, method_of(translator.config).name
    if there != here:
        raise LomitError(f"train.init: {source} holds a {there}, this run trains a {here}")
    averaged = load_pretrained(folder).generator.state_dict()
    # A layer that starts at zero changes nothing: it may be new.
    averaged |= {n: t for n, t in ema.module.state_dict().items() if n not in averaged and not t.any()}
    _require_fit(folder, averaged, ema.module.state_dict())
    given = {f"generator.{name}": tensor for name, tensor in averaged.items()}
    if (folder / TRAINING).is_file():
        given, updates = _all_networks(folder)
        ema.resume(updates)
    ema.module.load_state_dict(averaged)
    own = translator.state_dict()
    anew = [name for name, tensor in own.items() if name not in given or given[name].shape != tensor.shape]
    translator.load_state_dict({name: own[name] if name in anew else given[name] for name in own})
    return _named(anew, list(own))


def _named(tensors: list[str], known: list[str]) -> list[str]:
    """Tensors by their network where it has no others, else by their layer; each named once."""

    def network(name: str) -> str:
        return name.split(".")[0]

    mixed = {network(name) for name in known if name not in tensors}
    return list(dict.fromkeys(name.rpartition(".")[0] if network(name) in mixed else network(name) for name in tensors))


def _require_fit(folder: Path, given: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    for name in (*own, *given):
        shapes = [tuple(tensors[name].shape) if name in tensors else "missing" for tensors in (given, own)]
        if shapes[0] != shapes[1]:
            raise LomitError(
                f"train.init: the generator of {folder} does not fit: {name} is {shapes[0]} there and {shapes[1]} "
                f"here; give this run the options model.* that stand in {folder / 'config.json'}"
            )


def _all_networks(folder: Path) -> tuple[dict[str, Tensor], int]:
    """The translator's tensors in a checkpoint, and how often its average was updated."""
    try:
        networks = networks_in(load_file(folder / TRAINING))
        updates = read_state(folder)["ema_updates"]
    except (OSError, SafetensorError, ValueError) as error:
        raise LomitError(f"train.init: can't read the checkpoint {folder}: {error}") from error
    return networks, updates
