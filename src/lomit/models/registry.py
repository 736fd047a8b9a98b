"""The methods by name, with their configs and presets.  Nothing here loads torch until a network is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lomit.config import ModelConfig, RunConfig, from_dict, to_dict
from lomit.errors import LomitError, did_you_mean

if TYPE_CHECKING:
    from lomit.models.base import Trainable, Translator

Classes = tuple["type[Translator]", "type[Trainable] | None"]
"""A method in use, and with what training needs; None for a method that is used only."""


@dataclass(frozen=True)
class Method:
    """A registered method.

    Attributes:
        name: the value of `method` in a saved config.
        title: what tables and messages call it.
        config: its config class.
        classes: gives its classes, imported when they are first needed.
        presets: preset name -> (one line of description, function that makes the run's config).
    """

    name: str
    title: str
    config: type[ModelConfig]
    classes: Callable[[], Classes]
    presets: dict[str, tuple[str, Callable[[], RunConfig]]] = field(default_factory=dict)

    @property
    def translator(self) -> type[Translator]:
        """The method in use, built from a config."""
        return self.classes()[0]

    def build(self, config: ModelConfig) -> Translator:
        """A translator with random weights."""
        return self.translator(config)

    def build_trainable(self, config: ModelConfig) -> Trainable:
        """The same with its discriminators; LomitError for a method that is used only."""
        trainable = self.classes()[1]
        if trainable is None:
            raise LomitError(f"the method '{self.name}' can be used, but not trained")
        return trainable(config)


_METHODS: dict[str, Method] = {}


def register(method: Method) -> Method:
    """Adds a method to the registry."""
    _METHODS[method.name] = method
    return method


def methods() -> dict[str, Method]:
    """Every registered method by name."""
    return dict(_METHODS)


def presets() -> dict[str, tuple[str, Callable[[], RunConfig]]]:
    """Every method's presets: name -> (description, function that makes the run's config)."""
    return {name: preset for method in _METHODS.values() for name, preset in method.presets.items()}


def get_method(name: str) -> Method:
    """The method of that name; LomitError for an unknown one."""
    if not isinstance(name, str) or name not in _METHODS:
        raise LomitError(f"unknown method '{name}'{did_you_mean(str(name), _METHODS)}; known: {', '.join(_METHODS)}")
    return _METHODS[name]


def method_of(config: ModelConfig) -> Method:
    """The method whose config class this is."""
    return next(m for m in _METHODS.values() if type(config) is m.config)


def saved_config(config: ModelConfig) -> dict[str, Any]:
    """What stands in the `config.json` beside weights: the method and its config."""
    return {"method": method_of(config).name, "model": to_dict(config)}


def read_saved_config(values: dict[str, Any], where: str = "config.json") -> ModelConfig:
    """The config that `saved_config` wrote; LomitError for an unknown method, an unknown key or a wrong value."""
    if not isinstance(values, dict) or "method" not in values or "model" not in values:
        raise LomitError(f"{where}: needs the keys 'method' and 'model'")
    return from_dict(get_method(values["method"]).config, values["model"], f"{where}: model")
