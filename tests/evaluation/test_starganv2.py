"""The protocol `starganv2` on painted faces: what translators whose every pixel is known must get, counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lomit.data.sampling import NONE_OR_ALL, Domains
from lomit.errors import LomitError
from lomit.evaluation.protocols import StarganV2Protocol
from lomit.evaluation.protocols.starganv2 import domains_of
from lomit.evaluation.results import MEAN, Results
from lomit.evaluation.settings import Setting
from lomit.metrics import fid, kid
from lomit.models.starganv2.domains import EXCLUSIVE
from support.painted import ATTRIBUTES, PLACES, Looker, Painter, Told, cell, look, value

MakeSetting = Callable[..., Setting]


class Colours:
    """Features that can be read off an image: the mean colours of both regions and of the whole."""

    name = "fake"

    def features(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :, r, c].mean((2, 3)) for r, c in (*PLACES.values(), (slice(None), slice(None)))], dim=1)


def crossed(make: MakeSetting, translator: Painter) -> Setting:
    """Without a classifier."""
    return replace(make(translator), extractor=Colours(), classifier=None)


def colours(setting: Setting, rows: np.ndarray) -> Tensor:
    return Colours().features(torch.from_numpy(np.array(setting.cache.images[rows])).float() / 127.5 - 1)


def frechet(x: Tensor, y: Tensor) -> float:
    return fid.distance(fid.moments(x), fid.moments(y))


def test_sets_of_outputs_by_hand(setting_for: MakeSetting) -> None:
    told = Told()
    setting = crossed(setting_for, told)
    findings = StarganV2Protocol(exemplars=3).run(setting)  # the hats, which exclude each other
    y, cache = setting.cache.labels, setting.cache
    test, train = cache.subset("test"), cache.subset("train")
    name = "Red_Hat to Blue_Hat"
    sources = test[y[test, 0] == 1]
    found = cell(findings, "fid", name)
    assert found.samples == 3 * len(sources)
    assert found.people == len(set(cache.identity[sources].tolist()))
    # The outputs are the exemplars, of which every source has three.
    outputs, given = torch.cat([c[1] for c in told.calls]), torch.cat([c[0] for c in told.calls])
    features = Colours().features(outputs[: 3 * len(sources)])
    assert (look(outputs[: 3 * len(sources)])[:, 1] > 0).all()
    assert torch.equal(given[: 3 * len(sources) : 3], given[1 : 3 * len(sources) : 3])
    reference = colours(setting, train[y[train, 1] == 1])
    real = colours(setting, test[y[test, 1] == 1])
    assert found.value == pytest.approx(frechet(features, reference), rel=1e-3)
    assert value(findings, "fid", name, "ceiling") == pytest.approx(frechet(real, reference), rel=1e-3)
    floor = frechet(colours(setting, sources), reference)
    assert value(findings, "fid", name, "floor") == pytest.approx(floor, rel=1e-3)
    kernel_distance = kid.estimate(features, torch.arange(len(features)), reference).value
    assert value(findings, "kid", name) == pytest.approx(1e3 * kernel_distance, rel=1e-3)
    unit = torch.nn.functional.normalize(features.double(), dim=1).unflatten(0, (-1, 3))
    apart = torch.stack([(a - b).square().sum(1) for a, b in combinations(unit.unbind(1), 2)]).mean()
    assert value(findings, "diversity", name) == pytest.approx(float(apart), rel=1e-3)
    assert value(findings, "diversity", name, "ceiling") == pytest.approx(float(apart), rel=1e-3)
    both = [value(findings, "fid", n) for n in (name, "Blue_Hat to Red_Hat")]
    assert value(findings, "fid", MEAN) == pytest.approx(np.mean(both))
    assert {row.section for row in findings.rows} == {"FID-fake", "KID-fake, x 1000", "diversity-fake"}


def test_who_returns_the_input_is_the_floor_and_not_diverse(setting_for: MakeSetting) -> None:
    told = Told(oracle=False)
    findings = StarganV2Protocol(domains=("Smiling",), exemplars=2).run(crossed(setting_for, told))
    for name in ("not Smiling to Smiling", "Smiling to not Smiling"):
        assert value(findings, "diversity", name) == 0
        assert value(findings, "diversity", name, "ceiling") > 0
        assert value(findings, "fid", name) == pytest.approx(value(findings, "fid", name, "floor"), rel=0.1)
    for _, _, label, source in told.calls:  # a label changes the domain and nothing else
        assert torch.equal(label[:, 2], 1 - source[:, 2])
        assert torch.equal(label[:, :2], source[:, :2])


def of_domains(make: MakeSetting, domains: Domains, columns: list[int]) -> tuple[Told, Setting]:
    """A method with domains that knows some of the attributes."""
    told = Told()
    told.domains = domains
    setting = crossed(make, told)
    names = tuple(ATTRIBUTES[k] for k in columns)
    cache = replace(setting.cache, labels=setting.cache.labels[:, columns], attributes=names)
    return told, replace(setting, cache=cache)


def test_a_method_with_domains_is_told_the_exemplars_own(setting_for: MakeSetting) -> None:
    told, setting = of_domains(setting_for, NONE_OR_ALL, [0, 2])
    StarganV2Protocol(domains=("Smiling",), exemplars=2).run(setting)
    assert told.calls
    for _, exemplar, label, source in told.calls:
        assert torch.equal(label, (look(exemplar)[:, [0, 2]] > 0).float())
        assert (NONE_OR_ALL.of(label.numpy()) == 1 - NONE_OR_ALL.of(source.numpy())).all()


def test_domains_that_nobody_named(setting_for: MakeSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    def names(setting: Setting) -> list[str]:
        return [domain.name for domain in domains_of(setting, StarganV2Protocol(exemplars=2))]

    source = setting_for(Told()).source
    monkeypatch.setattr(source, "groups", ())
    # The method's own domains, which no group of the data tells of.
    _, exclusive = of_domains(setting_for, EXCLUSIVE, [0, 2])
    assert names(replace(exclusive, source=source)) == ["Red_Hat", "Smiling"]
    _, one = of_domains(setting_for, EXCLUSIVE, [2])
    assert names(replace(one, source=source)) == ["not Smiling", "Smiling"]
    _, ends = of_domains(setting_for, NONE_OR_ALL, [0, 2])
    assert names(replace(ends, source=source)) == ["not Red_Hat", "Red_Hat"]
    # Nor does a group take the place of domains.
    monkeypatch.setattr(source, "groups", (("Red_Hat", "Smiling"),))
    assert names(replace(ends, source=source)) == ["not Red_Hat", "Red_Hat"]
    without = crossed(setting_for, Told())
    assert names(replace(without, source=source)) == ["Red_Hat", "Smiling"]
    monkeypatch.setattr(source, "groups", ())
    assert names(replace(without, source=source)) == ["not Red_Hat", "Red_Hat"]


def test_what_numbers_rest_on_is_among_the_facts(setting_for: MakeSetting) -> None:
    def results(seed: int = 0, **options: Any) -> Results:
        setting = replace(setting_for(Told(), seed), extractor=Colours(), lpips=None)
        chosen = {"domains": ("Smiling",), "exemplars": 2, "sources": 4} | options
        found = StarganV2Protocol(**chosen).run(setting)
        return Results({"protocol": "starganv2", **found.facts}, found.notes, found.rows)

    first = results()
    assert first.draws.keys() == {"not Smiling to Smiling", "Smiling to not Smiling"}
    assert first.comparable(results())
    for options in ({"seed": 1}, {"exemplars": 3}, {"sources": 5}, {"modes": ("Red_Hat",)}):
        assert not first.comparable(results(**options)), options


def test_conditional_score_is_the_entropy_of_what_the_outputs_show(setting_for: MakeSetting) -> None:
    """Sure answers: KL(p(y|x) || p(y)) averages to the entropy of the patterns among the outputs of a source."""
    told = Told()
    setting = replace(crossed(setting_for, told), classifier=Looker(lambda x: 1e4 * look(x)))
    findings = StarganV2Protocol(exemplars=3).run(setting)
    name = "Red_Hat to Blue_Hat"
    found = cell(findings, "cis", name)
    as_many = cell(findings, "diversity", name)
    assert (found.samples, found.people) == (as_many.samples, as_many.people)
    smiles = (look(torch.cat([c[1] for c in told.calls]))[: 3 * found.samples, 2] > 0).double().view(-1, 3).mean(1)
    by_hand = -(torch.xlogy(smiles, smiles) + torch.xlogy(1 - smiles, 1 - smiles)).mean()  # every hat is blue
    assert by_hand > 0.1
    assert found.value == pytest.approx(float(by_hand), rel=1e-4)
    assert value(findings, "cis", name, "ceiling") == pytest.approx(float(by_hand), rel=1e-4)
    # Of the hats alone there is one kind among the outputs.
    hats = StarganV2Protocol(exemplars=3, modes=("Red_Hat", "Blue_Hat")).run(setting)
    assert value(hats, "cis", name) == pytest.approx(0, abs=1e-6)


def test_conditional_score_of_equal_outputs_is_0(setting_for: MakeSetting) -> None:
    setting = replace(setting_for(Told(oracle=False)), extractor=Colours())
    findings = StarganV2Protocol(exemplars=3).run(setting)
    assert value(findings, "cis", MEAN) == pytest.approx(0, abs=1e-9)
    assert value(findings, "cis", MEAN, "ceiling") > 0
    with pytest.raises(LomitError, match="13 attributes in --modes; at most 12"):
        StarganV2Protocol(modes=tuple("abcdefghijklm")).run(setting)


def test_domains_that_cannot_be(setting_for: MakeSetting) -> None:
    with pytest.raises(LomitError, match="give --classifier, or --extractor"):
        StarganV2Protocol().run(replace(setting_for(Painter()), extractor=None))
    for options, says in (
        (StarganV2Protocol(domains=("Smilin",)), "no domain 'Smilin' .did you mean 'Smiling'"),
        (StarganV2Protocol(domains=("Smiling", "Smiling")), "named twice"),
        (StarganV2Protocol(exemplars=99), r"the domain '.*' has \d+ images of the test split; 99 are needed"),
    ):
        with pytest.raises(LomitError, match=says):
            options.run(crossed(setting_for, Painter()))
    with pytest.raises(LomitError, match="--modes need --classifier"):
        StarganV2Protocol(extractor="inception-tv", modes=("Smiling",)).check()


def test_domains_of_two_images_have_no_interval(setting_for: MakeSetting) -> None:
    """Leaving one of two people out would leave an image alone."""
    findings = StarganV2Protocol(domains=("Smiling",), exemplars=1, sources=2).run(crossed(setting_for, Told()))
    found = cell(findings, "fid", "Smiling to not Smiling", "floor")
    assert found.samples == 2
    assert found.value is not None
    assert found.low is None or found.people == 1
