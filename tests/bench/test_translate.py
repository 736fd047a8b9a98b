"""What `measure_translate` returns; how fast anything is depends on the machine and is not tested."""

from __future__ import annotations

import time

import pytest
import torch

from benchmarks.plain_lomit import Choices, PlainLomit, named_tensors
from benchmarks.plain_step import plain_step
from benchmarks.translate import measure_translate, plain_path
from export.conftest import tiny
from lomit.errors import LomitError
from lomit.models.base import Guide
from lomit.models.lomit.config import LomitConfig, LossWeights
from lomit.models.lomit.training import TrainableLomit
from lomit.nn.rewriting import rewritten


def test_paths_agree_and_ratios_follow_from_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = tiny()
    reference = PlainLomit(named_tensors(translator), Choices())
    ticks = iter(range(1000))
    with monkeypatch.context() as patched:
        patched.setattr(time, "perf_counter", lambda: float(next(ticks)) ** 2)
        rows = measure_translate(translator, plain=reference.translation, batch_size=2, rounds=3)
    assert [row.path for row in rows] == ["plain", "eager"]
    # The clock's readings are squares: rounds of 1 and 5, 9 and 13, 17 and 21.
    assert [row.seconds for row in rows] == [9, 13]
    assert [row.images_per_second for row in rows] == [2 / 9, 2 / 13]
    assert [row.ratio for row in rows] == [1, 9 / 13]
    assert rows[0].largest_error == 0
    assert 0 < rows[1].largest_error < 1e-4


def test_bfloat16_is_a_path_with_errors_of_its_own() -> None:
    rows = measure_translate(tiny(), bfloat16=True, batch_size=2, rounds=1)
    assert [row.path for row in rows] == ["plain", "eager", "bfloat16"]
    assert rows[1].largest_error < 1e-4 < rows[2].mean_error


def test_the_plain_path_is_the_plain_step() -> None:
    translator = tiny()
    x, exemplar = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    expected = PlainLomit(named_tensors(translator), Choices()).translation(x, exemplar)
    assert (plain_path(translator)(x, exemplar) - expected).abs().max() < 1e-4


def test_too_few_images_and_lacking_files_are_one_line() -> None:
    translator, images = tiny(), torch.zeros(2, 3, 32, 32)
    with pytest.raises(LomitError, match="batches of 3 need as many inputs and exemplars; 2 given"):
        measure_translate(translator, images=(images, images), batch_size=3)
    with pytest.raises(LomitError, match="no such file: gone.onnx"):
        measure_translate(translator, exported={"gone": "gone.onnx"}, batch_size=1)


def test_nothing_is_made_on_another_device_than_the_networks() -> None:
    """A GPU is not needed to see it: the meta device takes no tensor of a CPU either."""
    weights = LossWeights(style_cls=1.0, source_cls=0.5, keep=8.0)
    with torch.device("meta"):
        config = LomitConfig(("a", "b"), 32, width=4, d_width=4, res_blocks=1, mask_convs=2, weights=weights)  # type: ignore[arg-type]
        translator = TrainableLomit(config)
        pair = torch.empty(4, 3, 32, 32), torch.empty(4, 3, 32, 32)
        labels = torch.empty(4, 2), torch.empty(4, 2)
    plain = plain_step(translator)
    plain.discriminator_step(pair, labels)
    plain.generator_step(pair, labels)
    assert plain_step(translator, training=False).translation(*pair).is_meta
    assert plain_path(translator.eval())(*pair).is_meta
    assert all(tensor.is_meta for tensor in rewritten(translator).state_dict().values())
    assert rewritten(translator).translate(pair[0], Guide(pair[1])).image.is_meta
