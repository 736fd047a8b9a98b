"""Experiments as lists of commands: equal budgets, equal pairs, presets and classes that exist."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import pytest
import torch

from lomit.classifier.config import ClassifierConfig
from lomit.commands.reproduce import _config_of
from lomit.config import RunConfig
from lomit.errors import LomitError
from lomit.evaluation.classes import parse_class
from lomit.models import registry
from lomit.models.base import Phase
from lomit.models.registry import method_of
from lomit.reproduce.costs import Cost, Costs, updates
from lomit.reproduce.experiments import CELEBA, Experiment, Setup, ablations, competitors, rivals, table1
from lomit.reproduce.run import NIGHT, duration, proposal
from lomit.reproduce.stages import Stage

METHODS = ("lomit", "stargan", "drit", "munit", "starganv2")
PHASES = {
    "lomit": {"D": 1, "G": 0.86, "warmup": 0.14},
    "stargan": {"D": 1, "G": 1 / 2},
    "munit": {"D": 1, "G": 1},
    "drit": {"D": 1 / 3, "D_content": 1, "EG": 1 / 3, "G": 1 / 3},
    "starganv2": {"D": 1, "D_ref": 1, "G": 1, "G_ref": 1},
}
CELEBA_FACES = ("--data.root", "/celeba", "--data.extra-roots", "/more", "--data.split", "paper")
TURNS = {"lomit": 1, "stargan": 2, "munit": 1, "drit": 3, "starganv2": 1}
SECONDS = {"lomit": 1.3, "stargan": 0.7, "munit": 1.0, "drit": 0.35, "starganv2": 1.1}


class Known(Costs):
    """Costs without measuring."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))

    def training(self, config: RunConfig) -> Cost:
        method = method_of(config.model).name
        return Cost(2 * SECONDS[method], SECONDS[method], PHASES[method], TURNS[method], 2 * config.train.batch_size)

    def translation(self, config: RunConfig) -> Cost:
        return Cost(0.02, 0.01)

    def classifier(self, config: ClassifierConfig, batch: int = 32) -> Cost:
        return Cost(0.004, 0.002)

    def rendering(self, size: int) -> Cost:
        return Cost(0.02, 0.02)


def setup(**more: object) -> Setup:
    return Setup(Path("/out"), Known(), _config_of, **more)  # type: ignore[arg-type]


def stage(experiment: Experiment, name: str) -> Stage:
    (found,) = (stage for stage in experiment.stages if stage.name == name)
    return found


def option(words: Sequence[str], name: str) -> list[str]:
    """The values of an option; none where it is not given."""
    if name not in words:
        return []
    return list(takewhile(lambda word: not word.startswith("--"), words[words.index(name) + 1 :]))


def test_rivals_have_an_equal_budget() -> None:
    experiment = rivals(setup(minutes=30), METHODS, "Blond_Hair")
    assert [model.name for model in experiment.models] == list(METHODS)
    for model in experiment.models:
        assert model.steps % TURNS[model.name] == 0
        assert model.steps * model.cost.cpu == pytest.approx(1800, rel=0.002)
        train = stage(experiment, f"train/{model.name}")
        assert train.seconds == pytest.approx(1800, rel=0.002)
        config = _config_of(train.words[1:])
        preset = _config_of([train.words[1], "--out", "x"])
        whole = preset.train
        assert config.train.steps == model.steps
        shares = {name: getattr(preset.model, name) / whole.steps for name in preset.model.scheduled}
        assert {name for name, share in shares.items() if share} == {
            "lomit": {"warmup"},
            "starganv2": {"ds_steps"},
        }.get(model.name, set())
        for name, share in shares.items():
            assert getattr(config.model, name) / model.steps == pytest.approx(share, abs=1e-3)
        assert config.train.decay_start / model.steps == pytest.approx(whole.decay_start / whole.steps, abs=1e-3)


def test_rivals_are_asked_for_the_same() -> None:
    """One attribute differs, what LOMIT and StarGAN know besides is alike, whatever the model knows."""
    experiment = rivals(setup(steps=60), METHODS, "Blond_Hair")
    for protocol in ("avatars", "table1", "starganv2"):
        given = [stage(experiment, f"evaluate/{method}-{protocol}").words for method in METHODS]
        chosen = (
            "--differ",
            "--alike",
            "--classes",
            "--pairs",
            "--seed",
            "--domains",
            "--sources",
            "--modes",
            "--classifier",
        )
        assert len({tuple(tuple(option(words, name)) for name in chosen) for words in given}) == 1
    words = stage(experiment, "evaluate/munit-avatars").words
    assert option(words, "--differ") == ["Blond_Hair"]
    assert option(words, "--alike") == ["Smiling", "Facial_Hair"]
    smile = rivals(setup(steps=60), ("munit",), "Smiling")
    assert option(stage(smile, "evaluate/munit-table1").words, "--alike") == [
        "Black_Hair", "Blond_Hair", "Brown_Hair", "Facial_Hair",
    ]  # fmt: skip
    assert [s.name for s in smile.stages if s.name.startswith("train")] == ["train/munit"]


def test_every_model_of_table_1_has_a_preset_and_knows_its_classes() -> None:
    given = setup(faces=CELEBA_FACES, images=9_000, size=128)
    for size in (128, 64):
        experiment = table1(Setup(**{**vars(given), "size": size}), METHODS)
        assert len(experiment.models) == 2 + 2 + 5 + 5 + 3
        for model in experiment.models:
            config = _config_of(stage(experiment, f"train/{model.name}").words[1:])
            assert config.data.image_size == size
            assert config.data.extra_roots == ("/more",)
            assert config.data.split == "paper"
            assert set(config.data.attributes) <= set(CELEBA)
            words = stage(experiment, f"evaluate/{model.name}-table1").words
            for text in option(words, "--classes"):
                parse_class(text, config.data.attributes)
            assert "--opposite" in words
            assert option(words, "--classifier") == ["/out/classifier"]
            # A whole schedule: the preset's own.
            assert (
                model.steps
                == config.train.steps
                == _config_of([stage(experiment, f"train/{model.name}").words[1], "--out", "x"]).train.steps
            )
    assert stage(experiment, "classifier").seconds == pytest.approx(10 * 9_000 * 0.002)


def test_every_stage_gets_the_faces_and_the_device_that_were_chosen() -> None:
    given = setup(faces=CELEBA_FACES, decoding=("--data.workers", "7"), size=64)
    given.costs.device, given.costs.threads = torch.device("cuda:1"), 3
    experiment = table1(given, ("lomit",))
    for made in experiment.stages:
        assert option(made.words, "--data.split") == ["paper"]
        assert option(made.how, "--data.workers") == ["7"]
        prefix = "--train." if made.words[0] == "train" else "--"
        device = "accelerator" if made.words[0] == "train" else "device"
        assert option(made.how, prefix + device) == ["cuda:1"]
        assert option(made.how, prefix + "threads") == ["3"]


def test_the_full_method_is_trained_twice() -> None:
    experiment = ablations(setup(minutes=25), ())
    assert [model.name for model in experiment.models][:3] == ["full", "full-again", "plain-adain"]
    assert len(experiment.models) == 9
    first, again = (stage(experiment, f"train/{name}").words for name in ("full", "full-again"))
    assert (option(first, "--train.seed"), option(again, "--train.seed")) == (["0"], ["1"])
    assert first[1] == again[1] == "avatars-64"
    assert stage(experiment, "train/no-r1").words[1] == "avatars-64-no-r1"
    some = ablations(setup(minutes=25), ("no-r1", "full"))
    assert [model.name for model in some.models] == ["full", "no-r1"]


def test_another_method_is_compared_by_what_it_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method's domains and presets decide what it is trained on; what it has no preset for is left out."""
    assert tuple(method.name for method in competitors()) == METHODS
    munit = registry.get_method("munit")
    kept = {name: preset for name, preset in munit.presets.items() if "gender" in name}
    other = replace(
        munit, name="fifth", title="Fifth", presets={n.replace("munit", "fifth"): p for n, p in kept.items()}
    )
    monkeypatch.setattr(registry, "_METHODS", {**registry.methods(), "fifth": other})
    assert [method.name for method in competitors()] == [*METHODS, "fifth"]
    experiment = table1(setup(faces=("--data.root", "/celeba"), size=64), ("fifth",))
    assert [(m.label, m.name) for m in experiment.models] == [
        ("Fifth, gender", "fifth-gender"),
        ("Fifth, facialhair-gender", "fifth-facialhair-gender"),
    ]
    assert [stage(experiment, f"train/{m.name}").words[1] for m in experiment.models] == [
        "fifth-gender-64",
        "fifth-facialhair-gender-64",
    ]
    assert [m.name for m in rivals(setup(steps=60), (), "Smiling").models] == list(METHODS)


def test_training_goes_on_wherever_a_checkpoint_stands(tmp_path: Path) -> None:
    found = stage(rivals(replace(setup(), out=tmp_path), ("lomit",), "Blond_Hair"), "train/lomit")
    checkpoints = tmp_path / "models" / "lomit" / "checkpoints"
    (checkpoints / "step_6_copy").mkdir(parents=True)
    assert tuple(found.resumed()) == (), "that is none of the run's"
    (checkpoints / "step_0000006").mkdir()
    assert found.resumed() == ("--resume",)
    (checkpoints / "latest").write_text("step_0000009")
    assert found.resumed() == ("--resume",), "as train itself does where `latest` names none"


def test_names_that_are_none() -> None:
    with pytest.raises(LomitError, match="no method 'munt' .did you mean 'munit'"):
        rivals(setup(), ("munt",), "Blond_Hair")
    with pytest.raises(LomitError, match="no attribute 'Blond'.*Blond_Hair, Smiling, Facial_Hair"):
        rivals(setup(), METHODS, "Blond")
    with pytest.raises(LomitError, match="no variant 'no-r9'"):
        ablations(setup(), ("no-r9",))


def test_costs_are_measured_once() -> None:
    costs = Costs(torch.device("cpu"), threads=1)
    config = _config_of(["drit-tiny", "--out", "x"])
    threads = torch.get_num_threads()
    first = costs.training(config)
    assert torch.get_num_threads() == threads
    assert first.phases == pytest.approx(PHASES["drit"])
    assert first.turn == 3
    assert first.images == 8
    assert first.cpu > 0
    assert costs.translation(config).wall < first.wall
    assert costs.rendering(32).wall > 0
    assert costs.classifier(ClassifierConfig(("Smiling",), 32, 8)).wall > 0
    assert len(costs.known) == 4
    again = Costs(torch.device("cpu"), threads=1, known=costs.known)
    assert again.training(config) == first
    assert again.known == costs.known


@pytest.mark.parametrize(
    "phase",
    [
        Phase("a", lambda _: None, (), every, first, end)  # type: ignore[arg-type,return-value]
        for every in (1, 2, 3)
        for first in (0, 1, 4)
        for end in (None, 5, 50)
    ],
)
def test_updates_are_counted_as_the_loop_makes_them(phase: Phase) -> None:
    for steps in (1, 4, 5, 12):
        assert updates(phase, steps) == sum(phase.runs_in(step) for step in range(steps))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (91, "2 min"), (5300, "88 min"), (12_000, "3 h 20 min"), (400_000, "4 days 15 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_long_plan_comes_with_one_that_fits_a_night() -> None:
    def make(chosen: Setup) -> Experiment:
        return table1(chosen, ["lomit", "munit"])

    whole = setup(size=128, faces=CELEBA_FACES)
    told = proposal(make(whole), make, whole)
    minutes = int(re.search(r"add --size 64 --minutes (\d+);", told)[1])  # type: ignore[index]
    seconds = sum(stage.seconds or 0 for stage in make(replace(whole, size=64, minutes=minutes)).stages)
    assert 0.9 * NIGHT < seconds <= NIGHT
    short = replace(whole, size=64, steps=10)
    assert proposal(make(short), make, short) == ""


def test_a_rough_plan_measures_little_and_scales() -> None:
    costs = Costs(torch.device("cpu"), threads=1, rough=True)
    config = _config_of(["avatars-64", "--out", "run"])
    measured: list[RunConfig] = []

    def measure(config: RunConfig) -> Cost:
        measured.append(config)
        return Cost(0.4 + 0.1 * config.train.batch_size, 0.25)

    costs._measure_training = costs._measure_translation = measure  # type: ignore[method-assign]
    train, translation = costs.training(config), costs.translation(config)
    assert [(each.model.image_size, each.train.batch_size) for each in measured] == [(32, 1), (32, 2), (32, 1)]
    assert (train.wall, train.cpu, train.images) == (pytest.approx(0.4 + 0.1 * 4 * 8), 0.25, 16)
    assert translation.wall == 0.5 * 4


@pytest.mark.parametrize("name", ["re pro", "a'b", 'c"d', "$HOME `x`", "e;f &g", "h*?[i]", "-j", "#k", "\u65e5 \u672c"])
def test_printed_commands_can_be_pasted(name: str) -> None:
    stage = table1(replace(setup(faces=("--data.root", f"/in/{name}")), out=Path("/out") / name), ["lomit"]).stages[-1]
    said = subprocess.run(
        ["sh", "-c", f"lomit() {{ printf '%s\\n' \"$@\"; }}; {stage.command}"], check=True, capture_output=True
    ).stdout.decode()
    assert said.splitlines() == [*stage.words, *stage.how]
