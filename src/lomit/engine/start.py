"""A new run that starts from the weights of another one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lomit.engine.checkpoint import TRAINING, networks_in, read_state
from lomit.engine.ema import Ema
from lomit.errors import LomitError
from lomit.inference.weights import find_model, load_pretrained, read_config
from lomit.models import method_of
from lomit.models.base import PerAttribute, Trainable


def start_from(source: str, translator: Trainable, ema: Ema) -> str:
    """Fills a new translator and its average with the weights of a run, a checkpoint or a model (as for `find_model`).

    A checkpoint holds every network, a model the averaged generator alone.  The generator has to fit; what else does
    not keeps its own start.  Where the attributes are others, or in another order, each takes over what stood for it
    (`Trainable.per_attribute`).

    Returns:
        Words: where they differ, the attributes that the weights know and those that are new to them; and the networks,
        or the layers of one, that keep their own start.

    Raises:
        LomitError: where there is no such model, it is of another method or its generator has other shapes.
    """
    folder = find_model(source)
    config = read_config(folder)
    there, here = method_of(config).name, method_of(translator.config).name
    if there != here:
        raise LomitError(f"train.init: {source} holds a {there}, this run trains a {here}")
    own, attributes = translator.state_dict(), (config.attributes, translator.config.attributes)
    averaged = {f"generator.{name}": tensor for name, tensor in load_pretrained(folder).generator.state_dict().items()}
    averaged = _for_attributes(averaged, own, translator.per_attribute, *attributes)
    given = averaged
    if (folder / TRAINING).is_file():
        networks, ema.updates = _all_networks(folder)
        given = _for_attributes(networks, own, translator.per_attribute, *attributes)
    mine = {name: tensor for name, tensor in own.items() if name.startswith("generator.")}
    # A layer that starts at zero changes nothing, and one for other attributes fits none: they may be new.
    others = tuple(layer.partition("{}")[0] for layer in translator.per_attribute) if len({*attributes}) > 1 else ()
    optional = {name for name, tensor in mine.items() if not tensor.any() or name.startswith(others)}
    averaged = {name: mine[name] for name in optional} | averaged
    _require_fit(folder, averaged, mine)
    ema.module.load_state_dict({name.removeprefix("generator."): tensor for name, tensor in averaged.items()})
    anew = [name for name, tensor in own.items() if name not in given or given[name].shape != tensor.shape]
    translator.load_state_dict({name: own[name] if name in anew else given[name] for name in own})
    words = f"started anew: {', '.join(_named(anew, list(own))) or 'nothing'}"
    if len({*attributes}) > 1:
        known, new = ([n for n in attributes[1] if (n in attributes[0]) is inside] for inside in (True, False))
        words = f"attributes known to them: {', '.join(known) or 'none'}, new: {', '.join(new) or 'none'}; {words}"
    return words


def _for_attributes(
    given: dict[str, Tensor],
    own: Mapping[str, Tensor],
    layers: Mapping[str, PerAttribute | None],
    there: Sequence[str],
    here: Sequence[str],
) -> dict[str, Tensor]:
    """Tensors of a network for the attributes `there`, for those that are here; without layers that know none of them.

    Entries of other attributes are those of `own`.
    """
    if tuple(there) == tuple(here):
        return given
    result = {n: t for n, t in given.items() if not n.startswith(tuple(layer.partition("{}")[0] for layer in layers))}
    for name, tensor in own.items():
        layer = next((layer for layer in layers if name.startswith(layer.partition("{}")[0])), None)
        if layer is None:
            continue
        place = layers[layer]
        if place is not None:
            mixed = _mixed(given.get(name), tensor, place, there, here)
        else:
            mixed = _branch(given, name, layer.partition("{}")[0], there, here)
        if mixed is not None:
            result[name] = mixed
    return result


def _mixed(
    given: Tensor | None, own: Tensor, place: PerAttribute, there: Sequence[str], here: Sequence[str]
) -> Tensor | None:
    """`own` with the entries of attributes that `given` knows; None where it knows none, or is laid out otherwise."""
    known = [(here.index(name), there.index(name)) for name in here if name in there]
    axis = place.axis if own.dim() > place.axis else 0
    if given is None or given.dim() != own.dim() or not (known or place.first):
        return None
    result = own.clone()
    mine, theirs = result.movedim(axis, 0), given.movedim(axis, 0)
    times = [(len(t) - place.first) / (len(n) * place.each) for t, n in ((mine, here), (theirs, there))]
    if times[0] != times[1] or mine.shape[1:] != theirs.shape[1:]:
        return None
    mine[: place.first] = theirs[: place.first]
    mine, theirs = (
        t[place.first :].unflatten(0, (int(times[0]), len(n), place.each)) for t, n in ((mine, here), (theirs, there))
    )
    for to, source in known:
        mine[:, to] = theirs[:, source]
    return result


def _branch(
    given: dict[str, Tensor], name: str, branches: str, there: Sequence[str], here: Sequence[str]
) -> Tensor | None:
    """The tensor called `name` of the attribute's branch; None where there is none of it."""
    number, _, rest = name.removeprefix(branches).partition(".")
    numbers = {n.removeprefix(branches).partition(".")[0] for n in given if n.startswith(branches)}
    # One attribute has two branches, without it and with it: they mean something else.
    if len(numbers) != len(there) or int(number) >= len(here) or here[int(number)] not in there:
        return None
    return given.get(f"{branches}{there.index(here[int(number)])}.{rest}")


def _named(tensors: list[str], known: list[str]) -> list[str]:
    """Tensors by their network where it has no others, else by their layer; each named once."""

    def network(name: str) -> str:
        return name.split(".")[0]

    def layer(name: str) -> str:
        return re.sub(r"\.(weight|bias)$", "", name)

    mixed = {network(name) for name in known if name not in tensors}
    return list(dict.fromkeys(layer(name) if network(name) in mixed else network(name) for name in tensors))


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
    except (LomitError, OSError, SafetensorError) as error:
        raise LomitError(f"train.init: can't read the checkpoint {folder}: {error}") from error
    return networks, updates
