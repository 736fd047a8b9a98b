"""The moving average of the generator."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lomit.engine.ema import Ema
from support.tiny import snapshot, tiny_trainable


def scalar(value: float) -> nn.Module:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def follow(ema: Ema, module: nn.Module, values: list[float]) -> list[float]:
    averages = []
    for value in values:
        nn.init.constant_(module.weight, value)
        ema.update(module)
        averages.append(ema.module.weight.item())
    return averages


def test_the_decay_warms_up_by_n_over_n_plus_nine() -> None:
    module = scalar(100.0)
    expected, average = [1.0], 1.0  # the first update copies: the random start has no share
    for n, value in enumerate((2.0, 4.0, -3.0), start=2):
        decay = n / (n + 9)
        average = decay * average + (1 - decay) * value
        expected.append(average)
    assert follow(Ema(module, 0.999), module, [1.0, 2.0, 4.0, -3.0]) == pytest.approx(expected, rel=1e-6)


def test_the_decay_stops_at_the_configured_one() -> None:
    module = scalar(0.0)
    averages = follow(Ema(module, 0.5), module, [0.0] * 20 + [1.0, 1.0])
    assert averages[-2:] == pytest.approx([0.5, 0.75], rel=1e-6)


def test_a_decay_of_zero_copies() -> None:
    module = scalar(0.0)
    assert follow(Ema(module, 0.0), module, [1.0, 5.0, -2.0]) == [1.0, 5.0, -2.0]


def test_a_resumed_average_goes_on_with_its_count() -> None:
    module = scalar(0.0)
    whole = follow(Ema(module, 0.99), module, [1.0, 2.0, 3.0, 4.0])
    first = Ema(module, 0.99)
    assert follow(first, module, [1.0, 2.0]) == whole[:2]
    second = Ema(scalar(77.0), 0.99)
    second.module.load_state_dict(first.module.state_dict())
    second.updates = 2
    assert follow(second, module, [3.0, 4.0]) == whole[2:]


def test_buffers_are_copied_and_nothing_requires_gradients() -> None:
    module = nn.BatchNorm2d(2)
    ema = Ema(module, 0.99)
    for _ in range(3):
        module(torch.randn(4, 2, 3, 3) + 5)
        ema.update(module)
    for name, buffer in module.named_buffers():
        assert torch.equal(dict(ema.module.named_buffers())[name], buffer)
    assert not any(p.requires_grad for p in ema.module.parameters())


def test_in_place_of_the_generator_only_within() -> None:
    translator = tiny_trainable("lomit", mask_norm="batch").train()
    generator = translator.generator
    ema = Ema(generator, 0.9)
    order, before = list(translator.state_dict()), snapshot(translator)

    def work() -> None:
        with ema.in_place_of(translator):
            assert translator.generator is ema.module
            assert not any(m.training for m in translator.modules())
            assert not torch.is_grad_enabled()
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        work()
    assert translator.generator is generator
    assert all(m.training for m in translator.modules())
    assert list(translator.state_dict()) == order
    assert all(torch.equal(t, before[n]) for n, t in translator.state_dict().items())
