"""An exported file gives what PyTorch gives, says what it is, and is refused where it would not."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from doubles import double
from export.conftest import S, pairs, tiny
from lomit import Predictor
from lomit.cli import main
from lomit.errors import LomitError
from lomit.export import export_model
from lomit.inference.onnx import ExportedTranslator
from lomit.inference.weights import save_pretrained
from lomit.models.base import Guide, Masks
from lomit.models.lomit.model import Lomit

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def random_masks(n: int) -> Masks:
    own, guide = torch.rand(2, n, 1, S, S, generator=torch.Generator().manual_seed(1))
    return Masks(own, guide)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_any_batch_size_gives_what_pytorch_gives(exported: Path, translator: Lomit, n: int) -> None:
    x, exemplar = pairs(n)
    got, expected = ExportedTranslator(exported).translate(x, Guide(exemplar)), translator.translate(x, Guide(exemplar))
    assert (got.image - expected.image).abs().max() < 1e-4
    assert got.masks is not None
    assert expected.masks is not None
    assert got.masks.input.shape == (n, 1, S, S)
    for mask, other in ((got.masks.input, expected.masks.input), (got.masks.exemplar, expected.masks.exemplar)):
        at_full_size = torch.nn.functional.interpolate(other, (S, S), mode="bilinear", align_corners=False)
        assert (mask - at_full_size).abs().max() < 1e-5


def test_given_masks_are_used(exported: Path, translator: Lomit) -> None:
    (x, exemplar), masks = pairs(3), random_masks(3)
    got = ExportedTranslator(exported).translate(x, Guide(exemplar, masks=masks))
    expected = translator.translate(x, Guide(exemplar, masks=masks))
    assert (got.image - expected.image).abs().max() < 1e-4
    assert (got.image - translator.translate(x, Guide(exemplar)).image).abs().max() > 0.01
    assert got.masks is not None
    assert torch.equal(got.masks.input, masks.input)


def test_masks_for_some_images_leave_the_others_alone(exported: Path, translator: Lomit) -> None:
    (x, exemplar), masks = pairs(3), random_masks(3)
    masks.input[0] = masks.exemplar[0] = masks.exemplar[1] = torch.nan
    runtime = ExportedTranslator(exported)
    for filling in (runtime.translate_filling, translator.translate_filling):
        got = filling(x, Guide(exemplar, masks=masks)).image
        assert (got[:1] - translator.translate(x[:1], Guide(exemplar[:1])).image).abs().max() < 1e-4
        both = Masks(masks.input[2:], masks.exemplar[2:])
        assert (got[2:] - translator.translate(x[2:], Guide(exemplar[2:], masks=both)).image).abs().max() < 1e-4
        predicted = translator.translate(x[1:2], Guide(exemplar[1:2])).masks
        assert predicted is not None
        half = translator.translate(x[1:2], Guide(exemplar[1:2], masks=Masks(masks.input[1:2], predicted.exemplar)))
        assert (got[1:2] - half.image).abs().max() < 1e-4


def test_inputs_as_other_programs_see_them(exported: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape) for i in session.get_inputs()] == [
        ("input", ["batch", 3, S, S]),
        ("exemplar", ["batch", 3, S, S]),
    ]
    assert [i.name for i in session.get_overridable_initializers()] == ["input_mask", "exemplar_mask"]
    assert [o.name for o in session.get_outputs()] == ["image", "used_input_mask", "used_exemplar_mask"]
    # One mask serves a batch.
    x, exemplar = (t.numpy() for t in pairs(2))
    feed = {"input": x, "exemplar": exemplar, "input_mask": np.ones((1, 1, 1, 1), np.float32)}
    assert (session.run(["used_input_mask"], feed)[0] == 1).all()


def test_what_is_moved_can_be_named(naming: Lomit, exported_naming: Path) -> None:
    """For one image of a batch, and not for the next; -1 is what leaving it out means."""
    (x, exemplar), runtime = pairs(3), ExportedTranslator(exported_naming)
    assert runtime.places == {"smiling": [0], "male": [1]}
    moved = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    got = runtime.translate(x, Guide(exemplar, moved=moved))
    assert got.masks is not None
    for i, named in enumerate((moved[:1], moved[1:2], None)):
        expected = naming.translate(x[i : i + 1], Guide(exemplar[i : i + 1], moved=named))
        assert expected.masks is not None
        assert (got.image[i] - expected.image[0]).abs().max() < 1e-4
        at_full_size = torch.nn.functional.interpolate(expected.masks.input, (S, S), mode="bilinear")
        assert (got.masks.input[i] - at_full_size[0]).abs().max() < 1e-4
    other = naming.translate(x[:1], Guide(exemplar[:1], moved=moved[1:2])).masks
    first = naming.translate(x[:1], Guide(exemplar[:1], moved=moved[:1])).masks
    assert other is not None
    assert first is not None
    assert (other.input - first.input).abs().max() > 0.05  # else the test would see no difference
    image, guide = (Image.fromarray(((t[0].permute(1, 2, 0) + 1) * 127.5).byte().numpy()) for t in (x, exemplar))
    one, two = Predictor.from_pretrained(exported_naming), Predictor(naming, "cpu")
    assert (
        np.abs(one.translate(image, guide, only="male").raw - two.translate(image, guide, only="male").raw).max() < 1e-4
    )


def test_metadata(exported: Path, translator: Lomit) -> None:
    runtime = ExportedTranslator(exported)
    assert runtime.config == translator.config
    said = runtime.metadata
    assert (said["method"], said["image_size"], said["attributes"]) == ("lomit", str(S), "Smiling, Male")
    assert (said["precision"], said["opset"], said["step"]) == ("float32", "20", "400")
    assert json.loads(said["lomit_config"])["model"]["width"] == 4
    assert 0 <= float(said["mean_error"]) <= float(said["largest_error"]) < 1e-4
    assert b"graph.py" not in exported.read_bytes()  # no paths of the machine that wrote it


def test_predictor_takes_an_exported_file(exported: Path, translator: Lomit) -> None:
    rng = np.random.default_rng(0)
    image, exemplar = (Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(2))
    mask = np.full((8, 8), 255, dtype=np.uint8)
    one, other = Predictor.from_pretrained(exported), Predictor(translator, "cpu")
    assert (one.image_size, one.attributes) == (S, ("Smiling", "Male"))
    for masks in (None, [mask, None]):
        got, expected = (p.translate([image] * 2, [exemplar], input_masks=masks) for p in (one, other))
        for a, b in zip(got, expected, strict=True):
            assert np.abs(a.raw - b.raw).max() < 1e-4
            assert np.abs(np.asarray(a.image).astype(int) - np.asarray(b.image)).max() <= 1
    with pytest.raises(LomitError, match="'lomit' can't interpolate"):
        one.interpolate(image, [exemplar], 2)
    with pytest.raises(LomitError, match="exported model can't compose"):
        one.compose(image, masks=[(exemplar, mask, mask)])
    with pytest.raises(LomitError, match="can't be compiled"):
        Predictor.from_pretrained(exported, compile=True)
    with pytest.raises(LomitError, match="exported model computes in float32; leave out --precision"):
        Predictor.from_pretrained(exported, precision="bfloat16")
    assert Predictor.from_pretrained(exported, precision="auto").precision == "float32"


def test_translate_command_takes_an_exported_file(exported: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 50), "red").save(tmp_path / "a.png")
    image = str(tmp_path / "a.png")
    words = ["translate", image, image, "--model", str(exported), "--out", str(tmp_path / "out")]
    assert main([*words, "--save-masks"]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.usefixtures("made")
def test_export_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, out = save_pretrained(tiny(), tmp_path / "model"), tmp_path / "new" / "tiny.onnx"
    words = ["export", str(model), "--out", str(out)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert told.startswith("against PyTorch, 1 and 3 pairs, with and without masks: mean error ")
    assert f"written to {out}" in told
    before = out.read_bytes()
    assert main(words) == 2
    assert out.read_bytes() == before


@pytest.mark.usefixtures("made")
def test_a_graph_that_differs_is_not_written(graph: Any, translator: Lomit, tmp_path: Path) -> None:
    last = next(t for t in graph.graph.initializer if list(t.dims[:1]) == [12])
    last.raw_data = (np.frombuffer(last.raw_data, np.float32) + 0.01).tobytes()
    with pytest.raises(LomitError, match=r"differs from PyTorch by up to 0\.\d+; nothing was written"):
        export_model(translator, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("made")
def test_nothing_is_left_of_an_interrupted_export(
    translator: Lomit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(LomitError, match="no space left"):
        export_model(translator, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "give MODEL"),
        (["avatars"], "give either --out FILE.onnx or --web DIR"),
        (["avatars", "--out", "x.onnx", "--web", "page"], "give either --out FILE.onnx or --web DIR"),
        (["avatars", "--out", "x.onnx", "--runtime", "package"], "--runtime is for --web; leave it out"),
        (["avatars", "--out", "model.pt"], "model.pt must end in .onnx"),
        (["avatars", "--out", "there.onnx"], "there.onnx exists already; choose another --out or add --overwrite"),
        (["avatars", "--out", "folder.onnx", "--overwrite"], "folder.onnx exists already"),
        (["avatars", "--out", "x.onnx", "--int8"], "unknown option '--int8'"),
        (["--out", "x.onnx", "--int8"], "give MODEL"),
        (["nothing", "--out", "x.onnx"], "no model 'nothing'"),
        (["there.onnx", "--out", "x.onnx"], "there.onnx is not a model"),
    ],
)
def test_bad_words_get_one_line(
    words: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.onnx").write_text("mine")
    Path("folder.onnx").mkdir()
    assert main(["export", *words]) == 2
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1
    assert Path("there.onnx").read_text() == "mine"
    assert not Path("x.onnx").exists()


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_the_extra_is_named(missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    imported = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == missing:
            raise ImportError(name=missing)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(LomitError, match=rf"exporting needs {missing}: pip install 'lomit\[export\]'"):
        export_model(double(), tmp_path / "x.onnx")


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"no graph", r"bad.onnx can't be run by ONNX Runtime: "), (None, "no such file: .*bad.onnx")],
)
def test_bad_exported_files(content: bytes | None, line: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(LomitError, match=line):
        Predictor.from_pretrained(tmp_path / "bad.onnx")


def test_files_of_others_are_refused(graph: Any, tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(LomitError, match="was not written by lomit export"):
        Predictor.from_pretrained(tmp_path / "other.onnx")
