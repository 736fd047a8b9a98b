"""`lomit report` as a user calls it."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lomit.cli import main
from report.conftest import HOSTILE, Page, cell, results_json, row, write_json, write_log

FEW = ("--columns", "2", "--exemplars", "2", "--codes", "20", "--device", "cpu")


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory, model: Path, folder: Path) -> dict[str, Path]:
    """A run with its evaluation, a model, edits and a study, with markup in every text."""
    root = tmp_path_factory.mktemp("inputs")
    run = write_log(root / "run", [{"step": 20, "G/cyc": 1.0, HOSTILE: 2.0}, {"step": 20, "warning": HOSTILE}])
    (run / "samples").mkdir()
    Image.new("RGB", (40, 30)).save(run / "samples" / "step_0000020.png")
    rows = [
        row(HOSTILE, HOSTILE, HOSTILE, model=cell(), floor=cell(), flag=HOSTILE),
        row("ca", HOSTILE, model=cell()),
        row("iou", unit="", model=cell(0.5, 0.4, 0.6)),
    ]
    results = results_json(rows, protocol=HOSTILE)
    results["notes"] = [HOSTILE]
    write_json(root / "evaluation" / "results.json", results)
    hostile = root / "hostile"
    shutil.copytree(model, hostile)
    config = json.loads((hostile / "config.json").read_text())
    config["model"]["attributes"] = ["Smiling", HOSTILE]
    write_json(hostile / "config.json", config)
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "a.png")
    Image.new("L", (16, 16)).save(root / "m.png")
    edit = {"caption": HOSTILE, "input": "a.png", "exemplar": "a.png", "input_mask": "m.png"}
    write_json(root / "edits.json", {"mask_edits": 1, "edits": [edit]})
    comparison = {"question": HOSTILE, "models": [HOSTILE, "b"], "chosen": [1, 2]}
    write_json(root / "study.json", {"study": 1, "simulated": True, "participants": 1, "comparisons": [comparison]})
    return {
        "run": run,
        "evaluation": root / "evaluation",
        "hostile": hostile,
        "model": model,
        "root": root,
        "faces": folder,
    }


@pytest.fixture(scope="session")
def full(inputs: dict[str, Path]) -> Path:
    """A page with everything on it."""
    pytest.importorskip("sklearn")
    out = inputs["root"] / "page.html"
    words = [f"{HOSTILE.replace('=', '')}={inputs['run']}", f"ours={inputs['evaluation']}", f"ours={inputs['hostile']}"]
    more = ["--edits", str(inputs["root"] / "edits.json"), "--study", str(inputs["root"] / "study.json")]
    data = ["--data.root", str(inputs["faces"])]
    assert main(["report", *words, "--out", str(out), "--title", HOSTILE, *more, *data, *FEW]) == 0
    return out


def test_every_section_is_there(full: Path) -> None:
    page = Page(full.read_text())
    assert page.headings == [
        "What is on this page",
        "Table 1",
        "Measures",
        "Figure 4: translations",
        "Figure 4 a' to c': edited masks",
        "Figure 6: one input, many exemplars",
        "Figure 7: user study",
        "Figure 8: codes by domain",
        "Figures 9 to 11: more results",
        "Training curves",
        "Sample sheets",
        "Not on this page",
    ]
    end = page.text[page.text.rindex("Not on this page") :]
    assert "Figure 5: action units" in end
    assert "lomit train emotionet-aus" in end
    assert "Ablations" in end
    assert "lomit train avatars-64-no-r1" in end


def test_the_page_is_well_formed_and_readable_without_pictures(full: Path) -> None:
    page = Page(full.read_text())
    assert page.stray == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = [attributes["href"] for name, attributes in page.tags if name == "a"]
    assert links == [f"#{id_}" for id_ in ids]
    for name, attributes in page.tags:
        if name == "img":
            assert attributes["alt"]
        if name == "svg":
            assert attributes["aria-label"]
        if attributes.get("class") == "scroll":
            assert attributes["aria-label"]
            assert attributes["tabindex"] == "0"
    names = [name for name, _ in page.tags]
    assert names.count("h1") == 1
    assert {"header", "nav", "main", "footer", "caption", "th"} <= set(names)


def test_nothing_is_fetched_and_nothing_runs(full: Path) -> None:
    text = full.read_text()
    page = Page(text)
    for name, attributes in page.tags:
        assert name not in ("script", "link", "iframe", "object", "embed", "form", "base", "picture", "source")
        assert not [key for key in attributes if key.startswith("on") or key in ("style", "srcset", "action")]
        for key in ("src", "href"):
            if key in attributes:
                assert str(attributes[key]).startswith(("data:image/png;base64,", "#"))
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policies = [a["content"] for n, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_text_of_files_is_text(full: Path) -> None:
    page = Page(full.read_text())
    # Title, label, section, row, column, protocol, note, class, warning, term, edit, question, model's attribute.
    assert page.text.count("<script>alert('x')</script>") > 12


def test_no_path_of_the_machine_is_told(full: Path, inputs: dict[str, Path]) -> None:
    assert str(inputs["root"].parent) not in full.read_text()


def test_same_inputs_same_bytes(full: Path, inputs: dict[str, Path], tmp_path: Path) -> None:
    words = ["report", str(inputs["model"]), "--data.root", str(inputs["faces"]), *FEW]
    for name in ("one", "two"):
        assert main([*words, "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_is_missing_says_what_makes_it(
    tmp_path: Path, results_of: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(tmp_path / "hair" / "results.json", results_of(70))
    assert main(["report", str(tmp_path / "hair"), "--out", str(tmp_path / "page.html")]) == 0
    assert "page.html" in capsys.readouterr().out
    page = Page((tmp_path / "page.html").read_text())
    assert page.headings == ["What is on this page", "Table 1", "Measures", "Not on this page"]
    end = page.text[page.text.rindex("Not on this page") :]
    for text in ("Figure 4", "Figure 6", "Figure 8", "lomit train PRESET --out RUN", "no answers of people", "--edits"):
        assert text in end
    assert "may show people" not in page.text


def test_a_warning_where_people_may_be_shown(tmp_path: Path) -> None:
    run = write_log(tmp_path / "run", [{"step": 1, "lr": 1.0}])
    out = tmp_path / "page.html"
    assert main(["report", str(run), "--out", str(out)]) == 0
    assert "may show people" not in out.read_text()
    write_json(run / "config.json", {"method": "lomit", "model": {}, "data": {"kind": "celeba"}})
    assert main(["report", str(run), "--out", str(out), "--overwrite"]) == 0
    assert "may show people" in out.read_text()


def pictures(page: Page) -> list[tuple[str, Image.Image]]:
    """What each picture of a page is said to show, and the picture."""
    tags = [attributes for name, attributes in page.tags if name == "img"]
    files = [io.BytesIO(base64.b64decode(str(tag["src"]).partition(",")[2])) for tag in tags]
    return [(str(tag["alt"]), Image.open(file)) for tag, file in zip(tags, files, strict=True)]


def test_a_runs_figures_show_the_faces_that_it_was_trained_on(
    tmp_path: Path, model: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = write_log(tmp_path / "run", [{"step": 1, "lr": 1.0}]), tmp_path / "page.html"
    for file in model.iterdir():
        shutil.copy(file, run / file.name)
    config = json.loads((run / "config.json").read_text())
    data = {"kind": "folder", "root": str(folder), "attributes": ["Smiling"], "require_one_of": ["Smiling"]}
    write_json(run / "config.json", config | {"data": data})
    few = ("--columns", "2", "--exemplars", "2", "--codes", "0", "--device", "cpu", "--overwrite")
    assert main(["report", str(run), "--out", str(out), *few]) == 0
    page = Page(out.read_text())
    assert "Faces: noise, val split" in page.text
    assert "rendered faces" not in page.text
    assert "may show people" in page.text
    own = {Image.open(file).convert("RGB").tobytes() for file in (folder / "images").iterdir()}
    faces = [
        image for alt, image in pictures(page) if alt.startswith(("input: ", "exemplar: ", "the input", "exemplar "))
    ]
    assert len(faces) > 4
    assert {image.convert("RGB").tobytes() for image in faces} <= own
    # What is not there any more is not replaced by other faces.
    write_json(run / "config.json", config | {"data": data | {"root": str(tmp_path / "gone")}})
    assert main(["report", str(run), "--out", str(out), *few]) == 0
    page = Page(out.read_text())
    assert "Figure 4: translations" not in page.headings
    assert "the faces that the run was trained on (gone) are not there; name them with --data.root" in page.text
    assert str(tmp_path) not in page.text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nothing to report on: give training runs, models or results"),
        (["{run}", "--out", ""], "is a folder; give the file to write"),
        (["{run}", "--out", "{run}"], "is a folder; give the file to write"),
        (["{run}", "--out", "{there}"], "exists already; add --overwrite to replace it"),
        (["{run}", "--columns", "0"], "--columns must be at least 1; it is 0"),
        (["{run}", "--codes", "-1"], "--codes must be at least 0; it is -1"),
        (["{run}", "--colums", "3"], "see lomit report --help"),
        (["avatar"], "no model 'avatar' (did you mean 'avatars'?)"),
        (["x="], "'x=' names no run, model or evaluation"),
        (["{root}"], "is no training run, model or evaluation: it has no log.jsonl"),
        (["{root}/none.json"], "no such file"),
        (["{there}.json"], "can't be read as JSON"),
        (["a={run}", "a={run}"], "two training runs are called 'a'; name them: LABEL=PATH"),
        (["a={root}/evaluation", "a={root}/evaluation"], "two evaluations of one class by one protocol are called 'a'"),
        (["{run}", "--edits", "{there}"], "can't be read as JSON"),
        (["{run}", "--study", "{there}"], "can't be read as JSON"),
        (["{run}", "--data.root", "{root}/none"], "no such folder or file"),
        (["{run}", "--device", "toaster"], "no device 'toaster' here"),
    ],
)
def test_bad_input_is_one_line(
    inputs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    for name in ("there", "there.json"):
        (tmp_path / name).write_text("mine")
    places = {"run": inputs["run"], "root": inputs["root"], "there": tmp_path / "there"}
    argv = [word.format(**places) for word in words]
    out = [] if "--out" in argv else ["--out", str(tmp_path / "new.html")]
    assert main(["report", *argv, *out]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert (tmp_path / "there").read_text() == "mine"
    assert not (tmp_path / "new.html").exists()


def test_without_out(inputs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(inputs["run"])]) == 2
    assert "give --out; see lomit report --help" in capsys.readouterr().err


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser(full: Path, width: int, browser: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    requests, complaints = list[str](), list[str]()
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(full.as_uri())
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    pictures = page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    page.close()
    assert overflow <= 0
    assert pictures
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert complaints == []
