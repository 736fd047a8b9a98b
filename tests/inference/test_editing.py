"""Edits of masks: equal to a translation where nothing is edited, and what masks and sliders change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from doubles import double
from lomit import masks
from lomit.errors import LomitError
from lomit.images import as_picture
from lomit.inference.editing import Edit, Editing
from lomit.inference.predictor import Predictor
from support.tiny import tiny_translator

S = 32


def noise(seed: int, width: int = S, height: int = S) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def square(value: int) -> Image.Image:
    return Image.new("L", (S, S), value)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(tiny_translator("lomit", image_size=S), "cpu")


@pytest.fixture
def editing(predictor: Predictor) -> Editing:
    return predictor.edit(noise(0, 40), [noise(1), noise(2)])


def test_unedited_has_the_bits_of_a_translation(predictor: Predictor) -> None:
    edited = predictor.edit(noise(0, 40), [noise(1)]).render(Edit())
    (result,) = predictor.translate([noise(0, 40)], [noise(1)])
    assert np.array_equal(edited.raw, result.raw)
    for composite in (False, True):
        (result,) = predictor.translate([noise(0, 40)], [noise(1)], composite=composite)
        placed = edited.placed(as_picture(noise(0, 40)), composite)
        assert np.array_equal(np.asarray(placed), np.asarray(result.image))


def test_given_masks_do_what_they_do_in_a_translation(predictor: Predictor) -> None:
    own, guide = (Image.fromarray(np.asarray(noise(k))[..., 0]) for k in (3, 4))
    edited = predictor.edit(noise(0), [noise(1)]).render(Edit(own, (guide,)))
    (result,) = predictor.translate([noise(0)], [noise(1)], input_masks=[own], exemplar_masks=[guide])
    assert np.abs(edited.raw - result.raw).max() < 1e-5


def test_steps_are_done_to_given_and_predicted_masks(editing: Editing) -> None:
    own = Image.fromarray(np.asarray(noise(3, 256, 256))[..., 0])
    predicted = editing.predicted(masks.SIDE)
    grow, select = {"do": "grow", "radius": 20}, {"do": "select", "at": [0.4, 0.6], "alike": 0.2, "erase": True}

    def after(mask: Image.Image, *steps: masks.Step, of: int = 0) -> Image.Image:
        m = np.asarray(mask)
        for step in steps:
            m = masks.apply(m, step, editing.content[of])
        return masks.to_image(m)

    for edit, by_hand in (
        (Edit(own, steps=((grow, select),)), Edit(after(own, grow, select))),
        (Edit(steps=((), (select,))), Edit(None, (after(predicted[1], select, of=1),))),
        (Edit(steps=((), (), (grow,)), blend=0.7), Edit(None, (None, after(predicted[2], grow)), blend=0.7)),
    ):
        assert np.array_equal(editing.render(edit).raw, editing.render(by_hand).raw)
        assert not np.array_equal(editing.render(edit).raw, editing.render(replace(edit, steps=())).raw)
    assert [c.shape for c in editing.content] == [(16, 8, 8)] * 3
    for edit, says in (
        (Edit(steps=((),) * 4), "steps for 4 masks"),
        (Edit(steps=(({"do": "grwo"},),)), r"no operation 'grwo' \(did you mean 'grow'"),
    ):
        with pytest.raises(LomitError, match=says):
            editing.render(edit)


def test_ends_of_the_blend_are_the_exemplars_alone(predictor: Predictor, editing: Editing) -> None:
    for blend, exemplar in ((0.0, noise(1)), (1.0, noise(2))):
        alone = predictor.edit(noise(0, 40), [exemplar]).render(Edit())
        assert np.abs(editing.render(Edit(blend=blend)).raw - alone.raw).max() < 1e-5
    (middle,) = predictor.interpolate(noise(0, 40), [noise(1), noise(2)], 3)[1:2]
    # The interpolation averages the background codes under the two masks, an edit has one mask.
    assert np.abs(editing.render(Edit(blend=0.5)).raw - middle.raw).mean() < 0.05


def test_strength_leads_from_the_own_style_to_the_exemplar(predictor: Predictor) -> None:
    x = noise(0)
    edits = predictor.edit(x, [noise(1)])
    mask = square(200)
    own, full, beyond = (edits.render(Edit(mask, (mask,), strength=s)) for s in (0.0, 1.0, 2.0))
    itself = predictor.edit(x, [x]).render(Edit(mask, (mask,)))
    assert np.abs(own.raw - itself.raw).max() < 1e-5
    assert np.abs(full.raw - own.raw).max() > 1e-4
    assert np.abs(beyond.raw - own.raw).mean() > np.abs(full.raw - own.raw).mean()


def test_threshold_cuts_and_stretches(predictor: Predictor) -> None:
    edits = predictor.edit(noise(0), [noise(1)])
    for value, expected in ((51, 0.0), (102, 0.0), (178, (178 / 255 - 0.4) / 0.6), (255, 1.0)):
        used = edits.render(Edit(square(value), threshold=0.4)).masks[0]
        assert np.allclose(used.numpy(), expected, atol=1e-6)
    own = edits.predicted(S)[0]
    cut = edits.render(Edit(threshold=0.4)).mask(0, S)
    assert (np.asarray(cut) <= np.asarray(own)).all()


def test_an_empty_mask_composites_to_the_input(predictor: Predictor) -> None:
    image = noise(0, 50, 40)
    edited = predictor.edit(image, [noise(1)]).render(Edit(square(0)))
    assert np.array_equal(np.asarray(edited.placed(as_picture(image), True)), np.asarray(image))
    assert not np.array_equal(np.asarray(edited.placed(as_picture(image), False)), np.asarray(image))


def test_equal_edits_have_equal_bits(predictor: Predictor, editing: Editing) -> None:
    edit = Edit(square(90), (None, square(200)), threshold=0.1, strength=0.7, blend=0.3)
    first = editing.render(edit)
    editing.render(replace(edit, blend=0.9, input_mask=None))
    again, anew = editing.render(edit), predictor.edit(noise(0, 40), [noise(1), noise(2)]).render(edit)
    assert np.array_equal(first.raw, again.raw)
    assert np.array_equal(first.raw, anew.raw)


def test_another_input_beside_the_same_exemplars(predictor: Predictor, editing: Editing) -> None:
    edit = Edit(None, (square(90),), strength=0.7, blend=0.3)
    editing.render(edit)
    again, anew = predictor.edit(noise(5), editing), predictor.edit(noise(5), [noise(1), noise(2)])
    assert np.array_equal(again.render(edit).raw, anew.render(edit).raw)
    assert not np.array_equal(again.render(edit).raw, editing.render(edit).raw)
    assert [m.tobytes() for m in again.predicted(S)] == [m.tobytes() for m in anew.predicted(S)]
    with pytest.raises(LomitError, match="leave out 'label' and 'only'"):
        predictor.edit(noise(5), editing, only="Smiling")


@pytest.mark.parametrize("has_masks", [True, False])
def test_methods_without_codes_to_keep(has_masks: bool) -> None:
    translator = double(16, has_masks=False)
    translator.has_masks = has_masks
    predictor = Predictor(translator, "cpu")
    edits = predictor.edit(noise(0), [Image.new("RGB", (S, S), "red")])
    assert (edits.has_masks, predictor.can_blend) == (has_masks, False)
    (result,) = predictor.translate([noise(0)], [Image.new("RGB", (S, S), "red")])
    assert np.array_equal(edits.render(Edit()).raw, result.raw)
    assert len(edits.predicted(S)) == 2 * has_masks
    other, anew = predictor.edit(noise(5), edits), predictor.edit(noise(5), [Image.new("RGB", (S, S), "red")])
    assert np.array_equal(other.render(Edit()).raw, anew.render(Edit()).raw)
    assert not np.array_equal(other.render(Edit()).raw, result.raw)
    with pytest.raises(LomitError, match="no strength"):
        edits.render(Edit(strength=0.5))
    if has_masks:
        assert np.allclose(edits.render(Edit(square(255))).raw, [1, -1, -1], atol=1e-6)
    else:
        with pytest.raises(LomitError, match="no masks"):
            edits.render(Edit(square(255)))


@pytest.mark.parametrize("method", ["stargan", "munit", "drit"])
def test_rivals(method: str) -> None:
    predictor = Predictor(tiny_translator(method), "cpu")
    exemplars = [noise(1)] if "exemplar" in predictor.guides else []
    results = [predictor.edit(noise(0), exemplars, {"Smiling": v}).render(Edit()) for v in (0.0, 1.0)]
    assert results[0].masks == []
    assert not np.array_equal(results[0].raw, results[1].raw)


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        ({"threshold": 1.0}, "threshold must lie between 0 and 0.95"),
        ({"strength": -1.0}, "strength must lie between 0 and 2"),
        ({"blend": float("nan")}, "blend must lie between 0 and 1"),
        ({"exemplar_masks": (square(0),) * 3}, "3 masks for 2 exemplars"),
        ({"input_mask": Image.new("L", (4, 5))}, "make it as large as the image"),
    ],
)
def test_wrong_edits(editing: Editing, edit: dict[str, object], line: str) -> None:
    with pytest.raises(LomitError, match=line):
        editing.render(Edit(**edit))  # type: ignore[arg-type]


def test_wrong_exemplars(predictor: Predictor) -> None:
    with pytest.raises(LomitError, match="one exemplar or two; 3 given"):
        predictor.edit(noise(0), [noise(1)] * 3)
    with pytest.raises(LomitError, match="takes its style from an exemplar"):
        predictor.edit(noise(0))
    with pytest.raises(LomitError, match="blend needs two exemplars"):
        predictor.edit(noise(0), [noise(1)]).render(Edit(blend=0.5))


def test_codes_outlive_inference_mode(predictor: Predictor) -> None:
    edits = predictor.edit(noise(0), [noise(1)])
    with torch.no_grad():
        edits.render(Edit())
    edits.render(Edit())
