"""Models as folders: written, found and read, or refused with a reason."""

from __future__ import annotations

import errno
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import lomit
from doubles import Double, double, saved_double
from lomit.cli import main
from lomit.errors import LomitError
from lomit.inference import catalogue
from lomit.inference.catalogue import known_models
from lomit.inference.weights import card_summary, find_model, load_pretrained, save_pretrained
from lomit.models.base import Guide
from support.runs import assert_same_tensors
from support.tiny import real_methods, tiny_config, tiny_translator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved_double(tmp_path / "model")


def edit_config(folder: Path, changes: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def edit_weights(model: Path, changes: dict[str, torch.Tensor]) -> None:
    save_file(load_file(model / "model.safetensors") | changes, model / "model.safetensors")


def test_round_trip(tmp_path: Path) -> None:
    translator = double()
    assert isinstance(translator, Double)
    translator.generator.gain.data = torch.tensor([0.1, 0.2, 0.3])
    translator.generator.calls += 7
    save_pretrained(translator, tmp_path / "model", card="# mine\n")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert (tmp_path / "model" / "README.md").read_text() == "# mine\n"
    loaded = load_pretrained(tmp_path / "model")
    assert isinstance(loaded, Double)
    assert loaded.config == translator.config
    assert torch.equal(loaded.generator.gain, translator.generator.gain)
    assert loaded.generator.calls == 7
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert json.loads((tmp_path / "model" / "config.json").read_text())["lomit_version"] == lomit.__version__


def test_half_precision_is_stored_and_cast_back(tmp_path: Path) -> None:
    translator = double()
    assert isinstance(translator, Double)
    translator.generator.gain.data.fill_(1 / 3)
    save_pretrained(translator, tmp_path, half=True)
    stored = load_file(tmp_path / "model.safetensors")
    assert (stored["gain"].dtype, stored["calls"].dtype) == (torch.float16, torch.int64)
    loaded = load_pretrained(tmp_path)
    assert isinstance(loaded, Double)
    assert loaded.generator.gain.dtype == torch.float32
    assert (loaded.generator.gain - 1 / 3).abs().max() < 1e-3
    translator.generator.gain.data.fill_(1e6)
    with pytest.raises(LomitError, match="'gain' is not finite in float16"):
        save_pretrained(translator, tmp_path / "other", half=True)


def test_loading_leaves_the_random_numbers_alone(model: Path) -> None:
    state = torch.random.get_rng_state()
    load_pretrained(model)
    assert torch.equal(state, torch.random.get_rng_state())


def test_saving_does_not_overwrite_unless_told_to(model: Path) -> None:
    before = (model / "model.safetensors").read_bytes()
    translator = double()
    assert isinstance(translator, Double)
    translator.generator.gain.data.zero_()
    with pytest.raises(LomitError, match="holds a model already"):
        save_pretrained(translator, model)
    assert (model / "model.safetensors").read_bytes() == before
    save_pretrained(translator, model, overwrite=True)
    loaded = load_pretrained(model)
    assert isinstance(loaded, Double)
    assert not loaded.generator.gain.any()


def test_full_disk_while_saving_loses_nothing(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (model / "model.safetensors").read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(LomitError, match=r"no space left for .*; free some"):
        save_pretrained(double(), model, overwrite=True)
    assert (model / "model.safetensors").read_bytes() == before
    assert len(list(model.iterdir())) == 3


def test_names_are_found_in_the_package_and_in_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "src" / "lomit"
    monkeypatch.setattr(catalogue, "PACKAGE", package)
    shipped, here = saved_double(package / "pretrained" / "one"), saved_double(tmp_path / "weights" / "two")
    saved_double(tmp_path / "weights" / "one")
    assert known_models() == {"one": shipped, "two": here}
    assert find_model("two") == here
    with pytest.raises(LomitError, match=r"no model 'twoo' \(did you mean 'two'\?\); known: one, two"):
        find_model("twoo")


def test_networks_of_another_kind_may_stand_beside_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalogue, "PACKAGE", tmp_path / "src" / "lomit")
    shipped = saved_double(tmp_path / "src" / "lomit" / "pretrained" / "one")
    other = shipped.with_name("classifier")
    other.mkdir()
    (other / "config.json").write_text('{"kind": "attribute-classifier", "classifier": {}}')
    (other / "model.safetensors").write_bytes(b"")
    assert known_models() == {"one": shipped}
    assert main(["models"]) == 0
    assert capsys.readouterr().out.startswith("one  double")
    with pytest.raises(LomitError, match=r"another kind of network \(attribute-classifier\), not a translator"):
        load_pretrained(other)
    (other / "config.json").write_text("half")  # a damaged model is listed, and named where it is used
    assert set(known_models()) == {"classifier", "one"}
    (other / "config.json").unlink()
    assert known_models() == {"one": shipped}


def test_weights_file_and_training_run_lead_to_the_folder(model: Path, tmp_path: Path) -> None:
    assert find_model(model / "model.safetensors") == model
    newest = saved_double(tmp_path / "run" / "checkpoints" / "step_0000200")
    saved_double(tmp_path / "run" / "checkpoints" / "step_0000100")
    (tmp_path / "run" / "checkpoints" / "latest").write_text("step_0000200\n")
    (tmp_path / "run" / "config.json").write_text("{}")  # the run's own, of another kind
    for given in (tmp_path / "run", tmp_path / "run" / "checkpoints", newest):
        assert find_model(given) == newest


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".pkl"])
def test_pickles_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    torch.save({}, path)
    with pytest.raises(LomitError, match="a pickle can run any code"):
        load_pretrained(path)
    with pytest.raises(LomitError, match="a pickle can run any code"):
        load_pretrained(tmp_path)


def test_folders_that_are_no_model(tmp_path: Path, model: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LomitError, match=r"is not a model: it has no config\.json"):
        load_pretrained(tmp_path / "empty")
    (model / "model.safetensors").unlink()
    with pytest.raises(LomitError, match=r"it has no model\.safetensors"):
        load_pretrained(model)
    with pytest.raises(LomitError, match="give the folder"):
        load_pretrained(model / "README.md")


@pytest.mark.parametrize("kept", [0, 4, 60, -1])
def test_half_written_weights(model: Path, kept: int) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(LomitError, match=r"model\.safetensors is damaged or half-written"):
        load_pretrained(model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gain": torch.ones(4)}, r"'gain' has the shape \(4,\), expected \(3,\)"),
        ({"more": torch.ones(1)}, "'more' is not part of the model"),
        ({"more": torch.ones(1), "most": torch.ones(1)}, r"'more' is not part of the model \(and 1 more\)"),
    ],
)
def test_weights_of_another_model(model: Path, changes: dict[str, torch.Tensor], message: str) -> None:
    edit_weights(model, changes)
    with pytest.raises(LomitError, match=message):
        load_pretrained(model)


def test_missing_weights(model: Path) -> None:
    save_file({"calls": torch.zeros((), dtype=torch.int64)}, model / "model.safetensors")
    with pytest.raises(LomitError, match="'gain' is missing"):
        load_pretrained(model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": ["double"]}, r"unknown method '\['double'\]'"),
        ({"method": 1.5}, "unknown method '1.5'"),
        ({"method": "doubel"}, r"unknown method 'doubel' \(did you mean 'double'\?\)"),
        ({"model": {"image_sise": 16}}, r"unknown key 'image_sise' \(did you mean 'image_size'\?\)"),
        ({"model": {"image_size": "big"}}, "expected int, found 'big'"),
        ({"model": 3}, "expected an object"),
    ],
)
def test_wrong_configs(model: Path, changes: dict[str, Any], message: str) -> None:
    edit_config(model, changes)
    with pytest.raises(LomitError, match=message):
        load_pretrained(model)


@pytest.mark.parametrize("method", real_methods())
def test_networks_of_each_method_come_back_to_the_bit(method: str, tmp_path: Path) -> None:
    translator = tiny_translator(method)
    loaded = load_pretrained(save_pretrained(translator, tmp_path / "model"))
    assert_same_tensors(dict(loaded.generator.state_dict()), dict(translator.generator.state_dict()))


WIDTHS = ("width", "style_dim", "mapping_width", "latent_dim")


@pytest.mark.parametrize(
    ("method", "field"), [(m, name) for m in real_methods() for name in WIDTHS if hasattr(tiny_config(m), name)]
)
def test_sizes_that_the_weights_do_not_have_cost_no_memory(method: str, field: str, tmp_path: Path) -> None:
    """A config from elsewhere may ask for a hundred gigabytes."""
    model = save_pretrained(tiny_translator(method), tmp_path / "model")
    values = json.loads((model / "config.json").read_text())
    values["model"][field] = 4096
    (model / "config.json").write_text(json.dumps(values))
    began = time.process_time()
    with pytest.raises(LomitError, match=r"does not fit its config\.json"):
        load_pretrained(model)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\xff", '{"method": "double"}'])
def test_damaged_configs(model: Path, text: str) -> None:
    (model / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(LomitError, match=r"config\.json"):
        load_pretrained(model)


def test_hub(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked: list[str] = []

    def download(name: str, **kwargs: Any) -> str:
        asked.append(name)
        if name == "someone/model":
            return str(model)
        raise OSError("connection refused\nand much more")

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert find_model("someone/model") == model
    with pytest.raises(LomitError, match=r"was not fetched from the Hugging Face Hub: connection refused$"):
        find_model("someone/else")
    assert asked == ["someone/model", "someone/else"]


def test_hub_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(LomitError, match=r"pip install 'lomit\[hub\]'"):
        find_model("someone/model")


def test_a_checkout_has_models_in_the_package_and_beside_it() -> None:
    known = known_models()
    assert known["avatars"] == catalogue.packaged() / "avatars"
    for name in ("celeba-all-64", "celeba-all-128"):
        assert known[name] == ROOT / "weights" / name


@pytest.mark.parametrize("name", known_models())
def test_every_model_of_the_repository_says_what_it_is(name: str) -> None:
    folder = find_model(name)
    translator = load_pretrained(name)
    config = translator.config
    x = torch.rand(1, 3, config.image_size, config.image_size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    label = torch.ones(1, len(config.attributes))
    assert torch.isfinite(translator.translate(x, Guide(x.flip(3), label=label, source=1 - label)).image).all()
    card = (folder / "README.md").read_text(encoding="utf-8")
    for words in ("Intended use", "budget", "lomit evaluate", "failures", *config.attributes):
        assert words in card, words
    if "CelebA" in card:
        assert "non-commercial research" in card
        assert "consent" in card
    for file in folder.iterdir():
        assert file.stat().st_size <= 15 * 2**20, "a file of the repository is to stay small"


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ("---\ntags: [a]\n---\n\n# A model\n\nFor faces, a first\nsentence. A second. **Not for sale.**\n\nMore.\n",
         "For faces, a first sentence. Not for sale."),
        ("# A model\n\n| a | b |\n\n- attributes: none\n", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_what_a_card_says_first(tmp_path: Path, card: str, says: str) -> None:
    assert card_summary(tmp_path) == ""
    (tmp_path / "README.md").write_text(card)
    assert card_summary(tmp_path) == says
