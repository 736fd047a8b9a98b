"""`lomit translate` by what a method can be guided by: an exemplar, a label, random styles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lomit import Predictor
from lomit.cli import main
from lomit.data.sampling import NONE_OR_ALL
from lomit.errors import LomitError
from lomit.inference.weights import save_pretrained
from support.tiny import real_methods, tiny_translator

Run = Callable[..., int]
METHODS = sorted(real_methods())
TWO_DOMAINS = [name for name in METHODS if real_methods()[name].translator.domains is NONE_OR_ALL]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("a", "b", "guide"):
        Path("inputs").mkdir(exist_ok=True)
        path = f"{name}.png" if name == "guide" else f"inputs/{name}.png"
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    return tmp_path


def run(method: str, *words: str) -> int:
    if not Path(method).exists():
        save_pretrained(tiny_translator(method), method)
    return main(["translate", "--model", method, "--device", "cpu", "--out", "out", "inputs", *words])


def made() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path("out").iterdir())}


def test_a_label_guides_stargan(work: Path) -> None:
    assert run("stargan", "--label", "Smiling=1", "Hat=0") == 0
    assert run("stargan", "--label", "Hat=1", "--input-mask", "guide.png") == 2
    assert run("stargan", "--label", "Hat=1") == 0
    assert list(made()) == ["a__Hat-1.png", "a__Smiling-1_Hat-0.png", "b__Hat-1.png", "b__Smiling-1_Hat-0.png"]
    assert len(set(made().values())) == 4


@pytest.mark.parametrize("method", TWO_DOMAINS)
def test_exemplars_and_random_styles_guide_methods_with_two_domains(method: str, work: Path) -> None:
    assert run(method, "--random", "2", "--seed", "3") == 0
    first = made()
    assert list(first) == [f"{name}__random-0{k}.png" for name in "ab" for k in (1, 2)]
    assert len(set(first.values())) == 4
    assert run(method, "--random", "2", "--seed", "4", "--overwrite") == 0
    assert all(made()[name] != image for name, image in first.items())
    assert run(method, "guide.png") == 0
    to_domain_1 = made()["a__guide.png"]
    assert run(method, "guide.png", "--label", "Smiling=0", "--overwrite") == 0
    assert made()["a__guide.png"] != to_domain_1
    assert run(method, "guide.png", "--label", "Smiling=1", "--overwrite") == 0
    assert made()["a__guide.png"] == to_domain_1


def test_a_label_names_starganv2_s_domain_whatever_gives_the_style(work: Path) -> None:
    assert run("starganv2", "guide.png", "--label", "Smiling=1") == 0
    by_exemplar = made()["a__guide.png"]
    assert run("starganv2", "guide.png", "--label", "Hat=1", "--overwrite") == 0
    assert made()["a__guide.png"] != by_exemplar
    assert run("starganv2", "--random", "2", "--label", "Hat=1") == 0
    assert run("starganv2", "--label", "Hat=1") == 0
    found = [name for name in made() if name.startswith("a")]
    assert found == ["a__Hat-1.png", "a__guide.png", "a__random-01.png", "a__random-02.png"]
    assert len(set(made().values())) == 8
    before = made()["a__random-01.png"]
    assert run("starganv2", "--random", "2", "--label", "Smiling=1", "--overwrite") == 0
    assert made()["a__random-01.png"] != before


@pytest.mark.parametrize(
    ("method", "words", "expected"),
    [
        ("stargan", ("guide.png",), "'stargan' can't be guided by an exemplar; give a label"),
        ("stargan", ("--random", "2"), "'stargan' has no random styles to draw"),
        ("lomit", ("--label", "Hat=1"), "'lomit' can't be guided by a label; give an exemplar"),
        ("lomit", ("--random", "1"), "'lomit' has no random styles to draw"),
        *((name, ("--label", "Hat=1"), "an exemplar image or a random style") for name in TWO_DOMAINS),
        *((name, ("guide.png", "--save-masks"), "has no masks") for name in TWO_DOMAINS),
        *((name, ("guide.png", "--steps", "2"), "can't interpolate") for name in TWO_DOMAINS),
        ("starganv2", ("guide.png",), "has to be told the target domain"),
        ("starganv2", ("--random", "1", "--label", "Hat=1", "Smiling=1"), "set one of Smiling, Hat to 1"),
        ("starganv2", ("--label", "Hat=0"), "set one of Smiling, Hat to 1"),
        ("starganv2", ("guide.png", "--label", "Hat=1", "--save-masks"), "has no masks"),
    ],
)
def test_what_a_method_cannot_do_is_one_line(
    method: str, words: tuple[str, ...], expected: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(method, *words) == 2
    told = capsys.readouterr()
    assert expected in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("method", METHODS)
def test_equal_calls_give_equal_results(method: str, work: Path) -> None:
    """Exemplar mode draws nothing: DRIT's codes are means."""
    predictor = Predictor(tiny_translator(method), "cpu")
    image, guide = Image.open("inputs/a.png"), Image.open("guide.png")
    words: dict[str, Any] = {"exemplars": [guide]} if "exemplar" in predictor.guides else {}
    if "label" in predictor.guides:
        words["label"] = {"Hat": 1}
    first, second = (predictor.translate([image], **words)[0].raw for _ in range(2))
    assert np.array_equal(first, second)


def test_styles_are_one_for_all_or_one_for_each(work: Path) -> None:
    predictor = Predictor(tiny_translator("munit"), "cpu")
    images = [Image.open(f"inputs/{name}.png") for name in "ab"]
    styles = predictor.random_styles(2, seed=1)
    one, two = predictor.translate(images, styles=styles)
    assert np.abs(predictor.translate(images, styles=styles[:1])[0].raw - one.raw).max() < 1e-4
    assert np.abs(predictor.translate(images[1:], styles=styles[1:])[0].raw - two.raw).max() < 1e-4
    with pytest.raises(LomitError, match="2 inputs need as many"):
        predictor.translate(images, styles=predictor.random_styles(3))
