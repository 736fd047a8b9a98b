"""LOMIT with one part taken away or exchanged: what each part of the method is for.

An ablation changes fields of the config and nothing else, so an ablated run is a run like any other, and its
`config.json` says what it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from lomit.models.lomit.config import LomitConfig


@dataclass(frozen=True)
class Ablation:
    """One change of the method.

    Attributes:
        name: ending of its presets' names.
        description: what is different, as a row of a table calls it.
        changes: field of `LomitConfig` -> value; `weights.r1` is a field of `LossWeights`.
    """

    name: str
    description: str
    changes: dict[str, Any]

    def applied(self, config: LomitConfig) -> LomitConfig:
        """The config with the changes; the given one stays as it is."""
        own = {field: value for field, value in self.changes.items() if "." not in field}
        weights = {field.partition(".")[2]: value for field, value in self.changes.items() if "." in field}
        return replace(config, **own, weights=replace(config.weights, **weights))

    def holds(self, config: LomitConfig) -> bool:
        """Whether every field has the ablation's value."""
        return self.applied(config) == config


ABLATIONS = (
    Ablation("plain-adain", "plain AdaIN (m = 1)", {"masks": "ones"}),
    Ablation("no-cosegmentation", "no co-segmentation (each mask from its own image)", {"masks": "own"}),
    Ablation("no-r1", "without R1 (masks equal where content is alike)", {"weights.r1": 0.0}),
    Ablation("no-r2", "without R2 (foreground codes apart)", {"weights.r2": 0.0}),
    Ablation("no-r3", "without R3 (small masks)", {"weights.r3": 0.0}),
    Ablation("shared-style", "one style encoder for foreground and background", {"shared_style_head": True}),
    Ablation("linear-gamma", "linear gamma (full: exponential)", {"gamma": "linear"}),
)
"""Every ablation, in the order of the table's rows."""


def ablations_of(config: LomitConfig) -> tuple[Ablation, ...]:
    """The ablations that hold for a config; none for the full method.

    The paper's run on facial hair and gender has no R1 and no R2, and is told so.
    """
    return tuple(ablation for ablation in ABLATIONS if ablation.holds(config))
