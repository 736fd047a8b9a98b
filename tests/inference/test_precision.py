"""Float32 or bfloat16: which is taken, by clocks that the tests make up, and what stays float32 in either.

Torch computes bfloat16 in software where the processor has none, so that all of it runs everywhere.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lomit import Edit, Predictor
from lomit.cli import main
from lomit.config import NumberFormat
from lomit.errors import LomitError
from lomit.inference import precision
from lomit.inference.precision import choose, computing_in, try_translation, usable_precision
from lomit.inference.weights import save_pretrained
from lomit.losses import lomit as equations
from lomit.models.base import Guide
from lomit.models.lomit import generator
from lomit.models.lomit.model import Lomit
from support.tiny import real_methods, seeing_places, tiny_translator

CPU = torch.device("cpu")
SIZE = 32
IMAGES = [np.random.default_rng(k).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8) for k in range(3)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of trials."""
    monkeypatch.setenv("LOMIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "precision"


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "in_hardware", lambda: True)


class Clock:
    """A clock on which float32 takes a second at first, and bfloat16 as long as it is told."""

    def __init__(self, bfloat16: float) -> None:
        self.time, self.float32, self.bfloat16 = 0.0, 1.0, bfloat16
        self.runs: list[NumberFormat] = []

    def __call__(self) -> float:
        return self.time

    def run(self, form: NumberFormat) -> None:
        """Passes the time of a run."""
        self.runs.append(form)
        self.time += self.bfloat16 if form == "bfloat16" else self.float32

    def work(self, *_: object) -> None:
        """The same, in the format of the block that it is called in."""
        self.run("bfloat16" if torch.is_autocast_enabled("cpu") else "float32")

    def tries(self, what: object = "something", error: Tensor | None = None) -> NumberFormat:
        """A trial of this clock's work, whose results in bfloat16 are off by that much."""
        off = torch.zeros(2, 3, 4, 4) if error is None else error

        def work(form: NumberFormat) -> Tensor:
            self.run(form)
            return 7 + (off if form == "bfloat16" else torch.zeros_like(off))

        return choose([what], lambda form: partial(work, form), 0.3, 4.0, self)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True, "cpu_name": "any"}, True),
        ({"architecture": "aarch64", "bf16": True}, True),
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False, "avx512_fp16": True, "num_sockets": 1}, False),
        ({}, False),
    ],
)
def test_instructions_for_bfloat16(
    capabilities: dict[str, object], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # what the tests' setup says of this machine
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert precision.in_hardware() is expected


@pytest.mark.parametrize(
    ("bfloat16", "expected"), [(0.5, "bfloat16"), (0.99, "bfloat16"), (1.0, "float32"), (9.0, "float32")]
)
def test_the_faster_one_is_taken(bfloat16: float, expected: str) -> None:
    clock = Clock(bfloat16)
    assert clock.tries() == expected
    assert clock.runs == ["float32", "bfloat16"] * 2, "both once to warm up, then by turns until a second is over"


def test_what_is_quick_is_timed_for_a_second() -> None:
    clock = Clock(0.125)
    clock.float32 = 0.125
    clock.tries()
    assert clock.time == 2 * 0.125 + precision.SECONDS


@pytest.mark.parametrize(
    ("mean", "largest", "expected"),
    [
        (0.29, 3.9, "bfloat16"),
        (0.31, 3.9, "float32"),
        (0.29, 4.1, "float32"),
        (0.0, 0.0, "bfloat16"),
        (torch.nan, torch.nan, "float32"),
    ],
)
def test_results_too_far_from_float32_are_refused(mean: float, largest: float, expected: str, cache: Path) -> None:
    count = 1000
    error = torch.full((1, 1, 1, count), (mean * count - largest) / (count - 1))
    error[..., 0] = largest
    clock = Clock(0.5)
    assert clock.tries(error=error) == expected
    if expected == "float32":
        assert len(clock.runs) == 2, "what may not be taken is not timed"
    (kept,) = cache.glob("*.json")
    assert json.loads(kept.read_text())["largest"] == pytest.approx(largest, abs=1e-4, nan_ok=True)


def test_a_trial_is_kept(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    first, again, other = Clock(0.5), Clock(9.0), Clock(9.0)
    assert first.tries() == "bfloat16"
    assert again.tries() == "bfloat16"
    assert again.runs == []
    assert other.tries("something else") == "float32"
    assert other.runs
    with monkeypatch.context() as patched:
        patched.setattr(torch, "__version__", "9.9.9")
        assert Clock(9.0).tries() == "float32"
    with monkeypatch.context() as patched:
        patched.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "another"})
        assert Clock(9.0).tries() == "float32"
    assert len(list(cache.glob("*.json"))) == 4


def test_a_damaged_trial_is_made_again(cache: Path) -> None:
    Clock(0.5).tries()
    (kept,) = cache.glob("*.json")
    for text in ("{", '{"take": "float8"}', "[]"):
        kept.write_text(text)
        clock = Clock(9.0)
        assert clock.tries() == "float32"
        assert clock.runs


def test_a_trial_that_cannot_be_kept_counts_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOMIT_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        clock = Clock(0.5)
        assert clock.tries() == "bfloat16"
        assert len(clock.runs) == 4


def tiny(seed: int = 0) -> Lomit:
    made = tiny_translator(seed=seed, image_size=SIZE).eval().requires_grad_(False)
    assert isinstance(made, Lomit)
    # Untrained layers exaggerate what is rounded more than trained ones; fainter images keep within the bounds.
    made.generator.decoder[-1][0].weight.mul_(0.1)
    return made


def timed(translator: Lomit, bfloat16: float, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that moves with each pass through the decoder."""
    clock = Clock(bfloat16)
    translator.generator.decoder.register_forward_hook(clock.work)
    monkeypatch.setattr(precision.time, "perf_counter", clock)  # type: ignore[attr-defined]
    return clock


@pytest.mark.usefixtures("hardware")
def test_a_predictor_takes_what_is_faster_for_its_first_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Predictor(tiny(), "cpu").translate(IMAGES[:2], IMAGES[1:])
    translator = tiny()
    clock = timed(translator, 0.5, monkeypatch)
    predictor = Predictor(translator, "cpu", precision="auto")
    assert predictor.precision == "auto"
    results = predictor.translate(IMAGES[:2], IMAGES[1:])
    assert predictor.precision == "bfloat16"
    assert clock.runs == ["float32", "bfloat16", "float32", "bfloat16", "bfloat16"], "a trial, then the translation"
    for result, exact in zip(results, expected, strict=True):
        error = np.abs(result.raw - exact.raw) * 255 / 2
        assert 0 < error.max() <= precision.LARGEST
        assert error.mean() <= precision.MEAN
    # The next one, of the same weights, tries nothing; one of others does.
    translator = tiny()
    clock = timed(translator, 9.0, monkeypatch)
    predictor = Predictor(translator, "cpu", precision="auto")
    predictor.translate(IMAGES[0], IMAGES[1])
    assert (predictor.precision, clock.runs) == ("bfloat16", ["bfloat16"])
    translator = tiny(seed=1)
    timed(translator, 9.0, monkeypatch)
    predictor = Predictor(translator, "cpu", precision="auto")
    predictor.translate(IMAGES[0], IMAGES[1])
    assert predictor.precision == "float32"


@pytest.mark.usefixtures("hardware")
def test_compositions_interpolations_and_edits_are_tried_too(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.ones((SIZE, SIZE))
    for call in (
        lambda p: p.compose(IMAGES[0], masks=[(IMAGES[1], whole, whole)]),
        lambda p: p.interpolate(IMAGES[0], IMAGES[1], 2)[-1],
        lambda p: p.edit(IMAGES[0], IMAGES[1]).render(Edit()),
    ):
        translator = tiny()
        clock = timed(translator, 0.5, monkeypatch)
        predictor = Predictor(translator, "cpu", precision="auto")
        raw = call(predictor).raw
        assert (predictor.precision, clock.runs[-1]) == ("bfloat16", "bfloat16")
        assert raw.dtype == np.float32
        assert not np.array_equal(raw, call(Predictor(translator, "cpu")).raw)


def test_float32_and_auto_without_hardware_are_the_networks_own_bits() -> None:
    translator = tiny()
    x, exemplar = (torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(k)) * 2 - 1 for k in (0, 1))
    with torch.inference_mode():
        expected = translator.translate(x, Guide(exemplar))
        auto = usable_precision("auto", CPU)
        assert auto == "float32"
        for form in ("float32", auto):
            with computing_in(form, CPU):  # type: ignore[arg-type]
                got = translator.translate(x, Guide(exemplar))
            assert torch.equal(got.image, expected.image)
    plain, chosen = (
        Predictor(translator, "cpu", precision=form).translate(IMAGES[0], IMAGES[1])  # type: ignore[arg-type]
        for form in ("float32", "auto")
    )
    assert np.array_equal(plain.raw, chosen.raw)


@pytest.mark.parametrize("method", sorted(real_methods()))
def test_images_and_masks_of_every_method_are_float32(method: str) -> None:
    translator = tiny_translator(method).eval()
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    label = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    exemplar = x.flip(0) if "exemplar" in translator.guides else None
    convolved: set[torch.dtype] = set()
    for module in translator.generator.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(lambda m, given, out: convolved.add(out.dtype))
    with torch.inference_mode(), computing_in("bfloat16", CPU):
        done = translator.translate(x, Guide(exemplar, label, source=1 - label))
    # Content codes and masks of a method that has them are float32 throughout.
    assert convolved == {torch.bfloat16} | ({torch.float32} if done.masks is not None else set())
    assert done.image.dtype == torch.float32
    assert done.image.isfinite().all()
    if done.masks is not None:
        assert done.masks.input.dtype == done.masks.exemplar.dtype == torch.float32


@pytest.mark.parametrize("places", [False, True])
def test_masks_and_statistics_are_computed_in_float32(places: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes into Eq. 4: masks, the codes' affine maps, and the content normalised by its own statistics."""
    mixed: list[Tensor] = []
    logits: list[Tensor] = []
    sigmoid = torch.sigmoid

    def composed(
        masks: list[Tensor], c: Tensor, foregrounds: list[tuple[Tensor, Tensor]], background: tuple[Tensor, Tensor]
    ) -> Tensor:
        mixed.extend([*masks, *background, *(t for pair in foregrounds for t in pair)])
        mixed.extend([equations.normalise_content(c), equations.composed_hadain(masks, c, foregrounds, background)])
        return mixed[-1]

    def recorded(t: Tensor) -> Tensor:
        logits.extend([t] if t.dim() == 4 else [])  # attention over channels is no mask
        return sigmoid(t)

    translator = (seeing_places() if places else tiny()).eval()
    pair = torch.rand(2, 3, SIZE, SIZE), Guide(torch.rand(2, 3, SIZE, SIZE))
    with torch.inference_mode():
        exact = translator.translate(*pair)
    assert exact.masks is not None
    monkeypatch.setattr(generator, "composed_hadain", composed)
    monkeypatch.setattr(torch, "sigmoid", recorded)
    with torch.inference_mode(), computing_in("bfloat16", CPU):
        done = translator.translate(*pair)
    assert logits
    assert len(mixed) == 7
    assert {t.dtype for t in mixed + logits} == {torch.float32}
    # All that masks are made of is float32: they have its bits.
    assert done.masks is not None
    assert torch.equal(done.masks.input, exact.masks.input)
    assert torch.equal(done.masks.exemplar, exact.masks.exemplar)
    assert not torch.equal(done.image, exact.image)


def test_where_torch_has_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    def autocast(*_: object) -> None:
        raise RuntimeError("Current CUDA Device does not support bfloat16. Please switch dtype to float16.\nMore.")

    monkeypatch.setattr(torch, "autocast", autocast)
    with pytest.raises(LomitError, match=r"^bfloat16 can't be used on 'cpu' \(Current CUDA .+\); take float32$"):
        usable_precision("bfloat16", CPU)
    assert usable_precision("float32", CPU) == usable_precision("auto", CPU) == "float32"


def test_other_devices_than_cpus_are_not_tried(hardware: None) -> None:
    assert usable_precision("auto", torch.device("cuda")) == "float32"
    assert usable_precision("auto", CPU) == "auto"


def test_a_trial_takes_no_more_than_a_few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = tiny()
    timed(translator, 0.5, monkeypatch)
    seen: set[tuple[int, ...]] = set()
    translator.generator.decoder.register_forward_pre_hook(lambda m, given: seen.add(tuple(given[0].shape)))
    x = torch.rand(precision.PAIRS + 1, 3, SIZE, SIZE)
    assert try_translation(translator, x, Guide(x.flip(0))) == "bfloat16"
    assert {shape[0] for shape in seen} == {precision.PAIRS}


def test_the_command_takes_the_precision_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto`, its default, is float32 here."""
    monkeypatch.chdir(tmp_path)
    save_pretrained(tiny(), "model")
    for name, image in zip("ab", IMAGES, strict=False):
        Image.fromarray(image).save(f"{name}.png")
    done = {}
    for form in ("", "auto", "float32", "bfloat16"):
        words = ["--precision", form] if form else []
        assert main(["translate", "a.png", "b.png", "--model", "model", "--out", f"out{form}", *words]) == 0
        done[form] = np.asarray(Image.open(f"out{form}/a__b.png")).astype(int)
    exact = np.asarray(Predictor(tiny(), "cpu").translate(IMAGES[0], IMAGES[1]).image).astype(int)
    for form in ("", "auto", "float32"):
        assert np.array_equal(done[form], exact)
    assert 0 < np.abs(done["bfloat16"] - exact).max() <= 4
