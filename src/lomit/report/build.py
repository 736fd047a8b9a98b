"""From what was given to the page: a section for what is there, a line for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lomit.classifier.network import file_sha256
from lomit.config import DataConfig
from lomit.data.gallery import Faces, RenderedFaces, SourceFaces
from lomit.data.open import open_source
from lomit.data.source import Source
from lomit.errors import LomitError
from lomit.evaluation.classes import NAME_OF
from lomit.images import read_image
from lomit.inference.choice import of_photographs
from lomit.inference.predictor import Predictor
from lomit.inference.weights import WEIGHTS
from lomit.models.registry import method_of
from lomit.report import figure8
from lomit.report.curves import curves, read_log
from lomit.report.edits import EditedPair, edited_figure
from lomit.report.figure7 import StudyCounts, figure_7
from lomit.report.figures import Subject, common, comparison, exemplars, many_exemplars, pairs, source_note
from lomit.report.inputs import LOG, Item, data_of, photographs, run_of, sheet_of
from lomit.report.parts import Cell, Content, HowTo, PagePart, PageTable, Paragraph, Sheet, page, picture
from lomit.report.tables import ablations, measures, table_1
from lomit.stats.estimate import NONE

APPENDIX = (9, 10, 11)
"""The paper's figures of additional results, each with other faces."""
_MODEL = "Give a model or a training run with a checkpoint: "
_EVALUATE = "lomit evaluate PROTOCOL MODEL --data.root DIR --classifier DIR --out RESULTS"
_FIGURE_4 = (_MODEL, "lomit report avatars --out page.html", " (faces are rendered, or --data.root names some).")
HOW: dict[str, tuple[str, ...]] = {
    "Table 1": ("Give evaluations with accuracy or inception scores: ", _EVALUATE, "."),
    "Measures": ("Give folders that hold results.json: ", _EVALUATE, "."),
    "Figure 4: translations": _FIGURE_4,
    "Figure 4 a' to c': edited masks": (
        "Save masks, edit them, list them in a JSON file (docs/report.md has its form) and name it: ",
        "lomit report MODEL --edits edits.json --out page.html",
        ".",
    ),
    "Figure 5: action units": (
        "Train on action units, and give the run with photographs that are labelled with them: ",
        "lomit train emotionet-aus --data.root DIR --out RUN && lomit report RUN --out page.html",
        ".",
    ),
    "Figure 6: one input, many exemplars": _FIGURE_4,
    "Figure 7: user study": (
        "There are no answers of people. Give them as counts (docs/report.md has the form): ",
        "lomit report MODEL --study study.json --out page.html",
        ".",
    ),
    "Figure 8: codes by domain": (
        "Give a model that has content and style codes, and leave --codes above 0: ",
        "lomit report avatars --codes 240 --out page.html",
        ".",
    ),
    "Figures 9 to 11: more results": _FIGURE_4,
    "Training curves": ("Give the folder of a training run: ", "lomit train PRESET --out RUN", "."),
    "Sample sheets": (
        "Give a training run that has drawn one: ",
        "lomit train PRESET --train.sample-every 200 --out RUN",
        ".",
    ),
    "Ablations": (
        "Train the full preset and its ablations, evaluate each on the same pairs, and give all the results: ",
        "lomit train avatars-64-no-r1 --out RUN && "
        "lomit evaluate avatars RUN --data.root DIR --classifier DIR --out RESULTS",
        " (lomit train --help lists the presets).",
    ),
}
"""Section -> what makes it: text and commands in turn.  The sections stand in this order."""


@dataclass(frozen=True)
class Request:
    """What the page shall be about, as the options of `lomit report` say; `data` None: those of the first run, or
    rendered faces.
    """

    title: str
    items: Sequence[Item]
    data: DataConfig | None
    columns: int
    exemplars: int
    codes: int
    edits: Sequence[EditedPair]
    study: StudyCounts | None
    seed: int
    device: str | None


def build(request: Request) -> str:
    """The page.  Raises `LomitError` for a model, log or image that can't be used."""
    items = request.items
    evaluations = [(item.label, results) for item in items for results in item.results]
    subjects = [
        Subject(item.label, Predictor.from_pretrained(item.model, request.device))
        for item in items
        if item.model is not None
    ]
    runs = {item.label: item.run for item in items if item.run is not None}
    source = None if request.data is None else open_source(request.data)
    figures, people = _figures(request, subjects, source)
    found: dict[str, Sequence[PagePart]] = {
        "Table 1": table_1(evaluations),
        "Measures": measures(evaluations),
        **figures,
        "Figure 4 a' to c': edited masks": edited_figure(subjects, request.edits) if request.edits else [],
        "Figure 7: user study": figure_7(request.study) if request.study else [],
        "Training curves": curves(runs) if runs else [],
        "Sample sheets": _sheets(runs),
        "Ablations": ablations(evaluations, {item.label: item.config() for item in items}),
    }
    missing = dict(HOW)
    sections: dict[str, Sequence[PagePart]] = {"What is on this page": [overview(items)]}
    for heading in HOW:
        match found[heading]:
            case []:
                continue
            case [HowTo(entries)]:  # why there is none
                missing |= entries
            case blocks:
                sections[heading] = blocks
                del missing[heading]
    if missing:
        sections["Not on this page"] = [HowTo(missing)]
    people = people or bool(request.edits) or any(photographs(run) for run in runs.values())
    return page(request.title, _introduction(people), sections)


def _introduction(people: bool) -> list[PagePart]:
    about = (
        "Exemplar-guided image-to-image translation with local masks (LOMIT): the paper's tables and figures, from the "
        "runs, models and evaluations that were given."
    )
    warning = (
        "Pictures on this page may show people. Look up the terms of their data set before you pass it on: CelebA's "
        "forbid publishing."
    )
    return [Paragraph((about,)), *([Paragraph((warning,), "warning")] if people else [])]


def overview(items: Sequence[Item]) -> PageTable:
    """What was given, with what identifies it; no paths of the machine."""
    rows: list[list[Content]] = []
    for item in items:
        config = item.config()
        given = [name for name in ("run", "model") if getattr(item, name) is not None]
        given += [f"evaluation ({results.fact('protocol')})" for results in item.results]
        rows.append([
            item.label,
            ", ".join(given),
            NONE if config is None else f"{method_of(config).name}, {config.image_size} x {config.image_size}",
            NONE if config is None else ", ".join(a.replace("_", " ") for a in config.attributes),
            NONE if item.run is None else f"{read_log(item.run / LOG).steps:,}",
            NONE if item.model is None else Cell(file_sha256(item.model / WEIGHTS)[:12], look="code"),
        ])  # fmt: skip
    header = ["label", "given", "method", "attributes", "iterations", "SHA-256 of the weights"]
    return PageTable("Runs, models and evaluations", [header], rows, "text")


def faces_of(request: Request, size: int, source: Source | None = None) -> Faces:
    """The faces of the figures, `size` pixels a side; `source` is the request's data, opened.  Raises LomitError where
    they are not to be had.
    """
    data, runs = request.data, [run for item in request.items if (run := item.run or run_of(item.model)) is not None]
    if data is None and runs:
        data = data_of(runs[0])
        if data is not None and data.kind == "avatars" and data.root is None:
            data = None
        elif data is not None and (data.root is None or not Path(data.root).expanduser().exists()):
            name = "" if data.root is None else f" ({Path(data.root).name})"
            raise LomitError(f"the faces that the run was trained on{name} are not there; name them with --data.root")
    if data is None and any(item.model is not None and of_photographs(item.model) for item in request.items):
        raise LomitError("the model knows photographs, and none are given; name them with --data.root")
    if data is None:
        return RenderedFaces(request.seed, size)
    data = replace(data, image_size=size, attributes=(), require_one_of=())
    return SourceFaces(source or open_source(data), data, request.seed, Path(data.root or "").resolve().name)


def _figures(
    request: Request, subjects: Sequence[Subject], source: Source | None
) -> tuple[dict[str, list[PagePart]], bool]:
    """Figures 4 to 11, or for each why there is none; and whether they may show people."""
    faces, problem = None, ""
    if subjects:
        try:
            faces = faces_of(request, max(subject.predictor.image_size for subject in subjects), source)
        except LomitError as error:
            problem = str(error)
    groups = common(subjects)
    units = [group for group in groups if all(name.startswith("AU") for name in group[1]) and group[1]]
    others = [group for group in groups if group not in units]

    def drawn(
        heading: str,
        groups: Sequence[tuple[list[Subject], list[str]]],
        make: Callable[[Faces, list[Subject], list[str]], list[PagePart]],
    ) -> list[PagePart]:
        """The figure for each group of models and the attributes that they share."""
        why = problem
        if faces is not None:
            try:
                return [block for members, names in groups for block in make(faces, members, names)]
            except LomitError as error:
                why = str(error)
        return [HowTo({heading: (f"{why}.",)})] if why and groups else []

    def compared(faces: Faces, members: list[Subject], names: list[str]) -> list[PagePart]:
        chosen = pairs(faces, names, request.columns, request.seed)
        return [comparison(_of(members), members, faces, chosen, masks=True), source_note(faces, members)]

    def multimodal(faces: Faces, members: list[Subject], names: list[str]) -> list[PagePart]:
        chosen = many_exemplars(faces, names, request.exemplars, request.seed)
        return [exemplars(_of(members), members, faces, *chosen), source_note(faces, members)]

    def embedded(faces: Faces, members: list[Subject], names: list[str]) -> list[PagePart]:
        found = [b for subject in members for b in figure8.figure_8(subject, faces, request.codes, request.seed)]
        return [*found, figure8.notes(faces)] if found else []

    def more(faces: Faces, members: list[Subject], names: list[str]) -> list[PagePart]:
        about = [n for n in names if n in faces.attributes and NAME_OF.get(n) in ("facial hair", "gender")]
        tables: list[PagePart] = []
        for number in APPENDIX:
            chosen = pairs(faces, names, request.columns, request.seed + number, about or None)
            tables.append(comparison(f"Figure {number}: {_of(members)}", members, faces, chosen, masks=False))
        return [*tables, source_note(faces, members)]

    figures = {
        "Figure 4: translations": (others, compared),
        "Figure 5: action units": (units, compared),
        "Figure 6: one input, many exemplars": (groups, multimodal),
        "Figure 8: codes by domain": (groups if request.codes else [], embedded),
        "Figures 9 to 11: more results": (others, more),
    }
    found = {heading: drawn(heading, *how) for heading, how in figures.items()}
    return found, faces is not None and faces.people


def _of(members: Sequence[Subject]) -> str:
    return "translated by " + ", ".join(member.label for member in members)


def _sheets(runs: dict[str, Path]) -> list[PagePart]:
    """The newest sample sheet of each run."""
    found: list[PagePart] = []
    for label, run in runs.items():
        sheet = sheet_of(run)
        if sheet is not None:
            image = picture(read_image(sheet).on_white(), f"sample sheet of {label}, {sheet.stem}: one pair a row")
            found.append(Sheet(f"{label}, {sheet.stem.replace('_', ' ')}", image))
    return found
