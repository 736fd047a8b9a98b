"""Which faces the figures show, and the codes of Figure 8."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lomit.commands.groups import LabelledData
from lomit.config import DataConfig
from lomit.data.gallery import Faces, SourceFaces
from lomit.data.open import open_source
from lomit.data.source import SPLITS
from lomit.data.transforms import resize
from lomit.errors import LomitError
from lomit.inference.predictor import Predictor
from lomit.report.figure8 import codes_of, draw_domains, embed, figure_8
from lomit.report.figures import Subject, common, comparison, many_exemplars, pairs, targets
from report.conftest import shown
from support.tiny import real_methods, tiny_trainable, tiny_translator

NAMES = ("Black_Hair", "Blond_Hair", "Smiling", "AU4", "AU12")


class Drawn(Faces):
    """Faces that are labels alone."""

    what, people, attributes, groups = "test faces", False, NAMES, (("Black_Hair", "Blond_Hair"),)

    def __init__(self, count: int = 300) -> None:
        y = np.random.default_rng(0).integers(0, 2, (count, len(NAMES)), dtype=np.int8)
        y[:, 1] *= 1 - y[:, 0]
        self.labels = y

    def identity(self, face: int) -> int:
        return face

    def image(self, face: int) -> Image.Image:
        return Image.new("RGB", (16, 16), (face % 256, 0, 0))


def test_targets_are_groups_and_single_attributes() -> None:
    assert targets(Drawn(), ("Smiling", "Blond_Hair", "Black_Hair", "Hat")) == [
        ("Smiling",), ("Blond_Hair", "Black_Hair")
    ]  # fmt: skip


def test_each_target_in_turn_then_all_at_once() -> None:
    faces = Drawn()
    found = pairs(faces, NAMES[:3], 6, seed=0)
    differs = faces.labels[[p.input for p in found], :3] != faces.labels[[p.exemplar for p in found], :3]
    hair, smile = differs[:, :2].any(1), differs[:, 2]
    assert hair.tolist() == [True, False, True] * 2
    assert smile.tolist() == [False, True, True] * 2
    assert len({face for p in found for face in (p.input, p.exemplar)}) == 12, "nobody twice"
    assert found == pairs(faces, NAMES[:3], 6, seed=0) != pairs(faces, NAMES[:3], 6, seed=1)


def test_a_figure_about_one_attribute_leaves_the_others_alike() -> None:
    faces = Drawn()
    for pair in pairs(faces, NAMES[:3], 4, seed=0, about=["Smiling"]):
        apart = faces.labels[pair.input, :3] != faces.labels[pair.exemplar, :3]
        assert apart.tolist() == [False, False, True]


def test_captions_name_what_differs_and_all_action_units() -> None:
    faces = Drawn()
    pair = pairs(faces, NAMES[:3], 3, seed=0)[2]
    before, after = faces.label(pair.input, NAMES), faces.label(pair.exemplar, NAMES)
    side = [n for n in NAMES[:3] if before[n] and not after[n]]
    assert pair.caption.partition(" → ")[0] == (", ".join(side).replace("_", " ") or "none")
    units = pairs(faces, NAMES[3:], 1, seed=0)[0]
    active = [name.removeprefix("AU") for name in NAMES[3:] if faces.label(units.exemplar, NAMES)[name]]
    assert units.caption.partition(" → ")[2] == (f"AU {', '.join(active)}" if active else "none")


def test_exemplars_differ_from_the_input() -> None:
    faces = Drawn()
    first, others = many_exemplars(faces, ("Smiling",), 5, seed=0)
    assert len(set(others)) == 5
    assert (faces.labels[others, 2] != faces.labels[first, 2]).all()


def test_faces_that_do_not_fit() -> None:
    with pytest.raises(LomitError, match="labelled with none of Hat; give others with --data.root"):
        pairs(Drawn(), ("Hat",), 1, seed=0)
    alike = Drawn(10)
    alike.labels[:] = 0
    with pytest.raises(LomitError, match="no two of the faces"):
        pairs(alike, NAMES, 1, seed=0)
    with pytest.raises(LomitError, match="only one domain of Smiling"):
        draw_domains(alike, ("Smiling",), 10, seed=0)


@pytest.mark.parametrize(
    ("attributes", "names"), [(NAMES[:3], ["Black Hair", "Blond Hair"]), (("Smiling",), ["Smiling", "not Smiling"])]
)
def test_domains_are_balanced_and_partners_of_another(attributes: tuple[str, ...], names: list[str]) -> None:
    faces = Drawn()
    drawn = draw_domains(faces, attributes, 41, seed=0)
    assert drawn.names == names
    assert drawn.domain == [0] * 20 + [1] * 20
    of = dict(zip(drawn.faces, drawn.domain, strict=True))
    assert len(of) == 40
    assert all(of[partner] != domain for partner, domain in zip(drawn.partner, drawn.domain, strict=True))


def test_a_folders_faces_are_those_of_its_last_split(folder: Path) -> None:
    data = DataConfig(root=str(folder), image_size=16)
    faces = SourceFaces(open_source(data), data, 3, "noise")
    assert len(faces.labels) == 20
    assert faces.what == "noise, val split, seed 3"
    assert faces.people
    assert faces.image(0).size == (16, 16)
    assert faces.columns(("Hat", "Nose")).tolist() == [[int(y), -1] for y in faces.labels[:, 1]]


def test_faces_that_are_cut_out_are_those_where_one_is_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(image: Image.Image, margin: float) -> Image.Image | None:
        return None if np.asarray(image)[0, 0, 0] < 128 else image.crop((0, 0, 8, 8))

    monkeypatch.setattr("lomit.data.detector.crop_face", fake)
    options = LabelledData(root=str(folder), face_crop="dlib", workers=1, cache_dir=str(tmp_path))
    source = open_source(data := options.config(16))
    faces = SourceFaces(source, data, 3, "noise")
    val = np.flatnonzero(source.split == SPLITS["val"]).tolist()
    shown = [k for k in val if np.asarray(source.load(k))[0, 0, 0] >= 128]
    assert 0 < len(shown) < len(val)
    assert sorted(faces.rows.tolist()) == shown
    expected = resize(source.load(int(faces.rows[0])).crop((0, 0, 8, 8)), 16)
    assert np.array_equal(np.asarray(faces.image(0)), np.asarray(expected))


def test_models_that_share_an_attribute_stand_together() -> None:
    class Knowing:
        def __init__(self, *attributes: str) -> None:
            self.attributes = attributes

    subjects = [Subject(k, Knowing(*a)) for k, a in (("a", ("x", "y")), ("b", ("z",)), ("c", ("y", "z")))]  # type: ignore[arg-type]
    assert [([s.label for s in members], names) for members, names in common(subjects)] == [
        (["a", "c"], ["y"]), (["b"], ["z"])
    ]  # fmt: skip


@pytest.mark.parametrize("method", real_methods())
def test_every_method_stands_in_the_figures(method: str, folder: Path) -> None:
    data = DataConfig(root=str(folder), image_size=16)
    faces = SourceFaces(open_source(data), data, 0, "noise")
    subject = Subject("x", Predictor(tiny_translator(method), "cpu"))
    found = pairs(faces, ("Smiling", "Hat"), 2, seed=0)
    page = shown(comparison("x", [subject], faces, found, masks=True))
    alts = [str(attributes["alt"]) for name, attributes in page.tags if name == "img"]
    masks = 4 if method == "lomit" else 0
    assert len([alt for alt in alts if alt.startswith("mask of x")]) == masks
    assert len([alt for alt in alts if alt.startswith("result of x")]) == 2
    if method == "lomit":
        images = [[faces.image(face)] for face in (found[0].input, found[0].exemplar)]
        assert subject.translate(faces, found[0]).image.tobytes() == (
            subject.predictor.translate(*images)[0].image.tobytes()
        )  # fmt: skip


def test_codes_are_the_generators(model: Path, folder: Path) -> None:
    data = DataConfig(root=str(folder), image_size=16)
    faces = SourceFaces(open_source(data), data, 0, "noise")
    subject = Subject("ours", Predictor.from_pretrained(model, "cpu"))
    drawn = draw_domains(faces, ("Smiling", "Hat"), 20, seed=0)
    found = codes_of(subject, faces, drawn)
    assert {name: tuple(code.shape) for name, code in found.items()} == {"c": (20, 256), "s_f": (20, 3), "s_b": (20, 3)}
    pixels = np.stack([np.asarray(faces.image(face)) for face in drawn.faces]).transpose(0, 3, 1, 2)
    c = subject.predictor.translator.generator.content(torch.from_numpy(pixels).float() / 127.5 - 1)  # type: ignore[operator]
    assert torch.allclose(found["c"], c.flatten(1), atol=1e-5)


def test_figure_8_of_a_code_that_is_the_same_for_every_face(folder: Path) -> None:
    """Masks of ones leave the background black: scikit-learn's t-SNE crashed on the one s_b that there was."""
    pytest.importorskip("sklearn")
    data = DataConfig(root=str(folder), image_size=16)
    faces = SourceFaces(open_source(data), data, 0, "noise")
    translator = tiny_trainable("lomit", attributes=("Smiling", "Hat"), masks="ones").eval()
    assert embed(torch.ones(20, 3), seed=0) == [(0.0, 0.0)] * 20
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        page = shown(figure_8(Subject("plain", Predictor(translator)), faces, 20, seed=0))
    assert "background style s_b, the same for every face" in page.text
    assert "content c, the same" not in page.text
    assert [name for name, _ in page.tags].count("circle") == 60
    assert "nan" not in page.text


def test_figure_8_tells_its_numbers(model: Path, folder: Path) -> None:
    pytest.importorskip("sklearn")
    data = DataConfig(root=str(folder), image_size=16)
    faces = SourceFaces(open_source(data), data, 0, "noise")
    subject = Subject("ours", Predictor.from_pretrained(model, "cpu"))
    page = shown(figure_8(subject, faces, 20, seed=0))
    assert [name for name, _ in page.tags].count("svg") == 3
    assert [name for name, _ in page.tags].count("circle") == 60
    for text in (
        "content c",
        "foreground style s_f",
        "background style s_b",
        "n = 20, 20 images",
        "50.0",
        "not Smiling",
    ):
        assert text in page.text
