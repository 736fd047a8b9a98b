"""LOMIT's networks and what can be done with them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lomit.engine.phases import only_require
from lomit.errors import LomitError
from lomit.losses import lomit as losses
from lomit.models import get_method
from lomit.models.base import Guide, Masks
from lomit.models.lomit.config import LomitConfig, LossWeights
from lomit.models.lomit.model import Lomit
from lomit.models.lomit.training import TrainableLomit
from lomit.nn.blocks import BatchNorm, count_parameters
from support.tiny import random_batch, tiny_config, tiny_trainable


def tiny(**options: Any) -> TrainableLomit:
    translator = tiny_trainable("lomit", **options)
    assert isinstance(translator, TrainableLomit)
    return translator


def trained_looking(**options: Any) -> Lomit:
    """Weights, biases and running statistics away from their initial values, so that nothing is zero by accident."""
    translator = tiny(**options)
    for name, tensor in translator.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand_like(tensor) if "running_var" in name else torch.randn_like(tensor)
            tensor.add_(0.2 * noise)
    return translator


def constant(value: float, side: int = 4, count: int = 2) -> Tensor:
    return torch.full((count, 1, side, side), value)


# Architecture


def test_parameter_counts() -> None:
    with torch.device("meta"):
        whole = TrainableLomit(LomitConfig(attributes=("a", "b", "c", "d"), image_size=128))
        authors = TrainableLomit(LomitConfig(attributes=("a", "b", "c", "d"), shared_style_head=True))
    assert count_parameters(whole.generator) == 20_220_308
    assert count_parameters(whole.discriminator) == 44_753_861
    assert count_parameters(authors.generator) == 18_120_588


@pytest.mark.parametrize(
    ("image_size", "width", "d_width", "cell"),
    [
        (16, 1, 1, 4),
        (48, 3, 2, 4),
        (64, 4, 2, 4),
        (128, 2, 1, 4),
        (256, 2, 1, 4),
        (16, 2, 1, 1),
        (64, 3, 2, 2),
        (64, 1, 1, 8),
    ],
)
def test_image_sizes_and_widths(image_size: int, width: int, d_width: int, cell: int) -> None:
    translator = tiny(image_size=image_size, width=width, d_width=d_width, cell=cell, mask_norm="group")
    batch = random_batch(image_size, count=1)
    result = translator.translate(batch.x1, Guide(batch.x2))
    assert result.image.shape == (1, 3, image_size, image_size)
    assert result.image.abs().max() <= 1
    assert result.masks is not None
    for mask in (result.masks.input, result.masks.exemplar):
        assert mask.shape == (1, 1, image_size // cell, image_size // cell)
        assert mask.min() > 0
        assert mask.max() < 1
    for phase in translator.phases():
        assert torch.isfinite(phase.loss(batch)[0])


def test_the_content_code_has_four_times_the_width() -> None:
    g = tiny(image_size=32, width=5).generator
    assert g.content(torch.randn(2, 3, 32, 32)).shape == (2, 20, 8, 8)


def parameters_of(module: nn.Module) -> set[int]:
    return {p.data_ptr() for p in module.parameters()}


def test_style_heads_share_no_weights() -> None:
    encoders = tiny().generator.style_encoders
    heads = parameters_of(encoders.foreground), parameters_of(encoders.background)
    assert len(heads[0]) == len(heads[1]) == 6
    assert not heads[0] & heads[1]
    assert not parameters_of(encoders.stem) & (heads[0] | heads[1])
    x = torch.randn(2, 3, 16, 16)
    s_f, s_b = encoders(x, x)
    assert not torch.allclose(s_f, s_b), "both codes come from the same weights"
    with torch.no_grad():
        encoders.foreground[0][0].weight.add_(1)
    changed_f, changed_b = encoders(x, x)
    assert not torch.equal(changed_f, s_f)
    assert torch.equal(changed_b, s_b)


def test_a_shared_style_head_is_one_encoder() -> None:
    encoders = tiny(shared_style_head=True).generator.style_encoders
    x = torch.randn(2, 3, 16, 16)
    s_f, s_b = encoders(x, x)
    assert torch.equal(s_f, s_b)


def test_the_mlps_share_no_weights() -> None:
    g = tiny().generator
    assert not parameters_of(g.mlp_f) & parameters_of(g.mlp_b)


def test_initial_gamma_is_about_one_either_way() -> None:
    for gamma in ("exp", "linear"):
        mlp = tiny(gamma=gamma, style_dim=8).generator.mlp_f
        scale, offset = mlp(torch.zeros(1, 8))
        torch.testing.assert_close(scale, torch.ones_like(scale))
        torch.testing.assert_close(offset, torch.zeros_like(offset))


def test_mask_init_scales_the_last_weights_only() -> None:
    full, small = tiny(mask_init=1.0).generator.cosegmentation, tiny(mask_init=0.1).generator.cosegmentation
    assert full is not None
    assert small is not None
    for (name, a), (_, b) in zip(full.named_parameters(), small.named_parameters(), strict=True):
        factor = 0.1 if name == f"A.{len(full.A) - 1}.weight" else 1.0
        torch.testing.assert_close(b, factor * a)


def test_he_initialisation_in_the_generator_and_normal_in_the_discriminator() -> None:
    translator = tiny(width=16, d_width=16, image_size=32)
    for name, module in translator.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Linear) or module.weight.numel() < 2_000:
            continue
        fan_in = module.weight[0].numel()
        expected = (2 / fan_in) ** 0.5 if name.startswith("generator") else 0.02
        assert module.weight.std().item() == pytest.approx(expected, rel=0.1), name
        assert module.bias is not None
        assert not module.bias.any(), name


def test_generator_pads_by_reflection_and_discriminator_by_zeros() -> None:
    for name, module in tiny().named_modules():
        if isinstance(module, nn.Conv2d) and module.padding != (0, 0):
            assert module.padding_mode == ("reflect" if name.startswith("generator") else "zeros"), name


# Train and eval


@pytest.mark.parametrize("mask_norm", ["group", "none"])
def test_train_and_eval_outputs_are_equal(mask_norm: str) -> None:
    translator = trained_looking(mask_norm=mask_norm)
    batch = random_batch()
    results = [t.translate(batch.x1, Guide(batch.x2)) for t in (translator.train(), translator.eval())]
    for _ in range(2):
        translator.generator_loss(batch)  # leaves no trace, either
    results.append(translator.translate(batch.x1, Guide(batch.x2)))
    for result in results[1:]:
        assert torch.equal(result.image, results[0].image)


def test_with_batch_norm_only_masks_differ_between_train_and_eval() -> None:
    translator = trained_looking(mask_norm="batch")
    batch = random_batch()
    given = Masks(torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4))
    found = {}
    for training in (True, False):
        translator.train(training)
        predicted = translator.translate(batch.x1, Guide(batch.x2)).masks
        assert predicted is not None
        found[training] = predicted.input, translator.translate(batch.x1, Guide(batch.x2, masks=given)).image
    assert not torch.allclose(found[True][0], found[False][0])
    assert torch.equal(found[True][1], found[False][1])
    assert [n for n, m in translator.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)] == [
        n for n, m in translator.named_modules() if isinstance(m, BatchNorm)
    ]
    assert all(
        n.startswith("generator.cosegmentation.A") for n, m in translator.named_modules() if isinstance(m, BatchNorm)
    )


def test_frozen_statistics_thaw_after_an_error() -> None:
    g = tiny(mask_norm="batch").generator
    norms = [m for m in g.modules() if isinstance(m, BatchNorm)]
    assert norms

    def fail() -> None:
        with g.frozen_statistics():
            assert not any(n.track for n in norms)
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail()
    assert all(n.track for n in norms)


# Masks that are given


def test_masks_come_back_as_they_were_given() -> None:
    translator = tiny()
    batch = random_batch()
    masks = Masks(torch.rand(2, 1, 16, 16), torch.rand(2, 1, 4, 4))
    result = translator.translate(batch.x1, Guide(batch.x2, masks=masks))
    assert result.masks is masks


def test_predicted_masks_given_back_change_nothing() -> None:
    translator = trained_looking(mask_norm="group")
    batch = random_batch()
    free = translator.translate(batch.x1, Guide(batch.x2))
    assert torch.equal(translator.translate(batch.x1, Guide(batch.x2, masks=free.masks)).image, free.image)


def test_with_an_empty_input_mask_the_exemplar_has_no_say() -> None:
    translator = trained_looking(mask_norm="group")
    batch, other = random_batch(), random_batch(seed=7)
    empty = Masks(constant(0), torch.rand(2, 1, 4, 4))
    kept = translator.translate(batch.x1, Guide(batch.x2, masks=empty)).image
    assert torch.equal(translator.translate(batch.x1, Guide(other.x2, masks=empty)).image, kept)
    assert not torch.allclose(translator.translate(batch.x1, Guide(batch.x2)).image, kept)


def test_a_full_input_mask_is_plain_adain_with_the_exemplars_style() -> None:
    translator = trained_looking(mask_norm="group")
    g = translator.generator
    batch = random_batch()
    masks = Masks(constant(1), torch.rand(2, 1, 16, 16))
    result = translator.translate(batch.x1, Guide(batch.x2, masks=masks)).image
    s_f, _ = g.styles(batch.x2, masks.exemplar)
    expected = g.decoder(losses.adain(g.content(batch.x1), *g.mlp_f(s_f)))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


def test_an_edited_exemplar_mask_hides_what_lies_outside() -> None:
    translator = trained_looking(mask_norm="group")
    batch = random_batch()
    left = torch.zeros(2, 1, 16, 16)
    left[..., :8] = 1
    masks = Masks(torch.rand(2, 1, 4, 4), left)
    edited = batch.x2.clone()
    edited[..., 8:] = 0.5
    result = translator.translate(batch.x1, Guide(batch.x2, masks=masks)).image
    assert torch.equal(translator.translate(batch.x1, Guide(edited, masks=masks)).image, result)
    edited[..., :8] = 0.5
    assert not torch.allclose(translator.translate(batch.x1, Guide(edited, masks=masks)).image, result)


def test_given_masks_may_have_any_resolution() -> None:
    translator = trained_looking(mask_norm="group")
    batch = random_batch()
    expected = translator.translate(batch.x1, Guide(batch.x2, masks=Masks(constant(0.3), constant(0.8)))).image
    for side in (2, 16, 37):
        masks = Masks(constant(0.3, side), constant(0.8, side))
        result = translator.translate(batch.x1, Guide(batch.x2, masks=masks)).image
        torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-4)


def test_masks_are_of_the_pair() -> None:
    """m1 depends on the exemplar (co-segmentation); an `own` mask does not; `ones` are ones."""
    batch, other = random_batch(), random_batch(seed=7)
    for masks, depends in (("cosegmentation", True), ("own", False), ("ones", False)):
        translator = trained_looking(masks=masks, mask_norm="group")
        found = [translator.translate(batch.x1, Guide(x2)).masks for x2 in (batch.x2, other.x2)]
        assert found[0] is not None
        assert found[1] is not None
        assert torch.equal(found[0].input, found[1].input) != depends
        assert (found[0].input == 1).all() == (masks == "ones")


def test_only_an_exemplar_guides() -> None:
    batch = random_batch()
    with pytest.raises(LomitError, match="give one"):
        tiny().translate(batch.x1, Guide(label=batch.y2))


# Several exemplars


@pytest.mark.parametrize("given", [False, True])
def test_one_exemplar_composed_is_the_translation(given: bool) -> None:
    translator, batch = trained_looking(image_size=32).eval(), random_batch(32)
    masks = Masks(torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)) if given else None
    guide = Guide(batch.x2, masks=masks)
    plain, composed = translator.translate(batch.x1, guide), translator.compose(batch.x1, [guide])
    assert torch.equal(plain.image, composed.image)
    assert plain.masks is not None
    assert composed.masks is not None
    assert torch.equal(plain.masks.input, composed.masks.input)
    assert torch.equal(plain.masks.exemplar, composed.masks.exemplar)


def test_composed_masks_sum_to_at_most_one_and_their_order_does_not_matter() -> None:
    translator, batch = trained_looking(image_size=32).eval(), random_batch(32)
    exemplars = [batch.x2, batch.x1.flip(-1), batch.x2.flip(0)]
    two = [Guide(each) for each in exemplars[:2]]
    composed, turned = translator.compose(batch.x1, two), translator.compose(batch.x1, two[::-1])
    torch.testing.assert_close(composed.image, turned.image, rtol=0, atol=1e-6)
    assert composed.masks is not None
    assert composed.masks.input.max() <= 1
    assert composed.masks.exemplar.shape == (2, 2, 8, 8)
    assert (composed.image - translator.translate(batch.x1, two[0]).image).abs().max() > 1e-3
    # Rounding to float32 lets the sums of three differ by more than that (some 3e-6 of the range -1 to 1).
    three, double = [Guide(each.double()) for each in exemplars], translator.double()
    for order in ([1, 2, 0], [2, 1, 0]):
        images = [double.compose(batch.x1.double(), guides).image for guides in (three, [three[k] for k in order])]
        torch.testing.assert_close(*images, rtol=0, atol=1e-12)


def test_equal_exemplars_composed_are_one() -> None:
    translator, batch = trained_looking(image_size=32).eval(), random_batch(32)
    guide = Guide(batch.x2, masks=Masks(torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)))
    one, three = (translator.compose(batch.x1, [guide] * k).image for k in (1, 3))
    torch.testing.assert_close(one, three, rtol=0, atol=1e-5)


def test_each_composed_exemplar_reaches_its_own_region_of_the_code() -> None:
    """What the decoder is given; it spreads over the image from there."""
    translator, batch = trained_looking(image_size=32).eval(), random_batch(32)
    left, right = torch.zeros(2, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    left[..., :8] = 1
    right[..., 24:] = 1
    whole = constant(1.0, 32)
    codes: list[Tensor] = []
    translator.generator.decoder.register_forward_pre_hook(lambda _, args: codes.append(args[0]))

    def compose(a: Tensor, b: Tensor) -> Tensor:
        translator.compose(batch.x1, [Guide(a, masks=Masks(left, whole)), Guide(b, masks=Masks(right, whole))])
        return codes.pop()

    first, second, other = batch.x2, batch.x2.flip(1), torch.rand_like(batch.x2)
    base, left_changed, right_changed = compose(first, second), compose(other, second), compose(first, other)
    for changed, inside, outside in (
        (left_changed, slice(None, 2), slice(2, None)),
        (right_changed, slice(6, None), slice(None, 6)),
    ):
        assert torch.equal(changed[..., outside], base[..., outside])
        assert (changed - base)[..., inside].abs().amax(dim=(1, 2)).min() > 1e-3


# Interpolation


def test_interpolation_ends_at_the_translations() -> None:
    translator = trained_looking(mask_norm="batch").eval()
    batch, other = random_batch(), random_batch(seed=7)
    exemplars = [batch.x2, other.x2]
    for weights, exemplar in (((1.0, 0.0), batch.x2), ((0.0, 1.0), other.x2)):
        blend, expected = (
            translator.interpolate(batch.x1, exemplars, weights),
            translator.translate(batch.x1, Guide(exemplar)),
        )
        torch.testing.assert_close(blend.image, expected.image, rtol=1e-4, atol=1e-5)
        assert blend.masks is not None
        assert expected.masks is not None
        torch.testing.assert_close(blend.masks.input, expected.masks.input)
        torch.testing.assert_close(blend.masks.exemplar, expected.masks.exemplar)


def test_interpolation_lies_between() -> None:
    translator = trained_looking(mask_norm="group")
    batch, other = random_batch(), random_batch(seed=7)
    exemplars = [batch.x2, other.x2]
    ends = [translator.translate(batch.x1, Guide(e)) for e in exemplars]
    middle = translator.interpolate(batch.x1, exemplars, (0.25, 0.75))
    assert middle.masks is not None
    assert ends[0].masks is not None
    assert ends[1].masks is not None
    torch.testing.assert_close(middle.masks.input, 0.25 * ends[0].masks.input + 0.75 * ends[1].masks.input)
    same = translator.interpolate(batch.x1, [batch.x2, batch.x2], (0.5, 0.5))
    torch.testing.assert_close(same.image, ends[0].image, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="zip"):
        translator.interpolate(batch.x1, exemplars, (1.0,))


# Losses, sheets and warnings (the values: test_lomit_step.py)


def test_both_directions_count_alike() -> None:
    translator = trained_looking(mask_norm="group").double()
    batch = random_batch(dtype=torch.float64)
    mirrored = type(batch)(batch.x2, batch.x1, batch.y2, batch.y1)
    torch.testing.assert_close(translator.generator_loss(batch)[0], translator.generator_loss(mirrored)[0])


def test_the_critics_step_runs_every_iteration_and_the_generators_every_fifth() -> None:
    phases = TrainableLomit(LomitConfig(attributes=("a",), width=1, d_width=1)).phases()
    assert [(p.name, p.every) for p in phases] == [("D", 1), ("G", 5)]


def test_a_warm_up_comes_before_the_generators_phase_and_teaches_reconstruction_alone() -> None:
    translator = tiny(warmup=3, critic_steps=2)
    phases = {phase.name: phase for phase in translator.phases()}
    turns = [[name for name, phase in phases.items() if phase.runs_in(step)] for step in range(7)]
    assert turns == [["warmup", "warmup_D"]] * 3 + [["D", "G"], ["D"], ["D", "G"], ["D"]]
    batch = random_batch()
    with torch.no_grad():
        x = torch.cat([batch.x1, batch.x2])
        g = translator.generator
        c = g.content(x)
        m = g.masks(c, g.summary(x, c), g.summary(x, c))
        own = g.decode(c, m, *g.styles(x, m))
        total, terms = translator.warmup_loss(batch)
    torch.testing.assert_close(total, translator.config.weights.x * 2 * (own - x).abs().mean())
    assert list(terms) == ["x"]
    logits = translator.discriminator(x)[1]
    expected = 2 * losses.classification_loss(logits, torch.cat([batch.y1, batch.y2]))
    torch.testing.assert_close(translator.warmup_classification(batch)[0], expected)
    trained = {id(p) for p in phases["warmup"].parameters()}
    assert g.cosegmentation is not None
    assert not trained & {id(p) for p in g.cosegmentation.parameters()}
    assert len(trained) + len(list(g.cosegmentation.parameters())) == len(list(g.parameters()))


def test_foreground_codes_can_be_asked_for_the_attributes() -> None:
    batch = random_batch()
    asked, plain = (tiny(warmup=1, mask_norm="group", weights=LossWeights(style_cls=w)) for w in (0.5, 0.0))
    assert plain.style_classifier is None
    linear = asked.style_classifier
    assert linear is not None
    plain.load_state_dict({n: t for n, t in asked.state_dict().items() if not n.startswith("style_classifier.")})
    (total, terms), (without, _) = asked.generator_loss(batch), plain.generator_loss(batch)
    g, x1, x2 = asked.generator, batch.x1, batch.x2

    def masks(c: Tensor, partner: Tensor) -> Tensor:
        return g.masks(c, c.mean((2, 3)), partner.mean((2, 3)))

    def entropy(masks: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        result = torch.zeros(())
        for x, partner, y in ((x1, x2, batch.y1), (x2, x1, batch.y2)):
            s_f, _ = g.styles(x, masks(g.content(x), g.content(partner)))
            p = torch.sigmoid(s_f @ linear.weight.T + linear.bias)
            result = result + (-torch.where(y == 1, p.log(), (1 - p).log()) * (y >= 0)).sum(1).mean()
        return result

    torch.testing.assert_close(terms["style_cls"], entropy(masks))
    torch.testing.assert_close(total - without, 0.5 * entropy(masks), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(asked.warmup_style(batch)[0], 0.5 * entropy(lambda c, _: torch.ones_like(c[:, :1])))
    names = [phase.name for phase in asked.phases()]
    assert names == [*(phase.name for phase in plain.phases()), "warmup_style"]


def test_noise_on_masks_is_for_training_alone() -> None:
    translator = trained_looking(mask_norm="group", mask_noise=2.0)
    plain = trained_looking(mask_norm="group")
    plain.load_state_dict(translator.state_dict())
    x = torch.cat([random_batch().x1, random_batch().x2])
    with torch.no_grad():
        c = translator.generator.content(x)
        expected = plain.generator.pair_masks(x, c)
        assert torch.equal(translator.eval().generator.pair_masks(x, c), expected)
        translator.train()
        torch.manual_seed(0)
        noise = torch.stack([translator.generator.pair_masks(x, c).logit() - expected.logit() for _ in range(200)])
    assert abs(noise.std().item() - 2.0) < 0.1
    assert abs(noise.mean().item()) < 0.1


def test_masks_are_warmed_up_after_the_rest_and_alone() -> None:
    translator = tiny(warmup=1, warmup_masks=2, mask_norm="group", weights=LossWeights(erase=1.0))
    turns = [sorted(p.name for p in translator.phases() if p.runs_in(i)) for i in range(4)]
    assert turns == [["warmup", "warmup_D"], ["masks", "masks_D"], ["masks", "masks_D"], ["D", "G"]]
    (masks,) = (p for p in translator.phases() if p.name == "masks")
    assert {id(p) for p in masks.parameters()} == {id(p) for p in translator.generator.cosegmentation.parameters()}


def test_masks_that_learn_nothing_stay_what_they_are() -> None:
    translator, batch = tiny(masks_learn="nothing", mask_noise=1.0, critic_steps=1), random_batch()
    before = translator.eval().sample(batch)
    translator.train()
    for phase in translator.phases():
        optimizer = torch.optim.SGD(phase.parameters(), lr=0.1)
        phase.loss(batch)[0].backward()
        optimizer.step()
        translator.zero_grad()
    after = translator.eval().sample(batch)
    assert torch.equal(after["mask"], before["mask"])
    assert not torch.equal(after["result"], before["result"])


def test_masks_that_see_differences_begin_as_the_papers() -> None:
    """Weights trained without them fit: the new parameters start at zero, and every attribute has the paper's mask."""
    weights = LossWeights(style_cls=1.0)
    seeing = tiny(mask_norm="group", mask_sees="differences", weights=weights)
    plain = tiny(mask_norm="group", weights=weights)
    of_training_alone = ("style_classifier.weight", "style_classifier.bias")
    given = {n: t for n, t in plain.state_dict().items() if n not in of_training_alone}
    missing, unexpected = seeing.load_state_dict(given, strict=False)
    told = ["generator.told_attributes.weight", "generator.told_attributes.bias"]
    assert (sorted(missing), unexpected) == (sorted(["generator.cosegmentation.differences", *told]), [])
    batch = random_batch()
    x = torch.cat([batch.x1, batch.x2])
    g = seeing.generator
    assert g.cosegmentation is not None
    assert g.cosegmentation.differences is not None
    assert g.told_attributes is not None
    with torch.no_grad():
        c = g.content(x)
        expected = plain.generator.pair_masks(x, c)
        assert torch.equal(g.pair_masks(x, c), expected), "where nothing is told to differ, everything is moved"
        g.cosegmentation.differences.normal_()
        first, second = (
            g.pair_masks(x, c, moved=torch.tensor([named]).expand(2, 2)) for named in ([1.0, 0.0], [0.0, 1.0])
        )
        both = g.pair_masks(x, c, moved=torch.ones(2, 2))
        assert not torch.allclose(first, second)
        assert torch.equal(both, torch.maximum(first, second))
        assert torch.equal(g.pair_masks(x, c), both)
        summary = g.summary(x, c)
        assert not g.masks(c, summary, summary).any(), "nothing differs, nothing is moved"
    warm = tiny(mask_norm="group", mask_sees="differences", weights=weights, warmup=1)
    assert [phase.name for phase in warm.phases()][-1] == "warmup_style", "codes learn to tell before masks go by them"
    total, _ = seeing.generator_loss(batch)
    total.backward()
    for parameter in (g.cosegmentation.differences, g.told_attributes.weight):
        assert parameter.grad is not None
        assert parameter.grad.any()


def test_masks_see_labels_where_these_are_known_and_else_what_the_codes_tell() -> None:
    g = tiny(mask_norm="group", mask_sees="differences", weights=LossWeights(style_cls=1.0)).generator
    assert g.told_attributes is not None
    batch = random_batch()
    x = torch.cat([batch.x1, batch.x2])
    y = torch.tensor([[0.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [0.0, 0.0]])
    with torch.no_grad():
        g.told_attributes.weight.normal_()
        g.told_attributes.bias.sub_(g.told_attributes(g.told(x)).mean(dim=0))
        c = g.content(x)
        told, seen = g.summary(x, c), g.summary(x, c, y)
    channels = c.shape[1]
    assert set(told[:, channels:].flatten().tolist()) == {0.0, 1.0}
    assert torch.equal(seen[:, :channels], told[:, :channels])
    assert torch.equal(seen[:, channels:], torch.where(y < 0, told[:, channels:], y))


def test_a_sample_sheet_shows_both_ways() -> None:
    translator = trained_looking(mask_norm="group")
    batch = random_batch()
    columns = translator.sample(batch)
    assert list(columns) == ["input", "mask", "exemplar", "exemplar mask", "result", "cycle", "self"]
    result = translator.translate(batch.x1, Guide(batch.x2))
    assert result.masks is not None
    torch.testing.assert_close(columns["result"], result.image)
    torch.testing.assert_close(columns["mask"], result.masks.input)
    torch.testing.assert_close(columns["exemplar mask"], result.masks.exemplar)
    assert torch.equal(columns["input"], batch.x1)
    assert torch.equal(columns["exemplar"], batch.x2)


def test_the_score_is_the_reconstruction_and_leaves_the_discriminator_out() -> None:
    translator = trained_looking(mask_norm="group")
    batch = random_batch()
    score = translator.score(batch)
    columns = translator.sample(
        type(batch)(torch.cat([batch.x1, batch.x2]), torch.cat([batch.x2, batch.x1]), *[batch.y1] * 2)
    )
    x = columns["input"]
    expected = sum(2 * (columns[name] - x).abs().mean() for name in ("cycle", "self"))
    torch.testing.assert_close(score["score"], translator.config.weights.x * expected)
    scores, logits = translator.discriminator(torch.cat([batch.x1, batch.x2]))
    torch.testing.assert_close(score["real"], scores.mean())
    torch.testing.assert_close(score["cls_r"], 2 * losses.classification_loss(logits, torch.cat([batch.y1, batch.y2])))
    for parameter in translator.discriminator.parameters():
        nn.init.normal_(parameter)
    assert torch.equal(translator.score(batch)["score"], score["score"])
    assert not torch.equal(translator.score(batch)["cls_f"], score["cls_f"])


@pytest.mark.parametrize(
    ("mean", "spread", "expected"),
    [
        (0.004, 0.02, r"collapsed to 0 \(mean 0.004\); try a smaller model.weights.r3"),
        (0.995, 0.02, r"collapsed to 1 \(mean 0.995\); try a larger model.weights.r3"),
        (0.4, 0.001, r"flat \(mean 0.400, spread 0.0010\)"),
        (0.4, 0.1, None),
    ],
)
def test_a_collapse_of_the_masks_is_a_warning(mean: float, spread: float, expected: str | None) -> None:
    line = tiny().warning({"mask/mean": mean, "mask/spread": spread})
    assert (line is None) == (expected is None)
    assert expected is None or re.search(expected, line or "")


def test_masks_that_are_ones_by_choice_are_no_collapse() -> None:
    assert tiny(masks="ones").warning({"mask/mean": 1.0, "mask/spread": 0.0}) is None
    assert tiny().warning({}) is None


def test_mask_statistics_are_those_of_the_pair() -> None:
    translator = trained_looking(mask_norm="group")
    batch = random_batch()
    _, terms = translator.generator_loss(batch)
    masks = translator.translate(batch.x1, Guide(batch.x2)).masks
    assert masks is not None
    both = torch.cat([masks.input, masks.exemplar])
    torch.testing.assert_close(terms["mask/mean"], both.mean())
    torch.testing.assert_close(terms["mask/spread"], both.flatten(1).std(1).mean())


# Wrong values


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 20}, "model.image_size must be a multiple of 16"),
        ({"image_size": 2**31}, "model.image_size must be a multiple of 16, from 16 to 4096; it is 2147483648"),
        ({"width": 0}, "model.width must be at least 1; it is 0"),
        ({"width": 10**30}, "model.width must be at most 4096; it is 1000"),
        ({"res_blocks": 3000}, "model.res_blocks must be at most 100; it is 3000"),
        ({"critic_steps": -1}, "model.critic_steps"),
        ({"warmup": -1}, "model.warmup must be at least 0; it is -1"),
        ({"warmup_masks": -1}, "model.warmup_masks must be at least 0; it is -1"),
        ({"warmup_masks": 1}, "model.warmup_masks needs model.weights.erase > 0"),
        ({"masks_learn": "nothing", "warmup": 1}, "set both warm-ups to 0"),
        ({"mask_noise": -0.1}, "model.mask_noise must be at least 0; it is -0.1"),
        ({"r1_alike": 1.0}, "model.r1_alike is a cosine similarity from -1 to below 1; it is 1.0"),
        ({"r1_alike": float("nan")}, "model.r1_alike is a cosine similarity"),
        ({"mask_sees": "differences"}, "model.mask_sees 'differences' needs codes that tell attributes"),
        (
            {"mask_sees": "differences", "masks": "own", "weights": LossWeights(style_cls=1.0)},
            "model.mask_sees 'differences' needs a partner: model.masks is 'own'",
        ),
    ],
)
def test_wrong_values_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LomitError, match=message):
        tiny_config("lomit", **options)


def test_without_attributes_there_is_nothing_to_train() -> None:
    with pytest.raises(LomitError, match="model.attributes is empty"):
        TrainableLomit(LomitConfig())
    Lomit(LomitConfig(width=1))


@pytest.mark.parametrize("source_cls", [0.0, 0.5])
def test_without_a_classification_loss_the_class_head_is_not_trained(source_cls: float) -> None:
    """Every parameter of a phase has a gradient, or several processes would wait for it for ever."""
    translator = tiny(weights=LossWeights(cls=0.0, source_cls=source_cls), mask_norm="group")
    for phase in translator.phases():
        only_require(translator, phase)
        phase.loss(random_batch())[0].backward()
        assert all(p.grad is not None for p in phase.parameters()), phase.name
    assert (translator.discriminator.class_head.weight.grad is not None) == bool(source_cls)


@pytest.mark.parametrize("run", ["hair-smile", "all"])
def test_the_large_batch_presets_see_as_many_images(run: str) -> None:
    presets = get_method("lomit").presets
    small, large = (presets[f"celeba-{run}{suffix}"][1]().train for suffix in ("", "-b64"))
    assert large.batch_size == 64
    for name in ("steps", "decay_start", "decay_every"):
        assert getattr(large, name) * large.batch_size == getattr(small, name) * small.batch_size
    assert large.lr == pytest.approx(small.lr * 8**0.5)
    # After as many images the average has forgotten as much.
    assert large.ema**100 == pytest.approx(small.ema**800)


def test_d_sees_every_image_changed_and_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, changed = (tiny(warmup=1, mask_norm="group", augment=kinds) for kinds in ((), ("shift", "cutout")))
    changed.load_state_dict(plain.state_dict())
    batch = random_batch()
    images = torch.cat([batch.x1, batch.x2])
    seen: list[torch.Tensor] = []
    changed.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    monkeypatch.setattr("lomit.models.lomit.training.augment", lambda x, kinds: x.flip(-2) if kinds else x)

    # A change that is its own inverse: what D is shown, turned back, is what it is shown without the change.
    changed.discriminator_loss(batch)
    real, fake = seen.pop().flip(-2).chunk(2)
    assert torch.equal(real, images)
    changed.generator_loss(batch)
    torch.testing.assert_close(seen.pop().flip(-2), fake)
    changed.warmup_classification(batch)
    assert torch.equal(seen.pop().flip(-2), images)
    assert not seen

    # The reconstructions, codes and masks of the generator's loss don't come from there.
    (_, terms), (_, others) = changed.generator_loss(batch), plain.generator_loss(batch)
    for name in ("s_f", "s_b", "c", "cyc", "x", "R1", "R2", "R3", "mask/mean"):
        torch.testing.assert_close(terms[name], others[name])
    assert not torch.equal(terms["adv"], others["adv"])


def test_an_augmented_run_reaches_the_generator_through_what_d_sees() -> None:
    translator = tiny(mask_norm="group", augment=("shift", "cutout"), weights=LossWeights(0, 0, 0, 0, 0, 0, 0))
    torch.manual_seed(3)
    total, _ = translator.generator_loss(random_batch())
    gradients = torch.autograd.grad(total, list(translator.generator.decoder.parameters()), allow_unused=True)
    assert any(g is not None and g.abs().sum() > 0 for g in gradients)


def test_narrow_presets_weigh_many_attributes_like_few() -> None:
    """Eqs. 11 and 12 are sums over attributes: ten of them at the weight of five outweigh the reconstruction."""
    weights = {}
    for name in ("avatars-64", "celeba-makeup-lipstick-64", "celeba-all-64", "emotionet-aus-64", "folder-64"):
        run = get_method("lomit").presets[name][1]()
        assert isinstance(run.model, LomitConfig)
        weights[name] = run.model.weights.cls, len(run.data.attributes)
    assert weights["avatars-64"] == (2, 5)
    assert weights["folder-64"] == (2, 0)
    assert weights["celeba-makeup-lipstick-64"] == (2, 2)
    for name in ("celeba-all-64", "emotionet-aus-64"):
        assert weights[name][0] * weights[name][1] == pytest.approx(10)


@pytest.mark.parametrize("run", ["avatars", "celeba-all", "celeba-hair-smile"])
def test_quick_presets_have_the_losses_of_the_narrow_ones_and_the_grid_of_the_paper(run: str) -> None:
    presets = get_method("lomit").presets
    paper, narrow, quick = (presets[f"{run}{suffix}"][1]() for suffix in ("", "-64", "-quick"))
    assert isinstance(paper.model, LomitConfig)
    assert isinstance(narrow.model, LomitConfig)
    assert isinstance(quick.model, LomitConfig)
    assert quick.model.weights == narrow.model.weights
    assert quick.data == paper.data
    assert (quick.model.cell, quick.model.res_blocks) == (paper.model.cell, paper.model.res_blocks)
    assert quick.model.width == paper.model.width // 2
    assert quick.train.decay_start + quick.model.warmup < quick.train.steps


@pytest.mark.parametrize("run", ["avatars", "celeba-hair-smile", "celeba-facialhair-gender", "emotionet-aus", "folder"])
def test_presets_at_256_keep_the_middle_of_the_papers_network(run: str) -> None:
    presets = get_method("lomit").presets
    paper, large = (presets[f"{run}{suffix}"][1]() for suffix in ("", "-256"))
    assert isinstance(paper.model, LomitConfig)
    assert isinstance(large.model, LomitConfig)
    assert large.data.image_size == large.model.image_size == 256
    assert large.model.width * large.model.cell == paper.model.width * paper.model.cell
    assert large.model.image_size // large.model.cell == paper.model.image_size // paper.model.cell
    assert large.model.weights == paper.model.weights
    assert large.train == paper.train
    assert vars(large.data) | {"image_size": 128} == vars(paper.data)
