"""A run that starts from the weights of another run, of a checkpoint or of a model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lomit.cli import main
from lomit.config import RunConfig
from lomit.engine import checkpoint
from lomit.engine.loop import Loop
from lomit.engine.phases import optimizers_of
from lomit.engine.train import train
from lomit.errors import LomitError
from lomit.weights import load_pretrained, save_pretrained
from support.tiny import tiny_run


@pytest.fixture(scope="module")
def before(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose averaged generator is not its last one."""
    folder = tmp_path_factory.mktemp("before") / "run"
    train(with_train(tiny_run(data, steps=6), ema=0.5), folder, quiet=True)
    return folder


def with_train(config: RunConfig, **changes: Any) -> RunConfig:
    return replace(config, train=replace(config.train, **changes))


def networks(folder: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(folder / "training.safetensors")
    return {k.removeprefix("translator."): v for k, v in tensors.items() if k.startswith("translator.")}


def started(config: RunConfig, out: Path) -> dict[str, Any]:
    """Trains the run, and gives what its loop held before the first iteration."""
    seen: dict[str, Any] = {}
    run = Loop.run

    def spy(self: Loop, *arguments: Any) -> Any:
        seen["networks"] = {k: v.clone() for k, v in self.translator.state_dict().items()}
        seen["averaged"] = {k: v.clone() for k, v in self.ema.module.state_dict().items()}
        seen["step"] = self.step
        seen["moments"] = sum(len(optimizer.state) for optimizer in optimizers_of(self.runners).values())
        return run(self, *arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Loop, "run", spy)
        train(config, out, quiet=True)
    return seen


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        assert torch.equal(found[name], expected[name]), name


def test_a_run_starts_from_every_network_of_another(
    data: Path, before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = with_train(tiny_run(data, steps=2), init=str(before), seed=5)
    seen = started(config, tmp_path / "run")
    source = checkpoint.pointed(before, "latest")
    assert source is not None
    assert_equal(seen["networks"], networks(source))
    assert_equal(seen["averaged"], load_pretrained(source).generator.state_dict())
    assert any(not torch.equal(seen["averaged"][k], seen["networks"][f"generator.{k}"]) for k in seen["averaged"])
    assert (seen["step"], seen["moments"]) == (0, 0)
    assert f"weights of {before}; started anew: nothing" in capsys.readouterr().out
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["train"]["init"] == str(before)


def test_a_model_gives_the_generator_and_the_discriminator_starts_anew(
    data: Path, before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_pretrained(load_pretrained(before), tmp_path / "model")
    config = with_train(tiny_run(data, steps=1), init=str(model), seed=5)
    seen = started(config, tmp_path / "run")
    fresh = started(with_train(config, init=None), tmp_path / "fresh")
    wanted = load_pretrained(model).generator.state_dict()
    assert_equal(seen["averaged"], wanted)
    assert_equal(seen["networks"], fresh["networks"] | {f"generator.{name}": tensor for name, tensor in wanted.items()})
    printed = capsys.readouterr().out
    assert f"weights of {model}; started anew: discriminator\n" in printed


def test_layers_that_start_at_zero_may_be_new(
    data: Path, before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = with_train(tiny_run(data, steps=1), init=str(before))
    weights = replace(config.model.weights, style_cls=1.0)  # type: ignore[attr-defined]
    config = replace(config, model=replace(config.model, mask_sees="differences", weights=weights))  # type: ignore[call-arg]
    seen = started(config, tmp_path / "run")
    new = "generator.cosegmentation.differences, generator.told_attributes"
    assert f"started anew: {new}\n" in capsys.readouterr().out
    averaged = load_pretrained(before).generator.state_dict()
    assert_equal({n: t for n, t in seen["averaged"].items() if n in averaged}, averaged)


def test_with_other_attributes_the_class_head_starts_anew(
    data: Path, before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = with_train(tiny_run(data, steps=1), init=str(before))
    config = replace(config, data=replace(config.data, attributes=("Hat",)))
    seen = started(config, tmp_path / "run")
    assert "started anew: discriminator.class_head\n" in capsys.readouterr().out
    source = checkpoint.pointed(before, "latest")
    assert source is not None
    there = networks(source)
    same = {name for name in there if torch.equal(there[name], seen["networks"][name])}
    assert set(there) - same == {"discriminator.class_head.weight", "discriminator.class_head.bias"}


def test_resuming_goes_on_and_does_not_start_again(data: Path, before: Path, tmp_path: Path) -> None:
    config = with_train(tiny_run(data, steps=2), init=str(before))
    train(config, tmp_path / "one", quiet=True)
    train(with_train(config, steps=4), tmp_path / "one", resume=True, quiet=True)
    train(with_train(config, steps=4), tmp_path / "two", quiet=True)
    one, two = (checkpoint.pointed(tmp_path / name, "latest") for name in ("one", "two"))
    assert one is not None
    assert two is not None
    assert_equal(networks(one), networks(two))


def test_what_does_not_fit_is_one_line(
    data: Path, before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = with_train(tiny_run(data, steps=1), init=str(before))
    wider = replace(config, model=replace(config.model, width=5))  # type: ignore[call-arg]
    with pytest.raises(LomitError, match=r"train.init: the generator of .* does not fit: .* there and .* here; give"):
        train(wider, tmp_path / "run", quiet=True)
    argv = ["train", "munit-tiny", "--data.root", str(data), "--data.attributes", "Smiling", "--data.image-size", "16"]
    assert main([*argv, "--train.init", str(before), "--out", str(tmp_path / "munit")]) == 2
    assert "train.init: " in capsys.readouterr().err
    assert main([*argv, "--train.init", "nobody", "--out", str(tmp_path / "none")]) == 2
    assert "no model 'nobody'" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_damaged_checkpoint_is_one_line(data: Path, before: Path, tmp_path: Path) -> None:
    source = checkpoint.pointed(before, "latest")
    assert source is not None
    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    (copy / "training.safetensors").write_bytes(b"nothing")
    with pytest.raises(LomitError, match=r"train.init: can't read the checkpoint .*copy: "):
        train(with_train(tiny_run(data, steps=1), init=str(copy)), tmp_path / "run", quiet=True)
