"""The protocol `table1` on painted faces: what translators whose every pixel is known must get, counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lomit.data.sampling import NONE_OR_ALL
from lomit.errors import LomitError
from lomit.evaluation.pairs import draw_pairs
from lomit.evaluation.protocols import (
    BackgroundProtocol,
    EvaluatedSplit,
    EvaluationProtocol,
    StarganV2Protocol,
    Table1Protocol,
)
from lomit.evaluation.settings import Setting
from lomit.models.base import Guide, Translation
from support.painted import Looker, Painter, Told, cell, look, value

MakeSetting = Callable[..., Setting]


def of(*classes: str, pairs: int = 60, **more: object) -> Table1Protocol:
    return Table1Protocol("", pairs, classes=classes, **more)  # type: ignore[arg-type]


def shown(setting: Setting, rows: range) -> Tensor:
    return torch.from_numpy(np.array(setting.cache.images[list(rows)])).float() / 127.5 - 1


def test_accuracy_of_who_returns_the_exemplar_and_who_the_input(setting_for: MakeSetting) -> None:
    for oracle, expected in ((True, 100), (False, 0)):
        findings = of("Smiling", "Red_Hat+Smiling").run(setting_for(Told(oracle)))
        for name in ("Smiling", "Red_Hat + Smiling"):
            found = cell(findings, "ca", name)
            assert found.value == expected
            assert found.samples == 60
            assert value(findings, "ca", name, "floor") == 0
            assert value(findings, "ca", name, "ceiling") == 100


@pytest.mark.parametrize(("split", "images"), [("val", range(72, 84)), ("test", range(84, 120))])
@pytest.mark.parametrize(
    "protocol",
    [of("Smiling", pairs=12), StarganV2Protocol(domains=("Smiling",), exemplars=2), BackgroundProtocol(12)],
    ids=lambda protocol: protocol.name,
)
def test_every_protocol_shows_the_model_that_split_alone(
    setting_for: MakeSetting, protocol: EvaluationProtocol, split: EvaluatedSplit, images: range
) -> None:
    translator = Told()
    setting = setting_for(translator)
    known = {image.numpy().tobytes() for image in shown(setting, images)}
    findings = protocol.run(replace(setting, split=split, extractor=Looker()))
    assert f"the {split} split" in findings.notes[0]
    assert translator.calls
    for x, exemplar, *_ in translator.calls:
        assert {image.numpy().tobytes() for image in (*x, *exemplar)} <= known


def test_inception_score_by_hand(setting_for: MakeSetting) -> None:
    setting = setting_for(Told())
    findings = of("Red_Hat+Smiling").run(setting)
    cache = setting.cache
    pairs = draw_pairs(cache.labels[:, [0, 2]], cache.subset("test"), 60, 0)
    x = torch.from_numpy(np.array(cache.images[pairs.exemplars])).float() / 127.5 - 1
    p = look(x)[:, [0, 2]].double().sigmoid().numpy()
    kl = []
    patterns = [[a if i else 1 - a for i, a in zip(bits, row, strict=True)] for row in p for bits in np.ndindex(2, 2)]
    table = np.prod(np.array(patterns), axis=1).reshape(-1, 4)
    for row in table:
        kl.append(sum(q * np.log(q / m) for q, m in zip(row, table.mean(axis=0), strict=True)))
    name = "Red_Hat + Smiling"
    assert value(findings, "is", name) == pytest.approx(np.mean(kl))
    assert value(findings, "is_exp", name) == pytest.approx(np.exp(np.mean(kl)))
    assert value(findings, "is_std", name) == pytest.approx(np.std(kl))
    # It returns the exemplar.
    assert value(findings, "is", name, "ceiling") == pytest.approx(np.mean(kl))


def test_papers_columns_stand_beside_ours_and_few_people_are_flagged(setting_for: MakeSetting) -> None:
    setting, names = setting_for(Painter()), ("Facial_Hair", "Wearing_Hat", "Male")
    setting = replace(setting, cache=replace(setting.cache, attributes=names), classifier=Looker(names=names))
    findings = of(pairs=40).run(setting)
    rows = {row.of: row for row in findings.rows if row.measure == "ca"}
    assert rows["facial hair + gender"].quoted == {"DRIT": 14.3, "MUNIT": 34.9, "LOMIT": 68.1}
    assert set(rows) == {"facial hair", "gender", "facial hair + gender"}
    assert any("wearing lipstick" in note for note in findings.notes)
    test = setting.cache.subset("test")
    for name, k in (("facial hair", 0), ("gender", 2)):
        y, who = setting.cache.labels[test, k], setting.cache.identity[test]
        fewest = min(len(set(who[y == v].tolist())) for v in (0, 1))
        assert bool(rows[name].flag) == (fewest < 10)
    assert any(row.flag for row in findings.rows)


def test_accuracy_of_inputs_with_and_without_an_attribute(setting_for: MakeSetting) -> None:
    class HalfBlind(Told):
        """Returns the exemplar where the input smiles, else the input."""

        def translate(self, x: Tensor, guide: Guide) -> Translation:
            assert guide.exemplar is not None
            smiles = look(x)[:, 2] > 0
            return Translation(torch.where(smiles[:, None, None, None], guide.exemplar, x))

    setting = setting_for(HalfBlind())
    findings = of("Red_Hat", by="Smiling").run(setting)
    found = {word: cell(findings, f"ca_{word}_Smiling", "Red_Hat") for word in ("with", "without")}
    assert (found["with"].value, found["without"].value) == (100, 0)
    assert found["with"].samples + found["without"].samples == 60
    assert value(findings, "ca_without_Smiling", "Red_Hat", "ceiling") == 100
    for word, estimate in found.items():
        (row,) = (r for r in findings.rows if r.measure == f"ca_{word}_Smiling")
        assert row.name == f"Red_Hat, inputs {word}"
        assert bool(row.flag) == (estimate.people < 10 or "test split" in row.flag)
    assert value(findings, "ca", "Red_Hat") == pytest.approx(100 * found["with"].samples / 60)
    with pytest.raises(LomitError, match="--by: the data has no attribute 'Smilling' .did you mean 'Smiling'"):
        of("Red_Hat", by="Smilling").run(setting)


def test_what_a_method_is_told(setting_for: MakeSetting) -> None:
    told = Told()
    of("Smiling", pairs=10).run(setting_for(told))
    (x, exemplar, label, source) = told.calls[0]
    assert torch.equal(label, (look(exemplar) > 0).float())
    assert torch.equal(source, (look(x) > 0).float())


def test_a_method_between_two_domains_sees_their_images_only(setting_for: MakeSetting) -> None:
    told = Told()
    told.domains = NONE_OR_ALL
    setting, names = setting_for(told), ("Red_Hat", "Smiling")
    setting = replace(setting, cache=replace(setting.cache, labels=setting.cache.labels[:, [0, 2]], attributes=names))
    findings = of("Red_Hat+Smiling", pairs=12).run(setting)
    for _, _, label, source in told.calls:
        assert torch.equal(label, 1 - source)
        assert torch.equal(label[:, 0], label[:, 1])
    assert value(findings, "ca", "Red_Hat + Smiling") == 100
    # Another method can be given the same pairs.
    told.domains = None
    same = of("Red_Hat+Smiling", pairs=12, opposite=True).run(setting)
    assert same.facts == findings.facts
    assert same.rows == findings.rows


def test_what_is_said_of_people_is_said_of_images_where_nobody_is_known(setting_for: MakeSetting) -> None:
    setting = setting_for(Told())
    assert "the people in the inputs" in of("Smiling").run(setting).notes[0]
    cache = replace(setting.cache, knows_people=False)
    findings = of("Smiling").run(replace(setting, cache=cache))
    assert "the inputs (whom they show is not known)" in findings.notes[0]
    assert not any("people" in text for text in (*findings.notes, *(row.flag for row in findings.rows)))


def test_classes_that_cannot_be(setting_for: MakeSetting) -> None:
    for classes, says in (
        ((), "the model knows none of the paper's classes"),
        (("Smilin",), "no class 'Smilin'"),
        (("Smiling", "Smiling"), "a class is named twice"),
    ):
        with pytest.raises(LomitError, match=says):
            of(*classes).run(setting_for(Painter()))
    with pytest.raises(LomitError, match="class 'Smiling': 5000 pairs were asked for, but only"):
        of("Smiling", pairs=5000).run(setting_for(Painter()))
