"""What holds for every registered method: gradients, separate phases, presets, finite outputs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from lomit.config import RunConfig
from lomit.engine.phases import only_require
from lomit.errors import LomitError
from lomit.inference.weights import unfilled
from lomit.models import get_method, method_of
from lomit.models.base import Guide, Trainable
from lomit.models.drit.config import DritWeights
from lomit.models.lomit.config import LossWeights
from lomit.models.registry import read_saved_config, saved_config
from support.tiny import (
    ATTRIBUTES,
    random_batch,
    random_batch_for,
    real_methods,
    snapshot,
    tiny_config,
    tiny_trainable,
    tiny_translator,
)

METHODS = sorted(real_methods())
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "lomit": [
        {},
        {"mask_norm": "group", "gamma": "linear", "image_size": 32},
        {"mask_norm": "none", "masks": "own"},
        {"shared_style_head": True, "width": 5, "d_width": 3},
        {"cell": 2, "warmup": 1, "weights": LossWeights(style_cls=0.5, source_cls=0.5, keep=0.5)},
        {
            "cell": 2,
            "warmup": 1,
            "warmup_masks": 1,
            "mask_noise": 1.0,
            "r1_alike": 0.0,
            "mask_sees": "differences",
            "style_cls_of": "differing",
            "weights": LossWeights(style_cls=0.5, commit=0.5, erase=0.5),
        },
    ],
    "drit": [
        {"weights": DritWeights(mode_seeking=1.0)},
        {"mode": "feature-wise", "mlp_width": 6, "res_blocks": 2, "image_size": 48, "width": 12},
    ],
    "munit": [{}, {"res_blocks": 2, "image_size": 48, "width": 12}],
    "starganv2": [{}, {"image_size": 48, "width": 3, "d_width": 5}, {"attributes": ("Hat",), "image_size": 32}],
    "stargan": [{}, {"res_blocks": 2, "image_size": 32, "width": 3, "d_width": 5}],
}
"""Configs to try beside the default, by method."""
CASES = [(name, options) for name in METHODS for options in VARIANTS.get(name, [{}])]
ZERO_BY_DESIGN = {
    # The bias cancels in E[D_src(fake)] - E[D_src(real)], and the penalty sees slopes only (Eq. 10).
    "lomit": {"discriminator.source_head.bias"},
}
SILENT_IN_PHASE = {
    # What the content's last layer adds per channel is what AdaIN subtracts (Eq. 3); only the masks would see it.
    ("lomit", "warmup"): {"generator.content_encoder.2.body.1.1.bias"},
}


def biases_that_a_norm_removes(module: nn.Module) -> set[str]:
    """Biases of convolutions whose output has its mean per channel subtracted next: they can have no gradient."""
    names = set()
    for prefix, sequence in module.named_modules():
        if not isinstance(sequence, nn.Sequential):
            continue
        for (name, layer), (_, norm) in pairwise(sequence.named_children()):
            per_channel = isinstance(norm, nn.InstanceNorm2d | nn.BatchNorm2d) or (
                isinstance(norm, nn.GroupNorm) and norm.num_groups == norm.num_channels
            )
            if isinstance(layer, nn.Conv2d) and per_channel:
                names.add(f"{prefix}.{name}.bias")
    return names


@pytest.mark.parametrize(("name", "options"), CASES)
def test_every_parameter_of_every_network_gets_a_gradient(name: str, options: dict[str, Any]) -> None:
    translator = tiny_trainable(name, **options).double()
    for parameter in translator.parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter)  # layers that start at zero hide what lies before them from the first step
    batch = random_batch_for(translator, count=3).map(torch.Tensor.double)
    if name == "lomit":
        batch.y1[0], batch.y2[0] = 0, 1  # masks that see differences learn nothing from pairs that have none
    names = {id(p): n for n, p in translator.named_parameters()}
    removed = biases_that_a_norm_removes(translator) | ZERO_BY_DESIGN.get(name, set())
    seen = set()
    for phase in translator.phases():
        silent = removed | SILENT_IN_PHASE.get((name, phase.name), set())
        translator.zero_grad()
        only_require(translator, phase)
        total, terms = phase.loss(batch)
        assert torch.isfinite(total)
        assert all(torch.isfinite(t) and t.shape == () and not t.requires_grad for t in terms.values())
        total.backward()
        updated = {names[id(p)] for p in phase.parameters()}
        seen |= updated
        for parameter_name, parameter in translator.named_parameters():
            if parameter_name not in updated:
                assert parameter.grad is None, f"{phase.name} reaches {parameter_name}"
                continue
            assert parameter.grad is not None, parameter_name
            assert torch.isfinite(parameter.grad).all(), parameter_name
            if parameter_name in silent:
                assert parameter.grad.abs().max() < 1e-10, parameter_name
            else:
                assert parameter.grad.abs().max() > 1e-10, parameter_name
    assert seen == set(names.values()), "a network that no phase trains"


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_loss_changes_no_weight_and_no_statistic_of_another_network(name: str, options: dict[str, Any]) -> None:
    translator = tiny_trainable(name, **options)
    batch = random_batch_for(translator)
    for phase in translator.phases():
        before = snapshot(translator)
        phase.loss(batch)
        own = {id(t) for o in phase.optimizers for m in o.modules for t in (*m.parameters(), *m.buffers())}
        for tensor_name, tensor in translator.state_dict(keep_vars=True).items():
            if id(tensor) not in own:
                assert torch.equal(tensor, before[tensor_name]), f"{phase.name} changes {tensor_name}"


@pytest.mark.parametrize("name", METHODS)
def test_every_convolution_sees_images_in_channels_last_order(name: str) -> None:
    """Between two orders each convolution, and its backward pass, would copy."""
    translator = tiny_trainable(name, width=8, image_size=32).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    seen: list[bool] = []

    def note(_: nn.Module, given: tuple[torch.Tensor]) -> None:
        seen.append(given[0].is_contiguous(memory_format=torch.channels_last))

    for module in translator.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.register_forward_pre_hook(note)  # type: ignore[arg-type]
    batch = random_batch_for(translator)
    batch = batch.map(lambda t: t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t)
    for phase in translator.phases():
        phase.loss(batch)
    assert len(seen) > 20
    assert all(seen)


@pytest.mark.parametrize("name", METHODS)
def test_without_training_there_is_the_generator_alone(name: str) -> None:
    whole, bare = tiny_trainable(name), tiny_translator(name)
    assert {n.split(".")[0] for n, _ in bare.named_parameters()} == {"generator"}
    bare.generator.load_state_dict(whole.generator.state_dict())
    batch = random_batch_for(whole)
    results = [t.eval().translate(batch.x1, Guide(batch.x2, label=batch.y2.clamp(min=0))).image for t in (whole, bare)]
    assert torch.equal(*results)
    assert results[0].shape == batch.x1.shape
    assert results[0].abs().max() <= 1


@pytest.mark.parametrize("name", METHODS)
def test_samples_and_scores_are_finite_and_carry_no_graph(name: str) -> None:
    translator = tiny_trainable(name).eval()
    batch = random_batch_for(translator, count=3)
    for column, picture in translator.sample(batch).items():
        assert len(picture) == 3, column
        assert picture.shape[1] in (1, 3), column
        assert torch.isfinite(picture).all()
        assert not picture.requires_grad
    for value in translator.score(batch).values():
        assert torch.isfinite(value)
        assert not value.requires_grad


PRESETS = [(method, preset) for method in METHODS for preset in get_method(method).presets]


@pytest.mark.parametrize("name", METHODS)
def test_what_d_makes_of_real_images_is_told_alike_in_training_and_of_unseen_ones(name: str) -> None:
    """On the same images both must say the same: how far they part is what shows a D that knows its images by heart."""
    translator = tiny_trainable(name).double().eval()
    x = random_batch_for(translator).map(torch.Tensor.double)
    # DRIT encodes the first half of a batch.
    twice = x.map(lambda t: torch.cat([t, t]))
    (d,) = (phase for phase in translator.phases() if phase.name == "D")
    torch.manual_seed(0)
    total, terms = d.loss(twice)
    torch.testing.assert_close(translator.score(x)["real"], terms["real"])
    assert not torch.equal(terms["real"], terms["fake"])
    assert not terms["real"].requires_grad
    # They are looked at and not learned from.
    gradients = torch.autograd.grad(total, d.parameters(), allow_unused=True)
    assert any(g is not None and g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize(("method", "preset"), PRESETS)
def test_every_preset_is_a_run_of_its_method(method: str, preset: str) -> None:
    description, make = get_method(method).presets[preset]
    run = make()
    assert isinstance(run, RunConfig)
    assert make() is not run
    assert description
    assert method_of(run.model).name == method
    assert run.model.image_size == run.data.image_size
    assert f"{run.data.image_size} pixels" in description


def what_decides_over_losses(model: Any, translator: Trainable) -> set[tuple[Any, ...]]:
    """The code that a model's losses run (by layers, phases, terms and choices), and every number that shapes them."""
    layers = tuple(name for name, _ in translator.named_parameters())
    phases = tuple(phase.name for phase in translator.phases())
    terms = tuple(name for name, weight in vars(model.weights).items() if weight)
    numbers = {(k, v) for k, v in vars(model).items() if isinstance(v, int) and not isinstance(v, bool)}
    choices = {k: v for k, v in vars(model).items() if isinstance(v, str | bool) or k == "augment" or v is None}
    code = model.image_size, layers, phases, terms, tuple(sorted((k, str(v)) for k, v in choices.items()))
    return {code, ("attributes", len(model.attributes)), *numbers}


@pytest.mark.parametrize("method", METHODS)
def test_the_networks_of_every_preset_are_built_and_take_a_step(method: str) -> None:
    """Each with its own attributes; of those whose losses run the same code, one takes a step for each number that no
    other step was at: steps are slow on meta, too."""
    build, seen = get_method(method).build_trainable, set[tuple[Any, ...]]()
    for _, make in get_method(method).presets.values():
        run = make()
        model = replace(run.model, attributes=run.data.attributes or ("Mine", "Another"))  # `folder` names none
        with unfilled():
            own = build(model)
        decisive = what_decides_over_losses(model, own)
        if decisive <= seen:
            continue
        seen |= decisive
        with torch.device("meta"):
            for phase in own.phases():
                phase.loss(own.noise(1))
    assert seen


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_config_is_read_back(name: str) -> None:
    config = tiny_config(name)
    assert config.attributes == ATTRIBUTES
    assert read_saved_config(saved_config(config)) == config


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(LomitError, match=r"unknown method 'lommit' \(did you mean 'lomit'\?\)"):
        get_method("lommit")


def test_a_batch_is_cut_into_equal_pieces() -> None:
    batch = random_batch(count=6)
    pieces = batch.micro(3)
    assert [len(p.x1) for p in pieces] == [2, 2, 2]
    for name, tensor in batch.tensors().items():
        assert torch.equal(torch.cat([p.tensors()[name] for p in pieces]), tensor)
