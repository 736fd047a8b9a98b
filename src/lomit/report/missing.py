"""What makes the parts that a page does not have."""

from __future__ import annotations

from lomit.report.markup import Html, code, join


def _how(before: str, command: str, after: str = ".") -> Html:
    return join([before, code(command), after])


_EVALUATE = "lomit evaluate MODEL --data.root DIR --classifier DIR --out RESULTS"
_MODEL = "Give a model or a training run with a checkpoint: "

TABLE_1 = _how("Give evaluations with accuracy or inception scores: ", _EVALUATE)
MEASURES = _how("Give folders that hold results.json: ", _EVALUATE)
FIGURE_4 = _how(_MODEL, "lomit report avatars --out page.html", " (faces are rendered, or --data.root names some).")
EDITS = _how(
    "Save masks, edit them, list them in a JSON file (docs/report.md has its form) and name it: ",
    "lomit report MODEL --edits edits.json --out page.html",
)
FIGURE_5 = _how(
    "Train on action units, and give the run with photographs that are labelled with them: ",
    "lomit train emotionet-aus --data.root DIR --out RUN && "
    "lomit report RUN --data.root DIR --data.face-crop dlib --out page.html",
)
FIGURE_6 = FIGURE_4
FIGURE_7 = _how(
    "There are no answers of people. Give them as counts (docs/report.md has the form): ",
    "lomit report MODEL --study study.json --out page.html",
)
FIGURE_8 = _how(
    "Give a model that has content and style codes, and leave --codes above 0: ",
    "lomit report avatars --codes 240 --out page.html",
)
CURVES = _how("Give the folder of a training run: ", "lomit train PRESET --out RUN")
SHEETS = _how("Give a training run that has drawn one: ", "lomit train PRESET --train.sample-every 200 --out RUN")
ABLATIONS = _how(
    "Train the full preset and its ablations, evaluate each on the same pairs, and give all the results: ",
    "lomit train avatars-64-no-r1 --out RUN && lomit evaluate RUN --data.root DIR --classifier DIR --out RESULTS",
    " (lomit train --help lists the presets).",
)
