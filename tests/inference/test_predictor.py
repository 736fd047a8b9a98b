"""Images in, images out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from doubles import double
from lomit import Predictor
from lomit.data.transforms import resize
from lomit.errors import LomitError
from lomit.images import as_picture
from lomit.models.base import places_of
from lomit.models.lomit.config import LomitConfig
from lomit.models.lomit.model import Lomit
from support.tiny import seeing_places

RNG = np.random.default_rng(0)
S = 16


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    channels = len(mode)
    array = RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(array[..., 0] if channels == 1 else array)


@pytest.fixture
def predictor() -> Predictor:
    return Predictor(double(S), "cpu")


RED, BLUE = Image.new("RGB", (S, S), (255, 0, 0)), Image.new("RGB", (S, S), (0, 0, 255))


def test_exemplar_colour_goes_into_the_mask(predictor: Predictor) -> None:
    image = noise(S, S)
    (result,) = predictor.translate([image], [RED])
    pixels = np.asarray(result.image)
    assert (pixels[:, : S // 2] == (255, 0, 0)).all()
    assert np.array_equal(pixels[:, S // 2 :], np.asarray(image)[:, S // 2 :]), "no rounding on the way"
    assert result.raw.shape == (S, S, 3)
    assert result.raw.dtype == np.float32
    assert result.raw[0, 0].tolist() == [1, -1, -1]


@pytest.mark.parametrize("size", [(16, 16), (61, 40), (40, 61), (8, 5), (1, 1), (1, 7), (300, 20)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_any_size_comes_back_and_nothing_changes_outside_the_square(
    predictor: Predictor, size: tuple[int, int], mode: str
) -> None:
    image = noise(*size, mode=mode)
    (result,) = predictor.translate([image], [RED])
    assert result.image.size == size
    assert result.image.mode == ("RGBA" if mode == "RGBA" else "RGB")
    before, after = np.asarray(image.convert(result.image.mode)), np.asarray(result.image)
    side, (width, height) = min(size), size
    left, top = (width - side) // 2, (height - side) // 2
    outside = np.ones((height, width), dtype=bool)
    outside[top : top + side, left : left + side] = False
    assert np.array_equal(before[outside], after[outside])
    if mode == "RGBA":
        assert np.array_equal(before[..., 3], after[..., 3])
    assert result.input_mask is not None
    assert result.input_mask.size == (side, side)
    inner = after[top + side // 2, left + side // 8, :3]
    assert side == 1 or (inner[0] > 200 and inner[1] < 50), "the square is translated"


def test_masks_are_as_large_as_each_images_own_square(predictor: Predictor) -> None:
    (result,) = predictor.translate([noise(50, 40)], [noise(20, 90)])
    assert result.input_mask is not None
    assert result.exemplar_mask is not None
    assert (result.input_mask.size, result.exemplar_mask.size) == ((40, 40), (20, 20))
    plane = np.asarray(result.input_mask)
    assert (plane[:, :12] == 255).all()
    assert (plane[:, -12:] == 0).all()
    assert (np.diff(plane.astype(int), axis=1) <= 0).all(), "scaled smoothly"


def test_one_exemplar_serves_all_and_batches_do_not_matter(predictor: Predictor) -> None:
    images = [noise(20 + i, 30) for i in range(5)]
    together = predictor.translate(images, [RED], batch_size=5)
    apart = predictor.translate(images, [RED] * 5, batch_size=2)
    for a, b in zip(together, apart, strict=True):
        assert np.array_equal(np.asarray(a.image), np.asarray(b.image))


def test_one_exemplar_for_all_is_scaled_once(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    scaled: list[tuple[int, int]] = []

    def counted(image: Image.Image, size: int) -> Image.Image:
        scaled.append(image.size)
        return resize(image, size)

    monkeypatch.setattr("lomit.inference.squares.resize", counted)
    inputs = [Image.new("RGB", (20 + k, 20 + k)) for k in range(3)]
    predictor.translate(inputs, Image.new("RGB", (40, 40), "red"))
    assert sorted(scaled) == [(20, 20), (21, 21), (22, 22), (40, 40)]


def test_numbers_must_match(predictor: Predictor) -> None:
    with pytest.raises(LomitError, match="3 inputs need as many exemplars"):
        predictor.translate([RED] * 3, [RED] * 2)
    assert predictor.translate([], [RED]) == []


def test_given_input_mask_decides_where_the_colour_goes(predictor: Predictor) -> None:
    image = noise(32, 32)
    mask = np.zeros((32, 32), dtype=np.uint8)
    mask[16:] = 255
    (result,) = predictor.translate([image], [RED], input_masks=[mask])
    pixels = np.asarray(result.image)
    assert (pixels[20:] == (255, 0, 0)).all()
    assert not (pixels[:12] == (255, 0, 0)).all(axis=-1).any()
    assert result.input_mask is not None
    assert np.asarray(result.input_mask)[20:].min() == 255


def test_given_exemplar_mask_decides_which_colour_is_taken(predictor: Predictor) -> None:
    exemplar = Image.new("RGB", (S, S), (255, 0, 0))
    exemplar.paste((0, 0, 255), (S // 2, 0, S, S))
    right = np.zeros((S, S), dtype=np.uint8)
    right[:, S // 2 :] = 255
    (result,) = predictor.translate([noise(S, S)], [exemplar], exemplar_masks=[Image.fromarray(right)])
    assert result.image.getpixel((0, 0)) == (0, 0, 255)
    assert result.image.getpixel((S - 1, 0)) != (0, 0, 255)


def test_masks_given_for_some_images_only(predictor: Predictor) -> None:
    image = noise(S, S)
    empty = np.zeros((S, S), dtype=np.uint8)
    masked, plain = predictor.translate([image] * 2, [RED], input_masks=[empty, None])
    assert np.array_equal(np.asarray(masked.image), np.asarray(image))
    (alone,) = predictor.translate([image], [RED])
    assert (
        np.abs(np.asarray(plain.image).astype(int) - np.asarray(alone.image)).max() <= 128
    )  # scaled mask: a soft edge
    assert (np.asarray(plain.image)[:, :6] == (255, 0, 0)).all()


def test_mask_as_large_as_the_image_is_cut_like_it(predictor: Predictor) -> None:
    mask = np.zeros((20, 40), dtype=np.uint8)
    mask[:, 20:] = 255  # the right half of the image is the right half of its centre square
    (result,) = predictor.translate([noise(40, 20)], [RED], input_masks=[mask])
    assert result.image.getpixel((28, 10)) == (255, 0, 0)
    with pytest.raises(LomitError, match=r"mask of input 0 is 7 x 9; make it as large as the image \(40 x 20\)"):
        predictor.translate([noise(40, 20)], [RED], input_masks=[np.zeros((9, 7), dtype=np.uint8)])


def test_composite_keeps_the_input_outside_the_mask(predictor: Predictor) -> None:
    # At 4 times the model's size the raw output is blurred everywhere, the composite only where the mask is.
    image = noise(4 * S, 4 * S)
    (raw,), (composite,) = (predictor.translate([image], [RED], composite=c) for c in (False, True))
    before = np.asarray(image)[:, 3 * S :]
    assert not np.array_equal(np.asarray(raw.image)[:, 3 * S :], before)
    assert np.array_equal(np.asarray(composite.image)[:, 3 * S :], before)
    assert (np.asarray(composite.image)[:, : S // 2] == (255, 0, 0)).all()


def test_transparent_parts_reach_the_network_as_white(predictor: Predictor) -> None:
    (result,) = predictor.translate([RED], [Image.new("RGBA", (S, S), (0, 0, 0, 0))])
    assert result.image.getpixel((0, 0)) == (255, 255, 255)


def test_labels_are_checked(predictor: Predictor) -> None:
    with pytest.raises(LomitError, match=r"unknown attribute 'smiling' \(did you mean 'Smiling'\?\)"):
        predictor.translate([RED], [RED], label={"smiling": 1})
    predictor.translate([RED], [RED], label={"Smiling": 1})


def test_interpolation_between_two_exemplars(predictor: Predictor) -> None:
    results = predictor.interpolate(noise(S, S), [RED, BLUE], steps=3)
    assert [r.image.getpixel((0, 0)) for r in results] == [(255, 0, 0), (128, 0, 128), (0, 0, 255)]


def test_interpolation_starts_at_the_inputs_own_style(predictor: Predictor) -> None:
    results = predictor.interpolate(BLUE, [RED], steps=5)
    assert results[0].image.getpixel((0, 0)) == (0, 0, 255)
    assert results[-1].image.getpixel((0, 0)) == (255, 0, 0)


def test_interpolation_errors(predictor: Predictor) -> None:
    with pytest.raises(LomitError, match="at least 2 steps; 1 asked for"):
        predictor.interpolate(RED, [BLUE], 1)
    with pytest.raises(LomitError, match="one exemplar or two; 3 given"):
        predictor.interpolate(RED, [BLUE] * 3, 2)
    with pytest.raises(LomitError, match="'plain-double' can't interpolate"):
        Predictor(double(S, has_masks=False), "cpu").interpolate(RED, [BLUE], 2)


def test_a_method_without_masks() -> None:
    predictor = Predictor(double(S, has_masks=False), "cpu")
    (result,) = predictor.translate([RED], [BLUE])
    assert (result.input_mask, result.exemplar_mask) == (None, None)
    with pytest.raises(LomitError, match="nothing to composite"):
        predictor.translate([RED], [BLUE], composite=True)
    with pytest.raises(LomitError, match="has no masks; leave out"):
        predictor.translate([RED], [BLUE], input_masks=[RED])


def test_unknown_device() -> None:
    with pytest.raises(LomitError, match="no device 'gpu' here"):
        Predictor(double(S), "gpu")


@pytest.fixture(scope="module")
def lomit() -> Lomit:
    torch.manual_seed(0)
    config = LomitConfig(attributes=("Smiling",), image_size=32, width=4, d_width=4, res_blocks=1, mask_convs=1)
    return Lomit(config)


def test_lomit_is_deterministic_and_reads_masks_back(lomit: Lomit) -> None:
    predictor = Predictor(lomit, "cpu")
    images, exemplars = [noise(40, 50), noise(32, 32)], [noise(64, 32), noise(32, 40)]
    first, second = (predictor.translate(images, exemplars) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.raw, b.raw)
    # The network does not depend on what else is in the batch.
    (alone,) = predictor.translate(images[:1], exemplars[:1])
    assert np.abs(alone.raw - first[0].raw).max() < 1e-4
    # Its own masks, given back as pictures, lead to nearly the same result.
    again = predictor.translate(
        images,
        exemplars,
        input_masks=[r.input_mask for r in first],
        exemplar_masks=[r.exemplar_mask for r in first],
    )
    other = predictor.translate(images, exemplars, input_masks=[np.zeros((8, 8), dtype=np.uint8)])
    for a, b, c in zip(first, again, other, strict=True):
        assert np.abs(a.raw - b.raw).mean() < 0.25 * np.abs(a.raw - c.raw).mean()


def test_lomit_interpolates_from_its_self_translation_to_the_exemplar(lomit: Lomit) -> None:
    predictor = Predictor(lomit, "cpu")
    image, exemplar = noise(32, 32), noise(32, 32)
    results = predictor.interpolate(image, [exemplar], steps=3)
    assert np.abs(results[0].raw - predictor.translate([image], [image])[0].raw).max() < 1e-4
    assert np.abs(results[-1].raw - predictor.translate([image], [exemplar])[0].raw).max() < 1e-4


def test_the_hair_is_no_facial_hair() -> None:
    names = ("Black_Hair", "Facial_Hair", "Brown_Hair", "No_Beard", "AU25_26")
    assert places_of(names) == {"hair": [0, 2], "beard": [1, 3], "26": [4]}
    predictor = Predictor(seeing_places(("Black_Hair", "Facial_Hair", "Smiling")), "cpu")
    images = (noise(40, 40), noise(40, 40))
    hair, beard, word = (predictor.predict_masks(*images, only=n)[0][0] for n in ("hair", "Facial_Hair", "facial"))
    assert np.abs(hair - beard).max() > 0.05
    assert np.array_equal(beard, word)
    assert np.array_equal(beard, predictor.predict_masks(*images, only="beard")[0][0])


def test_only_what_is_named_is_moved() -> None:
    seeing = seeing_places()
    predictor, images = Predictor(seeing, "cpu"), (noise(40, 40), noise(40, 40))

    def mask(only: str | list[str] | None) -> np.ndarray:
        return predictor.predict_masks(*images, only=only)[0][0]

    hair, smile = mask("hair"), mask("Smiling")
    assert np.abs(hair - smile).max() > 0.05
    for same in ("Hair", "black_hair", ["Blond_Hair"], ["Black_Hair", "hair"]):
        assert np.array_equal(mask(same), hair), "hair's colours lie in one place"
    both = mask(["hair", "smiling"]) - np.maximum(hair, smile)  # the larger on the grid, then enlarged
    assert both.min() >= -1 / 255
    assert both.mean() < 1 / 100
    results = predictor.translate([images[0]] * 3, images[1], only="hair", batch_size=2)
    assert all(r.image.tobytes() == results[0].image.tobytes() for r in results)
    by_default = Predictor(seeing, "cpu", only="hair")
    assert np.array_equal(by_default.predict_masks(*images)[0][0], hair)
    assert np.array_equal(by_default.predict_masks(*images, only="smiling")[0][0], smile)
    edited = [
        np.asarray(p.edit(*images, **given).predicted(40)[0])
        for p, given in ((by_default, {}), (predictor, {"only": "hair"}))
    ]
    assert np.array_equal(edited[0], edited[1])
    assert np.array_equal(edited[0], np.rint(hair * 255))
    first, *_ = by_default.interpolate(*images, steps=2)
    assert first.input_mask is not None
    assert np.abs(np.asarray(first.input_mask) - hair * 255).max() <= 1
    for wrong, message in (("hiar", "'hiar' names none of the model's attributes"), ([], "'only' is empty")):
        with pytest.raises(LomitError, match=message):
            mask(wrong)  # type: ignore[arg-type]


def test_one_exemplar_composed_is_the_translation_of_what_is_named() -> None:
    predictor, (image, exemplar) = Predictor(seeing_places(), "cpu"), (noise(40, 50), noise(64, 32))
    for only in ("hair", "Smiling"):
        plain, composed = predictor.translate(image, exemplar, only=only), predictor.compose(image, {only: exemplar})
        assert np.array_equal(plain.raw, composed.raw)
        assert composed.image.tobytes() == plain.image.tobytes()
        assert composed.exemplar_mask is None
    drawn = np.zeros((8, 8), dtype=np.uint8)
    drawn[:4] = 255
    plain = predictor.translate(image, exemplar, input_masks=drawn, exemplar_masks=drawn)
    composed = predictor.compose(image, masks=[(exemplar, drawn, drawn)])
    assert np.abs(plain.raw - composed.raw).max() < 1e-6


def test_two_exemplars_are_composed_in_any_order() -> None:
    predictor, (image, a, b) = Predictor(seeing_places(), "cpu"), (noise(40, 40), noise(40, 40), noise(40, 40))
    both, turned = (predictor.compose(image, parts) for parts in ({"hair": a, "Smiling": b}, {"Smiling": b, "hair": a}))
    assert np.abs(both.raw - turned.raw).max() < 1e-6
    three = {"Smiling": b, "Blond_Hair": a, "Black_Hair": image}
    turned_three = dict(reversed(three.items()))
    assert np.array_equal(predictor.compose(image, three).raw, predictor.compose(image, turned_three).raw)
    masks = [np.asarray(predictor.translate(image, e, only=o).input_mask) for e, o in ((a, "hair"), (b, "Smiling"))]
    # The larger one on the grid, then enlarged and rounded.
    difference = np.asarray(both.input_mask, dtype=int) - np.maximum(*masks)
    assert difference.min() >= -1
    assert difference.mean() < 3
    assert np.abs(both.raw - predictor.compose(image, {"hair": b, "Smiling": a}).raw).max() > 1e-4


def test_a_composition_within_drawn_masks_keeps_the_rest(lomit: Lomit) -> None:
    predictor, (image, a, b) = Predictor(lomit, "cpu"), (noise(32, 32), noise(32, 32), noise(32, 32))
    top, bottom, whole = np.zeros((32, 32)), np.zeros((32, 32)), np.ones((32, 32))
    top[:8], bottom[24:] = 1, 1
    result = predictor.compose(image, masks=[(a, top, whole), (b, bottom, whole)], composite=True)
    changed = (np.asarray(result.image) != np.asarray(image)).any(axis=-1)
    assert not changed[8:24].any()
    assert changed[:8].mean() > 0.9
    assert changed[24:].mean() > 0.9
    assert np.array_equal(np.asarray(result.input_mask), 255 * (top + bottom))


def test_regions_are_predicted_as_compose_takes_them() -> None:
    predictor, (image, a, b) = Predictor(seeing_places(), "cpu"), (noise(48, 40), noise(40, 40), noise(32, 50))
    regions = predictor.predict_regions(image, {"Smiling": b, "hair": a})
    for (exemplar, own, guide), name, given in zip(regions, ("Smiling", "hair"), (b, a), strict=True):
        assert np.array_equal(np.asarray(exemplar.rgb), np.asarray(given))
        expected = predictor.predict_masks(image, given, only=name)[0]
        assert np.array_equal(own, expected[0])
        assert np.array_equal(guide, expected[1])
    (_, mouth, mouth_of_b), (_, hair, hair_of_a) = regions
    composed = predictor.compose(image, masks=regions)
    exchanged = predictor.compose(image, masks=[(b, hair, mouth_of_b), (a, mouth, hair_of_a)])
    for result in (composed, exchanged):  # scaled from 40 pixels to the model's 32 and back
        difference = np.asarray(result.input_mask) / 255 - np.maximum(mouth, hair)[:, 4:44]
        assert np.abs(difference).mean() < 0.02
    assert np.abs(composed.raw - exchanged.raw).max() > 1e-3
    with pytest.raises(LomitError, match="both name"):
        predictor.predict_regions(image, {"hair": a, "Blond_Hair": b})
    with pytest.raises(LomitError, match="give one of the two"):
        predictor.compose(image, masks=predictor.predict_regions(image, {}))


def test_names_take_the_place_of_the_default() -> None:
    seeing, image, exemplar = seeing_places(), noise(40, 40), noise(40, 40)
    plain, other = Predictor(seeing, "cpu"), Predictor(seeing, "cpu", only="hair")
    assert np.array_equal(
        other.compose(image, {"Smiling": exemplar}).raw, plain.compose(image, {"Smiling": exemplar}).raw
    )
    assert not np.array_equal(other.translate(image, exemplar).raw, other.compose(image, {"Smiling": exemplar}).raw)


def test_what_can_not_be_composed(lomit: Lomit, predictor: Predictor) -> None:
    seeing, mask = Predictor(seeing_places(), "cpu"), np.ones((8, 8))
    no_masks = Predictor(double(S, has_masks=False), "cpu")
    for call, message in (
        (lambda: seeing.compose(RED), "give one of the two"),
        (lambda: seeing.compose(RED, {"hair": RED}, masks=[(RED, mask, mask)]), "give one of the two"),
        (lambda: seeing.compose(RED, {"hiar": RED}), "'hiar' names none of the model's attributes"),
        (
            lambda: seeing.compose(RED, {"hair": RED, "black_hair": BLUE}),
            "'black_hair' and 'hair' both name Black_Hair",
        ),
        (lambda: seeing.compose(RED, {"hair": "no-such.png"}), "no-such.png"),
        (lambda: seeing.compose(RED, masks=[(RED, mask, None)]), "part 0 of 'masks' must be"),  # type: ignore[list-item]
        (lambda: seeing.compose(RED, masks=[(RED, np.ones((8, 9)), mask)]), "mask of input is 9 x 8"),
        (
            lambda: Predictor(lomit, "cpu").compose(RED, {"Smiling": RED}),
            "don't go by names: .* draw the masks",
        ),
        (lambda: predictor.compose(RED, masks=[(RED, mask, mask)]), "can't compose exemplars; take a LOMIT model"),
        (lambda: no_masks.compose(RED, masks=[(RED, mask, mask)]), "has no masks"),
    ):
        with pytest.raises(LomitError, match=message) as raised:
            call()
        assert "\n" not in str(raised.value)


def test_a_model_whose_masks_go_by_no_names(predictor: Predictor) -> None:
    with pytest.raises(LomitError, match="don't go by names: take one whose masks do"):
        predictor.translate(noise(40, 40), noise(40, 40), only="hair")


def test_pictures_and_arrays_are_the_same(predictor: Predictor) -> None:
    image = noise(20, 30)
    for other in (np.asarray(image), as_picture(image)):
        (a,), (b,) = predictor.translate([image], [RED]), predictor.translate([other], [RED])
        assert np.array_equal(np.asarray(a.image), np.asarray(b.image))


def test_saved_and_loaded_again(tmp_path: Path, lomit: Lomit) -> None:
    predictor = Predictor(lomit, "cpu")
    predictor.save_pretrained(tmp_path / "model", card="# mine")
    loaded = Predictor.from_pretrained(tmp_path / "model", "cpu")
    assert (loaded.image_size, loaded.attributes) == (32, ("Smiling",))
    image, exemplar = noise(32, 32), noise(32, 32)
    assert np.array_equal(predictor.translate([image], [exemplar])[0].raw, loaded.translate([image], [exemplar])[0].raw)
