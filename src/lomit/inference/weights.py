"""Weights by name, from a folder or from the Hugging Face Hub, and back into a folder.

A model is a folder in the Hub's layout: `model.safetensors` (the generator; float16 or float32), `config.json`
(method, config, version) and `README.md` (the model card).
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.overrides import TorchFunctionMode

import lomit.models  # noqa: F401  registers the methods
from lomit import __version__
from lomit.config import ModelConfig, read_json
from lomit.errors import LomitError, did_you_mean, line_of
from lomit.images import writing_failed
from lomit.inference.catalogue import CARD, CONFIG, KIND, known_models, read_card
from lomit.models.base import Translator
from lomit.models.registry import method_of, read_saved_config, saved_config

WEIGHTS = "model.safetensors"
PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".t7")

_STEP = re.compile(r"step_([0-9]{7,})")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")

logger = logging.getLogger(__name__)


def find_model(name_or_path: str | os.PathLike[str]) -> Path:
    """The folder of a model.

    Args:
        name_or_path: a name out of `known_models`, a model's folder (or the weights file in it), a training
            run's folder (its newest checkpoint is taken) or a Hub id `owner/name`.

    Raises:
        LomitError: where there is no such model, or a pickle is offered.
    """
    known, name, path = known_models(), str(name_or_path), Path(name_or_path)
    if name in known:
        return known[name]
    if path.suffix.lower() in PICKLES:
        raise _pickle_refused(path)
    if path.is_file() and path.name == WEIGHTS:
        path = path.parent
    if path.is_dir():
        return _in_folder(path)
    if path.exists():
        raise LomitError(f"{path} is not a model: give the folder that holds {WEIGHTS} and {CONFIG}")
    if _HUB_ID.fullmatch(name):
        return _from_hub(name)
    raise LomitError(
        f"no model '{name}'{did_you_mean(name, known)}; known: {', '.join(known) or 'none'}, or give a folder"
    )


def read_config(folder: Path) -> ModelConfig:
    """The config of the model in a folder.

    Raises:
        LomitError: where it is missing, damaged, of an unknown method or holds an unknown key or a wrong value.
    """
    path = folder / CONFIG
    values = read_json(path)
    if KIND in values:
        raise LomitError(f"{folder} holds another kind of network ({values[KIND]}), not a translator")
    return read_saved_config(values, str(path))


def load_pretrained(name_or_path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Translator:
    """A translator without its discriminator, float32, in eval mode, by what `find_model` takes.

    Raises:
        LomitError: for whatever is wrong with the model, naming the file.
    """
    folder = find_model(name_or_path)
    config = read_config(folder)
    with unfilled():
        translator = method_of(config).build(config)
    fill(translator.generator, folder / WEIGHTS)
    translator.requires_grad_(False)
    return translator.eval().to(device)


def save_pretrained(
    translator: Translator,
    folder: str | os.PathLike[str],
    card: str | None = None,
    half: bool = False,
    overwrite: bool = False,
) -> Path:
    """Writes a translator's generator as a model that `load_pretrained` reads.

    The files are written elsewhere first: an interrupted call leaves no half-written model.

    Args:
        folder: made if missing; it is returned.
        card: text of the model card; None writes a short one.
        half: store float16, half the size.

    Raises:
        LomitError: where a model stands there and `overwrite` is False, where a weight is not finite (or too
            large for float16), or where the folder can't be written.
    """
    folder = Path(folder)
    if not overwrite and any(os.path.lexists(folder / name) for name in (WEIGHTS, CONFIG, CARD)):
        raise LomitError(f"{folder} holds a model already; choose another folder or overwrite it")
    tensors = _to_save(translator.generator, half)
    config = saved_config(translator.config) | {"lomit_version": __version__}
    part: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".lomit-", dir=folder))
        # save_file would leave a file that only its owner can read.
        (part / WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
        (part / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (part / CARD).write_text(card if card is not None else default_card(translator), encoding="utf-8")
        for name in (WEIGHTS, CARD, CONFIG):
            (part / name).replace(folder / name)
    except OSError as error:
        raise writing_failed(folder, error) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def default_card(translator: Translator) -> str:
    """A model card with what the config knows."""
    config, method = translator.config, method_of(translator.config).name
    parameters = sum(p.numel() for p in translator.generator.parameters())
    return (
        f"---\nlibrary_name: lomit\ntags: [image-to-image, {method}]\n---\n\n# {method}, {config.image_size} pixels\n\n"
        f"- attributes: {', '.join(config.attributes) or 'none'}\n"
        f"- generator: {parameters:,} parameters\n"
        f"- written by lomit {__version__}\n\n"
        '```python\nfrom lomit import Predictor\n\npredictor = Predictor.from_pretrained("this folder")\n```\n'
    )


def card_summary(folder: Path) -> str:
    """What a model's card says first: a sentence, and what of its paragraph is bold; "" where there is no such text."""
    body = read_card(folder).split("\n---\n", 1)[-1]
    below_title = (" ".join(part.split()) for part in body.split("\n\n") if part.strip() and part.strip()[0] != "#")
    first, _, rest = next(below_title, "").partition(". ")
    if not first[:1].isalpha():  # a list or a table
        return ""
    return " ".join([first.rstrip(".") + ".", *re.findall(r"\*\*(.+?)\*\*", rest)])


def checkpoint_name(step: int) -> str:
    """Name of a training run's checkpoint after `step` iterations."""
    return f"step_{step:07d}"


def step_of(folder: Path) -> int | None:
    """The iterations before a checkpoint, as its name says; None: it is not a checkpoint's name."""
    match = _STEP.fullmatch(folder.name)
    return int(match[1]) if match and folder.name == checkpoint_name(int(match[1])) else None


def checkpoint_in(root: Path, pointer: str) -> Path | None:
    """The folder that a file in a run's `checkpoints/` names (`latest`, `best`); None where it names none."""
    try:
        name = (root / pointer).read_text(encoding="utf-8").strip()
        plain = bool(name) and Path(name).name == name
        return root / name if plain and (root / name).is_dir() else None
    except (OSError, ValueError):  # ValueError: no text, or a name that no folder can have
        return None


def checkpoints_in(root: Path) -> list[Path]:
    """The checkpoints in a run's `checkpoints/` in the order in which to go on from them, whole or not.

    A checkpoint is a folder with the name that the engine gives it.  The first is the one that `latest` names; earlier
    ones follow, the newest first.  Later ones were left by somebody who went back.  Where `latest` names none, all
    count.
    """
    latest = checkpoint_in(root, "latest")
    end = step_of(latest) if latest is not None else None
    steps = {step_of(path): path for path in root.glob("step_*") if path.is_dir()}
    known = sorted((step for step in steps if step is not None and (end is None or step < end)), reverse=True)
    return [*([latest] if latest is not None else []), *(steps[step] for step in known)]


def _in_folder(path: Path) -> Path:
    """The model in a folder: the folder itself, or the newest checkpoint of a training run."""
    if not (path / WEIGHTS).is_file():
        found = [*checkpoints_in(path / "checkpoints"), *checkpoints_in(path)]
        whole = [each for each in found if (each / CONFIG).is_file() and (each / WEIGHTS).is_file()]
        if whole and whole[0] != found[0]:
            logger.warning("%s holds no whole model: %s is taken", found[0], whole[0])
        path = next(iter(whole or found), path)
    for name, there in ((CONFIG, (path / CONFIG).is_file()), (WEIGHTS, (path / WEIGHTS).is_file())):
        if not there:
            pickles = sorted(p for p in path.glob("*") if p.suffix.lower() in PICKLES)
            if pickles:
                raise _pickle_refused(pickles[0])
            raise LomitError(f"{path} is not a model: it has no {name}")
    return path


def _pickle_refused(path: Path) -> LomitError:
    return LomitError(
        f"{path} is refused: a pickle can run any code when it is loaded; lomit reads {WEIGHTS} with {CONFIG} beside it"
    )


def _from_hub(name: str) -> Path:
    """Downloads a model, or finds it in the Hub's own cache."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise LomitError(
            f"no folder '{name}'; to fetch it from the Hugging Face Hub: pip install 'lomit[hub]'"
        ) from None
    try:
        return _in_folder(Path(snapshot_download(name, allow_patterns=[WEIGHTS, CONFIG, CARD])))
    except LomitError:
        raise
    except Exception as error:  # HTTP errors of either generation of the library, no network, no such model
        raise LomitError(
            f"'{name}' is no folder here and was not fetched from the Hugging Face Hub: {line_of(error)}"
        ) from error


class _NoDraws(TorchFunctionMode):
    """Leaves out initial weights: on the device `meta` drawing them takes a compiler's import, seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.uniform_, Tensor.normal_) or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def unfilled() -> Iterator[None]:
    """Networks built within have no memory and draw no random numbers: see `fill`."""
    with torch.device("meta"), _NoDraws():
        yield


def fill(module: torch.nn.Module, path: Path) -> None:
    """Gives a module the tensors of a file beside its config, in the module's own precision.

    Args:
        module: built within `unfilled`, so that it takes no memory before the file is known to be what the config
            says.  It comes onto the CPU.
        path: of the file.

    Raises:
        LomitError: where it can't be read, or holds other tensors.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise LomitError(f"{path} is damaged or half-written ({error}); save or fetch it again") from error
    expected = module.state_dict()
    missing, unexpected = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    for key in sorted(expected.keys() & tensors.keys()):
        if expected[key].shape != tensors[key].shape:
            raise LomitError(
                f"{path} does not fit its {CONFIG}: '{key}' has the shape {tuple(tensors[key].shape)}, "
                f"expected {tuple(expected[key].shape)}"
            )
    if missing or unexpected:
        wrong = f"'{missing[0]}' is missing" if missing else f"'{unexpected[0]}' is not part of the model"
        more = len(missing) + len(unexpected) - 1
        raise LomitError(f"{path} does not fit its {CONFIG}: {wrong}{f' (and {more} more)' if more else ''}")
    module.load_state_dict({key: tensors[key].to(like.dtype, copy=True) for key, like in expected.items()}, assign=True)


def _to_save(module: torch.nn.Module, half: bool) -> dict[str, Tensor]:
    """The module's tensors on the CPU, each with memory of its own (safetensors refuses shared memory)."""
    tensors = {}
    for name, tensor in module.state_dict().items():
        kept = tensor.detach().to("cpu", torch.float16 if half and tensor.is_floating_point() else None, copy=True)
        if not torch.isfinite(kept).all():
            raise LomitError(f"'{name}' is not finite{' in float16' if half else ''}; the model was not saved")
        tensors[name] = kept.contiguous()
    return tensors
