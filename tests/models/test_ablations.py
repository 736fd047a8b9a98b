"""Ablations: one change each, recognised again from the config."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lomit.config import to_dict
from lomit.models import get_method
from lomit.models.lomit.config import LomitConfig, LossWeights
from lomit.models.lomit.presets import ABLATED, ABLATIONS, Ablation, ablations_of
from lomit.models.registry import read_saved_config, saved_config


def flat(values: dict, prefix: str = "") -> dict:
    return {
        name: value
        for key, entry in values.items()
        for name, value in (
            flat(entry, f"{prefix}{key}.") if isinstance(entry, dict) else {f"{prefix}{key}": entry}
        ).items()
    }


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda ablation: ablation.name)
@pytest.mark.parametrize("base", ABLATED)
def test_a_preset_differs_from_its_base_in_the_ablation_alone(base: str, ablation: Ablation) -> None:
    presets = get_method("lomit").presets
    full = presets[base][1]()
    description, make = presets[f"{base}-{ablation.name}"]
    run = make()
    before, after = flat(to_dict(full)), flat(to_dict(run))
    changed = {name.removeprefix("model."): after[name] for name in before if before[name] != after[name]}
    assert changed == ablation.changes
    assert ablation.description in description
    assert ablations_of(full.model) == ()
    saved = read_saved_config(saved_config(run.model))
    assert isinstance(saved, LomitConfig)
    assert ablations_of(saved) == (ablation,)


def test_several_at_once() -> None:
    config = LomitConfig(weights=LossWeights(r1=0.0, r2=0.0))
    assert [a.name for a in ablations_of(config)] == ["no-r1", "no-r2"]
    assert [a.name for a in ablations_of(replace(config, gamma="linear"))] == ["no-r1", "no-r2", "linear-gamma"]


def test_the_given_config_stays() -> None:
    config = LomitConfig()
    for ablation in ABLATIONS:
        ablation.applied(config)
    assert config == LomitConfig()
