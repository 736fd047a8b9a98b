"""`python -m benchmarks.method_costs`: parameters and multiply-adds of every method at its 128-pixel preset.

Counted on the meta device: nothing is computed.  Convolutions and matrix products count, one multiply-add each;
training costs are forward and backward of one iteration, phases weighted by how often they run.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.options import preset_config
from benchmarks.rates import count_macs
from lomit.config import RunConfig
from lomit.engine.phases import only_require
from lomit.models import method_of
from lomit.models.base import Batch, Guide, Trainable, Translator
from lomit.models.domains import TwoDomainGenerator
from lomit.nn.blocks import count_parameters

RUNS: dict[str, tuple[str, dict[str, object]]] = {
    "LOMIT": ("celeba-hair-smile", {}), "StarGAN": ("stargan-hair-smile", {}), "MUNIT": ("munit-gender", {}),
}  # fmt: skip
RUNS |= {f"DRIT, {mode}": ("drit-gender", {"mode": mode}) for mode in ("concat", "feature-wise")}
RUNS["DRIT, concat, mode seeking"] = ("drit-gender", {"weights.mode_seeking": 1.0})


def gmac(run: Callable[[], object]) -> float:
    """Multiply-adds of a call, in 1e9."""
    return count_macs(run) / 1e9


def prepared(preset: str, changes: dict[str, object]) -> RunConfig:
    config = preset_config(preset)
    model = config.model
    for name, value in changes.items():
        part, _, field = name.rpartition(".")
        setattr(getattr(model, part) if part else model, field, value)
    return config


def translation_cost(translator: Translator, x: Tensor, label: Tensor) -> float:
    """GMAC of translating x by itself."""
    g = translator.generator
    with torch.no_grad():
        if isinstance(g, TwoDomainGenerator):  # what `translate` does once it has sorted the images by domain
            return gmac(lambda: g.decode(g.content(x, 0), g.style(x, 1), 1))
        return gmac(lambda: translator.translate(x, Guide(x, label=label)))


def iteration_cost(translator: Trainable, batch: Batch) -> float:
    """GMAC of an iteration: each phase forward and backward, by how often it runs."""
    total = 0.0
    for phase in translator.phases():
        only_require(translator, phase)
        total += gmac(lambda phase=phase: phase.loss(batch)[0].backward()) / phase.every  # type: ignore[misc]
    return total


def main() -> None:
    print("| method | G, parameters | D, parameters | translation, GMAC | iteration, GMAC | pairs | run, PMAC |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, (preset, changes) in RUNS.items():
        config = prepared(preset, changes)
        with torch.device("meta"):
            translator = method_of(config.model).build_trainable(config.model)
            size, labels, pairs = config.model.image_size, len(config.model.attributes), config.train.batch_size
            x, y = torch.empty(pairs, 3, size, size), torch.zeros(pairs, labels)
        once, iteration = translation_cost(translator, x[:1], y[:1]), iteration_cost(translator, Batch(x, x, y, y))
        g = count_parameters(translator.generator)
        rest = count_parameters(translator) - g
        cells = [name, f"{g:,}", f"{rest:,}", f"{once:.1f}", f"{iteration:,.0f}", str(pairs)]
        print("| " + " | ".join([*cells, f"{iteration * config.train.steps / 1e6:,.0f}"]) + " |")


if __name__ == "__main__":
    main()
