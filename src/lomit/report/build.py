"""From what was given to the page: a section for what is there, a line for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lomit.classifier.network import file_sha256
from lomit.data.gallery import Faces
from lomit.errors import LomitError
from lomit.images import read_image
from lomit.models.base import method_of
from lomit.predictor import Predictor
from lomit.report import codes, missing
from lomit.report.curves import curves, read_log
from lomit.report.edits import Edit, edited_figure
from lomit.report.faces import many_exemplars, pairs
from lomit.report.inputs import LOG, Item, photographs, sheet_of
from lomit.report.markup import Content, Html, join, paragraph, picture, table, tag
from lomit.report.measures import ablations, measures
from lomit.report.page import Missing, Section, page
from lomit.report.pictures import Subject, common, comparison, exemplars, source_note
from lomit.report.study import Study, figure_7
from lomit.report.table1 import KINDS, table_1
from lomit.weights import WEIGHTS

APPENDIX = (9, 10, 11)
"""The paper's figures of additional results, each with other faces."""


@dataclass(frozen=True)
class Request:
    """What the page shall be about.

    Attributes:
        title: of the page.
        items: runs, models and evaluations.
        faces: makes the faces of the figures, given the side in pixels.
        columns: pairs in Figures 4, 5 and 9 to 11.
        exemplars: exemplars in Figure 6.
        codes: faces in Figure 8.
        edits: for Figure 4 a' to c'.
        study: for Figure 7.
        seed: draws pairs and faces.
        device: where to compute.
    """

    title: str
    items: Sequence[Item]
    faces: Callable[[int], Faces]
    columns: int
    exemplars: int
    codes: int
    edits: Sequence[Edit]
    study: Study | None
    seed: int
    device: str | None


Group = tuple[list[Subject], list[str]]
"""Models and the attributes they share."""
Make = Callable[[Faces, list[Subject], list[str]], Html | None]
"""What draws a group's figure."""


class _Parts:
    """Sections and what is missing, as they are found."""

    def __init__(self) -> None:
        self.sections: list[Section] = []
        self.missing: list[Missing] = []

    def add(self, heading: str, body: Html | None, otherwise: Content) -> None:
        """A section, or where there is nothing to show, how to make it."""
        if body is None:
            self.missing.append(Missing(heading, otherwise))
        else:
            self.sections.append(Section(heading, body))


def build(request: Request) -> str:
    """The page.

    Raises:
        LomitError: for a model, log or image that can't be used.
    """
    items = request.items
    evaluations = [(item.label, results) for item in items for results in item.results]
    subjects = [
        Subject(item.label, Predictor.from_pretrained(item.model, request.device))
        for item in items
        if item.model is not None
    ]
    parts = _Parts()
    parts.add("What is on this page", overview(items), None)
    parts.add("Table 1", table_1(evaluations) if evaluations else None, missing.TABLE_1)
    parts.add("Measures", measures(evaluations) if evaluations else None, missing.MEASURES)
    people = _figures(request, subjects, parts)
    runs = {item.label: item.run for item in items if item.run is not None}
    parts.add("Training curves", curves(runs) if runs else None, missing.CURVES)
    parts.add("Sample sheets", _sheets(runs) if runs else None, missing.SHEETS)
    configs = {item.label: item.config() for item in items}
    parts.add("Ablations", ablations(evaluations, configs) if evaluations else None, missing.ABLATIONS)
    people = people or bool(request.edits) or any(photographs(run) for run in runs.values())
    return page(request.title, _introduction(people), parts.sections, parts.missing)


def _introduction(people: bool) -> Html:
    parts: list[Content] = [
        paragraph(
            "Exemplar-guided image-to-image translation with local masks (LOMIT): the paper's tables and figures, "
            "from the runs, models and evaluations that were given."
        )
    ]
    if people:
        parts.append(
            paragraph(
                "Pictures on this page may show people. Look up the terms of their data set before you pass it on: "
                "CelebA's forbid publishing.",
                class_="warning",
            )
        )
    return join(parts)


def overview(items: Sequence[Item]) -> Html:
    """What was given, with what identifies it; no paths of the machine."""
    rows: list[list[Content]] = []
    for item in items:
        config = item.config()
        given = [name for name in ("run", "model") if getattr(item, name) is not None]
        given += [f"evaluation ({results.fact('protocol')})" for results in item.results]
        rows.append([
            item.label,
            ", ".join(given),
            "–" if config is None else f"{method_of(config).name}, {config.image_size} x {config.image_size}",
            "–" if config is None else ", ".join(a.replace("_", " ") for a in config.attributes),
            "–" if item.run is None else f"{read_log(item.run / LOG).steps:,}",
            "–" if item.model is None else tag("code", file_sha256(item.model / WEIGHTS)[:12]),
        ])  # fmt: skip
    header = ["label", "given", "method", "attributes", "iterations", "SHA-256 of the weights"]
    return table("Runs, models and evaluations", [header], rows, class_="text")


def _figures(request: Request, subjects: Sequence[Subject], parts: _Parts) -> bool:
    """Figures 4 to 11; whether they may show people."""
    faces, problem = None, None
    if subjects:
        try:
            faces = request.faces(max(subject.predictor.image_size for subject in subjects))
        except LomitError as error:
            problem = str(error)
    groups = common(subjects)
    units = [group for group in groups if all(name.startswith("AU") for name in group[1]) and group[1]]
    others = [group for group in groups if group not in units]

    def drawn(
        groups: Sequence[tuple[list[Subject], list[str]]],
        make: Callable[[Faces, list[Subject], list[str]], Html | None],
    ) -> tuple[Html | None, str | None]:
        """The figure for each group, or why there is none."""
        if faces is None or not groups:
            return None, problem
        try:
            found = [body for members, names in groups if (body := make(faces, members, names)) is not None]
        except LomitError as error:
            return None, str(error)
        return (join(found), None) if found else (None, None)

    def add(heading: str, found: tuple[Html | None, str | None], how: Content) -> None:
        body, why = found
        parts.add(heading, body, how if why is None else f"{why}.")

    def compared(faces: Faces, members: list[Subject], names: list[str]) -> Html:
        chosen = pairs(faces, names, request.columns, request.seed)
        figure = comparison(_of(members), members, faces, chosen, masks=True)
        return join([figure, source_note(faces, members)])

    add("Figure 4: translations", drawn(others, compared), missing.FIGURE_4)
    edited = edited_figure(subjects, request.edits) if request.edits and subjects else None
    parts.add("Figure 4 a' to c': edited masks", edited, missing.EDITS)
    add("Figure 5: action units", drawn(units, compared), missing.FIGURE_5)

    def multimodal(faces: Faces, members: list[Subject], names: list[str]) -> Html:
        chosen = many_exemplars(faces, names, request.exemplars, request.seed)
        return join([exemplars(_of(members), members, faces, *chosen), source_note(faces, members)])

    add("Figure 6: one input, many exemplars", drawn(groups, multimodal), missing.FIGURE_6)
    parts.add("Figure 7: user study", figure_7(request.study) if request.study else None, missing.FIGURE_7)

    def embedded(faces: Faces, members: list[Subject], names: list[str]) -> Html | None:
        found = [codes.figure_8(subject, faces, request.codes, request.seed) for subject in members]
        return join([*found, codes.notes(faces)]) if any(body is not None for body in found) else None

    add("Figure 8: codes by domain", drawn(groups, embedded) if request.codes else (None, None), missing.FIGURE_8)

    def more(faces: Faces, members: list[Subject], names: list[str]) -> Html:
        about = [name for name in names if name in faces.attributes and KINDS.get(name) in ("facial hair", "gender")]
        tables: list[Content] = []
        for number in APPENDIX:
            chosen = pairs(faces, names, request.columns, request.seed + number, about or None)
            tables.append(comparison(f"Figure {number}: {_of(members)}", members, faces, chosen, masks=False))
        return join([*tables, source_note(faces, members)])

    add("Figures 9 to 11: more results", drawn(others, more), missing.FIGURE_4)
    return faces is not None and faces.people


def _of(members: Sequence[Subject]) -> str:
    return "translated by " + ", ".join(member.label for member in members)


def _sheets(runs: dict[str, Path]) -> Html | None:
    """The newest sample sheet of each run."""
    parts: list[Content] = []
    for label, run in runs.items():
        sheet = sheet_of(run)
        if sheet is not None:
            image = picture(read_image(sheet).on_white(), f"sample sheet of {label}, {sheet.stem}: one pair a row")
            caption = tag("figcaption", f"{label}, {sheet.stem.replace('_', ' ')}")
            parts.append(tag("figure", caption, image, class_="sheet"))
    return join(parts) if parts else None
