"""Label pictures: rendered faces' own regions written out as labels give what the regions give; bad ones are told."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.test_background_and_masks import face_points
from lomit.cli import main
from lomit.config import DataConfig
from lomit.data.cache import build_cache
from lomit.data.decode import Geometry
from lomit.data.folder import FolderSource
from lomit.data.open import open_source
from lomit.errors import LomitError
from lomit.evaluation import photographs
from lomit.evaluation.pairs import draw
from lomit.evaluation.photographs import LABELS, LabelPictures, averaged, draw_regions
from lomit.evaluation.protocols import BackgroundProtocol, MasksProtocol
from lomit.evaluation.settings import Judges, Setting
from lomit.inference.weights import save_pretrained
from lomit.models import get_method
from lomit.models.lomit.config import LomitConfig
from support.painted import PLACES, SIZE, Painter, cell, value

HAIR, MOUTH = LABELS.index("hair"), LABELS.index("mouth")
NAMES = ("Black_Hair", "Blond_Hair", "Smiling")
"""CelebA's names for what the painted faces show: the hat stands for hair."""


@pytest.fixture(scope="module")
def haired(painted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The painted faces under those names, with their regions and the same written out as label pictures."""
    root = tmp_path_factory.mktemp("haired") / "set"
    shutil.copytree(painted, root, ignore=shutil.ignore_patterns("cache"))
    table = (root / "attributes.csv").read_text()
    for name, old in zip(NAMES, ("Red_Hat", "Blue_Hat", "Smiling"), strict=True):
        table = table.replace(old, name)
    (root / "attributes.csv").write_text(table)
    region_of = {"Black_Hair": ["hat"], "Blond_Hair": ["hat"], "Smiling": ["mouth"]}
    (root / "dataset.json").write_text(json.dumps({"regions": list(PLACES), "region_of": region_of}))
    source = open_source(DataConfig(str(root)))
    write_labels(root / "labels", source, source.names, {"hat": HAIR, "mouth": MOUTH})
    return root


def write_labels(folder: Path, source: FolderSource, names: list[str], values: dict[str, int]) -> None:
    """Regions as label pictures; where two overlap, the later one stands."""
    folder.mkdir()
    for name in names:
        regions = source.regions(source.names.index(name))
        picture = np.zeros(next(iter(regions.values())).shape, dtype=np.uint8)
        for region, number in values.items():
            picture[regions[region]] = number
        Image.fromarray(picture).save(folder / f"{Path(name).stem}.png")


@pytest.fixture
def labelled(haired: Path) -> Setting:
    """The painter on these faces, with labels."""
    data = DataConfig(str(haired), attributes=NAMES, image_size=SIZE, cache_dir=str(haired / "cache"))
    source = open_source(data)
    cache, device = build_cache(source, data), torch.device("cpu")
    return Setting(
        translator=Painter(stain=20), source=source, data=data, cache=cache, device=device,
        labels=LabelPictures(haired),
    )  # fmt: skip


MASKS, BACKGROUND = MasksProtocol(40), BackgroundProtocol(40)


def test_labels_give_what_true_regions_give(labelled: Setting) -> None:
    masks, background = MASKS.run(labelled), BACKGROUND.run(labelled)
    for kind, region, members in (("hair", "hat", NAMES[:2]), ("mouth", "mouth", NAMES[2:])):
        others = tuple(name for name in NAMES if name not in members)
        by_truth = replace(labelled, labels=None)
        for findings, protocol, measures in (
            (masks, MasksProtocol(40, others, members), ("iou", "soft_iou", "area", "saturation")),
            (
                background,
                BackgroundProtocol(40, others, members),
                ("change_target", "change_all", "ssim", "change_own"),
            ),
        ):
            truth = protocol.run(by_truth)
            hashes = [f.facts["draws"][of]["pairs_sha256"] for f, of in ((findings, kind), (truth, "pairs"))]  # type: ignore[index]
            assert hashes[0] == hashes[1]
            for measure in measures:
                (row,) = (r for r in findings.rows if r.key == (measure, kind))
                (other,) = (r for r in truth.rows if r.key == (measure, ""))
                assert row.cells == other.cells
                assert row.name == f"{other.name}, pairs that differ in {kind} alone"
        # The painter's mask is the region's cells; enlarging it blurs a cell's border.
        assert value(masks, f"mean_in_{kind}", kind) > 0.8
        assert value(masks, "mean_in_background", kind) < 0.1
        assert value(masks, f"mean_in_{'mouth' if kind == 'hair' else 'hair'}", kind) == 0
        area = np.prod([part.stop - part.start for part in PLACES[region]]) / SIZE**2
        assert value(masks, "iou", kind, "plain") == pytest.approx(area)
        assert value(masks, "soft_iou", kind, "plain") == pytest.approx(area)
    assert all("40 ordered pairs of the test split for each region" in f.notes[0] for f in (masks, background))


def test_labels_of_rendered_faces(tmp_path: Path) -> None:
    avatars = pytest.importorskip("lomit.data.avatars")
    pytest.importorskip("dicebear")
    avatars.write_avatars(tmp_path / "set", 40, 3, 64, 1, progress=False, regions="all")
    source = open_source(DataConfig(str(tmp_path / "set")))
    values = {"hair": HAIR, "facial_hair_now": HAIR, "mouth": MOUTH}  # a beard takes the hair's colour
    write_labels(tmp_path / "labels", source, source.names, values)
    pictures, config, alike = LabelPictures(tmp_path / "labels"), DataConfig(image_size=32), 0
    for index in range(len(source)):
        shares = pictures.shares(source, config, index)
        regions, geometry = source.regions(index), Geometry.of(source, config)
        hair = torch.from_numpy(averaged(regions["hair"] | regions["facial_hair_now"], geometry))
        mouth = torch.from_numpy(averaged(regions["mouth"], geometry))
        assert torch.equal(shares[MOUTH], mouth)
        if not (regions["mouth"] & (regions["hair"] | regions["facial_hair_now"])).any():  # a label holds one of them
            assert torch.equal(shares[HAIR], hair)
            alike += 1
        torch.testing.assert_close(shares.sum(0), torch.ones(32, 32))
    assert alike > 5


def test_pixels_that_are_not_labelled_have_no_say(labelled: Setting, haired: Path, tmp_path: Path) -> None:
    whole = MASKS.run(labelled)
    shutil.copytree(haired / "labels", tmp_path / "masks")
    (tmp_path / "valid").mkdir()
    everywhere, below = np.full((2 * SIZE, 2 * SIZE), 255, np.uint8), np.full((2 * SIZE, 2 * SIZE), 255, np.uint8)
    below[:8] = 0  # the upper half of the hair
    for path in (tmp_path / "masks").iterdir():
        Image.fromarray(everywhere).save(tmp_path / "valid" / path.name)
    again = MASKS.run(replace(labelled, labels=LabelPictures(tmp_path)))
    for row, other in zip(whole.rows, again.rows, strict=True):
        for column, estimate in row.cells.items():
            known = None if estimate.value is None else pytest.approx(estimate.value, rel=1e-6)  # no skin was painted
            assert other.cells[column].value == known
    for path in (tmp_path / "masks").iterdir():
        Image.fromarray(below).save(tmp_path / "valid" / path.name)
        labels = np.array(Image.open(path))
        labels[:8] = 3  # whatever stands there
        Image.fromarray(labels).save(path)
    half = MASKS.run(replace(labelled, labels=LabelPictures(tmp_path)))
    area = 4 * 16 / (28 * 32)
    assert value(half, "iou", "hair", "plain") == pytest.approx(area)
    assert value(half, "area", "hair", "ceiling") == pytest.approx(area)
    assert value(half, "mean_in_mouth", "hair") == 0
    shares = LabelPictures(tmp_path).shares(labelled.source, labelled.data, 0)
    assert shares[:, :4].isnan().all()
    torch.testing.assert_close(shares[:, 4:].sum(0), torch.ones(28, 32))


def test_images_without_labels_are_left_out_and_counted(labelled: Setting, haired: Path, tmp_path: Path) -> None:
    tests = [labelled.cache.names[row] for row in labelled.cache.subset("test").tolist()]
    (tmp_path / "labels").mkdir()
    for name in tests[:20]:
        shutil.copy(haired / "labels" / f"{Path(name).stem}.png", tmp_path / "labels")
    findings = MASKS.run(replace(labelled, labels=LabelPictures(tmp_path)))
    assert findings.facts["images_without_labels"] == len(tests) - 20
    assert findings.facts["draws"]["hair"]["images"] == 20  # type: ignore[index]
    assert f"{len(tests) - 20} images of the split have no labels and are left out" in findings.notes[0]
    twice = replace(labelled, cache=replace(labelled.cache, names=["a/x.png"] * len(labelled.cache)))
    with pytest.raises(LomitError, match="two images are called 'x'; label pictures are found by the stems"):
        MASKS.run(twice)


def test_attributes_that_labels_do_not_tell_of(labelled: Setting) -> None:
    """Their regions are the expected ones, in `all regions` alone; `masks` does without."""
    names = ("Black_Hair", "Male", "Smiling")
    mixed = replace(labelled, cache=replace(labelled.cache, attributes=names))
    differ = ("Black_Hair", "Smiling")
    assert {row.of for row in MasksProtocol(40, differ=differ).run(mixed).rows} == {"hair", "mouth"}
    with pytest.raises(LomitError, match=r"pip install 'lomit\[faces\]'"):
        BackgroundProtocol(40, differ=differ).run(mixed)
    findings = BackgroundProtocol(40, differ=differ).run(replace(mixed, find_landmarks=lambda image: None))
    assert cell(findings, "change_target", "hair").samples == 40
    assert cell(findings, "change_all", "hair").samples == 0  # no face is found in any
    assert "expected ones, drawn from dlib's landmarks" in findings.notes[0]
    bearded = replace(labelled, cache=replace(labelled.cache, attributes=("Goatee", "Male", "Mustache")))
    with pytest.raises(LomitError, match="label pictures tell of hair and mouth, not of Goatee, Male, Mustache"):
        MASKS.run(bearded)


def test_only_what_labels_do_not_tell_of_is_expected(labelled: Setting) -> None:
    names = ("Black_Hair", "Eyeglasses", "Smiling")
    setting = replace(labelled, cache=replace(labelled.cache, attributes=names))
    setting = replace(setting, find_landmarks=lambda image: face_points())
    draws, _, note = draw(setting, BackgroundProtocol(40, differ=("Black_Hair", "Smiling")))
    assert "Regions of Eyeglasses are expected ones" in note
    rows, nothing = labelled.cache.subset("test")[:3], np.zeros((3, 3), dtype=bool)
    eyes = draw_regions(face_points(), 512)["eyes"].reshape(SIZE, 16, SIZE, 16).mean(axis=(1, 3), dtype=np.float32)
    told = np.zeros((SIZE, SIZE), dtype=np.float32)
    for place in PLACES.values():
        told[place] = 1
    everywhere = draws[0].regions.targets(rows, nothing)[1]
    torch.testing.assert_close(everywhere, torch.from_numpy(np.maximum(told, eyes)).expand(3, 1, SIZE, SIZE))


def test_background_with_labels_needs_no_dlib(labelled: Setting, haired: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    monkeypatch.setattr(labelled.source, "region_names", ())
    given = Judges(source=labelled.source, data=labelled.data, device=labelled.device)
    found = BackgroundProtocol(40, labels=haired).prepare(given)
    assert found.labels is not None
    assert found.embed is found.find_landmarks is None
    findings = BackgroundProtocol(40, labels=haired).run(replace(labelled, labels=found.labels))
    assert any("Identity was not measured" in note for note in findings.notes)
    beard = replace(given, data=replace(given.data, attributes=("Black_Hair", "Goatee")))
    for protocol, judges in ((BackgroundProtocol(40, labels=haired), beard), (BackgroundProtocol(40), given)):
        with pytest.raises(LomitError, match=r"pip install 'lomit\[faces\]'"):
            protocol.prepare(judges)
    assert MasksProtocol(40, labels=haired).prepare(beard).find_landmarks is None


def test_pairs_that_do_not_count_are_told(labelled: Setting, haired: Path, tmp_path: Path) -> None:
    shutil.copytree(haired / "labels", tmp_path / "labels")
    for row in labelled.cache.subset("test")[:12].tolist():
        picture(*LARGE)(tmp_path / "labels" / labelled.cache.names[row])  # nothing but background
    setting = replace(labelled, labels=LabelPictures(tmp_path))
    for findings, measure, few in (
        (MASKS.run(setting), "iou", True),
        (BACKGROUND.run(setting), "change_target", False),
    ):
        for kind in ("hair", "mouth"):
            left_out = 40 - cell(findings, measure, kind).samples
            assert (left_out > 0) == few
            says = f"{left_out} of 40 pairs that differ in {kind} alone do not count"
            assert any(says in note for note in findings.notes)


def test_a_picture_is_read_once_a_batch(labelled: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, pictures, read = Counter[int](), Counter[Path](), photographs._read
    load = labelled.source.load

    def counted(path: Path, size: tuple[int, int], allowed: Sequence[int]) -> np.ndarray:
        pictures[path] += 1
        return read(path, size, allowed)

    def loaded(index: int) -> Image.Image:
        decoded[index] += 1
        return load(index)

    monkeypatch.setattr(photographs, "_read", counted)
    monkeypatch.setattr(labelled.source, "load", loaded)
    setting = replace(labelled, batch_size=40)
    MASKS.run(setting)
    # Two draws: each checks its pictures before the first translation, and has one batch.
    assert set(decoded.values()) == {1}
    assert max(pictures.values()) == 4


def picture(*shape: int, value: int = 0) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(path)


LARGE = (2 * SIZE, 2 * SIZE)


@pytest.mark.parametrize(
    ("words", "spoil", "says"),
    [
        (["--labels", "{root}/none"], {}, "holds no label pictures: give the folder of the PNGs"),
        (["--labels", "{root}/images/000.png"], {}, "holds no label pictures"),
        (["--labels", "{root}/others"], {"others/x.png": picture(*LARGE)}, "none of the 36 images; the first needs"),
        ([], {"labels/*": picture(SIZE, SIZE)}, "is 32 x 32 pixels; its image is 64 x 64"),
        ([], {"labels/*": picture(*LARGE, value=7)}, "holds the value 7; labels are 0 background, 1 hair, 2 skin"),
        ([], {"labels/*": picture(*LARGE, 3)}, "has 3 channels; a label picture is grey"),
        ([], {"labels/*": lambda path: path.write_bytes(b"no picture")}, "can't be read as a picture"),
        ([], {"labels/*": lambda path: path.write_bytes(path.read_bytes()[:60])}, "can't be read as a picture"),
        ([], {"valid/*": picture(*LARGE, value=1)}, "holds the value 1; 255 says that labels count, 0 that they don't"),
        ([], {"valid/*": picture(SIZE, SIZE)}, "is 32 x 32 pixels; its image is 64 x 64"),
        ([], {"valid/x.png": picture(*LARGE)}, "the first needs 084.png, there and in"),
        (["--pairs", "5000"], {}, "pairs that differ in hair alone: 5000 pairs were asked for, but only"),
        (["--data.face-crop", "dlib"], {}, "label pictures don't follow faces that are cut out"),
    ],
)  # fmt: skip
def test_bad_pictures_are_one_line(
    haired: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    words: list[str], spoil: dict[str, Callable[[Path], object]], says: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("lomit.data.detector.crop_face", lambda image, margin: image)
    root = tmp_path / "set"
    shutil.copytree(haired, root, ignore=shutil.ignore_patterns("cache"))
    for place, damage in spoil.items():
        (root / place).parent.mkdir(exist_ok=True)
        names = [p.name for p in (root / "labels").iterdir()] if place.endswith("*") else [Path(place).name]
        for name in names:
            damage((root / place).parent / name)
    torch.manual_seed(0)
    config = LomitConfig(NAMES, 32, width=4, d_width=4, res_blocks=1, mask_convs=1, mask_norm="group")
    model = save_pretrained(get_method("lomit").build(config), tmp_path / "model")
    data = ["--data.root", str(root), "--data.cache-dir", str(tmp_path / "cache"), "--device", "cpu"]
    given = {"--pairs": "20", "--labels": str(root)} | dict(zip(words[::2], words[1::2], strict=True))
    more = [word.format(root=root) for pair in given.items() for word in pair]
    assert main(["evaluate", "masks", str(model), *data, *more]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
