"""One update of one phase: the learning rate, what it touches, and micro-batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from lomit.config import TrainConfig
from lomit.engine.phases import learning_rate, make_runners, run_phase
from lomit.engine.train import train
from lomit.errors import LomitError
from support.runs import saved_tensors
from support.tiny import random_batch, random_batch_for, real_methods, snapshot, tiny_run, tiny_trainable
from support.two_processes import comparable


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 1e-4), (99_999, 1e-4), (100_000, 1e-4), (109_999, 1e-4), (110_000, 5e-5), (119_999, 5e-5), (120_000, 2.5e-5),
     (199_999, 1e-4 / 2**9)],
)  # fmt: skip
def test_the_papers_schedule_halves_every_ten_thousand_iterations(step: int, expected: float) -> None:
    assert learning_rate(TrainConfig(), step) == pytest.approx(expected, rel=1e-12)


def test_the_linear_schedule_ends_at_zero() -> None:
    config = TrainConfig(steps=10, decay="linear", decay_start=6, lr=1.0)
    assert [learning_rate(config, s) for s in range(12)] == [1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0]
    assert learning_rate(replace(config, decay_start=20), 9) == 1


@pytest.fixture
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


@pytest.mark.parametrize("method", sorted(real_methods()))
def test_a_phase_leaves_every_other_network_untouched(method: str, fabric: Fabric) -> None:
    """Weights, gradients and running statistics."""
    translator = tiny_trainable(method)
    runners = make_runners(fabric, translator, TrainConfig(lr=1e-2))
    batch = random_batch_for(translator)
    for runner in runners:  # everyone has gradients and moments to lose
        run_phase(fabric, translator, runner, [batch], 1e-2)
    for runner in runners:
        own = {id(p) for p in runner.phase.parameters()}
        buffers = {id(b) for o in runner.phase.optimizers for m in o.modules for b in m.buffers()}
        before = snapshot(translator)
        gradients = {n: None if p.grad is None else p.grad.clone() for n, p in translator.named_parameters()}
        run_phase(fabric, translator, runner, [batch], 1e-2)
        for name, tensor in translator.state_dict(keep_vars=True).items():
            if id(tensor) not in own | buffers:
                assert torch.equal(tensor, before[name]), f"{runner.phase.name} changes {name}"
        assert any(not torch.equal(t, before[n]) for n, t in translator.named_parameters() if id(t) in own)
        for name, parameter in translator.named_parameters():
            if id(parameter) not in own:
                old = gradients[name]
                assert (parameter.grad is None) == (old is None), name
                assert old is None or torch.equal(parameter.grad, old), f"{runner.phase.name} reaches {name}"


def test_only_the_generators_own_step_moves_its_running_statistics(fabric: Fabric) -> None:
    translator = tiny_trainable("lomit", mask_norm="batch")
    critic, generator = make_runners(fabric, translator, TrainConfig())
    for runner, moves in ((critic, False), (generator, True)):
        before = snapshot(translator)
        run_phase(fabric, translator, runner, [random_batch()], 1e-4)
        means = [n for n in before if n.endswith("running_mean")]
        assert means
        assert all(torch.equal(translator.state_dict()[n], before[n]) != moves for n in means)


@pytest.mark.parametrize("index", [0, 1], ids=["D", "G"])
def test_terms_and_gradients_of_micro_batches_are_those_of_the_batch(fabric: Fabric, index: int) -> None:
    batch = random_batch(count=4, dtype=torch.float64)
    found = []
    with comparable():
        for parts in (1, 2, 4):
            translator = tiny_trainable("lomit", mask_norm="group")
            runner = make_runners(fabric, translator, TrainConfig())[index]
            terms = run_phase(fabric, translator, runner, batch.micro(parts), 1e-4)
            found.append((terms, [p.grad.clone() for p in runner.phase.parameters() if p.grad is not None]))
    for terms, gradients in found[1:]:
        for name, value in found[0][0].items():
            if name != "mask/std":  # a standard deviation is not a mean over images
                torch.testing.assert_close(terms[name], value, msg=name)
        assert gradients
        for a, b in zip(gradients, found[0][1], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_clip_scale_and_decay_of_a_phase(fabric: Fabric) -> None:
    translator = tiny_trainable("lomit")
    phase = replace(translator.phases()[1], clip=1e-3, lr_scale=0.5, weight_decay=0.1)
    translator.phases = lambda: (phase,)  # type: ignore[method-assign]
    (runner,) = make_runners(fabric, translator, TrainConfig())
    run_phase(fabric, translator, runner, [random_batch()], 1e-2)
    norm = torch.stack([p.grad.norm() for p in phase.parameters() if p.grad is not None]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)
    (group,) = runner.groups()
    assert (group["lr"], group["weight_decay"], group["betas"]) == (5e-3, 0.1, (0.5, 0.999))


def test_two_micro_batches_of_four_train_like_a_batch_of_eight(data: Path, tmp_path: Path) -> None:
    for parts in (1, 2):
        config = tiny_run(data, steps=4, save_every=4, batch_size=8, accumulate=parts)
        with comparable():
            train(config, tmp_path / str(parts), quiet=True)
    whole, cut = (saved_tensors(tmp_path / str(parts), 4) for parts in (1, 2))
    for name, tensor in whole.items():
        torch.testing.assert_close(cut[name], tensor, rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize(
    ("train_options", "message"),
    [
        ({"batch_size": 6, "accumulate": 4}, "train.batch_size (6) must be a multiple of train.accumulate (4)"),
        ({"lr": 0.0}, "train.lr must be positive; it is 0.0"),
        ({"ema": 1.0}, "train.ema must lie in [0, 1); it is 1.0"),
        ({"save_every": 0}, "train.save_every must be at least 1; it is 0"),
        ({"decay_every": 0}, "train.decay_every must be at least 1; it is 0"),
        ({"threads": 0}, "train.threads must be at least 1; it is 0"),
        ({"threads": 10**9}, "train.threads must be at most 1024; it is 1000000000"),
        ({"seed": -1}, "train.seed must be at least 0; it is -1"),
        ({"seed": 2**63}, "train.seed must be at most 9223372036854775807"),
        ({"betas": (0.5, 2.0)}, "train.betas must lie in [0, 1); they are 0.5 and 2.0"),
        ({"decay_start": -1}, "train.decay_start must be at least 0; it is -1"),
    ],
)
def test_wrong_values_are_named(train_options: dict[str, float], message: str) -> None:
    with pytest.raises(LomitError) as error:
        TrainConfig(**train_options)  # type: ignore[arg-type]
    assert message in str(error.value)
