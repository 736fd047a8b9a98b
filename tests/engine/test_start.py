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
from lomit.engine.ema import Ema
from lomit.engine.loop import Loop
from lomit.engine.phases import optimizers_of
from lomit.engine.start import start_from
from lomit.engine.train import train
from lomit.errors import LomitError
from lomit.inference.weights import load_pretrained, save_pretrained
from lomit.models.base import Trainable
from lomit.models.lomit.config import LossWeights
from support.tiny import tiny_run, tiny_trainable


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


ORDERS = {
    "another order": (("Smiling", "Hat"), ("Hat", "Smiling")),
    "fewer": (("Smiling", "Hat"), ("Hat",)),
    "one more, in between": (("Smiling", "Hat"), ("Smiling", "Male", "Hat")),
    "one in place of another": (("Smiling", "Hat"), ("Hat", "Male")),
    "others": (("Smiling", "Hat"), ("Young", "Male")),
    "one, of two domains": (("Smiling",), ("Hat",)),
    "from one": (("Hat",), ("Smiling", "Hat")),
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "lomit": ("lomit", {}),
    "lomit that tells": ("lomit", {"weights": LossWeights(style_cls=1.0)}),
    "lomit that sees": ("lomit", {"weights": LossWeights(style_cls=1.0), "mask_sees": "differences"}),
    "stargan": ("stargan", {}),
    "starganv2": ("starganv2", {}),
}


def entries(translator: Trainable) -> dict[str, dict[str, torch.Tensor]]:
    """Attribute -> what the networks hold for it, by layer, written out for each method."""
    state, names = translator.state_dict(), translator.config.attributes
    found: dict[str, dict[str, torch.Tensor]] = {name: {} for name in names}
    size, style = len(names), getattr(translator.config, "style_dim", 0)
    for name, tensor in state.items():
        for k, attribute in enumerate(names):
            if "class_head" in name or "style_classifier" in name or "told_attributes" in name or "differences" in name:
                found[attribute][name] = tensor[k]
            elif name == "generator.layers.0.weight":
                found[attribute][name] = tensor[:, 3 + k]
            elif "branches" in name and size > 1 and f"branches.{k}." in name:
                found[attribute][name.replace(f".{k}.", ".K.", 1)] = tensor
            elif name.startswith("discriminator.heads") and size > 1:
                found[attribute][name] = tensor[k]
            elif "style_encoder.heads" in name and size > 1:
                found[attribute][name] = tensor[k * style : (k + 1) * style]
    return found


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("case", CONFIGS)
def test_attributes_take_over_what_stood_for_them(tmp_path: Path, case: str, order: str) -> None:
    (there, here), (method, options) = ORDERS[order], CONFIGS[case]
    before = tiny_trainable(method, seed=1, attributes=there, **options)
    with torch.no_grad():
        for tensor in before.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape))
    average = Ema(before.generator, 0.5)
    folder = checkpoint.save(tmp_path, 1, before, average, [], {})
    after = tiny_trainable(method, seed=2, attributes=here, **options)
    fresh, ema = entries(tiny_trainable(method, seed=2, attributes=here, **options)), Ema(after.generator, 0.5)
    words = start_from(str(folder), after, ema)
    old, new = entries(before), entries(after)
    fits = case != "starganv2" or len(there) == len(here) or min(len(there), len(here)) > 1
    for name in here:
        expected = old[name] if name in there and fits else fresh[name]
        assert_equal(new[name], expected)
    known = [name for name in here if name in there]
    unknown = [name for name in here if name not in there]
    line = (
        f"attributes known to them: {', '.join(known) or 'none'}, new: {', '.join(unknown) or 'none'}; started anew: "
    )
    assert words.startswith(line)
    assert_equal(ema.module.state_dict(), after.generator.state_dict())
    one_each = {
        name
        for name, tensor in after.state_dict().items()
        if tensor.shape != before.state_dict().get(name, tensor).shape
    }
    declared = tuple(layer.partition("{}")[0] for layer in after.per_attribute)
    assert all(name.startswith(declared) for name in one_each)
    for name, tensor in after.state_dict().items():
        if not name.startswith(declared):
            assert torch.equal(tensor, before.state_dict()[name]), name
    if case == "stargan":
        first = "generator.layers.0.weight"
        assert torch.equal(after.state_dict()[first][:, :3], before.state_dict()[first][:, :3])
    if order == "one, of two domains" and case == "starganv2":
        anew = "generator.mapping.branches"
        assert anew in words
        assert not torch.equal(
            after.state_dict()["discriminator.heads.weight"], before.state_dict()["discriminator.heads.weight"]
        )


def test_with_other_attributes_the_run_says_which_are_known(
    data: Path, before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = with_train(tiny_run(data, steps=1), init=str(before))
    config = replace(config, data=replace(config.data, attributes=("Hat", "Smiling")))
    seen = started(config, tmp_path / "run")
    assert "attributes known to them: Hat, Smiling, new: none; started anew: nothing\n" in capsys.readouterr().out
    source = checkpoint.pointed(before, "latest")
    assert source is not None
    there = networks(source)
    head = [name for name in there if "class_head" in name]
    assert_equal(
        {n: t for n, t in seen["networks"].items() if n not in head}, {n: t for n, t in there.items() if n not in head}
    )
    for name in head:
        assert torch.equal(seen["networks"][name], there[name].flip(0))


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
