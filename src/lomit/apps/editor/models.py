"""The models that a page can choose from."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from lomit.inference.catalogue import known_models
from lomit.inference.choice import of_photographs
from lomit.inference.onnx import is_exported
from lomit.inference.predictor import Predictor
from lomit.inference.weights import card_summary, find_model
from lomit.recipe.file import model_hash

LOADED = 4
"""Models in memory at a time."""


class Models:
    """Loads models by the names that a page is shown; other names are refused.

    Attributes:
        names: what can be chosen, the model of new pages in front.
        photographs: whether that one is a model of photographs.
    """

    def __init__(self, first: str, device: str | None = None) -> None:
        """`first`: name or path of the model of new pages; `LomitError` where it can't be used."""
        # Without folders: where a model lies on this machine is nobody's business.
        self._paths = {first if first in known_models() else Path(first).resolve().name: first}
        self._paths |= {name: name for name in known_models() if name not in self._paths}
        self._device, self._lock = device, Lock()
        self._loaded: dict[str, tuple[Predictor, str, str]] = {}
        self.names = list(self._paths)
        self.get(self.names[0])
        self.photographs = not is_exported(first) and of_photographs(find_model(first))

    def get(self, name: str) -> Predictor:
        """A predictor.  Raises `KeyError` for a name that was not offered."""
        return self._load(name)[0]

    def hash(self, name: str) -> str:
        """Of the model's files, as they were when it was loaded."""
        return self._load(name)[1]

    def about(self, name: str) -> str:
        """What it is for, as its card says; else its attributes."""
        return self._load(name)[2]

    def _load(self, name: str) -> tuple[Predictor, str, str]:
        path = self._paths[name]
        with self._lock:
            if name not in self._loaded:
                while len(self._loaded) >= LOADED:
                    self._loaded.pop(next(iter(self._loaded)))
                predictor = Predictor.from_pretrained(path, self._device)
                about = "" if is_exported(path) else card_summary(find_model(path))
                attributes = f"Its attributes are {', '.join(predictor.attributes)}." if predictor.attributes else ""
                self._loaded[name] = predictor, model_hash(path), about or attributes
            return self._loaded[name]
