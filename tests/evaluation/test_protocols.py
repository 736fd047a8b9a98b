"""The protocols on painted faces: what translators whose every pixel is known must get, counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lomit.data.folder import FolderSource
from lomit.data.sampling import NONE_OR_ALL
from lomit.errors import LomitError
from lomit.evaluation.landmarks import draw_regions
from lomit.evaluation.pairs import draw_pairs
from lomit.evaluation.protocols.avatars import evaluate_rendered
from lomit.evaluation.protocols.background import evaluate_background
from lomit.evaluation.protocols.masks import evaluate_masks
from lomit.evaluation.protocols.starganv2 import evaluate_starganv2
from lomit.evaluation.protocols.table1 import evaluate_table1
from lomit.evaluation.settings import Choices, EvaluatedSplit, Outcome, Setting
from lomit.metrics import fid, kid
from lomit.models.base import Guide, Translation
from lomit.stats.bootstrap import Estimate
from support.painted import PLACES, SIZE, Painter, look

MakeSetting = Callable[..., Setting]


class Told(Painter):
    """Returns the exemplar (`oracle`) or the input, and remembers what it was told; takes the inputs' labels, too."""

    def __init__(self, oracle: bool = True) -> None:
        super().__init__(has_masks=False)
        self.oracle = oracle
        self.calls: list[tuple[Tensor, ...]] = []

    def translate(self, x: Tensor, guide: Guide) -> Translation:
        exemplar, label, source = guide.exemplar, guide.label, guide.source
        assert exemplar is not None
        assert label is not None
        assert source is not None
        self.calls.append((x, exemplar, label, source))
        return Translation(exemplar if self.oracle else x)


class Colours:
    """Features that can be read off an image: the mean colours of both regions and of the whole."""

    name = "fake"

    def features(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :, r, c].mean((2, 3)) for r, c in (*PLACES.values(), (slice(None), slice(None)))], dim=1)


def cell(outcome: Outcome, section: str, name: str, column: str = "model") -> Estimate:
    (row,) = (r for r in outcome.rows if r.section == section and r.name == name)
    return row.cells[column]


def value(outcome: Outcome, section: str, name: str, column: str = "model") -> float:
    found = cell(outcome, section, name, column).value
    assert found is not None
    return found


def truth(setting: Setting) -> np.ndarray:
    return np.array(setting.cache.labels)


# --- table1


def scored(make: MakeSetting, translator: Painter, *classes: str, opposite: bool = False, pairs: int = 60) -> Setting:
    return replace(make(translator, pairs), choices=Choices(classes=classes, opposite=opposite))


def test_accuracy_of_who_returns_the_exemplar_and_who_the_input(setting_for: MakeSetting) -> None:
    for oracle, expected in ((True, 100), (False, 0)):
        outcome = evaluate_table1(scored(setting_for, Told(oracle), "Smiling", "Red_Hat+Smiling"))
        for name in ("Smiling", "Red_Hat + Smiling"):
            found = cell(outcome, "CA-attr, %", name)
            assert found.value == expected
            assert found.samples == 60
            assert value(outcome, "CA-attr, %", name, "floor") == 0
            assert value(outcome, "CA-attr, %", name, "ceiling") == 100


@pytest.mark.parametrize(("split", "images"), [("val", range(72, 84)), ("test", range(84, 120))])
def test_every_protocol_shows_the_model_that_split_alone(
    setting_for: MakeSetting, split: EvaluatedSplit, images: range
) -> None:
    choices = {
        evaluate_table1: Choices(classes=("Smiling",)),
        evaluate_starganv2: Choices(domains=("Smiling",), exemplars=2),
        evaluate_background: Choices(),
    }
    known = {image.numpy().tobytes() for image in shown(setting_for(Told(), 12), images)}
    for run, chosen in choices.items():
        translator = Told()
        outcome = run(replace(setting_for(translator, 12), split=split, choices=chosen, extractor=Colours()))
        assert f"the {split} split" in outcome.notes[0]
        assert translator.calls
        for x, exemplar, *_ in translator.calls:
            assert {image.numpy().tobytes() for image in (*x, *exemplar)} <= known


def shown(setting: Setting, rows: range) -> Tensor:
    return torch.from_numpy(np.array(setting.cache.images[list(rows)])).float() / 127.5 - 1


def test_inception_score_by_hand(setting_for: MakeSetting) -> None:
    setting = scored(setting_for, Told(), "Red_Hat+Smiling")
    outcome = evaluate_table1(setting)
    cache = setting.cache
    labels = truth(setting)[:, [0, 2]]
    pairs = draw_pairs(labels, cache.subset("test"), 60, 0)
    x = torch.from_numpy(np.array(cache.images[pairs.exemplars])).float() / 127.5 - 1
    p = look(x)[:, [0, 2]].double().sigmoid().numpy()
    kl = []
    patterns = [[a if i else 1 - a for i, a in zip(bits, row, strict=True)] for row in p for bits in np.ndindex(2, 2)]
    table = np.prod(np.array(patterns), axis=1).reshape(-1, 4)
    for row in table:
        kl.append(sum(q * np.log(q / m) for q, m in zip(row, table.mean(axis=0), strict=True)))
    name = "Red_Hat + Smiling"
    assert value(outcome, "IS-raw-attr, nats", name) == pytest.approx(np.mean(kl))
    assert value(outcome, "IS-exp-attr", name) == pytest.approx(np.exp(np.mean(kl)))
    assert value(outcome, "IS-raw-attr, standard deviation over images, nats", name) == pytest.approx(np.std(kl))
    # It returns the exemplar.
    assert value(outcome, "IS-raw-attr, nats", name, "ceiling") == pytest.approx(np.mean(kl))


def test_papers_columns_stand_beside_ours_and_few_people_are_flagged(setting_for: MakeSetting) -> None:
    setting = setting_for(Painter(), 40)
    setting = replace(setting, cache=replace(setting.cache, attributes=("Facial_Hair", "Wearing_Hat", "Male")))
    outcome = evaluate_table1(setting)
    (row,) = (r for r in outcome.rows if r.section == "CA-attr, %" and r.name == "facial hair + gender")
    assert row.quoted == {"DRIT (paper)": 14.3, "MUNIT (paper)": 34.9, "LOMIT (paper)": 68.1}
    assert {r.name for r in outcome.rows} == {"facial hair", "gender", "facial hair + gender"}
    assert any("wearing lipstick" in note for note in outcome.notes)
    test = setting.cache.subset("test")
    for name, k in (("facial hair", 0), ("gender", 2)):
        y, who = truth(setting)[test, k], setting.cache.identity[test]
        fewest = min(len(set(who[y == v].tolist())) for v in (0, 1))
        (row,) = (r for r in outcome.rows if r.section == "CA-attr, %" and r.name == name)
        assert bool(row.flag) == (fewest < 10)
    assert any(r.flag for r in outcome.rows)


def test_accuracy_of_inputs_with_and_without_an_attribute(setting_for: MakeSetting) -> None:
    class HalfBlind(Told):
        """Returns the exemplar where the input smiles, else the input."""

        def translate(self, x: Tensor, guide: Guide) -> Translation:
            assert guide.exemplar is not None
            smiles = look(x)[:, 2] > 0
            return Translation(torch.where(smiles[:, None, None, None], guide.exemplar, x))

    setting = scored(setting_for, HalfBlind(), "Red_Hat")
    outcome = evaluate_table1(replace(setting, choices=replace(setting.choices, by="Smiling")))
    section = "CA-attr by Smiling, %"
    found = {word: cell(outcome, section, f"Red_Hat, inputs {word}") for word in ("with", "without")}
    assert (found["with"].value, found["without"].value) == (100, 0)
    assert found["with"].samples + found["without"].samples == 60
    assert value(outcome, section, "Red_Hat, inputs without", "ceiling") == 100
    for word, estimate in found.items():
        (row,) = (r for r in outcome.rows if r.section == section and r.name == f"Red_Hat, inputs {word}")
        assert bool(row.flag) == (estimate.people < 10 or "test split" in row.flag)
    whole = cell(outcome, "CA-attr, %", "Red_Hat")
    assert whole.value == pytest.approx(100 * found["with"].samples / 60)
    with pytest.raises(LomitError, match="--by: the data has no attribute 'Smilling' .did you mean 'Smiling'"):
        evaluate_table1(replace(setting, choices=replace(setting.choices, by="Smilling")))


def test_what_a_method_is_told(setting_for: MakeSetting) -> None:
    told = Told()
    setting = scored(setting_for, told, "Smiling", pairs=10)
    evaluate_table1(setting)
    (x, exemplar, label, source) = told.calls[0]
    assert torch.equal(label, (look(exemplar) > 0).float())
    assert torch.equal(source, (look(x) > 0).float())


def test_a_method_between_two_domains_sees_their_images_only(setting_for: MakeSetting) -> None:
    told = Told()
    told.domains = NONE_OR_ALL
    setting = setting_for(told, 12)
    labels = truth(setting)[:, [0, 2]]
    setting = replace(setting, cache=replace(setting.cache, labels=labels, attributes=("Red_Hat", "Smiling")))
    setting = replace(setting, classify=lambda x: look(x)[:, [0, 2]], choices=Choices(classes=("Red_Hat+Smiling",)))
    outcome = evaluate_table1(setting)
    for _, _, label, source in told.calls:
        assert torch.equal(label, 1 - source)
        assert torch.equal(label[:, 0], label[:, 1])
    assert value(outcome, "CA-attr, %", "Red_Hat + Smiling") == 100
    # Another method can be given the same pairs.
    told.domains = None
    same = evaluate_table1(replace(setting, choices=replace(setting.choices, opposite=True)))
    assert same.facts == outcome.facts
    assert same.rows == outcome.rows


def test_classes_that_cannot_be(setting_for: MakeSetting) -> None:
    for classes, says in (
        ((), "the model knows none of the paper's classes"),
        (("Smilin",), "no class 'Smilin'"),
        (("Smiling", "Smiling"), "a class is named twice"),
    ):
        with pytest.raises(LomitError, match=says):
            evaluate_table1(scored(setting_for, Painter(), *classes))
    with pytest.raises(LomitError, match="class 'Smiling': 5000 pairs were asked for, but only"):
        evaluate_table1(scored(setting_for, Painter(), "Smiling", pairs=5000))


# --- starganv2


def crossed(make: MakeSetting, translator: Painter, *domains: str, exemplars: int = 3) -> Setting:
    return replace(make(translator), extractor=Colours(), choices=Choices(domains=domains, exemplars=exemplars))


def colours(setting: Setting, rows: np.ndarray) -> Tensor:
    return Colours().features(torch.from_numpy(np.array(setting.cache.images[rows])).float() / 127.5 - 1)


def test_sets_of_outputs_by_hand(setting_for: MakeSetting) -> None:
    told = Told()
    setting = crossed(setting_for, told)  # the hats, which exclude each other
    outcome = evaluate_starganv2(setting)
    y, cache = truth(setting), setting.cache
    test, train = cache.subset("test"), cache.subset("train")
    name = "Red_Hat to Blue_Hat"
    sources = test[y[test, 0] == 1]
    found = cell(outcome, "FID-fake", name)
    assert found.samples == 3 * len(sources)
    assert found.people == len(set(cache.identity[sources].tolist()))
    # The outputs are the exemplars, of which every source has three.
    outputs, given = torch.cat([c[1] for c in told.calls]), torch.cat([c[0] for c in told.calls])
    features = Colours().features(outputs[: 3 * len(sources)])
    assert (look(outputs[: 3 * len(sources)])[:, 1] > 0).all()
    assert torch.equal(given[: 3 * len(sources) : 3], given[1 : 3 * len(sources) : 3])
    reference = colours(setting, train[y[train, 1] == 1])
    real = colours(setting, test[y[test, 1] == 1])
    assert found.value == pytest.approx(fid.fid(features, reference), rel=1e-3)
    assert value(outcome, "FID-fake", name, "real (ceiling)") == pytest.approx(fid.fid(real, reference), rel=1e-3)
    floor = fid.fid(colours(setting, sources), reference)
    assert value(outcome, "FID-fake", name, "sources (floor)") == pytest.approx(floor, rel=1e-3)
    assert value(outcome, "KID-fake, x 1000", name) == pytest.approx(
        1e3 * kid.discrepancy(features, reference), rel=1e-3
    )
    unit = torch.nn.functional.normalize(features.double(), dim=1).unflatten(0, (-1, 3))
    apart = torch.stack([(a - b).square().sum(1) for a, b in combinations(unit.unbind(1), 2)]).mean()
    assert value(outcome, "diversity-fake", name) == pytest.approx(float(apart), rel=1e-3)
    assert value(outcome, "diversity-fake", name, "real (ceiling)") == pytest.approx(float(apart), rel=1e-3)
    both = [value(outcome, "FID-fake", n) for n in (name, "Blue_Hat to Red_Hat")]
    assert value(outcome, "FID-fake", "mean over domain pairs") == pytest.approx(np.mean(both))


def test_who_returns_the_input_is_the_floor_and_not_diverse(setting_for: MakeSetting) -> None:
    told = Told(oracle=False)
    outcome = evaluate_starganv2(crossed(setting_for, told, "Smiling", exemplars=2))
    for name in ("not Smiling to Smiling", "Smiling to not Smiling"):
        assert value(outcome, "diversity-fake", name) == 0
        assert value(outcome, "diversity-fake", name, "real (ceiling)") > 0
        assert value(outcome, "FID-fake", name) == pytest.approx(
            value(outcome, "FID-fake", name, "sources (floor)"), rel=0.1
        )
    for _, _, label, source in told.calls:  # a label changes the domain and nothing else
        assert torch.equal(label[:, 2], 1 - source[:, 2])
        assert torch.equal(label[:, :2], source[:, :2])


def test_conditional_score_is_the_entropy_of_what_the_outputs_show(setting_for: MakeSetting) -> None:
    """Sure answers: KL(p(y|x) || p(y)) averages to the entropy of the patterns among the outputs of a source."""
    told = Told()
    setting = replace(crossed(setting_for, told), modes=lambda x: 1e4 * look(x))
    outcome = evaluate_starganv2(setting)
    name = "Red_Hat to Blue_Hat"
    found = cell(outcome, "CIS-raw-attr, nats", name)
    as_many = cell(outcome, "diversity-fake", name)
    assert (found.samples, found.people) == (as_many.samples, as_many.people)
    smiles = (look(torch.cat([c[1] for c in told.calls]))[: 3 * found.samples, 2] > 0).double().view(-1, 3).mean(1)
    by_hand = -(torch.xlogy(smiles, smiles) + torch.xlogy(1 - smiles, 1 - smiles)).mean()  # every hat is blue
    assert by_hand > 0.1
    assert found.value == pytest.approx(float(by_hand), rel=1e-4)
    assert value(outcome, "CIS-raw-attr, nats", name, "real (ceiling)") == pytest.approx(float(by_hand), rel=1e-4)
    # Of the hats alone there is one kind among the outputs.
    hats = replace(
        setting, modes=lambda x: 1e4 * look(x)[:, :2], choices=replace(setting.choices, modes=("Red_Hat", "Blue_Hat"))
    )
    assert value(evaluate_starganv2(hats), "CIS-raw-attr, nats", name) == pytest.approx(0, abs=1e-6)


def test_conditional_score_of_equal_outputs_is_0(setting_for: MakeSetting) -> None:
    setting = replace(crossed(setting_for, Told(oracle=False)), modes=look)
    outcome = evaluate_starganv2(setting)
    assert value(outcome, "CIS-raw-attr, nats", "mean over domain pairs") == pytest.approx(0, abs=1e-9)
    assert value(outcome, "CIS-raw-attr, nats", "mean over domain pairs", "real (ceiling)") > 0
    without = evaluate_starganv2(replace(setting, modes=None))
    assert not [row for row in without.rows if "CIS" in row.section]
    with pytest.raises(LomitError, match="13 attributes in --modes; at most 12"):
        evaluate_starganv2(replace(setting, choices=Choices(modes=tuple("abcdefghijklm"))))


def test_domains_that_cannot_be(setting_for: MakeSetting) -> None:
    with pytest.raises(LomitError, match="give --classifier, or --extractor"):
        evaluate_starganv2(setting_for(Painter()))
    for choices, says in (
        (Choices(domains=("Smilin",)), "no domain 'Smilin' .did you mean 'Smiling'"),
        (Choices(domains=("Smiling", "Smiling")), "named twice"),
        (Choices(exemplars=99), r"the domain '.*' has \d+ images of the test split; 99 are needed"),
    ):
        with pytest.raises(LomitError, match=says):
            evaluate_starganv2(replace(crossed(setting_for, Painter()), choices=choices))


# --- pairs that were chosen


def test_methods_of_other_attributes_get_the_same_pairs(setting_for: MakeSetting) -> None:
    """Pairs that differ in the smile and in no red hat; the model may know the smile alone."""
    choices = Choices(differ=("Smiling",), alike=("Red_Hat", "Blue_Hat"))
    full = replace(setting_for(Painter(), 20), choices=choices)
    cache = full.cache
    one = replace(
        full,
        cache=replace(cache, labels=cache.labels[:, 2:], attributes=("Smiling",)),
        classify=lambda x: look(x)[:, 2:],
    )
    outcomes = [evaluate(s) for evaluate in (evaluate_rendered, evaluate_background) for s in (full, one)]
    assert len({o.facts["pairs_sha256"] for o in outcomes}) == 1
    assert all("differ in at least one of Smiling and are alike in Red_Hat, Blue_Hat" in o.notes[0] for o in outcomes)
    name = "changed, each"
    assert cell(outcomes[0], "attribute accuracy, %", name).samples == 20  # one attribute a pair
    of_class = replace(one, choices=Choices(classes=("Smiling",), alike=choices.alike))
    facts = evaluate_table1(of_class).facts["classes"]
    assert isinstance(facts, dict)
    assert facts["Smiling"]["pairs_sha256"] == outcomes[0].facts["pairs_sha256"]


def test_pairs_by_attributes_that_the_data_lacks(setting_for: MakeSetting) -> None:
    with pytest.raises(LomitError, match="--differ names none of the model's attributes .Red_Hat, Blue_Hat, Smiling."):
        evaluate_rendered(replace(setting_for(Painter(), 5), choices=Choices(differ=("Male",))))
    for choices, option in ((Choices(differ=("Smilin", "Smiling")), "differ"), (Choices(alike=("Smilin",)), "alike")):
        with pytest.raises(LomitError, match=f"--{option}: the data has no attribute 'Smilin' .did you mean 'Smiling'"):
            evaluate_rendered(replace(setting_for(Painter(), 5), choices=choices))


# --- background and masks


def test_background_above_the_floor(setting_for: MakeSetting) -> None:
    outcome = evaluate_background(setting_for(Painter(brighten=9, haze=4), 30))
    columns = ("model", "self (floor)", "above floor")
    for name in ("change outside target", "change outside all regions"):
        assert [value(outcome, "background kept", name, c) for c in columns] == pytest.approx([13, 4, 9])
    assert "identity kept" not in {row.section for row in outcome.rows}


def test_protocols_agree_with_each_other(setting_for: MakeSetting) -> None:
    setting = setting_for(Painter(stain=30), 24)
    both = evaluate_rendered(setting)
    for protocol, section, pairs in (
        (evaluate_background, "background kept", ("change outside target", "SSIM outside target")),
        (evaluate_masks, "masks", ("IoU with target", "IoU, pairs that differ in hat only", "mask saturation")),
    ):
        outcome = protocol(setting)
        for name in pairs:
            assert cell(outcome, section, name) == cell(both, section, name)
    for column in ("ceiling", "ceiling 0/1"):
        assert cell(evaluate_masks(setting), "masks", "IoU with target", column) == cell(
            both, "masks", "IoU with target", column
        )


def test_a_method_without_masks(setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lomit.evaluation.protocols.masks.method_name", lambda setting: "painter")
    setting = setting_for(Painter(has_masks=False), 20)
    assert {row.section for row in evaluate_background(setting).rows} == {"background kept"}
    with pytest.raises(LomitError, match="the method 'painter' has no masks to measure"):
        evaluate_masks(setting)


def face_points() -> np.ndarray:
    """68 landmarks of a frontal face, as shares: an ellipse of a jaw, and a mouth that covers the painted one."""
    p = np.zeros((68, 2))
    t = np.linspace(np.pi, 0, 17)
    p[:17] = np.stack([0.5 + 0.4 * np.cos(t), 0.35 + 0.6 * np.sin(t)], axis=1)
    p[17:27] = np.stack([np.linspace(0.25, 0.75, 10), np.full(10, 0.3)], axis=1)
    p[27:36] = [0.5, 0.5]
    p[36:48] = [0.5, 0.4]
    t = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    p[48:68] = np.stack([0.5 + 0.3 * np.cos(t), 0.75 + 0.15 * np.sin(t)], axis=1)
    return p


def photographs(setting: Setting, monkeypatch: pytest.MonkeyPatch, faceless: int = 4) -> Setting:
    """The painted faces as photographs: no true regions, landmarks that a stand-in finds in most of them."""
    monkeypatch.setattr(setting.source, "region_names", ())
    monkeypatch.setattr(FolderSource, "regions", lambda self, index: {})
    tests = setting.cache.subset("test")[:faceless]
    hidden = {np.asarray(setting.source.load(int(setting.cache.source_index[r]))).tobytes() for r in tests.tolist()}

    def find(image: Image.Image) -> np.ndarray | None:
        assert image.size == (2 * SIZE, 2 * SIZE)  # the file's own size, not the network's
        return None if np.asarray(image).tobytes() in hidden else face_points()

    cache = replace(setting.cache, attributes=("Black_Hair", "Blond_Hair", "Smiling"))
    return replace(setting, cache=cache, find_landmarks=find)


def drawn(name: str) -> np.ndarray:
    """Pixels of the network's size that a region touches, bool."""
    full = draw_regions(face_points(), 512)[name]
    return full.reshape(SIZE, 16, SIZE, 16).any(axis=(1, 3))


def test_photographs_are_measured_outside_of_regions_by_landmarks(
    setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = photographs(setting_for(Painter(stain=30), 40), monkeypatch)
    outcome = evaluate_background(setting)
    cache, pairs = setting.cache, draw_pairs(truth(setting), setting.cache.subset("test"), 40, 0)
    faceless = set(cache.subset("test")[:4].tolist())
    stained = np.zeros((SIZE, SIZE), dtype=bool)
    stained[PLACES["mouth"]] = True
    expected = []
    for i, e, differs in zip(pairs.inputs, pairs.exemplars, pairs.differs, strict=True):
        if i in faceless:
            continue
        target = np.zeros((SIZE, SIZE), dtype=bool)
        for name, changed in (("hair", differs[:2].any()), ("mouth", differs[2])):
            target |= drawn(name) & changed
        grown = np.pad(target, 1)
        outside = ~np.logical_or.reduce([np.roll(grown, s, (0, 1)) for s in np.ndindex(3, 3)])[2:, 2:][:SIZE, :SIZE]
        before, painted = (cache.images[k].astype(float) for k in (i, e))
        after = before.copy()
        for place, changed in (("hat", differs[:2].any()), ("mouth", differs[2])):
            rows, columns = PLACES[place]
            if changed and np.abs(before - painted)[:, rows, columns].mean() > 0.2 * 127.5:
                after[:, rows, columns] = painted[:, rows, columns]
        after = (after + 30 * stained).clip(0, 255)
        expected.append(np.abs(after - before).mean(axis=0)[outside].mean())
    found = cell(outcome, "background kept", "change outside target")
    assert found.samples == len(expected) < 40
    assert found.value == pytest.approx(np.mean(expected))
    assert outcome.facts["regions"] == "landmarks"
    assert any(f"{40 - len(expected)} of 40 pairs do not count" in note for note in outcome.notes)


def test_masks_on_photographs(setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = photographs(setting_for(Painter(), 40), monkeypatch)
    outcome = evaluate_masks(setting)
    share = draw_regions(face_points(), 512)["mouth"].reshape(SIZE, 16, SIZE, 16).mean(axis=(1, 3)) >= 0.5
    found = cell(outcome, "masks", "IoU with expected region, pairs that differ in mouth only", "m = 1 (floor)")
    assert found.value == pytest.approx(share.mean())
    assert cell(outcome, "masks", "mask area (ceiling: the region's)", "ceiling").samples < 40
    assert cell(outcome, "masks", "mask saturation").samples == 40
    assert cell(outcome, "masks", "IoU with expected region").samples < 40


def test_identity_is_that_of_the_embedding(setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = photographs(setting_for(Painter(haze=5, brighten=10), 30), monkeypatch)

    def embed(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        assert before.dtype == after.dtype == torch.uint8
        return tuple(t[:, 0, 15, :1].double() / 100 for t in (before, after))  # type: ignore[return-value]

    outcome = evaluate_background(replace(setting, embed=embed))
    columns = ("model", "self (floor)", "above floor")
    found = [value(outcome, "identity kept", "identity-dlib", c) for c in columns]
    assert found == pytest.approx([0.15, 0.05, 0.1])
    assert value(outcome, "identity kept", "identity-dlib, same person") == 100


def test_photographs_whose_regions_are_not_known(setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = photographs(setting_for(Painter(), 20), monkeypatch)
    with pytest.raises(LomitError, match=r"pip install 'lomit\[faces\]'"):
        evaluate_masks(replace(setting, find_landmarks=None))
    cache = replace(setting.cache, attributes=("Black_Hair", "Blond_Hair", "Chubby"))
    with pytest.raises(LomitError, match="no region of a photograph is known for 'Chubby'"):
        evaluate_background(replace(setting, cache=cache))


def test_regions_of_a_face() -> None:
    p = 0.25 + 0.5 * face_points()
    found = draw_regions(p, 256)
    # In shares of the side: brows at 0.4, ends of the jaw at 0.425, the chin at 0.725, so the hairline at 0.215.
    for row, *regions in (
        (0.1, "hair"), (0.25, "face", "hair"), (0.48, "face"), (0.62, "face", "facial_hair", "mouth"),
        (0.7, "face", "facial_hair", "mouth"), (0.75,),
    ):  # fmt: skip
        inside = {name for name, region in found.items() if region[round(row * 256), 128]}
        assert inside - {"nose"} == set(regions)
    assert found["hair"][round(0.6 * 256), round(0.24 * 256)]  # beside the jaw
    assert not any(region[250].any() for region in found.values())
    moved = draw_regions(p + np.array([0.125, 0]), 256)
    turned = draw_regions(np.stack([1 - p[:, 1], p[:, 0]], axis=1), 256)  # a quarter turn
    for name, region in found.items():
        assert (moved[name] ^ np.roll(region, 32, axis=1)).mean() < 0.01
        assert (turned[name] ^ np.rot90(region, -1)).mean() < 0.01
